#include "daemon.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <memory>
#include <utility>

#include "config/environment.h"
#include "engine/engine_record.h"
#include "engine/launcher.h"
#include "fetch/resolve.h"
#include "logging.h"

namespace ggufd {
namespace {

// How long a subscriber that does not read may keep a daemon that has nothing else left to do.
constexpr std::uint64_t close_limit_ms = 1000;
// Some send a stop to the process and to its group (`timeout` does): two signals this close together are one
// wish.
constexpr std::uint64_t same_stop_ms = 50;

constexpr std::string_view admin_socket_name = "admin.sock";

bool is_socket_of_a_model(const std::string& name) {
  // An engine's private socket is hidden (engine_socket_path).
  const bool is_ours = name.starts_with("infer.") || name.starts_with('.');
  return is_ours && (name.ends_with(".sock") || name.ends_with(".sock.new"));
}

// What a daemon that was killed left behind. The lock is ours, so nobody uses them.
void remove_left_over_sockets(const std::string& runtime_folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(runtime_folder, error)) {
    const std::string name = entry.path().filename();
    if (is_socket_of_a_model(name) && entry.is_socket(error)) std::filesystem::remove(entry.path(), error);
  }
}

// Takes away what a dead daemon has left at `path`, and nothing else.
std::expected<void, StartError> free_socket_path(const std::string& path) {
  const auto found = loop::probe_socket_path(path);
  if (!found) return std::unexpected(StartError{ExitCode::unsafe_place, found.error().message});
  switch (*found) {
    case loop::SocketPath::free:
      break;
    case loop::SocketPath::stale_socket:
      unlink(path.c_str());
      break;
    case loop::SocketPath::live_socket:
      return std::unexpected(
          StartError{ExitCode::already_running,
                     fmt::format("somebody listens on {} already; stop that program first", path)});
    case loop::SocketPath::not_a_socket:
      return std::unexpected(
          StartError{ExitCode::unsafe_place,
                     fmt::format("{} is there and is not a socket; remove it if it is of no use", path)});
  }
  return {};
}

void warn_of_unknown(const service::InheritedSocket& socket, const std::string& admin_socket) {
  spdlog::warn(
      "an inherited socket, \"{}\" at {}, is none that ggufd knows and is closed; a socket unit for it has "
      "ListenStream={} or FileDescriptorName={}",
      socket.name(), socket.path().empty() ? "no path" : socket.path(), admin_socket, admin_socket_name);
}

}  // namespace

std::expected<std::unique_ptr<Daemon>, StartError> Daemon::start(DaemonOptions options) {
  const auto access = admin::serves_others(options.config.admin) ? config::FolderAccess::searched_by_all
                                                                 : config::FolderAccess::owner;
  if (auto prepared = config::prepare_runtime_folder(options.runtime_folder, geteuid(), access); !prepared) {
    const auto& error = prepared.error();
    return std::unexpected(
        StartError{error.is_unsafe ? ExitCode::unsafe_place : ExitCode::internal, error.message});
  }
  auto files = config::runtime_files(options.runtime_folder);
  if (!files) return std::unexpected(StartError{ExitCode::bad_config, files.error().message});
  auto lock = InstanceLock::take(files->lock);
  if (!lock) {
    const bool is_busy = lock.error().code == ErrorCode::busy;
    return std::unexpected(
        StartError{is_busy ? ExitCode::already_running : ExitCode::unsafe_place, lock.error().message});
  }
  auto inherited = std::move(options.inherited);
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(options), std::move(*files), std::move(*lock)));
  model::install_mapping_guard();
  // Their keepers end them with their daemon; where those were killed too, it is up to us.
  for (const std::string& ended : engine::end_left_engines(daemon->services_.runtime_folder)) {
    spdlog::warn("{}", ended);
  }
  if (auto opened = daemon->open_admin_socket(inherited); !opened) return std::unexpected(opened.error());
  if (auto opened = daemon->open_http(); !opened) return std::unexpected(opened.error());
  spdlog::info("ggufd " GGUFD_VERSION ", pid {}, listening on {}", getpid(), daemon->admin_path_);
  daemon->log_.publish(status::Starting{GGUFD_VERSION, getpid()});
  daemon->service_.ready();
  daemon->models_.load_at_boot();
  daemon->scrub_.set_interval_h(daemon->services_.config.scrub_interval_h);
  return daemon;
}

