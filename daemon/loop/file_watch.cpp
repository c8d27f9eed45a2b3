#include "loop/file_watch.h"

#include <fmt/core.h>

#include <utility>

namespace ggufd::loop {

FileWatch::FileWatch(Loop& loop, std::function<void()> on_change)
    : on_change_(std::move(on_change)), handle_(make_handle<uv_fs_event_t>(this, [&](auto* handle) {
        return uv_fs_event_init(loop.raw(), handle);
      })) {
  uv_unref(reinterpret_cast<uv_handle_t*>(handle_.get()));
}

Result<std::unique_ptr<FileWatch>> FileWatch::start(Loop& loop, const std::string& path,
                                                    std::function<void()> on_change) {
  std::unique_ptr<FileWatch> watch(new FileWatch(loop, std::move(on_change)));
  const int status = uv_fs_event_start(
      watch->handle_.get(),
      [](uv_fs_event_t* handle, const char*, int, int) {
        if (handle->data == nullptr) return;
        // A copy of the function: it may destroy the object while it runs.
        const std::function<void()> notify = static_cast<FileWatch*>(handle->data)->on_change_;
        notify();
      },
      path.c_str(), 0);
  if (status != 0) return std::unexpected(uv_error(fmt::format("watching {}", path), status));
  return watch;
}

}  // namespace ggufd::loop
