// The daemon: owns everything, and starts, serves and drains it.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "admin/doctor_run.h"
#include "admin/requests.h"
#include "admin/server.h"
#include "admin/status_log.h"
#include "config/config.h"
#include "config/places.h"
#include "engine/llama_host.h"
#include "fetch/curl_loop.h"
#include "fetch/pull.h"
#include "fetch/rate_limit.h"
#include "http/server.h"
#include "instance_lock.h"
#include "loop/loop.h"
#include "loop/signal.h"
#include "model/mapping_guard.h"
#include "model/models.h"
#include "model/reload.h"
#include "model/scrub.h"
#include "service/inherited_sockets.h"
#include "service/service_manager.h"

namespace ggufd {

// What ggufd exits with (docs/operating.md); the numbers are those of sysexits.h where it has one.
enum class ExitCode : int {
  ok = 0,
  usage = 64,
  internal = 70,
  already_running = 75,
  unsafe_place = 77,
  bad_config = 78,
};

struct StartError {
  ExitCode exit_code;
  std::string message;
};

struct DaemonOptions {
  config::Config config;
  config::PlaceOptions places;  // the command line's
  std::string config_file;
  // Reads and checks that file again, as it was at the start. Blocks, and is called on the pool.
  std::function<std::expected<config::Config, std::vector<config::Mistake>>()> read_config;
  std::string runtime_folder;
  std::string store_folder;
  // The soft limit that we were started with, before we raised ours: engines get it.
  std::optional<rlim_t> open_files;
  // What a service manager has bound for us (socket activation).
  std::vector<service::InheritedSocket> inherited;
};

class Daemon {
 public:
  // Prepares the runtime folder, takes the lock, binds the sockets and begins to load. Everything before
  // the first load can fail.
  static std::expected<std::unique_ptr<Daemon>, StartError> start(DaemonOptions options);
  // From here on SIGTERM, SIGINT and SIGHUP are ignored: the process is about to end by itself.
  ~Daemon();

  // Serves until it has been told to stop and has drained.
  void run() { loop_.run(); }

 private:
  Daemon(DaemonOptions options, config::RuntimeFiles files, InstanceLock lock);

  std::expected<void, StartError> open_admin_socket(std::vector<service::InheritedSocket>& inherited);
  std::expected<void, StartError> bind_admin_socket();
  std::expected<void, StartError> open_http();
  admin::DaemonCommands commands();
  model::ReloadSeams reload_seams(DaemonOptions& options);
  void on_stop_signal();
  void on_hang_up();
  void apply_config(const config::Config& before, const std::optional<std::string>& model);
  void warn(status::Warning warning);
  void tell_bad_blob(const model::BadBlob& bad, const std::vector<std::string>& names);
  void drain();
  void close();

  const config::RuntimeFiles files_;
  InstanceLock lock_;
  std::string admin_path_;          // where the admin socket is: as a rule that of files_
  bool owns_admin_socket_ = false;  // we have bound it, and unlink it
  // In the order of construction: whoever is used by others stands before them.
  loop::Loop loop_;
  fetch::CurlLoop curl_;
  fetch::RateLimit rate_limit_;
  fetch::FetchServices fetch_;
  fetch::Pulls pulls_;
  admin::StatusLog log_;
  model::Admission memory_;
  engine::LlamaHost llama_;
  model::Services services_;
  model::Models models_;
  model::MappingFaults mapping_faults_;
  model::Scrub scrub_;
  model::Reload reload_;
  admin::DoctorRuns doctor_;
  service::ServiceManager service_;
  admin::Server server_;
  admin::Requests requests_;
  http::Server http_;
  std::optional<loop::Signal> on_terminate_;
  std::optional<loop::Signal> on_interrupt_;
  std::optional<loop::Signal> on_hang_up_;
  bool is_draining_ = false;
  std::uint64_t draining_since_ms_ = 0;  // of the loop's clock
};

}  // namespace ggufd
