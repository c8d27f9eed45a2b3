// ggufd: brings GGUF models up and tells everyone how far it is.
#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon.h"
#include "engine/launcher.h"
#include "logging.h"
#include "loop/standard_descriptors.h"
#include "service/inherited_sockets.h"
#include "service/notify_socket.h"

namespace {

using ggufd::ExitCode;
using ggufd::config::Config;
using ggufd::config::Mistake;
using ggufd::service::InheritedSocket;
using ggufd::service::tell_failed_start;

struct CommandLine {
  ggufd::config::PlaceOptions places;
  bool check_config = false;
};

// errno's value for those who only know such numbers.
int error_number_of(ExitCode code) {
  switch (code) {
    case ExitCode::already_running:
      return EADDRINUSE;
    case ExitCode::unsafe_place:
      return EPERM;
    case ExitCode::bad_config:
    case ExitCode::usage:
      return EINVAL;
    case ExitCode::internal:
    case ExitCode::ok:
      break;
  }
  return EIO;
}

int exit_with(ExitCode code, const std::string& message) {
  fmt::print(stderr, "ggufd: {}\n", message);
  tell_failed_start(ggufd::config::process_environment(), message, error_number_of(code));
  return static_cast<int>(code);
}

int exit_with_mistakes(const std::string& path, const std::vector<Mistake>& mistakes) {
  const std::string found =
      fmt::format("{} has {} mistake{}", path, mistakes.size(), mistakes.size() == 1 ? "" : "s");
  fmt::print(stderr, "ggufd: {}:\n", found);
  for (const auto& mistake : mistakes) fmt::print(stderr, "  {}\n", to_string(mistake));
  tell_failed_start(ggufd::config::process_environment(),
                    fmt::format("{}: {}", found, to_string(mistakes.front())),
                    error_number_of(ExitCode::bad_config));
  return static_cast<int>(ExitCode::bad_config);
}

// Fills `command_line`, or returns what to exit with.
std::optional<int> parse(int argc, char** argv, CommandLine& command_line) {
  CLI::App app("ggufd brings GGUF models up on this machine and tells everyone how far it is.", "ggufd");
  app.set_version_flag("--version", "ggufd " GGUFD_VERSION);
  app.add_option("--config", command_line.places.config, "configuration file")->type_name("FILE");
  app.add_option("--runtime-dir", command_line.places.runtime_dir, "folder of the sockets")->type_name("DIR");
  app.add_option("--store", command_line.places.store, "folder of the models")->type_name("DIR");
  app.add_flag("--check-config", command_line.check_config, "check the configuration and exit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version end here too, with success.
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::usage);
  }
  return std::nullopt;
}

// Nothing that we make is for others; a client that has gone, or a file that may not grow, is an error to
// tell and no reason to die; files are plenty. Returns the soft limit of open files that there was.
std::optional<rlim_t> set_up_process() {
  umask(077);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return std::nullopt;
  const rlim_t was = std::exchange(files.rlim_cur, files.rlim_max);
  setrlimit(RLIMIT_NOFILE, &files);
  return was;
}

// libuv's pool has four threads where nobody says otherwise. A download's two writers, its hash and its
// journal could take them all, and everything else that works on files would wait: a look at the store, a
// verify, another model's load.
void widen_thread_pool() {
  constexpr int keep_what_is_set = 0;
  setenv("UV_THREADPOOL_SIZE", "8", keep_what_is_set);
}

// Reads the configuration at the start, and at each reload (on the pool, one after the other).
struct ConfigReader {
  std::string path;
  std::string runtime_folder;
  // Nobody has named the file, and there has been none so far: then no model is configured. Once it was read
  // it has to be there, for it may be missing only for a moment.
  bool may_be_missing;

  std::expected<Config, std::vector<Mistake>> read() {
    const bool is_missing = access(path.c_str(), F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR);
    if (is_missing && may_be_missing) return Config();
    auto config = ggufd::config::load_config(
        path, ggufd::config::process_environment(),
        [this](const Config& read) { return check_model_sockets(read, runtime_folder); });
    if (config) may_be_missing = false;
    return config;
  }
};

int run(const CommandLine& command_line, std::optional<rlim_t> open_files,
        std::vector<InheritedSocket> inherited) {
  const auto environment = ggufd::config::process_environment();
  const auto config_file = find_config_file(command_line.places, environment, geteuid());
  if (!config_file) return exit_with(ExitCode::bad_config, config_file.error().message);
  const auto runtime = find_runtime_folder(command_line.places, environment, geteuid());
  if (!runtime) return exit_with(ExitCode::bad_config, runtime.error().message);
  ggufd::DaemonOptions options;
  options.config_file = config_file->path;
  const bool is_named = command_line.places.config || environment("GGUFD_CONFIG");
  const auto reader =
      std::make_shared<ConfigReader>(ConfigReader{config_file->path, runtime->path, !is_named});
  options.read_config = [reader] { return reader->read(); };
  auto config = options.read_config();
  if (!config) return exit_with_mistakes(config_file->path, config.error());
  options.config = std::move(*config);
  const auto store =
      find_store_folder(command_line.places, options.config.models_home, environment, geteuid());
  if (!store) return exit_with(ExitCode::bad_config, store.error().message);
  options.places = command_line.places;
  options.runtime_folder = runtime->path;
  options.store_folder = store->path;
  options.open_files = open_files;
  options.inherited = std::move(inherited);
  if (command_line.check_config) {
    fmt::print("{}: ok, {} model{}\n", config_file->path, options.config.models.size(),
               options.config.models.size() == 1 ? "" : "s");
    return 0;
  }
  ggufd::start_logging(options.config.log);
  int exit_code = static_cast<int>(ExitCode::ok);
  if (auto daemon = ggufd::Daemon::start(std::move(options)); daemon) {
    (*daemon)->run();
  } else {
    exit_code = exit_with(daemon.error().exit_code, daemon.error().message);
  }
  if (!ggufd::stop_logging()) _exit(exit_code);
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto exit_code = ggufd::engine::launch_if_asked(argc, argv)) return *exit_code;
  using namespace ggufd::loop;
  if (!fill_standard_descriptors(MissingOutput::discarded)) return static_cast<int>(ExitCode::internal);
  CommandLine command_line;
  try {
    if (const auto exit_code = parse(argc, argv, command_line)) return *exit_code;
    const auto open_files = set_up_process();
    widen_thread_pool();
    return run(command_line, open_files, ggufd::service::take_inherited_sockets());
  } catch (const std::exception& error) {
    // Out of memory, or a bug: no exception of ours comes this far.
    return exit_with(ExitCode::internal, error.what());
  }
}
