// Tells a service manager (systemd, or whoever sets $NOTIFY_SOCKET) how the daemon is: up, what it is doing,
// reading its configuration again, stopping, and that its loop still turns.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "config/config.h"
#include "config/environment.h"
#include "loop/loop.h"
#include "loop/timer.h"
#include "service/notify_socket.h"
#include "service/status_line.h"

namespace ggufd::service {

// Without a manager all of it does nothing. A manager that does not read is waited for by a timer; nothing of
// ours waits with it.
class ServiceManager {
 public:
  // How often progress within a phase is told; what changes is told at once.
  static constexpr std::uint64_t progress_interval_ms = 1000;

  // `config`, the running one, outlives this.
  ServiceManager(loop::Loop& loop, const config::Config& config, const config::Environment& environment);

  // The daemon is up: READY=1. From now on WATCHDOG=1 comes at half of $WATCHDOG_USEC, as a timer of the
  // loop: a loop that hangs stops telling.
  void ready();
  // Around a reading of the configuration: RELOADING=1, and READY=1 once what it says is applied.
  void reload_began();
  void reload_ended();
  // A stop has begun: STOPPING=1.
  void stopping();
  // STATUS= follows the events.
  void published(const StatusEvent& event) { follow(line_.observe(event)); }
  void forget(const std::string& model) { follow(line_.forget(model)); }
  // How many models are configured may have changed.
  void configured() { tell_status(); }

  // Tells nothing more, and keeps the loop running no longer.
  void close();

 private:
  void follow(StatusLine::Change change);
  void tell_status();
  std::string status_value();
  void send(std::string lines);
  void send_waiting();
  bool is_listening() const { return socket_.is_open() && !is_closed_; }

  const config::Config& config_;
  const NotifySocket socket_;
  const std::optional<std::uint64_t> watchdog_interval_ms_;
  StatusLine line_;
  std::string last_status_;
  bool is_up_ = false;  // between ready() and stopping()
  bool is_closed_ = false;
  std::deque<std::string> waiting_;
  loop::Timer progress_;
  loop::Timer watchdog_;
  loop::Timer retry_;
};

}  // namespace ggufd::service