Daemon::Daemon(DaemonOptions options, config::RuntimeFiles files, InstanceLock lock)
    : files_(std::move(files)),
      lock_(std::move(lock)),
      admin_path_(files_.admin_socket),
      curl_(loop_),
      rate_limit_(loop_, options.config.fetch.bytes_per_second),
      fetch_{loop_,
             curl_,
             rate_limit_,
             store::BlobStore(options.store_folder),
             options.config.fetch,
             fetch::hub_settings(options.config.fetch, config::process_environment())},
      pulls_(fetch_),
      log_(options.config.default_model, [this] { server_.published(); }),
      memory_(loop_, services_.config),
      llama_(loop_, curl_, engine::own_environment(), options.runtime_folder, options.open_files),
      services_{loop_,
                pulls_,
                store::BlobStore(options.store_folder),
                std::move(options.config),
                options.runtime_folder,
                log_,
                memory_,
                llama_},
      models_(services_),
      mapping_faults_(loop_, [this] { models_.check_mapped_files(); }),
      scrub_(loop_, services_.store,
             [this](const model::BadBlob& bad, const std::vector<std::string>& names) {
               tell_bad_blob(bad, names);
             }),
      reload_(loop_, options.config_file, services_.config, reload_seams(options)),
      doctor_(loop_, models_, llama_, services_.config, std::move(options.places)),
      service_(loop_, services_.config, config::process_environment()),
      server_(loop_, services_.config.admin, log_),
      requests_(loop_, models_, server_, log_, services_.config, commands()),
      http_(loop_, models_, log_, server_, memory_, services_.config.http,
            [this](std::move_only_function<void(Result<answer::Doctor>)> tell) {
              doctor_.ask([tell = std::move(tell)](const Result<answer::Doctor>& found) mutable { tell(found); });
            }),
      on_terminate_(std::in_place, loop_, SIGTERM, [this] { on_stop_signal(); }),
      on_interrupt_(std::in_place, loop_, SIGINT, [this] { on_stop_signal(); }),
      on_hang_up_(std::in_place, loop_, SIGHUP, [this] { on_hang_up(); }) {}

// libuv gives a signal that nobody waits for any more its default action back, which is to end the process
// with that signal instead of its exit code.
Daemon::~Daemon() {
  on_terminate_.reset();
  std::signal(SIGTERM, SIG_IGN);
  on_interrupt_.reset();
  std::signal(SIGINT, SIG_IGN);
  on_hang_up_.reset();
  std::signal(SIGHUP, SIG_IGN);
}

admin::DaemonCommands Daemon::commands() {
  return {
      .drain = [this] { drain(); },
      .reload = [this](std::optional<std::string> model,
                       model::Reload::Waiter waiter) { reload_.ask(std::move(waiter), std::move(model)); },
      .doctor = [this](admin::DoctorRuns::Waiter waiter) { doctor_.ask(std::move(waiter)); }};
}

// --- The configuration while it runs

model::ReloadSeams Daemon::reload_seams(DaemonOptions& options) {
  return {.read = std::move(options.read_config),
          .on_changed = [this](const config::Config& before,
                               const std::optional<std::string>& model) { apply_config(before, model); },
          .warn = [this](status::Warning warning) { this->warn(std::move(warning)); },
          .on_begin = [this] { service_.reload_began(); },
          .on_end = [this] { service_.reload_ended(); }};
}

void Daemon::on_hang_up() {
  if (is_draining_) return;
  spdlog::info("SIGHUP: reading the configuration again");
  // The outcome is logged, and a bad one published; nobody else waits for it.
  reload_.ask({});
}

