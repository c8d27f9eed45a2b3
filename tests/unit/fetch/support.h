// What the tests of fetch share: a loop with curl on it, a sink that remembers, a pool that is kept busy.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "fetch/byte_ranges.h"
#include "fetch/curl_loop.h"
#include "loop/offload.h"
#include "store/digest.h"
#include "tests/unit/fetch/http_server.h"
#include "tests/unit/loop/support.h"

namespace ggufd::fetch::test {

using ggufd::test::answer;
using ggufd::test::head_of;
using ggufd::test::HttpServer;
using ggufd::test::redirect_to;
using ggufd::test::some_bytes;
using loop::test::run_until;
using loop::test::Stopwatch;

// Remembers what comes; a test says what it does at each call.
struct Sink final : TransferSink {
  std::function<Result<void>()> at_head = [] { return Result<void>(); };
  std::function<Taken()> at_body = [] { return Taken::all; };
  std::function<void()> at_end = [] {};

  std::vector<ResponseHead> heads;
  std::string body;
  int ends = 0;
  Result<void> end;

  Result<void> on_head(const ResponseHead& head) override {
    CHECK(ends == 0);
    heads.push_back(head);
    return at_head();
  }
  Taken on_body(std::span<const std::byte> bytes) override {
    CHECK(heads.size() == 1);
    CHECK(ends == 0);
    const Taken taken = at_body();
    if (taken == Taken::all) body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return taken;
  }
  void on_end(Result<void> result) override {
    ++ends;
    end = std::move(result);
    at_end();
  }
  std::optional<ErrorCode> error() const {
    return end ? std::nullopt : std::optional<ErrorCode>(end.error().code);
  }
};

// A loop, curl, one sink. Members are destroyed in the order that the headers ask for.
struct Client {
  loop::Loop loop;
  std::unique_ptr<CurlLoop> curl = std::make_unique<CurlLoop>(loop);
  Sink sink;
  std::unique_ptr<Transfer> transfer;

  void start(const TransferRequest& request) { transfer = curl->start(request, sink); }
  void run(const TransferRequest& request) {
    start(request);
    REQUIRE(run_until(loop, [this] { return sink.ends > 0; }));
    CHECK(sink.ends == 1);
  }
};

// Occupies every thread of the pool until release(): what comes meanwhile stays queued.
class BusyPool {
 public:
  explicit BusyPool(loop::Loop& loop) {
    const char* configured = std::getenv("UV_THREADPOOL_SIZE");
    const int threads = std::max(configured == nullptr ? 4 : std::atoi(configured), 1);
    for (int i = 0; i < threads; ++i) {
      blockers_.push_back(loop::offload<void>(
          loop,
          [passage = gate_.passage()](loop::CancelToken) {
            passage.wait();
            return Result<void>();
          },
          [](Result<void>) {}));
    }
  }
  void release() { gate_.open(); }

 private:
  std::vector<loop::OperationPtr> blockers_;
  loop::test::Gate gate_;
};

// No file of this process may grow beyond `bytes` while this lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(std::uint64_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before_) == 0);
    const rlimit limit{bytes, before_.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

inline store::Digest digest_of(std::string_view bytes) {
  return *store::sha256_of(bytes);
}

inline std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// A good server of one file, with ranges and If-Range. A test bends the answers that it wants otherwise.
class FileServer {
 public:
  struct Request {
    std::string method;
    std::string path;
    std::optional<ByteRange> range;
    std::string if_range;  // "(none)" where there is none
    std::string authorization;
    int number = 0;
  };
  // On the connection's thread; true: it has answered.
  using Bend = std::function<bool(HttpServer::Exchange&, const Request&)>;

  explicit FileServer(std::string content, Bend bend = nullptr)
      : content_(std::make_shared<std::string>(std::move(content))), bend_(std::move(bend)) {}

  std::string url(std::string_view path = "/m.gguf", std::string_view host = "127.0.0.1") const {
    return server_.url(path, host);
  }

  // What it serves from now on.
  void become(std::string content, std::string etag) {
    const std::lock_guard lock(mutex_);
    content_ = std::make_shared<std::string>(std::move(content));
    etag_ = std::move(etag);
  }
  void set_bend(Bend bend) {
    const std::lock_guard lock(mutex_);
    bend_ = std::move(bend);
  }
  void set_has_ranges(bool has_ranges) {
    const std::lock_guard lock(mutex_);
    has_ranges_ = has_ranges;
  }
  // Lines with their ends, in every answer with the file.
  void set_headers(std::string headers) {
    const std::lock_guard lock(mutex_);
    headers_ = std::move(headers);
  }
  void go() { server_.go(); }

  std::vector<Request> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  std::size_t count(std::string_view method) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(requests(), [&](const Request& each) { return each.method == method; }));
  }

