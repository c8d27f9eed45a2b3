// What the tests of fetch share: a loop with curl on it, a sink that remembers, a pool that is kept busy.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fetch/curl_loop.h"
#include "loop/offload.h"
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

}  // namespace ggufd::fetch::test
