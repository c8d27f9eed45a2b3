// The first bytes of a file at a source: how many are asked for, and of whom.
#include "fetch/remote_header.h"
#include "resolve_support.h"

namespace ggufd::fetch {
namespace {

using namespace test;

constexpr std::size_t kib = 1024;

// One header, wanted to be `needed` bytes long.
struct Look {
  loop::Loop loop;
  CurlLoop curl{loop};
  HeaderRequest request;
  std::unique_ptr<FetchHeader> fetching;
  std::optional<Result<RemoteHeader>> answer;
  int answers = 0;
  std::vector<std::pair<std::size_t, std::optional<std::uint64_t>>> asked;  // what wants() was shown

  explicit Look(const std::vector<std::string>& sources, std::uint64_t needed) {
    for (const std::string& text : sources) request.sources.push_back(source_of(text));
    request.settings.stall_timeout_s = 5;
    request.hub.endpoint = "https://hub.invalid";
    request.wants = [this, needed](std::span<const std::byte> front,
                                   std::optional<std::uint64_t> total) -> Result<std::uint64_t> {
      asked.emplace_back(front.size(), total);
      return front.size() >= needed ? 0 : needed;
    };
  }

  void start() {
    fetching =
        std::make_unique<FetchHeader>(loop, curl, std::move(request), [this](Result<RemoteHeader> result) {
          ++answers;
          answer = std::move(result);
          fetching.reset();
          uv_stop(loop.raw());
        });
    CHECK_FALSE(answer);
  }
  const Result<RemoteHeader>& run() {
    start();
    REQUIRE(run_until(loop, [this] { return answer.has_value(); }));
    CHECK(answers == 1);
    return *answer;
  }
  const RemoteHeader& header() {
    const auto& result = run();
    if (!result) FAIL(result.error().message);
    return *result;
  }
  Error error() {
    const auto& result = run();
    REQUIRE_FALSE(result);
    return result.error();
  }
};

std::string text_of(const RemoteHeader& header) {
  return {reinterpret_cast<const char*>(header.bytes.data()), header.bytes.size()};
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("remote header: a short one costs one request of 64 KiB") {
  const std::string content = some_bytes(1000 * kib);
  const FileServer server(content);
  Look look({server.url()}, 100);
  const RemoteHeader& header = look.header();
  CHECK(text_of(header) == content.substr(0, 64 * kib));
  CHECK(header.total_bytes == content.size());
  const auto requests = server.requests();
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].range == ByteRange{0, 64 * kib});
}

TEST_CASE("remote header: a long one is asked for, and nothing of it twice") {
  const std::string content = some_bytes(3000 * kib);
  const FileServer server(content);
  std::uint64_t wanted = 0;
  std::uint64_t fetched = 0;
  SUBCASE("to four times as much") {
    wanted = 100 * kib;
    fetched = 256 * kib;
  }
  SUBCASE("to what is wanted, where that is more") {
    wanted = 300 * kib;
    fetched = 300 * kib;
  }
  Look look({server.url()}, wanted);
  const bool is_right = text_of(look.header()) == content.substr(0, fetched);
  CHECK(is_right);
  const auto requests = server.requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[1].range == ByteRange{64 * kib, fetched});
}

TEST_CASE("remote header: a file that is shorter than the first request is read to its end") {
  const std::string content = some_bytes(10);
  const FileServer server(content);
  Look look({server.url()}, 100);
  const RemoteHeader& header = look.header();
  CHECK(text_of(header) == content);
  CHECK(header.total_bytes == 10U);
  REQUIRE_FALSE(look.asked.empty());
  CHECK(look.asked.back().second == 10U);
}

