#include "engine/published_socket.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

namespace ggufd::engine {
namespace {

// By a second name and a rename, so that whoever connects finds the old one or the new one, never none.
Result<void> link_over(const std::string& from, const std::string& to) {
  const std::string temporary = to + ".new";
  unlink(temporary.c_str());
  if (link(from.c_str(), temporary.c_str()) != 0) {
    return std::unexpected(system_error(fmt::format("linking {} to {}", from, to), errno));
  }
  if (rename(temporary.c_str(), to.c_str()) != 0) {
    const int error_number = errno;
    unlink(temporary.c_str());
    return std::unexpected(system_error(fmt::format("renaming {} to {}", temporary, to), error_number));
  }
  // Renaming a file to another name of itself does nothing, the temporary name included.
  unlink(temporary.c_str());
  return {};
}

}  // namespace

Result<PublishedSocket> PublishedSocket::publish(const std::string& private_path,
                                                 std::vector<std::string> names) {
  PublishedSocket published;
  for (std::string& name : names) {
    if (auto linked = link_over(private_path, name); !linked) return std::unexpected(linked.error());
    published.names_.push_back(std::move(name));
  }
  return published;
}

PublishedSocket& PublishedSocket::operator=(PublishedSocket&& other) noexcept {
  if (this != &other) {
    unpublish();
    names_ = std::exchange(other.names_, {});
  }
  return *this;
}

Result<void> PublishedSocket::publish_also(const std::string& private_path, std::string name) {
  if (auto linked = link_over(private_path, name); !linked) return linked;
  names_.push_back(std::move(name));
  return {};
}

void PublishedSocket::unpublish(const std::string& name) {
  if (std::erase(names_, name) > 0) unlink(name.c_str());
}

void PublishedSocket::unpublish() {
  for (const std::string& name : std::exchange(names_, {})) unlink(name.c_str());
}

}  // namespace ggufd::engine
