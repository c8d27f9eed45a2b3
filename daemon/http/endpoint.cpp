#include "http/endpoint.h"

#include <fmt/format.h>
#include <microhttpd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <limits>
#include <span>
#include <utility>
#include <variant>

namespace ggufd::http {
namespace {

// Runs in a row while the library says that it could go on at once; then others of the loop have their turn.
constexpr int runs_a_turn = 16;
constexpr auto no_limit_ms = std::numeric_limits<MHD_UNSIGNED_LONG_LONG>::max();
// What the library asks a stream for at a time; it copies that into the connection's memory.
constexpr std::size_t stream_block_bytes = std::size_t{4} * 1024;

std::optional<std::string_view> header_of(MHD_Connection* connection, const char* name) {
  const char* value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
  return value == nullptr ? std::nullopt : std::optional<std::string_view>(value);
}

bool has_body(MHD_Connection* connection) {
  if (header_of(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING)) return true;
  const auto length = header_of(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
  return length && length->find_first_not_of('0') != std::string_view::npos;
}

void add_header(MHD_Response* response, const char* name, std::string_view value) {
  MHD_add_response_header(response, name, std::string(value).c_str());
}

}  // namespace

// A request from its header to the end of its answer.
struct Endpoint::Exchange {
  Endpoint& endpoint;
  MHD_Connection* connection;
  std::unique_ptr<EventStream> stream;
  bool is_later = false;      // its answer is a page that was not there at once
  std::optional<Page> page;   // that one, once it is
  bool is_suspended = false;  // the stream has nothing to say, or the page is not there yet
  std::shared_ptr<char> alive = std::make_shared<char>();  // for who makes the page

  void suspend() {
    is_suspended = true;
    MHD_suspend_connection(connection);
  }
  void resume() {
    if (std::exchange(is_suspended, false)) MHD_resume_connection(connection);
  }
};

// What libmicrohttpd calls.
struct Endpoint::Library {
  static MHD_Result on_request(void* self, MHD_Connection* connection, const char* url, const char* method,
                               const char*, const char*, std::size_t* upload_bytes, void** context) {
    auto& endpoint = *static_cast<Endpoint*>(self);
    if (*context == nullptr) {
      auto* exchange = new Exchange{.endpoint = endpoint, .connection = connection, .stream = nullptr};
      endpoint.open_.insert(exchange);
      *context = exchange;
      // A request without a body is answered at the second call, after which the connection is good for more.
      if (!has_body(connection)) return MHD_YES;
    } else if (std::exchange(*upload_bytes, 0) > 0) {
      return MHD_NO;  // of a body that was refused
    }
    auto& exchange = *static_cast<Exchange*>(*context);
    if (exchange.is_later) return send_later(exchange);  // the third call
    const MHD_ConnectionInfo* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info == nullptr || !endpoint.is_served(info->connect_fd)) return MHD_NO;
    return give(exchange,
                endpoint.site_.answer({.door = endpoint.door_,
                                       .method = method,
                                       .path = url,
                                       .accept = header_of(connection, MHD_HTTP_HEADER_ACCEPT),
                                       .host = header_of(connection, MHD_HTTP_HEADER_HOST),
                                       .last_event_id = header_of(connection, "Last-Event-ID"),
                                       .if_none_match = header_of(connection, MHD_HTTP_HEADER_IF_NONE_MATCH),
                                       .has_body = has_body(connection)}));
  }

  // What is escaped is left so where a NUL is among it: the path would end there, and be another one's.
  static std::size_t unescape(void*, MHD_Connection*, char* text) {
    return std::strstr(text, "%00") == nullptr ? MHD_http_unescape(text) : std::strlen(text);
  }

  static MHD_Result give(Exchange& exchange, Answer answer) {
    if (const auto* page = std::get_if<Page>(&answer)) return send(exchange.connection, *page);
    if (auto* later = std::get_if<LaterPage>(&answer)) return wait_for(exchange, *later);
    exchange.stream = std::get<std::unique_ptr<EventStream>>(std::move(answer));
    ++exchange.endpoint.streams_;
    return send_stream(exchange.connection, exchange);
  }

