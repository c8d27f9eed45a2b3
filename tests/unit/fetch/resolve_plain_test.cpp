// From a plain URL to the file that it stands for; and questions that are given up.
#include "fetch/resolve.h"
#include "resolve_support.h"

namespace ggufd::fetch {
namespace {

using namespace test;
using ggufd::test::Recorder;

// --- Plain URLs

TEST_CASE("a plain URL whose digest is known is not asked") {
  HttpServer server([](auto&) {});
  Question question;
  question.ask_for_digest = false;
  question.hub.token = "hf_secret";
  const RemoteFile file = question.file(server.url("/f.gguf?x=1"));
  CHECK(file.url == server.url("/f.gguf?x=1"));
  CHECK(file.bearer_token == "");
  CHECK(file.revision == "");
  CHECK(server.requests() == 0);
}

TEST_CASE("a plain URL is asked for its digest, without the hub's token, and stays as it is") {
  Recorder server([](auto& exchange) {
    if (exchange.path == "/f.gguf?x=1") return exchange.send(head_only("302 Found", "Location: real\r\n"));
    exchange.send(head_only("200 OK", lfs_fields()));
  });
  Question question(server.server.url(""));
  question.hub.token = "hf_secret";
  const RemoteFile file = question.file(server.server.url("/f.gguf?x=1"));
  CHECK(file.url == server.server.url("/f.gguf?x=1"));
  CHECK(file.revision == "");
  CHECK(file.size_bytes == 1'234'567U);
  CHECK(file.sha256 == store::Digest::parse(digest));
  CHECK(server.at(0).method == "HEAD");
  CHECK(server.at(0).header("Authorization") == "(none)");
  CHECK(server.at(1).path == "/real");
}

TEST_CASE(
    "what a redirect on the host publishes holds where the next answer is silent, and not where it speaks") {
  const std::string other(64, 'e');
  for (const bool speaks : {false, true}) {
    CAPTURE(speaks);
    HttpServer server([&](auto& exchange) {
      if (exchange.path == "/f.gguf")
        return exchange.send(head_only("302 Found", lfs_fields() + "Location: /a\r\n"));
      if (exchange.path == "/a") return exchange.send(head_only("302 Found", "Location: /b\r\n"));
      const std::string fields = "X-Linked-Size: 9\r\nX-Linked-Etag: \"" + other + "\"\r\n";
      exchange.send(head_only("200 OK", speaks ? fields : ""));
    });
    Question question(server.url(""));
    const RemoteFile file = question.file(server.url("/f.gguf"));
    CHECK(file.sha256 == store::Digest::parse(speaks ? other : digest));
    CHECK(file.size_bytes == (speaks ? 9U : 1'234'567U));
  }
}

TEST_CASE("a plain URL whose HEAD is refused is left to its GET") {
  for (const char* status : {"400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found",
                             "405 Method Not Allowed", "501 Not Implemented", "302 Found"}) {
    CAPTURE(status);
    HttpServer server([&](auto& exchange) { exchange.send(head_only(status, lfs_fields())); });
    Question question;
    const RemoteFile file = question.file(server.url("/f.gguf"));
    CHECK(file.url == server.url("/f.gguf"));
    CHECK_FALSE(file.size_bytes);
    CHECK_FALSE(file.sha256);
  }
}

TEST_CASE("a plain URL's passing failure is told with the wait") {
  HttpServer server(
      [](auto& exchange) { exchange.send(head_only("503 Service Unavailable", "Retry-After: 3\r\n")); });
  Question question;
  const Failure failure = question.failure(server.url("/f.gguf"));
  CHECK(failure.is_passing);
  CHECK(failure.wait_ms == 3'000U);
}

// --- Cancelling

TEST_CASE("cancelling is answered once, and not from inside") {
  HttpServer server([](auto& exchange) { exchange.wait_for_close(); });
  Question question(server.url(""));
  loop::test::TempFolder folder;
  std::string text = "hf:org/repo/f.gguf";
  bool waits_for_request = false;
  SUBCASE("before it has begun") {}
  SUBCASE("before it has begun, where nothing is to be asked") {
    text = server.url("/f.gguf");
    question.ask_for_digest = false;
  }
  SUBCASE("while it asks") {
    waits_for_request = true;
  }
  SUBCASE("while the token is read") {
    question.hub.token_file = folder.file("none");
  }
  question.start(text);
  if (waits_for_request) REQUIRE(run_until(question.loop, [&] { return server.requests() == 1; }));
  if (!question.hub.token_file.empty()) {
    BusyPool pool(question.loop);
    uv_run(question.loop.raw(), UV_RUN_NOWAIT);
    uv_run(question.loop.raw(), UV_RUN_NOWAIT);
    question.resolve->cancel();
    pool.release();
    uv_run(question.loop.raw(), UV_RUN_NOWAIT);
  } else {
    question.resolve->cancel();
  }
  if (question.resolve) question.resolve->cancel();
  REQUIRE(run_until(question.loop, [&] { return question.answer.has_value(); }));
  REQUIRE_FALSE(*question.answer);
  CHECK(question.answer->error().error.code == ErrorCode::cancelled);
  CHECK_FALSE(question.answer->error().is_passing);
  CHECK(question.answers == 1);
}

TEST_CASE("dropped, it does not answer") {
  HttpServer server([](auto& exchange) { exchange.wait_for_close(); });
  Question question(server.url(""));
  question.start("hf:org/repo/f.gguf");
  SUBCASE("before it has begun") {}
  SUBCASE("while it asks") {
    REQUIRE(run_until(question.loop, [&] { return server.requests() == 1; }));
  }
  question.resolve.reset();
  question.loop.run();
  CHECK(question.answers == 0);
}

}  // namespace
}  // namespace ggufd::fetch
