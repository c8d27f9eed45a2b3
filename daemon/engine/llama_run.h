// One run of a llama-server, from its start to its end. Whether it is started again is not decided here
// (engine/llama_server.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "engine/byte_relay.h"
#include "engine/health_watch.h"
#include "engine/llama_facts.h"
#include "engine/llama_host.h"
#include "engine/llama_log.h"
#include "engine/llama_order.h"
#include "engine/llama_question.h"
#include "loop/child.h"
#include "loop/timer.h"
#include "protocol/status_event.h"

namespace ggufd::engine {

struct LlamaEnding {
  RestartReason reason = RestartReason::engine_exit;
  std::string how;          // a sentence without its full stop, its last words included
  bool is_in_vain = false;  // another start would end like this one
  std::uint64_t up_ms = 0;  // for so long it was up
};

// None of them comes from inside a call to the run; each may stop it, and destroy it in a later turn.
struct LlamaRunCallbacks {
  std::function<void(const LlamaSaid&)> on_said;  // while it loads
  std::function<void()> on_warm_up;               // it is healthy; the warm-up begins
  // It answers. The time is that of the warm-up.
  std::function<void(const LlamaProps&, std::optional<std::uint64_t> warm_up_ms)> on_up;
  std::function<void(std::string code, std::string message)> on_warning;
  // Once, last, also after stop(): its process and all of its group have gone.
  std::move_only_function<void(LlamaEnding)> on_end;
};

class LlamaRun {
 public:
  // `engine_failed` where it cannot be started.
  static Result<std::unique_ptr<LlamaRun>> start(LlamaHost& host, std::shared_ptr<const LlamaOrder> order,
                                                 LlamaRunCallbacks callbacks);
  // Kills it where it still runs.
  ~LlamaRun();
  LlamaRun(const LlamaRun&) = delete;
  LlamaRun& operator=(const LlamaRun&) = delete;

  // Requests in flight may finish, for stop_grace_s; then SIGTERM, and after as long SIGKILL.
  void stop();

  pid_t pid() const { return child_->pid(); }
  const LlamaSaid& said() const { return log_.said(); }
  std::string tail(std::size_t max_bytes) const { return log_.tail(max_bytes); }
  const LlamaAddress& address() const { return address_; }
  // Connections that are carried, where there is a relay.
  std::optional<std::size_t> relayed() const;

 private:
  enum class Stage : std::uint8_t { starting, warming_up, asking_props, up, stopping };

  LlamaRun(LlamaHost& host, std::shared_ptr<const LlamaOrder> order, LlamaRunCallbacks callbacks);
  Result<void> begin();

  void take_output(std::string_view bytes);
  void listen_to_port(std::uint16_t port);
  void watch_health();
  void healthy();
  void unresponsive(std::string how);
  void warm_up();
  void warmed_up(const Result<LlamaAnswer>& answer);
  void ask_props();
  void up(const LlamaProps& props);

  void ask(LlamaQuestion question, std::function<void(const Result<LlamaAnswer>&)> then);
  // Kills it; on_end will say why.
  void give_up(LlamaEnding ending);
  void stop_when_unused();
  void ended(const loop::ChildExit& exit);
  LlamaEnding ending_of(const loop::ChildExit& exit) const;

  LlamaHost& host_;
  const std::shared_ptr<const LlamaOrder> order_of_server_;
  const LlamaOrder& order_ = *order_of_server_;
  LlamaRunCallbacks callbacks_;
  Stage stage_ = Stage::starting;
  loop::ChildPtr child_;
  LlamaLog log_;
  LlamaAddress address_;
  std::unique_ptr<ByteRelay> relay_;  // for a build without Unix sockets
  std::unique_ptr<HealthWatch> health_;
  loop::Timer deadline_;  // of the start; then the next look while it is stopped
  loop::OperationPtr asking_;
  std::optional<LlamaEnding> doom_;  // why it was killed
  std::uint64_t began_ms_ = 0;       // the warm-up, then being up, then the stop
  std::optional<std::uint64_t> warm_up_ms_;
  std::uint32_t unused_looks_ = 0;
};

}  // namespace ggufd::engine