  // The library asks again once the connection is resumed.
  static MHD_Result wait_for(Exchange& exchange, LaterPage& later) {
    exchange.is_later = true;
    later([&exchange, alive = std::weak_ptr(exchange.alive)](Page page) {
      if (alive.expired()) return;
      exchange.page = std::move(page);
      if (exchange.is_suspended) exchange.endpoint.time_out_.start_once(0);
      exchange.resume();
    });
    if (exchange.page) return send_later(exchange);
    exchange.suspend();
    return MHD_YES;
  }

  // A connection that is resumed without its page is one of an endpoint that ends.
  static MHD_Result send_later(const Exchange& exchange) {
    if (exchange.page) return send(exchange.connection, *exchange.page);
    return send(exchange.connection, {.status = MHD_HTTP_SERVICE_UNAVAILABLE,
                                      .content_type = text_type,
                                      .body = "ggufd is stopping; ask the one that follows it\n"});
  }

  static MHD_Result send(MHD_Connection* connection, const Page& page) {
    MHD_Response* response = MHD_create_response_from_buffer(
        page.body.size(), const_cast<char*>(page.body.data()), MHD_RESPMEM_MUST_COPY);
    if (response == nullptr) return MHD_NO;
    add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, page.content_type);
    add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, page.cache_control);
    add_header(response, "X-Content-Type-Options", "nosniff");
    for (const auto& [name, value] : page.headers) add_header(response, std::string(name).c_str(), value);
    if (!page.allow.empty()) add_header(response, MHD_HTTP_HEADER_ALLOW, page.allow);
    if (page.closes) add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    const MHD_Result queued = MHD_queue_response(connection, page.status, response);
    MHD_destroy_response(response);
    return queued;
  }

  static MHD_Result send_stream(MHD_Connection* connection, Exchange& exchange) {
    MHD_Response* response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, stream_block_bytes,
                                                               &Library::on_room, &exchange, nullptr);
    if (response == nullptr) return MHD_NO;
    add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    add_header(response, "X-Content-Type-Options", "nosniff");
    add_header(response, "X-Accel-Buffering", "no");  // nginx would hold events back
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, stalled_stream_limit_s);
    const MHD_Result queued = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return queued;
  }

  // The connection has taken everything: what comes next?
  static ssize_t on_room(void* context, std::uint64_t, char* out, std::size_t most_bytes) {
    auto& exchange = *static_cast<Exchange*>(context);
    const std::size_t count = exchange.stream->read({out, most_bytes});
    if (count > 0) return static_cast<ssize_t>(count);
    if (exchange.endpoint.is_ending_) return MHD_CONTENT_READER_END_OF_STREAM;
    exchange.suspend();
    return 0;
  }

  static void on_connection(void* self, MHD_Connection*, void**, MHD_ConnectionNotificationCode code) {
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) static_cast<Endpoint*>(self)->has_closed_some_ = true;
  }

  static void on_completed(void*, MHD_Connection*, void** context, MHD_RequestTerminationCode) {
    auto* exchange = static_cast<Exchange*>(std::exchange(*context, nullptr));
    if (exchange == nullptr) return;
    if (exchange->stream) --exchange->endpoint.streams_;
    exchange->endpoint.open_.erase(exchange);
    delete exchange;
  }
};

Endpoint::Endpoint(loop::Loop& loop, ListenSocket socket, Door door, Site& site)
    : site_(site),
      door_(door),
      name_(socket.name()),
      socket_(std::make_unique<ListenSocket>(std::move(socket))),
      time_out_(loop, [this] { run(); }) {}