TEST_CASE("remote header: a server without ranges is left when there is enough") {
  const std::string content = some_bytes(20'000 * kib);
  FileServer server(content);
  server.set_has_ranges(false);
  Look look({server.url()}, 500 * kib);
  const RemoteHeader& header = look.header();
  CHECK(header.bytes.size() >= 500 * kib);
  CHECK(header.bytes.size() < 4000 * kib);
  CHECK(content.starts_with(text_of(header)));
  CHECK(header.total_bytes == content.size());
  CHECK(server.requests().size() == 1);
}

TEST_CASE("remote header: a stream whose end nobody has announced ends the file") {
  const std::string content = some_bytes(100 * kib);
  HttpServer server([&](HttpServer::Exchange& exchange) {
    exchange.send(head_of("200 OK", "Connection: close\r\n"));
    exchange.send(content);
    exchange.close();
  });
  Look look({server.url("/m.gguf")}, 1000 * kib);
  const RemoteHeader& header = look.header();
  CHECK(text_of(header) == content);
  CHECK(header.total_bytes == content.size());
  CHECK_FALSE(look.asked.front().second);
}

TEST_CASE("remote header: the first mirror that answers is taken") {
  const std::string content = some_bytes(kib);
  const FileServer bad("", [](auto& exchange, const auto&) {
    exchange.send(answer("no", "404 Not Found"));
    return true;
  });
  const FileServer good(content);
  Look look({bad.url(), good.url()}, 10);
  const RemoteHeader& header = look.header();
  CHECK(text_of(header) == content);
  CHECK(config::to_string(header.source) == good.url());
}

TEST_CASE("remote header: where all mirrors fail, the first one's error is told") {
  const FileServer gone("", [](auto& exchange, const auto&) {
    exchange.send(answer("no", "404 Not Found"));
    return true;
  });
  Look look({gone.url(), "http://127.0.0.1:1/m.gguf"}, 10);
  const Error error = look.error();
  CHECK(error.code == ErrorCode::http_status);
  CHECK(contains(error.message, "404"));
}

TEST_CASE("remote header: what wants() refuses ends it, without another mirror") {
  const FileServer server(some_bytes(kib));
  const FileServer other(some_bytes(kib));
  Look look({server.url(), other.url()}, 10);
  look.request.wants = [](auto, auto) -> Result<std::uint64_t> {
    return fail(ErrorCode::invalid_gguf, "no");
  };
  CHECK(look.error() == Error{ErrorCode::invalid_gguf, "no"});
  CHECK(other.requests().empty());
}

TEST_CASE("remote header: more than 256 MiB is not fetched") {
  const FileServer server(some_bytes(200 * kib));
  Look look({server.url()}, max_header_bytes + 1);
  const Error error = look.error();
  CHECK(error.code == ErrorCode::bad_source);
  CHECK(contains(error.message, "256 MiB"));
  CHECK(server.requests().size() == 1);
}

TEST_CASE("remote header: a file that changes between two requests is read anew") {
  const std::string before = some_bytes(1000 * kib, 1);
  const std::string after = some_bytes(1000 * kib, 2);
  FileServer server(before);
  server.set_bend([&](HttpServer::Exchange&, const FileServer::Request& request) {
    if (request.number == 1) server.become(after, "\"two\"");
    return false;
  });
  Look look({server.url()}, 300 * kib);
  CHECK(after.starts_with(text_of(look.header())));
}

TEST_CASE("remote header: a file that changes at each request is an error") {
  FileServer server(some_bytes(1000 * kib, 1));
  server.set_bend([&](HttpServer::Exchange&, const FileServer::Request& request) {
    server.become(some_bytes(1000 * kib), "\"" + std::to_string(request.number) + "\"");
    return false;
  });
  Look look({server.url()}, 300 * kib);
  const Error error = look.error();
  CHECK(error.code == ErrorCode::bad_source);
  CHECK(contains(error.message, "changes whenever"));
}

TEST_CASE("remote header: an answer that ends early is an error, not a short header") {
  const std::string content = some_bytes(1000 * kib);
  FileServer server(content);
  server.set_bend([&](HttpServer::Exchange& exchange, const FileServer::Request& request) {
    server.answer_right(exchange, request, 100);
    return true;
  });
  Look look({server.url()}, 10);
  CHECK(look.error().code == ErrorCode::network);
}

TEST_CASE("remote header: plain http to another host is refused, by a redirect too") {
  const FileServer server("", [](auto& exchange, const auto&) {
    exchange.send(redirect_to("http://192.0.2.1/m.gguf"));
    return true;
  });
  Look look({server.url()}, 10);
  CHECK(look.error().code == ErrorCode::bad_source);
}

TEST_CASE("remote header: a hub's file is asked for at its commit, with the size that the hub tells") {
  const std::string content = some_bytes(1000 * kib);
  std::vector<std::string> paths;
  std::mutex mutex;
  FileServer server(content, [&](HttpServer::Exchange& exchange, const FileServer::Request& request) {
    const std::lock_guard lock(mutex);
    paths.push_back(request.method + " " + request.path);
    if (request.method != "HEAD") return false;
    exchange.send(head_only("302 Found", "X-Repo-Commit: " + commit + "\r\nX-Linked-Size: 1024000\r\n" +
                                             "Location: https://cdn.invalid/x\r\n"));
    return true;
  });
  Look look({"hf:org/repo/m.gguf"}, 10);
  look.request.hub.endpoint = server.url("");
  look.request.hub.token = "hf_secret";
  CHECK(look.header().total_bytes == content.size());
  const std::lock_guard lock(mutex);
  REQUIRE(paths.size() == 2);
  CHECK(paths[0] == "HEAD /org/repo/resolve/main/m.gguf");
  CHECK(paths[1] == "GET /org/repo/resolve/" + commit + "/m.gguf");
  CHECK(server.requests()[1].authorization == "Bearer hf_secret");
}

TEST_CASE("remote header: cancelling is answered once, and not from inside") {
  HttpServer server([](auto& exchange) { exchange.wait_for_close(); });
  Look look({server.url("/m.gguf")}, 10);
  bool waits_for_request = false;
  SUBCASE("before it has begun") {}
  SUBCASE("while it asks") {
    waits_for_request = true;
  }
  look.start();
  if (waits_for_request) REQUIRE(run_until(look.loop, [&] { return server.requests() == 1; }));
  look.fetching->cancel();
  CHECK(look.answers == 0);
  REQUIRE(run_until(look.loop, [&] { return look.answer.has_value(); }));
  REQUIRE_FALSE(*look.answer);
  CHECK(look.answer->error().code == ErrorCode::cancelled);
}

TEST_CASE("remote header: destroying it drops its callback") {
  HttpServer server([](auto& exchange) { exchange.wait_for_close(); });
  Look look({server.url("/m.gguf")}, 10);
  look.start();
  REQUIRE(run_until(look.loop, [&] { return server.requests() == 1; }));
  look.fetching.reset();
  loop::Timer later(look.loop, [&] { uv_stop(look.loop.raw()); });
  later.start_once(1);
  look.loop.run();
  CHECK(look.answers == 0);
}

}  // namespace ggufd::fetch
