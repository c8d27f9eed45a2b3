#include "fetch/curl_loop.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "fetch/transfer_state.h"

namespace ggufd::fetch {

Transfer::~Transfer() {
  state_->sink = nullptr;
  if (state_->owner == nullptr) return;
  if (state_->owner->inside_curl_) {
    // curl must not be called from inside its callback; with no sink, that one ends the transfer by itself.
    state_->owner->cancel_soon(state_);
  } else {
    state_->owner->detach(*state_);
  }
}

void Transfer::cancel() {
  if (state_->owner != nullptr) state_->owner->cancel_soon(state_);
}

void Transfer::resume() {
  if (state_->owner != nullptr) state_->owner->resume(*state_);
}

// The loop's watch over one of curl's sockets.
struct CurlLoop::Socket {
  CurlLoop& owner;
  curl_socket_t fd;
  loop::HandlePtr<uv_poll_t> poll;
};

namespace {

CURLM* make_multi() {
  [[maybe_unused]] static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  assert(initialised == CURLE_OK);
  return curl_multi_init();
}

}  // namespace

CurlLoop::CurlLoop(loop::Loop& loop)
    : loop_(loop), multi_(make_multi()), timer_(loop, [this] { act(CURL_SOCKET_TIMEOUT, 0); }) {
  assert(multi_ != nullptr);
  // Each transfer has a connection of its own, with HTTP/2 too: what is limited a connection is multiplied by
  // them, and one that is paused holds up no other.
  curl_multi_setopt(multi_, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlLoop::socket_wish);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlLoop::timer_wish);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
}

// Closes the connections that were kept; curl takes back its sockets while it does.
CurlLoop::~CurlLoop() {
  curl_multi_cleanup(multi_);
}

std::unique_ptr<Transfer> CurlLoop::start(const TransferRequest& request, TransferSink& sink) {
  auto state = std::make_shared<State>();
  state->owner = this;
  state->sink = &sink;
  state->url = request.url;
  state->easy = curl_easy_init();
  assert(state->easy != nullptr);
  state->set_up(request);
  curl_multi_add_handle(multi_, state->easy);  // begins at the next call of its timer
  return std::unique_ptr<Transfer>(new Transfer(std::move(state)));
}

int CurlLoop::socket_wish(CURL*, curl_socket_t fd, int what, void* self, void* socket) {
  static_cast<CurlLoop*>(self)->watch(fd, what, static_cast<Socket*>(socket));
  return 0;
}

void CurlLoop::watch(curl_socket_t fd, int what, Socket* socket) {
  if (what == CURL_POLL_REMOVE) {
    // curl may remove what it never had us watch.
    curl_multi_assign(multi_, fd, nullptr);
    delete socket;
    return;
  }
  if (socket == nullptr) {
    socket = new Socket{*this, fd, {}};
    socket->poll = loop::make_handle<uv_poll_t>(
        socket, [&](auto* handle) { return uv_poll_init_socket(loop_.raw(), handle, fd); });
    curl_multi_assign(multi_, fd, socket);
  }
  int events = 0;
  if ((what & CURL_POLL_IN) != 0) events |= UV_READABLE;
  if ((what & CURL_POLL_OUT) != 0) events |= UV_WRITABLE;
  uv_poll_start(socket->poll.get(), events, [](uv_poll_t* handle, int status, int happened) {
    if (handle->data == nullptr) return;
    const auto& ready = *static_cast<Socket*>(handle->data);
    // With an error alone curl says no more than that; reading and writing as well, it finds out which one.
    int flags = status < 0 ? CURL_CSELECT_ERR | CURL_CSELECT_IN | CURL_CSELECT_OUT : 0;
    if ((happened & UV_READABLE) != 0) flags |= CURL_CSELECT_IN;
    if ((happened & UV_WRITABLE) != 0) flags |= CURL_CSELECT_OUT;
    ready.owner.act(ready.fd, flags);
  });
}

int CurlLoop::timer_wish(CURLM*, long timeout_ms, void* self) {
  auto& timer = static_cast<CurlLoop*>(self)->timer_;
  if (timeout_ms < 0) {
    timer.stop();
  } else {
    // 0 means soon: curl must not be called from here, which is inside curl.
    timer.start_once(static_cast<std::uint64_t>(std::max(timeout_ms, 1L)));
  }
  return 0;
}

void CurlLoop::act(curl_socket_t fd, int events) {
  inside_curl_ = true;
  int running = 0;
  curl_multi_socket_action(multi_, fd, events, &running);
  inside_curl_ = false;
  // After every action: a transfer can end by a time-out, without an event of its own.
  drain_messages();
}

void CurlLoop::drain_messages() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    // Both are copied: removing the handle frees the message.
    CURL* easy = message->easy_handle;
    const CURLcode code = message->data.result;
    Transfer::State* state = nullptr;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &state);
    Result<void> result = state->result(code);
    TransferSink* sink = state->sink;
    detach(*state);
    if (sink != nullptr) sink->on_end(std::move(result));
  }
}

void CurlLoop::detach(State& state) {
  if (state.owner == nullptr) return;
  state.owner = nullptr;
  inside_curl_ = true;
  curl_multi_remove_handle(multi_, state.easy);
  inside_curl_ = false;
}

void CurlLoop::cancel_soon(const std::shared_ptr<State>& state) {
  loop_.at_end_of_turn([state, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired() || state->owner == nullptr) return;
    state->owner->detach(*state);
    if (state->sink != nullptr) state->sink->on_end(fail(ErrorCode::cancelled, "the transfer was cancelled"));
  });
}

void CurlLoop::resume(State& state) {
  assert(!inside_curl_);
  inside_curl_ = true;
  curl_easy_pause(state.easy, CURLPAUSE_CONT);  // may call on_body
  inside_curl_ = false;
  // What was received while it was paused brings no event of its own.
  act(CURL_SOCKET_TIMEOUT, 0);
}

}  // namespace ggufd::fetch
