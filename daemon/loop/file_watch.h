// Being told when a file changes.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "loop/loop.h"

namespace ggufd::loop {

// Calls on_change after the file was written to, truncated, renamed, removed, or its attributes changed;
// several changes may be one call. What is watched is the file that `path` names at the start, whatever the
// name stands for later: "/proc/self/fd/N" is the file behind that descriptor. on_change may destroy the
// watch. Does not keep the loop running.
class FileWatch {
 public:
  // `io` where the system refuses; it limits the number of watches (fs.inotify.max_user_watches).
  static Result<std::unique_ptr<FileWatch>> start(Loop& loop, const std::string& path,
                                                  std::function<void()> on_change);
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

 private:
  FileWatch(Loop& loop, std::function<void()> on_change);

  std::function<void()> on_change_;
  HandlePtr<uv_fs_event_t> handle_;
};

}  // namespace ggufd::loop