  // The right answer; `body_bytes` of the body at most, whatever the head says.
  void answer_right(HttpServer::Exchange& exchange, const Request& request,
                    std::size_t body_bytes = std::string::npos) const;
  // The same with a byte of the file changed.
  void answer_flipped(HttpServer::Exchange& exchange, const Request& request, std::size_t offset) const;

 private:
  struct Version {
    std::shared_ptr<const std::string> content;
    std::string etag;
    std::string headers;
    bool has_ranges = true;
  };
  Version version() const {
    const std::lock_guard lock(mutex_);
    return {content_, etag_, headers_, has_ranges_};
  }
  static void send(HttpServer::Exchange& exchange, const Request& request, const Version& version,
                   std::size_t body_bytes);
  void serve(HttpServer::Exchange& exchange);

  mutable std::mutex mutex_;
  std::shared_ptr<const std::string> content_;
  std::string etag_ = "\"one\"";
  std::string headers_;
  bool has_ranges_ = true;
  Bend bend_;
  std::vector<Request> requests_;
  HttpServer server_{[this](HttpServer::Exchange& exchange) { serve(exchange); }};  // last: uses the others
};

inline FileServer::Request request_of(const HttpServer::Exchange& exchange) {
  FileServer::Request request{.method = exchange.method,
                              .path = exchange.path,
                              .if_range = exchange.header("If-Range"),
                              .authorization = exchange.header("Authorization"),
                              .number = exchange.number};
  unsigned long long first = 0;
  unsigned long long last = 0;
  if (std::sscanf(exchange.header("Range").c_str(), "bytes=%llu-%llu", &first, &last) == 2)
    request.range = ByteRange{first, last + 1};
  return request;
}

inline void FileServer::serve(HttpServer::Exchange& exchange) {
  const Request request = request_of(exchange);
  Bend bend;
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    bend = bend_;
  }
  if (bend && bend(exchange, request)) return;
  answer_right(exchange, request);
}

inline void FileServer::answer_right(HttpServer::Exchange& exchange, const Request& request,
                                     std::size_t body_bytes) const {
  send(exchange, request, version(), body_bytes);
}

inline void FileServer::answer_flipped(HttpServer::Exchange& exchange, const Request& request,
                                       std::size_t offset) const {
  Version flipped = version();
  std::string content = *flipped.content;
  content.at(offset) ^= 0x10;
  flipped.content = std::make_shared<std::string>(std::move(content));
  send(exchange, request, flipped, std::string::npos);
}

inline void FileServer::send(HttpServer::Exchange& exchange, const Request& request, const Version& version,
                             std::size_t body_bytes) {
  const std::string& content = *version.content;
  std::string headers = version.headers;
  if (!version.etag.empty()) headers += "ETag: " + version.etag + "\r\n";
  if (version.has_ranges) headers += "Accept-Ranges: bytes\r\n";
  const bool is_same = request.if_range == "(none)" || request.if_range == version.etag;
  std::string_view body = content;
  std::string status = "200 OK";
  if (request.range && version.has_ranges && is_same) {
    const std::string total = std::to_string(content.size());
    if (request.range->begin >= content.size()) {
      return exchange.send(
          answer("", "416 Range Not Satisfiable", "Content-Range: bytes */" + total + "\r\n"));
    }
    body = body.substr(request.range->begin, request.range->size());
    status = "206 Partial Content";
    headers += "Content-Range: bytes " + std::to_string(request.range->begin) + "-" +
               std::to_string(request.range->begin + body.size() - 1) + "/" + total + "\r\n";
  }
  exchange.send(head_of(status, "Content-Length: " + std::to_string(body.size()) + "\r\n" + headers));
  if (request.method != "HEAD") exchange.send(body.substr(0, body_bytes));
  if (body_bytes < body.size()) exchange.close();
}

}  // namespace ggufd::fetch::test
