// One file from the server in this process into a partial of a store.
#include "fetch/download.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "store/blob_store.h"
#include "support.h"

namespace ggufd::fetch {
namespace {

using namespace test;

store::Digest digest_of(const std::string& bytes) {
  return *store::sha256_of(bytes);
}

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// A store, a partial in it, and one download into that.
struct Fetching {
  loop::test::TempFolder folder;
  store::BlobStore store{folder.file("models")};
  store::Digest key = digest_of("the key");
  loop::Loop loop;
  std::unique_ptr<CurlLoop> curl = std::make_unique<CurlLoop>(loop);
  std::vector<phase::Download> reports;
  std::function<void()> at_progress = [] {};
  std::function<void()> at_done = [] {};
  int ends = 0;
  std::optional<Result<Downloaded>> end;
  std::unique_ptr<Download> download;

  store::Partial partial() const {
    auto opened = store.open_partial(key);
    REQUIRE(opened);
    return std::move(*opened);
  }
  bool is_partial_free() const { return store.open_partial(key).has_value(); }
  void start(DownloadRequest request) {
    download = std::make_unique<Download>(loop, *curl, std::move(request), partial(),
                                          DownloadCallbacks{.on_progress =
                                                                [this] {
                                                                  CHECK(ends == 0);
                                                                  reports.push_back(download->progress());
                                                                  at_progress();
                                                                },
                                                            .on_done =
                                                                [this](Result<Downloaded> result) {
                                                                  ++ends;
                                                                  end.emplace(std::move(result));
                                                                  at_done();
                                                                }});
  }
  void run(DownloadRequest request) {
    start(std::move(request));
    REQUIRE(run_until(loop, [this] { return ends > 0; }));
  }
  std::optional<ErrorCode> error() const {
    return end && !*end ? std::optional<ErrorCode>((*end).error().code) : std::nullopt;
  }
  std::string message() const { return error() ? end->error().message : ""; }
};

HttpServer::Script always(std::string response) {
  return [response = std::move(response)](auto& exchange) {
    exchange.send(response);
    exchange.close();
  };
}

TEST_CASE("a download brings the file, its digest and progress that only rises") {
  const std::string body = some_bytes(40 << 20);
  HttpServer server([&](auto& exchange) { exchange.send(answer(body)); });
  Fetching fetching;
  fetching.run({.url = server.url("/m.gguf?token=secret"), .size_bytes = body.size()});
  REQUIRE(fetching.end);
  REQUIRE(*fetching.end);
  const Downloaded& done = **fetching.end;
  CHECK(done.size_bytes == body.size());
  CHECK(done.digest == digest_of(body));
  CHECK(content_of(done.partial.data_path()) == body);
  REQUIRE(fetching.reports.size() >= 2);
  std::uint64_t before = 0;
  for (const phase::Download& report : fetching.reports) {
    CHECK(report.downloaded_bytes >= before);
    CHECK(report.total_bytes.value == body.size());
    CHECK(report.source_url == server.url("/m.gguf"));
    CHECK(report.resumed_bytes == 0);
    before = report.downloaded_bytes;
  }
  CHECK(fetching.reports.front().connections == 1);
  CHECK(fetching.reports.back().downloaded_bytes == body.size());
  CHECK(fetching.reports.back().connections == 0);
  // Whoever has the result has the partial.
  CHECK_FALSE(fetching.is_partial_free());
  fetching.end.reset();
  CHECK(fetching.is_partial_free());
}

TEST_CASE("what was in the partial before is lost") {
  HttpServer server(always(answer("short")));
  Fetching fetching;
  {
    const store::Partial old = fetching.partial();
    const std::string longer(100'000, 'o');
    REQUIRE(store::pwrite_all(old.fd(), std::as_bytes(std::span(longer)), 0, old.data_path()));
  }
  fetching.run({.url = server.url("/m")});
  REQUIRE(*fetching.end);
  CHECK(content_of((*fetching.end)->partial.data_path()) == "short");
}

TEST_CASE("an empty file is a file") {
  HttpServer server(always(answer("")));
  Fetching fetching;
  fetching.run({.url = server.url("/m")});
  REQUIRE(*fetching.end);
  CHECK((*fetching.end)->size_bytes == 0);
  CHECK((*fetching.end)->digest == digest_of(""));
}

TEST_CASE("a size that the server does not tell is the configured one, or unknown to the end") {
  HttpServer server(always(head_of("200 OK", "Connection: close\r\n") + "123456"));
  for (const bool is_configured : {false, true}) {
    Fetching fetching;
    DownloadRequest request{.url = server.url("/m")};
    if (is_configured) request.size_bytes = 6;
    fetching.run(std::move(request));
    REQUIRE(*fetching.end);
    CHECK((*fetching.end)->digest == digest_of("123456"));
    CHECK(fetching.reports.front().total_bytes.value.has_value() == is_configured);
    CHECK(fetching.reports.back().total_bytes.value == 6U);
  }
}

TEST_CASE("what is not the file is refused, with the code that says why") {
  struct Case {
    std::string response;
    ErrorCode code;
    std::string in_message;
  };
  const std::string no_length = head_of("200 OK", "Connection: close\r\n");
  for (const Case& each : {
           Case{answer("", "404 Not Found"), ErrorCode::http_status, "HTTP 404: no such file"},
           Case{answer("", "410 Gone"), ErrorCode::http_status, "HTTP 410: no such file"},
           Case{answer("", "401 Unauthorized"), ErrorCode::http_status, "HTTP 401: access is refused"},
           Case{answer("", "403 Forbidden"), ErrorCode::http_status, "HTTP 403: access is refused"},
           Case{answer("", "503 Busy"), ErrorCode::http_status, "HTTP 503"},
           Case{answer("123456", "206 Partial Content"), ErrorCode::http_status, "HTTP 206"},
           Case{answer("123456", "302 Found", "Location:\r\n"), ErrorCode::http_status, "HTTP 302"},
           Case{answer("123456", "304 Not Modified"), ErrorCode::http_status, "HTTP 304"},
           Case{head_of("204 No Content", ""), ErrorCode::http_status, "HTTP 204"},
           Case{answer("123456", "200 OK", "Content-Encoding: gzip\r\n"), ErrorCode::http_status,
                "encoded (gzip)"},
           Case{answer("1234567"), ErrorCode::size_mismatch, "7 bytes and size_bytes says 6"},
           Case{answer("12345"), ErrorCode::size_mismatch, "5 bytes and size_bytes says 6"},
           Case{no_length + "1234567", ErrorCode::size_mismatch, "more than the 6 bytes"},
           Case{no_length + "12345", ErrorCode::size_mismatch, "ended after 5 bytes and should have 6"},
           Case{head_of("200 OK", "Content-Length: 6\r\n") + "12345", ErrorCode::network, ""},
       }) {
    CAPTURE(each.response);
    HttpServer server(always(each.response));
    Fetching fetching;
    fetching.run({.url = server.url("/m"), .size_bytes = 6});
    CHECK(fetching.error() == each.code);
    CHECK(fetching.message().find(each.in_message) != std::string::npos);
    CHECK(fetching.ends == 1);
    fetching.download.reset();
    fetching.loop.run();
    CHECK(fetching.is_partial_free());
  }
}

TEST_CASE("a body without a length ends where it exceeds the configured size, though the server goes on") {
  HttpServer server([](auto& exchange) {
    exchange.send(head_of("200 OK", "Connection: close\r\n") + std::string(100'000, 'x'));
    exchange.wait_for_close();
  });
  Fetching fetching;
  fetching.run({.url = server.url("/m"), .size_bytes = 1'000});
  CHECK(fetching.error() == ErrorCode::size_mismatch);
}

TEST_CASE("a length that no disk has is disk_full, before anything is fetched") {
  HttpServer server([](auto& exchange) {
    exchange.send(head_of("200 OK", "Content-Length: 1125899906842624\r\n"));
    exchange.wait_for_close();
  });
  const FileSizeLimit limit(1 << 20);
  Fetching fetching;
  fetching.run({.url = server.url("/m")});
  CHECK(fetching.error() == ErrorCode::disk_full);
}

TEST_CASE("a disk that is slower than the network holds the transfer, not the memory") {
  const std::string body = some_bytes(40 << 20);
  HttpServer server([&](auto& exchange) { exchange.send(answer(body)); });
  Fetching fetching;
  std::unique_ptr<BusyPool> pool;
  constexpr std::uint64_t capacity = HashingWriter::max_chunks * HashingWriter::chunk_bytes;
  // Once the file is open and its head is here, the pool does nothing for us.
  fetching.at_progress = [&] {
    if (pool == nullptr) pool = std::make_unique<BusyPool>(fetching.loop);
  };
  fetching.start({.url = server.url("/m")});
  // 64 KiB less than what fits: the most that curl offers at a time may be refused.
  REQUIRE(run_until(fetching.loop, [&] {
    return pool != nullptr && fetching.download->progress().downloaded_bytes > capacity - 65'536;
  }));
  // Some more turns, one for each timer's event: nothing more is taken.
  int turns = 0;
  loop::Timer turn(fetching.loop, [&] { ++turns; });
  turn.start_repeating(1);
  REQUIRE(run_until(fetching.loop, [&] { return turns > 20; }));
  turn.stop();
  CHECK(fetching.download->progress().downloaded_bytes <= capacity);
  pool->release();
  REQUIRE(run_until(fetching.loop, [&] { return fetching.ends > 0; }));
  REQUIRE(*fetching.end);
  CHECK((*fetching.end)->digest == digest_of(body));
}

enum class Moment { at_once, waiting_for_head, in_the_body, inside_progress, while_writing };
constexpr std::array moments = {Moment::at_once, Moment::waiting_for_head, Moment::in_the_body,
                                Moment::inside_progress, Moment::while_writing};

// Runs a download to the moment and does `act` then.
struct Scene {
  Fetching fetching;
  std::unique_ptr<BusyPool> pool;
  HttpServer server{[](auto& exchange) {
    if (exchange.path == "/silent") return exchange.wait_for_close();
    if (exchange.path == "/whole") return exchange.send(answer(std::string(3'000'000, 'x')));
    exchange.send(head_of("200 OK", "Content-Length: 6\r\n") + "123");
    exchange.wait_for_close();
  }};

  void act_at(Moment moment, const std::function<void()>& act) {
    fetching.start({.url = server.url(moment == Moment::waiting_for_head ? "/silent"
                                      : moment == Moment::while_writing  ? "/whole"
                                                                         : "/half")});
    switch (moment) {
      case Moment::at_once:
        return act();
      case Moment::waiting_for_head:
        REQUIRE(run_until(fetching.loop, [&] { return server.requests() == 1; }));
        return act();
      case Moment::in_the_body:
        REQUIRE(
            run_until(fetching.loop, [&] { return fetching.download->progress().downloaded_bytes == 3; }));
        return act();
      case Moment::inside_progress: {
        bool has_acted = false;
        fetching.at_progress = [&] {
          if (!std::exchange(has_acted, true)) act();
        };
        REQUIRE(run_until(fetching.loop, [&] { return has_acted; }));
        fetching.at_progress = [] {};
        return;
      }
      case Moment::while_writing:
        // With the pool busy from the head on, the transfer ends before anything is written.
        fetching.at_progress = [&] {
          if (pool == nullptr) pool = std::make_unique<BusyPool>(fetching.loop);
        };
        REQUIRE(run_until(fetching.loop, [&] {
          const phase::Download now = fetching.download->progress();
          return now.downloaded_bytes == 3'000'000 && now.connections == 0;
        }));
        fetching.at_progress = [] {};
        return act();
    }
  }
};

TEST_CASE("cancelling ends a download once, never inside the call; its bytes stay") {
  for (const Moment moment : moments) {
    CAPTURE(static_cast<int>(moment));
    Scene scene;
    Fetching& fetching = scene.fetching;
    scene.act_at(moment, [&] {
      fetching.download->cancel();
      fetching.download->cancel();
      CHECK(fetching.ends == 0);
    });
    REQUIRE(run_until(fetching.loop, [&] { return fetching.ends > 0; }));
    CHECK(fetching.error() == ErrorCode::cancelled);
    fetching.download->cancel();
    if (scene.pool) scene.pool->release();
    fetching.download.reset();
    fetching.loop.run();
    CHECK(fetching.ends == 1);
    CHECK(fetching.is_partial_free());
  }
}

TEST_CASE("destroying a download is its end: nothing is told, and the partial is let go") {
  for (const Moment moment : moments) {
    if (moment == Moment::inside_progress) continue;  // on_progress must not destroy it
    CAPTURE(static_cast<int>(moment));
    Scene scene;
    Fetching& fetching = scene.fetching;
    scene.act_at(moment, [&] { fetching.download.reset(); });
    if (scene.pool) scene.pool->release();
    fetching.loop.run();
    CHECK(fetching.ends == 0);
    CHECK(fetching.is_partial_free());
  }
}

TEST_CASE("a download may be destroyed by its end, whatever that is") {
  for (const char* path : {"/whole", "/404", "/cut", "/cancel"}) {
    CAPTURE(path);
    HttpServer server([](auto& exchange) {
      if (exchange.path == "/whole") return exchange.send(answer("123456"));
      if (exchange.path == "/404") return exchange.send(answer("", "404 Not Found"));
      exchange.send(head_of("200 OK", "Content-Length: 6\r\n") + "123");
      if (exchange.path == "/cut") return exchange.close();
      exchange.wait_for_close();
    });
    Fetching fetching;
    fetching.at_done = [&] {
      fetching.end.reset();
      fetching.download.reset();
    };
    if (std::string_view(path) == "/cancel") fetching.at_progress = [&] { fetching.download->cancel(); };
    fetching.start({.url = server.url(path)});
    fetching.loop.run();
    CHECK(fetching.ends == 1);
    CHECK(fetching.is_partial_free());
  }
}

TEST_CASE("a download may be destroyed by a write that fails") {
  const FileSizeLimit limit(1 << 20);
  HttpServer server([](auto& exchange) {
    exchange.send(head_of("200 OK", "Connection: close\r\n") + std::string(3 << 20, 'x'));
    exchange.wait_for_close();
  });
  Fetching fetching;
  fetching.at_done = [&] { fetching.download.reset(); };
  fetching.start({.url = server.url("/m")});
  fetching.loop.run();
  CHECK(fetching.ends == 1);
  CHECK(fetching.error() == ErrorCode::io);
  CHECK(fetching.is_partial_free());
}

TEST_CASE("downloads under way at the end leave a loop that closes") {
  for (const Moment moment : moments) {
    CAPTURE(static_cast<int>(moment));
    Scene scene;
    scene.act_at(moment, [] {});
    scene.fetching.download.reset();
    scene.fetching.curl.reset();
    if (scene.pool) scene.pool->release();
  }
}

}  // namespace
}  // namespace ggufd::fetch
