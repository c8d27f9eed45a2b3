#include "fetch/curl_loop.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <utility>

#include "config/address.h"
#include "fetch/curl_error.h"

namespace ggufd::fetch {
namespace {

constexpr long max_redirects = 10;
constexpr std::size_t max_headers = 256;  // of one response; curl bounds their bytes
// Fewer, larger reads than with curl's default of 16 KiB.
constexpr long receive_buffer_bytes = 512L * 1024;

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  return lower;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// Plain http is for loopback. Asked once the connection stands and before anything is sent, for every hop.
bool may_send(CURL* easy) {
  const char* url = nullptr;
  curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
  const auto parts = config::split_url(url == nullptr ? "" : url);
  if (!parts || parts->scheme == "https") return parts.has_value();
  const auto address = config::parse_host_port(parts->authority);
  return address && address->is_loopback;
}

}  // namespace

std::optional<std::string_view> ResponseHead::header(std::string_view lower_case_name) const {
  const auto found = headers.find(lower_case_name);
  if (found == headers.end()) return std::nullopt;
  return found->second;
}

std::optional<std::uint64_t> ResponseHead::content_length() const {
  const auto text = header("content-length");
  if (!text) return std::nullopt;
  std::uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), bytes);
  if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return bytes;
}

// Shared by the owner's Transfer and whatever is still to be done for it. `owner` is null once the transfer
// has ended.
struct Transfer::State {
  CurlLoop* owner = nullptr;
  TransferSink* sink = nullptr;  // null once nobody wants to hear of it
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  std::string url;
  ResponseHead head;
  bool is_answered = false;      // something that looks like HTTP has come
  bool is_head_told = false;     // what comes after that are trailers
  std::optional<Error> refused;  // by the sink's on_head, or by us
  std::array<char, CURL_ERROR_SIZE> detail{};

  ~State() {
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
  }

  void set_up(const TransferRequest& request);
  std::size_t header_line(std::string_view line);
  Result<void> result(CURLcode code);
};

void Transfer::State::set_up(const TransferRequest& request) {
  const auto set = [this](CURLoption option, auto value) { curl_easy_setopt(easy, option, value); };
  set(CURLOPT_PRIVATE, static_cast<void*>(this));
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_NOSIGNAL, 1L);
  // A transfer that ends while its host's name is looked up leaves that thread behind instead of waiting for
  // it.
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, max_redirects);
  set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(request.connect_timeout_s));
  set(CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(request.stall_bytes_per_second));
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.stall_timeout_s));
  set(CURLOPT_BUFFERSIZE, receive_buffer_bytes);
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(CURLOPT_ERRORBUFFER, detail.data());
  set(CURLOPT_USERAGENT, "ggufd");
  if (!request.ca_file.empty()) set(CURLOPT_CAINFO, request.ca_file.c_str());
  if (!request.proxy.empty()) set(CURLOPT_PROXY, request.proxy.c_str());
  // The bytes themselves are asked for, never a compressed form of them.
  headers = curl_slist_append(nullptr, "Accept-Encoding: identity");
  for (const std::string& header : request.headers) headers = curl_slist_append(headers, header.c_str());
  set(CURLOPT_HTTPHEADER, headers);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(
      CURLOPT_HEADERFUNCTION, +[](char* line, std::size_t size, std::size_t count, void* self) {
        return static_cast<State*>(self)->header_line({line, size * count});
      });
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(
      CURLOPT_WRITEFUNCTION,
      +[](char* bytes, std::size_t size, std::size_t count, void* self) -> std::size_t {
        auto& state = *static_cast<State*>(self);
        if (state.sink == nullptr || state.refused) return 0;
        const auto body = std::as_bytes(std::span(bytes, size * count));
        return state.sink->on_body(body) == TransferSink::Taken::all ? body.size() : CURL_WRITEFUNC_PAUSE;
      });
  if (request.allow_plain_http) return;
  set(CURLOPT_PREREQDATA, static_cast<void*>(this));
  set(
      CURLOPT_PREREQFUNCTION, +[](void* self, char*, char*, int, int) -> int {
        auto& state = *static_cast<State*>(self);
        if (may_send(state.easy)) return CURL_PREREQFUNC_OK;
        state.refused = Error{ErrorCode::bad_source,
                              fmt::format("fetching {}: it leads to plain http on another host, which only "
                                          "fetch.allow_plain_http allows",
                                          display_url(state.url))};
        return CURL_PREREQFUNC_ABORT;
      });
}

std::size_t Transfer::State::header_line(std::string_view line) {
  const std::size_t taken = line.size();
  if (sink == nullptr) return 0;
  if (is_head_told) return taken;
  if (line.starts_with("HTTP/")) {
    head = {};
    is_answered = true;
    return taken;
  }
  const bool is_last = line == "\r\n" || line == "\n";  // a line of blanks is not
  line = trimmed(line);
  if (!is_last) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || head.headers.size() >= max_headers) return taken;
    head.headers.insert_or_assign(lower_case(line.substr(0, colon)),
                                  std::string(trimmed(line.substr(colon + 1))));
    return taken;
  }
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &head.status);
  // curl does not follow an empty one: that head is the last.
  const bool is_redirect =
      head.status >= 300 && head.status < 400 && !head.header("location").value_or("").empty();
  if (head.status < 200 || is_redirect) return taken;  // another head follows
  const char* effective_url = nullptr;
  curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &effective_url);
  head.effective_url = effective_url == nullptr ? url : effective_url;
  is_head_told = true;
  if (auto wanted = sink->on_head(head); !wanted) {
    refused = std::move(wanted.error());
    return 0;
  }
  return taken;
}

Result<void> Transfer::State::result(CURLcode code) {
  if (refused) return std::unexpected(std::move(*refused));
  if (code == CURLE_OK) return {};
  // Our own URL is http or https: it is the answer that is no HTTP.
  if (code == CURLE_UNSUPPORTED_PROTOCOL && !is_answered) code = CURLE_WEIRD_SERVER_REPLY;
  return std::unexpected(curl_error(code, url, detail.data()));
}

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
