// Failures that pass and failures that do not: when a download tries again, where, and when it is enough.
#include "download_support.h"

namespace ggufd::fetch {
namespace {

using namespace test;
using Request = FileServer::Request;

TEST_CASE("refusals are judged, not repeated") {
  for (const char* status : {"401 Unauthorized", "403 Forbidden", "404 Not Found", "410 Gone"}) {
    CAPTURE(status);
    FileServer server("", [&](HttpServer::Exchange& exchange, const Request&) {
      exchange.send(answer("", status));
      return true;
    });
    Fetching fetching;
    fetching.run(server.url());
    CHECK(fetching.code() == ErrorCode::http_status);
    CHECK(is_in(std::string_view(status).substr(0, 3), fetching.failure().failure.error.message));
    CHECK(server.requests().size() == 1);
    CHECK(fetching.notes.empty());
  }
}

TEST_CASE("what passes is tried again, from the very byte where it broke off") {
  const std::string file = some_bytes(2 * segment_bytes);
  FileServer server(file);
  server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
    if (request.number == 0) server.answer_right(exchange, request, 10'000);
    if (request.number == 1) exchange.send(answer("", "503 Busy"));
    return request.number <= 1;
  });
  Fetching fetching;
  const Stopwatch watch;
  fetching.run(server.url());
  fetching.check_is(file);
  CHECK(fetching.notes.size() == 2);
  // 250 ms at least, and the second time 500: the 503 has brought no byte.
  CHECK(watch.elapsed_ms() >= 750);
  const auto requests = server.requests();
  CHECK(requests[1].range == ByteRange{10'000, 10'000 + segment_bytes});
  CHECK(requests[2].range == requests[1].range);
}

TEST_CASE("a server that says when is asked then, and not before") {
  const std::string file = some_bytes(100);
  FileServer server(file);
  server.set_bend([](HttpServer::Exchange& exchange, const Request& request) {
    if (request.number == 0) exchange.send(answer("", "429 Too Many Requests", "Retry-After: 1\r\n"));
    return request.number == 0;
  });
  Fetching fetching;
  const Stopwatch watch;
  fetching.run(server.url());
  fetching.check_is(file);
  CHECK(watch.elapsed_ms() >= 1000);
  CHECK(server.requests().size() == 2);
}

TEST_CASE("so many failures without a new byte are enough, and what has come is kept") {
  FileServer server(some_bytes(5 * segment_bytes));
  server.set_bend([](HttpServer::Exchange& exchange, const Request& request) {
    if (request.range->begin >= segment_bytes) exchange.send(answer("", "503 Busy"));
    return request.range->begin >= segment_bytes;
  });
  Fetching fetching;
  fetching.settings.retries = 1;
  fetching.run(server.url());
  CHECK(fetching.code() == ErrorCode::http_status);
  CHECK(is_in("503", fetching.failure().failure.error.message));
  CHECK(is_in("what has arrived is kept", fetching.failure().failure.error.message));
  CHECK_FALSE(fetching.failure().must_restart);
  CHECK(fetching.writer->accepted().size() == segment_bytes);
  CHECK(fetching.notes.size() == 1);
  CHECK(server.requests().size() == 3);
}

TEST_CASE("a stream that can't be continued begins anew when it breaks off, but not before its first byte") {
  const std::string file = some_bytes(1000);
  FileServer server(file);
  server.set_has_ranges(false);
  server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
    if (request.number == 0) exchange.send(answer("", "503 Busy"));
    if (request.number == 1) server.answer_right(exchange, request, 500);
    return request.number <= 1;
  });
  Fetching fetching;
  fetching.run(server.url());
  CHECK(fetching.failure().must_restart);
  CHECK_FALSE(fetching.failure().has_ranges);
  CHECK(fetching.failure().failure.is_passing);
  CHECK(server.requests().size() == 2);
}

TEST_CASE("an object that changes before its first byte has come is noticed") {
  FileServer server(some_bytes(1000));
  server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
    if (request.number != 0) return false;
    server.answer_right(exchange, request, 0);
    server.become(some_bytes(2000, 2), "\"two\"");
    return true;
  });
  Fetching fetching;
  fetching.run(server.url());
  CHECK(fetching.failure().must_restart);
  CHECK(fetching.failure().has_ranges);
}

TEST_CASE("where a redirect has led is asked directly; when that expires the source is asked again") {
  const std::string file = some_bytes(4 * segment_bytes);
  FileServer server(file);
  int links = 0;  // of the server's one connection at a time
  std::mutex mutex;
  const auto bend = [&](bool is_other_object) {
    return [&, is_other_object](HttpServer::Exchange& exchange, const Request& request) {
      const std::lock_guard lock(mutex);
      if (request.path == "/m.gguf") {
        exchange.send(redirect_to("/signed?" + std::to_string(++links)));
        return true;
      }
      const bool is_expired = request.path == "/signed?1" && request.range->begin >= 2 * segment_bytes;
      if (is_expired) exchange.send(answer("", "403 Forbidden"));
      if (is_expired && is_other_object) server.become(some_bytes(4 * segment_bytes, 2), "\"two\"");
      return is_expired;
    };
  };
  SUBCASE("it is the same object") {
    server.set_bend(bend(false));
    Fetching fetching;
    fetching.run(server.url());
    fetching.check_is(file);
    CHECK(links == 2);
    CHECK(fetching.notes.size() == 1);
    CHECK(fetching.reports.back().source_url == server.url());
  }
  SUBCASE("it is another one") {
    server.set_bend(bend(true));
    Fetching fetching;
    fetching.run(server.url());
    CHECK(fetching.failure().must_restart);
    CHECK(fetching.failure().has_ranges);
  }
  SUBCASE("the source refuses as well") {
    server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
      const std::lock_guard lock(mutex);
      if (request.path == "/m.gguf" && ++links == 1) {
        exchange.send(redirect_to("/signed?1"));
      } else if (request.path == "/m.gguf" || request.range->begin >= segment_bytes) {
        exchange.send(answer("", "403 Forbidden"));
      } else {
        return false;
      }
      return true;
    });
    Fetching fetching;
    fetching.run(server.url());
    CHECK(fetching.code() == ErrorCode::http_status);
    CHECK(links == 2);
  }
}

TEST_CASE("a token goes to the source's own host, by whatever way the requests go") {
  const std::string file = some_bytes(3 * segment_bytes);
  FileServer server(file);
  server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
    if (request.path != "/m.gguf") return false;
    exchange.send(redirect_to(server.url("/elsewhere", "localhost")));
    return true;
  });
  Fetching fetching;
  fetching.run(server.url(), {.remote = {.bearer_token = "secret"}});
  fetching.check_is(file);
  for (const Request& request : server.requests()) {
    CAPTURE(request.number);
    CHECK(request.authorization == (request.path == "/m.gguf" ? "Bearer secret" : "(none)"));
  }
  CHECK(server.requests().size() == 4);
}

}  // namespace
}  // namespace ggufd::fetch
