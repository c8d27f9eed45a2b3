// An HTTP server in this process, on loopback, that does what a test's script says: right answers and every
// kind of wrong one.
#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace ggufd::test {

// Transfers go straight to the server, whatever the environment says, and writing to a peer that has gone is
// an error, as in the daemon.
inline const bool is_environment_ready = [] {
  for (const char* name :
       {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"})
    unsetenv(name);
  std::signal(SIGPIPE, SIG_IGN);
  return true;
}();

class HttpServer {
 public:
  // One request and the means to answer it. Used on the connection's own thread; every call returns early
  // where the client or the server has gone.
  class Exchange {
   public:
    std::string method;
    std::string path;  // with the query
    std::string head;  // all of it, with the line end of its last line
    int number = 0;    // of the request, from 0, over all connections

    // The value of a header, as it was sent; "(none)" where there is none. `name` is in curl's spelling.
    std::string header(std::string_view name) const;

    void send(std::string_view bytes);
    // Until HttpServer::go().
    void wait_for_go();
    // Until the client closes the connection.
    void wait_for_close();
    void close() { shutdown(fd_, SHUT_RDWR); }
    // The client gets ECONNRESET.
    void reset();

   private:
    friend class HttpServer;
    HttpServer* server_ = nullptr;
    int fd_ = -1;
  };
  using Script = std::function<void(Exchange&)>;

  explicit HttpServer(Script script);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();

  std::string url(std::string_view path, std::string_view host = "127.0.0.1") const {
    return std::string("http://").append(host).append(":").append(std::to_string(port_)).append(path);
  }
  std::uint16_t port() const { return port_; }
  int requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  int connections() const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(connections_.size());
  }
  void go();

 private:
  struct Connection {
    int fd = -1;
    std::thread thread;
  };

  void accept_all();
  void serve(int fd);

  Script script_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int requests_ = 0;
  bool may_go_ = false;
  bool is_stopping_ = false;
  std::vector<Connection> connections_;
  std::thread acceptor_;
};

inline void HttpServer::Exchange::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

inline std::string HttpServer::Exchange::header(std::string_view name) const {
  const std::string start = std::string("\r\n").append(name).append(": ");
  const std::size_t line = head.find(start);
  if (line == std::string::npos) return "(none)";
  const std::size_t value = line + start.size();
  return head.substr(value, head.find("\r\n", value) - value);
}

inline void HttpServer::Exchange::wait_for_go() {
  std::unique_lock lock(server_->mutex_);
  server_->changed_.wait(lock, [this] { return server_->may_go_ || server_->is_stopping_; });
}

inline void HttpServer::Exchange::wait_for_close() {
  std::array<char, 4096> ignored;
  while (recv(fd_, ignored.data(), ignored.size(), 0) > 0) continue;
}

inline void HttpServer::Exchange::reset() {
  // Disconnecting a TCP socket by its address family aborts the connection.
  sockaddr none{};
  none.sa_family = AF_UNSPEC;
  connect(fd_, &none, sizeof none);
}

inline HttpServer::HttpServer(Script script)
    : script_(std::move(script)), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  REQUIRE(bind(listener_, raw, size) == 0);
  REQUIRE(listen(listener_, 64) == 0);
  REQUIRE(getsockname(listener_, raw, &size) == 0);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

inline HttpServer::~HttpServer() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    for (const Connection& connection : connections_) shutdown(connection.fd, SHUT_RDWR);
    changed_.notify_all();
  }
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  for (Connection& connection : connections_) {
    connection.thread.join();
    ::close(connection.fd);
  }
  ::close(listener_);
}

inline void HttpServer::go() {
  const std::lock_guard lock(mutex_);
  may_go_ = true;
  changed_.notify_all();
}

inline void HttpServer::accept_all() {
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const std::lock_guard lock(mutex_);
    if (is_stopping_) shutdown(fd, SHUT_RDWR);
    connections_.push_back({fd, std::thread([this, fd] { serve(fd); })});
  }
}

inline void HttpServer::serve(int fd) {
  std::string head;
  std::array<char, 4096> buffer;
  while (true) {
    const std::size_t end = head.find("\r\n\r\n");
    if (end == std::string::npos) {
      const ssize_t count = recv(fd, buffer.data(), buffer.size(), 0);
      if (count <= 0) break;
      head.append(buffer.data(), static_cast<std::size_t>(count));
      continue;
    }
    Exchange exchange;
    exchange.server_ = this;
    exchange.fd_ = fd;
    const std::size_t path = head.find(' ') + 1;
    exchange.method = head.substr(0, path - 1);
    exchange.path = head.substr(path, head.find(' ', path) - path);
    exchange.head = head.substr(0, end + 2);
    head.erase(0, end + 4);
    {
      const std::lock_guard lock(mutex_);
      exchange.number = requests_++;
    }
    script_(exchange);
  }
  shutdown(fd, SHUT_RDWR);
}

// A server that remembers what it was asked.
class Recorder {
 public:
  explicit Recorder(HttpServer::Script script)
      : server([this, script = std::move(script)](HttpServer::Exchange& exchange) {
          {
            const std::lock_guard lock(mutex_);
            asked_.push_back(exchange);
          }
          script(exchange);
        }) {}

  // A request, by its number; only what was asked is to be used of it.
  HttpServer::Exchange at(std::size_t index) {
    const std::lock_guard lock(mutex_);
    REQUIRE(index < asked_.size());
    return asked_[index];
  }

 private:
  std::mutex mutex_;
  std::vector<HttpServer::Exchange> asked_;

 public:
  HttpServer server;  // last: its threads use the others
};

// --- Answers

inline std::string head_of(std::string_view status, std::string_view headers) {
  return std::string("HTTP/1.1 ").append(status).append("\r\n").append(headers).append("\r\n");
}

inline std::string answer(std::string_view body, std::string_view status = "200 OK",
                          std::string_view more = "") {
  return head_of(status, "Content-Length: " + std::to_string(body.size()) + "\r\n" + std::string(more))
      .append(body);
}

inline std::string redirect_to(std::string_view location) {
  return answer("moved", "302 Found", "Location: " + std::string(location) + "\r\n");
}

// Bytes that do not repeat within any power of two, so that a piece out of place is seen.
inline std::string some_bytes(std::size_t count, std::uint32_t seed = 1) {
  std::string bytes(count, '\0');
  std::uint32_t state = seed * 2654435761U + 1;
  for (char& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24U);
  }
  return bytes;
}

}  // namespace ggufd::test