Result<std::unique_ptr<Endpoint>> Endpoint::start(loop::Loop& loop, ListenSocket socket, Door door,
                                                  unsigned max_connections, Site& site) {
  std::unique_ptr<Endpoint> endpoint(new Endpoint(loop, std::move(socket), door, site));
  if (auto started = endpoint->start(max_connections); !started) return std::unexpected(started.error());
  const MHD_DaemonInfo* info = MHD_get_daemon_info(endpoint->daemon_, MHD_DAEMON_INFO_EPOLL_FD);
  auto poll = std::make_unique<uv_poll_t>();
  if (const int status = uv_poll_init(loop.raw(), poll.get(), info->epoll_fd)) {
    return std::unexpected(loop::uv_error(fmt::format("watching {}", endpoint->name_), status));
  }
  poll->data = endpoint.get();
  endpoint->poll_.reset(poll.release());
  uv_poll_start(endpoint->poll_.get(), UV_READABLE, [](uv_poll_t* handle, int, int) {
    if (handle->data != nullptr) static_cast<Endpoint*>(handle->data)->run();
  });
  return endpoint;
}

Result<void> Endpoint::start(unsigned max_connections) {
  daemon_ = MHD_start_daemon(
      MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, nullptr, nullptr, &Library::on_request, this,
      MHD_OPTION_LISTEN_SOCKET, static_cast<MHD_socket>(socket_->fd()), MHD_OPTION_NOTIFY_COMPLETED,
      &Library::on_completed, nullptr, MHD_OPTION_NOTIFY_CONNECTION, &Library::on_connection, this,
      MHD_OPTION_CONNECTION_LIMIT, max_connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT, max_header_bytes,
      MHD_OPTION_CONNECTION_TIMEOUT, idle_limit_s, MHD_OPTION_STRICT_FOR_CLIENT, 1,
      MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_UNESCAPE_CALLBACK, &Library::unescape, nullptr,
      MHD_OPTION_END);
  if (daemon_ == nullptr) {
    return fail(ErrorCode::internal, fmt::format("libmicrohttpd does not start on {}", name_));
  }
  return {};
}

Endpoint::~Endpoint() {
  poll_.reset();
  if (daemon_ == nullptr) return;
  is_ending_ = true;
  // Else the library would close the socket, which is ours.
  if (socket_) MHD_quiesce_daemon(daemon_);
  // One that is suspended must not be when the library stops.
  for (Exchange* exchange : open_) exchange->resume();
  MHD_run(daemon_);
  MHD_stop_daemon(daemon_);
}

// The peer's credentials are the kernel's. Over TCP there are none: whoever reaches it is served.
bool Endpoint::is_served(int fd) const {
  if (door_ == Door::tcp) return true;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == geteuid();
}

void Endpoint::run() {
  MHD_UNSIGNED_LONG_LONG wait_ms = 0;
  bool is_due = true;
  for (int i = 0; i < runs_a_turn && is_due; ++i) {
    MHD_run(daemon_);
    const bool has_limit = MHD_get_timeout(daemon_, &wait_ms) == MHD_YES;
    if (!has_limit) wait_ms = no_limit_ms;
    // Where there was no room for more connections, the library looks for those that wait only when it runs
    // again.
    is_due = wait_ms == 0 || std::exchange(has_closed_some_, false);
  }
  if (is_due || wait_ms != no_limit_ms) {
    time_out_.start_once(is_due ? 0 : wait_ms);
  } else {
    time_out_.stop();
  }
  if (is_ending_ && is_idle()) site_.on_idle();
}

void Endpoint::wake_streams() {
  if (streams_ == 0) return;
  for (Exchange* exchange : open_) {
    if (exchange->stream) exchange->resume();
  }
  run();
}

void Endpoint::keep_streams_alive() {
  for (Exchange* exchange : open_) {
    if (exchange->stream && exchange->is_suspended) exchange->stream->keep_alive();
  }
  wake_streams();
}

void Endpoint::end_soon() {
  is_ending_ = true;
  MHD_quiesce_daemon(daemon_);
  socket_.reset();
  for (Exchange* exchange : open_) exchange->resume();
  run();
}

}  // namespace ggufd::http
