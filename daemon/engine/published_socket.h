// An engine's private socket under its public names. A connection to infer.sock is a connection to the engine
// itself: no byte of it passes through this process.
#pragma once

#include <string>
#include <vector>

#include "protocol/error.h"

namespace ggufd::engine {

// Links the private socket to public names; unlinks those when it is destroyed.
class PublishedSocket {
 public:
  // `names` are absolute paths in the folder of `private_path`; what stands there is replaced.
  static Result<PublishedSocket> publish(const std::string& private_path, std::vector<std::string> names);

  PublishedSocket() = default;
  PublishedSocket(PublishedSocket&& other) noexcept : names_(std::exchange(other.names_, {})) {}
  PublishedSocket& operator=(PublishedSocket&& other) noexcept;
  ~PublishedSocket() { unpublish(); }

  void unpublish();

  // One name more, or less, while the others stay.
  Result<void> publish_also(const std::string& private_path, std::string name);
  void unpublish(const std::string& name);

 private:
  std::vector<std::string> names_;
};

}  // namespace ggufd::engine
