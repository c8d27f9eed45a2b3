#include "config/places.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "config/quote.h"

namespace ggufd::config {

namespace {

Result<Place> place(std::string_view path, std::string rule, const Environment& environment) {
  if (path.empty()) return fail(ErrorCode::io, fmt::format("{} is empty; name a path", rule));
  if (has_control_character(path)) {
    return fail(ErrorCode::io,
                fmt::format("{} names {}: control characters are not allowed", rule, quote(path)));
  }
  const auto expanded = expand_home(path, environment);
  if (!expanded) return std::unexpected(expanded.error());
  std::error_code failure;
  const auto absolute = std::filesystem::absolute(*expanded, failure);
  if (failure) {
    return fail(ErrorCode::io,
                fmt::format("{} names {}, and the working directory is not known: {}; name an absolute path",
                            rule, quote(path), failure.message()));
  }
  std::string normal = absolute.lexically_normal().string();
  while (normal.size() > 1 && normal.ends_with('/')) normal.pop_back();
  return Place{.path = std::move(normal), .rule = std::move(rule)};
}

std::optional<std::string> variable(const Environment& environment, const char* name) {
  auto value = environment(name);
  if (value && value->empty()) return std::nullopt;
  return value;
}

// The XDG base directory specification has relative paths ignored.
std::optional<std::string> xdg_variable(const Environment& environment, const char* name) {
  auto value = variable(environment, name);
  if (value && !value->starts_with('/')) return std::nullopt;
  return value;
}

// ${<name>:-~/<below_home>}/<rest>
Result<Place> xdg_place(const char* name, std::string_view below_home, std::string_view rest,
                        const Environment& environment, uid_t uid) {
  if (const auto base = xdg_variable(environment, name)) {
    return place(fmt::format("{}/{}", *base, rest), fmt::format("${}/{}", name, rest), environment);
  }
  const auto home = home_folder(environment, uid);
  if (!home) return std::unexpected(home.error());
  return place(fmt::format("{}/{}/{}", *home, below_home, rest), fmt::format("~/{}/{}", below_home, rest),
               environment);
}

Result<std::string> socket_path(const std::string& folder, std::string_view file) {
  std::string path = fmt::format("{}/{}", folder == "/" ? "" : folder, file);
  if (path.size() <= max_socket_path_bytes) return path;
  return fail(ErrorCode::io,
              fmt::format("the socket {} would have a path of {} bytes, the kernel takes {}; choose a "
                          "shorter runtime folder with --runtime-dir",
                          path, path.size(), max_socket_path_bytes));
}

}  // namespace

Result<Place> find_runtime_folder(const PlaceOptions& options, const Environment& environment, uid_t uid) {
  if (options.runtime_dir) return place(*options.runtime_dir, "--runtime-dir", environment);
  if (const auto folder = variable(environment, "GGUFD_RUNTIME_DIR")) {
    return place(*folder, "$GGUFD_RUNTIME_DIR", environment);
  }
  // systemd.exec(5): several folders are separated by colons; the first is ours.
  if (const auto folders = variable(environment, "RUNTIME_DIRECTORY")) {
    return place(std::string_view(*folders).substr(0, folders->find(':')), "$RUNTIME_DIRECTORY", environment);
  }
  if (const auto folder = xdg_variable(environment, "XDG_RUNTIME_DIR")) {
    return place(*folder + "/ggufd", "$XDG_RUNTIME_DIR/ggufd", environment);
  }
  return place(fmt::format("/tmp/ggufd-{}", uid), "/tmp/ggufd-<uid>", environment);
}

Result<Place> find_config_file(const PlaceOptions& options, const Environment& environment, uid_t uid) {
  if (options.config) return place(*options.config, "--config", environment);
  if (const auto file = variable(environment, "GGUFD_CONFIG"))
    return place(*file, "$GGUFD_CONFIG", environment);
  return xdg_place("XDG_CONFIG_HOME", ".config", "ggufd/config.json", environment, uid);
}

Result<Place> find_store_folder(const PlaceOptions& options, const std::string& models_home,
                                const Environment& environment, uid_t uid) {
  if (options.store) return place(*options.store, "--store", environment);
  if (!models_home.empty()) return place(models_home, "models_home", environment);
  if (const auto folder = variable(environment, "MODELS_HOME"))
    return place(*folder, "$MODELS_HOME", environment);
  return xdg_place("XDG_DATA_HOME", ".local/share", "models", environment, uid);
}

Result<RuntimeFiles> runtime_files(const std::string& folder) {
  auto admin = socket_path(folder, "admin.sock");
  if (!admin) return std::unexpected(admin.error());
  auto infer = socket_path(folder, "infer.sock");
  if (!infer) return std::unexpected(infer.error());
  auto http = socket_path(folder, "http.sock");
  if (!http) return std::unexpected(http.error());
  return RuntimeFiles{.lock = fmt::format("{}/ggufd.lock", folder == "/" ? "" : folder),
                      .admin_socket = std::move(*admin),
                      .infer_socket = std::move(*infer),
                      .http_socket = std::move(*http)};
}

Result<std::string> model_socket(const std::string& folder, std::string_view model) {
  return socket_path(folder, fmt::format("infer.{}.sock", model));
}

std::vector<Mistake> check_model_sockets(const Config& config, const std::string& folder) {
  std::vector<Mistake> mistakes;
  for (std::size_t i = 0; i < config.models.size(); ++i) {
    const std::string& name = config.models[i].name;
    const auto path = model_socket(folder, name);
    if (name.empty() || path) continue;
    mistakes.push_back({fmt::format("/models/{}/name", i), path.error().message + ", or a shorter name"});
  }
  return mistakes;
}

}  // namespace ggufd::config
