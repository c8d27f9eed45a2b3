// What runs a model that is in memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/status_event.h"

namespace ggufd::engine {

// An engine that has started. Destroying it stops it. Owned by the model.
class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;

  virtual status::Capabilities capabilities() const = 0;
  // Where it listens: a private socket, which becomes infer.sock by a link while the model is ready
  // (engine/published_socket.h).
  virtual const std::string& socket_path() const = 0;

  struct Use {
    bool is_busy = false;       // somebody is connected, or being answered
    std::uint64_t last_ms = 0;  // when somebody last was, by the loop's clock; 0: nobody yet
  };
  virtual Use use() const = 0;
};

// The private socket of a model's engine in the runtime folder.
std::string engine_socket_path(const std::string& runtime_folder, std::string_view model);

}  // namespace ggufd::engine