// Transfers that have begun keep what they began with, but for the rate. Of one `model` nothing but that has
// changed. The models come last: what they begin finds all else in place.
void Daemon::apply_config(const config::Config& before, const std::optional<std::string>& model) {
  const config::Config& config = services_.config;
  rate_limit_.set(config.fetch.bytes_per_second);
  fetch_.settings = config.fetch;
  fetch_.hub = fetch::hub_settings(config.fetch, config::process_environment());
  scrub_.set_interval_h(config.scrub_interval_h);
  set_log_level(config.log.level);
  log_.set_default_model(config.default_model);
  models_.apply(before, model);
  service_.configured();
}

void Daemon::warn(status::Warning warning) {
  log_.publish(std::move(warning));
}

void Daemon::tell_bad_blob(const model::BadBlob& bad, const std::vector<std::string>& names) {
  if (models_.tell_bad_blob(bad, names)) return;
  warn({std::string(name_of(ErrorCode::sha256_mismatch)), to_string(bad)});
}

// --- Start and stop

// One that a service manager has bound for us is taken over: clients that have come before us wait in it.
std::expected<void, StartError> Daemon::open_admin_socket(std::vector<service::InheritedSocket>& inherited) {
  remove_left_over_sockets(services_.runtime_folder);
  const auto ours = std::ranges::find_if(inherited, [this](const service::InheritedSocket& socket) {
    return socket.name() == admin_socket_name || socket.path() == files_.admin_socket;
  });
  for (const auto& socket : inherited) {
    if (&socket != std::to_address(ours)) warn_of_unknown(socket, files_.admin_socket);
  }
  if (ours == inherited.end()) return bind_admin_socket();
  if (const std::string path = ours->path(); !path.empty()) admin_path_ = path;
  if (auto listening = server_.adopt(ours->take(), requests_); !listening) {
    return std::unexpected(
        StartError{ExitCode::unsafe_place, fmt::format("the socket {} that was inherited is of no use: {}",
                                                       admin_socket_name, listening.error().message)});
  }
  return {};
}

std::expected<void, StartError> Daemon::bind_admin_socket() {
  if (auto freed = free_socket_path(files_.admin_socket); !freed) return freed;
  if (auto listening = server_.listen(files_.admin_socket, requests_); !listening) {
    return std::unexpected(StartError{ExitCode::internal, listening.error().message});
  }
  owns_admin_socket_ = true;
  return {};
}

std::expected<void, StartError> Daemon::open_http() {
  if (auto freed = free_socket_path(files_.http_socket); !freed) return freed;
  log_.set_observer({.on_event =
                         [this](const StatusEvent& event) {
                           http_.published(event);
                           service_.published(event);
                         },
                     .on_forgotten =
                         [this](const std::string& model) {
                           http_.forget(model);
                           service_.forget(model);
                         }});
  if (auto listening = http_.listen(files_.http_socket); !listening) {
    return std::unexpected(StartError{ExitCode::internal, listening.error().message});
  }
  return {};
}

void Daemon::on_stop_signal() {
  if (!is_draining_) return drain();
  if (loop_.now_ms() - draining_since_ms_ < same_stop_ms) return;
  // Asked twice: at once, whatever is under way. The store is safe at any moment.
  spdlog::warn("stopping at once");
  remove_left_over_sockets(services_.runtime_folder);
  if (owns_admin_socket_) unlink(files_.admin_socket.c_str());
  unlink(files_.http_socket.c_str());
  _exit(static_cast<int>(ExitCode::ok));
}

void Daemon::drain() {
  if (std::exchange(is_draining_, true)) return;
  draining_since_ms_ = loop_.now_ms();
  spdlog::info("draining");
  log_.publish(status::Draining{});
  service_.stopping();
  scrub_.stop();
  reload_.stop();
  models_.unload_all([this] { close(); });
}

void Daemon::close() {
  doctor_.stop();
  service_.close();
  http_.close(close_limit_ms);
  server_.close(close_limit_ms, [] { spdlog::info("stopped"); });
}

}  // namespace ggufd
