// What runs a model that is in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/answer.h"
#include "protocol/error.h"
#include "protocol/load_phase.h"
#include "protocol/status_event.h"

namespace ggufd::engine {

// An engine has ended by itself and will be started again: what `restarting` says of it.
struct EngineDown {
  RestartReason reason = RestartReason::engine_exit;
  std::string how;                  // a sentence: how it ended, and its last words
  std::uint32_t attempt = 1;        // the start that comes
  std::uint32_t restarts_left = 0;  // after that
};

// Whom an engine tells, on the loop and never from inside a call to it. The user may stop the engine from
// each of these, and destroy it in a later turn.
class EngineUser {
 public:
  // engine_start and warm_up, and how far they are.
  virtual void on_engine_phase(LoadPhase phase) = 0;
  virtual void on_engine_warning(std::string code, std::string message) = 0;
  // It answers: capabilities() and warm_up_ms() hold, connections to socket_path() are served.
  virtual void on_engine_up() = 0;
  virtual void on_engine_down(const EngineDown& down) = 0;
  // It has ended, and starting it again would be in vain, or has been too often: `engine_failed`,
  // `engine_unhealthy`.
  virtual void on_engine_failed(const Error& error) = 0;

 protected:
  ~EngineUser() = default;
};

// An engine that has been started. Owned by the model. Destroying it ends it at once; stop() is the way to
// end it well.
class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;

  // Whom it tells from now on; outlives it, or stops it first.
  virtual void set_user(EngineUser& user) = 0;

  virtual status::Capabilities capabilities() const = 0;
  // Where it listens: a private socket, which becomes infer.sock by a link while the model is ready
  // (engine/published_socket.h).
  virtual const std::string& socket_path() const = 0;
  virtual std::optional<std::uint64_t> warm_up_ms() const = 0;
  virtual answer::EngineStatus status() const = 0;

  struct Use {
    bool is_busy = false;       // somebody is connected, or being answered
    std::uint64_t last_ms = 0;  // when somebody last was, by the loop's clock; 0: nobody yet
  };
  virtual Use use() const = 0;
  // How often it looks whether it is used; 0: use() need not be true.
  virtual void watch_use(std::uint64_t interval_ms) = 0;

  // Lets requests in flight finish, for a while, then ends it. Its user is told nothing any more;
  // `on_stopped` comes once, in a later turn, when nothing of it is left.
  virtual void stop(std::move_only_function<void()> on_stopped) = 0;
};

// The private socket of a model's engine in the runtime folder.
std::string engine_socket_path(const std::string& runtime_folder, std::string_view model);

}  // namespace ggufd::engine
