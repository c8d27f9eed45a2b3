// libuv handles owned by C++ objects.
#pragma once

#include <uv.h>

#include <cassert>
#include <memory>
#include <string>

#include "protocol/error.h"

namespace ggufd::loop {

// libuv keeps using a handle until its close callback, so a handle lives on the heap: the owner's unique_ptr
// closes it, the close callback frees it. `data` points to the owner and is cleared on the way, so that a
// late callback finds out.
struct HandleCloser {
  template <class H>
  void operator()(H* handle) const {
    handle->data = nullptr;
    uv_close(reinterpret_cast<uv_handle_t*>(handle),
             [](uv_handle_t* closed) { delete reinterpret_cast<H*>(closed); });
  }
};

template <class H>
using HandlePtr = std::unique_ptr<H, HandleCloser>;

// A handle whose initialisation cannot fail, or only by a bug: init(H*) returns libuv's status.
template <class H, class Init>
HandlePtr<H> make_handle(void* owner, Init&& init) {
  auto handle = std::make_unique<H>();
  [[maybe_unused]] const int status = init(handle.get());
  assert(status == 0);
  handle->data = owner;
  return HandlePtr<H>(handle.release());
}

// The error of a libuv call; `what` names the call and its object.
inline Error uv_error(std::string_view what, int status, ErrorCode code = ErrorCode::io) {
  return system_error(what, -status, code);
}

}  // namespace ggufd::loop
