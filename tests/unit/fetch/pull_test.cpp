// One file of a source brought into the store: from the source's name to the blob.
#include "pull_support.h"

namespace ggufd::fetch {
namespace {

using namespace test;
using Request = FileServer::Request;

TEST_CASE("a file becomes a blob, told phase by phase; the second time nothing is fetched") {
  const std::string file = some_bytes(5 * segment_bytes + 5);
  FileServer server(file);
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {server.url("/m.gguf?key=secret")}, digest_of(file));
  CHECK(pulling.check_is(caller, file).was_fetched);
  CHECK((*caller.end)->source == source_of(server.url("/m.gguf?key=secret")));
  CHECK(server.count("HEAD") == 0);
  const auto downloads = caller.all<phase::Download>();
  REQUIRE(downloads.size() >= 2);
  std::uint64_t before = 0;
  for (const phase::Download& each : downloads) {
    CHECK(each.downloaded_bytes >= before);
    CHECK(each.source_url == server.url("/m.gguf"));
    before = each.downloaded_bytes;
  }
  CHECK(before == file.size());
  REQUIRE(caller.all<phase::Verify>().size() == 1);
  CHECK(caller.all<phase::Verify>()[0].verified_bytes == file.size());
  CHECK(std::holds_alternative<phase::Verify>(caller.phases.back()));
  CHECK(caller.warnings.empty());

  const std::size_t requests = server.requests().size();
  Caller second;
  pulling.join(second, {server.url()}, digest_of(file));
  CHECK_FALSE(pulling.check_is(second, file).was_fetched);
  CHECK(server.requests().size() == requests);
}

TEST_CASE("without a digest the one that the source publishes is required, or the first seen is taken") {
  const std::string file = some_bytes(2 * segment_bytes);
  SUBCASE("published") {
    FileServer server(file);
    server.set_headers("X-Linked-Etag: \"" + digest_of(file).to_hex() + "\"\r\n");
    Pulling pulling;
    Caller caller;
    pulling.join(caller, {server.url()}, std::nullopt);
    pulling.check_is(caller, file);
    CHECK(server.requests()[0].method == "HEAD");
    CHECK(caller.all<phase::Download>().size() > 1);
  }
  SUBCASE("published, and not kept") {
    FileServer server(file);
    server.set_headers("X-Linked-Etag: \"" + digest_of("other").to_hex() + "\"\r\n");
    Pulling pulling;
    Caller caller;
    pulling.join(caller, {server.url()}, std::nullopt);
    pulling.wait(caller);
    CHECK(caller.error() == ErrorCode::sha256_mismatch);
  }
  SUBCASE("computed") {
    FileServer server(file);
    Pulling pulling;
    Caller caller;
    pulling.join(caller, {server.url()}, std::nullopt);
    pulling.check_is(caller, file);
  }
}

TEST_CASE(
    "a source that publishes another digest than is required is refused before its bytes are asked for") {
  const std::string file = some_bytes(1000);
  FileServer server(file);
  server.set_headers("X-Linked-Etag: \"" + digest_of(file).to_hex() + "\"\r\nX-Linked-Size: 1000\r\n" +
                     "X-Repo-Commit: 0123456789012345678901234567890123456789\r\n");
  Pulling pulling;
  pulling.services.hub.endpoint = server.url("");
  Caller wrong;
  pulling.join(wrong, {"hf:org/repo/m.gguf"}, digest_of("other"));
  pulling.wait(wrong);
  CHECK(wrong.error() == ErrorCode::sha256_mismatch);
  CHECK(server.count("GET") == 0);
  Caller wrong_size;
  pulling.join(wrong_size, {"hf:org/repo/m.gguf"}, digest_of(file),
               [](auto& request) { request.size_bytes = 5; });
  pulling.wait(wrong_size);
  CHECK(wrong_size.error() == ErrorCode::size_mismatch);
  CHECK(server.count("GET") == 0);
  // And with the right one it is fetched from the commit.
  Caller right;
  pulling.join(right, {"hf:org/repo/m.gguf"}, digest_of(file));
  CHECK(pulling.check_is(right, file).revision == "0123456789012345678901234567890123456789");
  CHECK(server.requests().back().path == "/org/repo/resolve/0123456789012345678901234567890123456789/m.gguf");
}

TEST_CASE("two files that only their query tells from each other are two") {
  const std::string one = some_bytes(1000, 1);
  const std::string two = some_bytes(2000, 2);
  FileServer server(one);
  FileServer other(two);
  server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
    if (request.path == "/get?file=2") other.answer_right(exchange, request);
    return request.path == "/get?file=2";
  });
  Pulling pulling;
  Caller first;
  Caller second;
  pulling.join(first, {server.url("/get?file=1")}, std::nullopt);
  pulling.join(second, {server.url("/get?file=2")}, std::nullopt, [](auto& request) { request.name = "n"; });
  pulling.wait(first);
  pulling.wait(second);
  REQUIRE(*first.end);
  REQUIRE(*second.end);
  CHECK((*first.end)->digest == digest_of(one));
  CHECK((*second.end)->digest == digest_of(two));
}

TEST_CASE("a mirror that fails makes way for the next, which goes on with what is here") {
  const std::string file = some_bytes(6 * segment_bytes);
  FileServer failing(file, nullptr);
  failing.set_bend([](HttpServer::Exchange& exchange, const Request& request) {
    if (request.range->begin >= 2 * segment_bytes) exchange.send(answer("", "404 Not Found"));
    return request.range->begin >= 2 * segment_bytes;
  });
  FileServer good(file);
  good.become(file, "\"elsewhere\"");
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {failing.url(), good.url()}, digest_of(file));
  pulling.check_is(caller, file);
  CHECK((*caller.end)->source == source_of(good.url()));
  for (const Request& request : good.requests()) {
    CHECK(request.range->begin >= 2 * segment_bytes);
    CHECK((request.if_range == "(none)" || request.if_range == "\"elsewhere\""));
  }
  CHECK(caller.warnings.empty());
}

TEST_CASE("when all mirrors fail, the preferred one's error counts, and what has come is kept") {
  const std::string file = some_bytes(3 * segment_bytes);
  const auto refuse = [](const char* status) {
    return [status](HttpServer::Exchange& exchange, const Request& request) {
      if (request.range->begin >= segment_bytes) exchange.send(answer("", status));
      return request.range->begin >= segment_bytes;
    };
  };
  FileServer first(file, refuse("410 Gone"));
  FileServer second(file, refuse("403 Forbidden"));
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {first.url(), second.url()}, digest_of(file));
  pulling.wait(caller);
  CHECK(caller.error() == ErrorCode::http_status);
  CHECK(caller.message().find("410") != std::string::npos);
  caller.operation.reset();
  pulling.loop.run();
  const auto journal = peek_journal(pulling.partial_folder(digest_of(file)));
  REQUIRE(journal);
  CHECK(byte_ranges(*journal).contains({0, segment_bytes}));
  CHECK(pulling.is_partial_free(digest_of(file)));
}

TEST_CASE("a stream without ranges that breaks off begins anew") {
  const std::string file = some_bytes(3 * segment_bytes);
  FileServer server(file);
  server.set_has_ranges(false);
  server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
    if (request.number == 0) server.answer_right(exchange, request, 70'000);
    return request.number == 0;
  });
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {server.url()}, digest_of(file));
  pulling.check_is(caller, file);
  CHECK(caller.codes() == Codes{"download_restarted"});
  CHECK(server.requests().size() == 2);
}

TEST_CASE("an object that changes half-way begins anew, and so does one whose server forgets its ranges") {
  const std::string file = some_bytes(4 * segment_bytes, 2);
  for (const bool changes : {true, false}) {
    for (const std::uint32_t retries : {0U, 2U}) {
      CAPTURE(changes);
      CAPTURE(retries);
      FileServer server(changes ? some_bytes(4 * segment_bytes, 1) : file);
      server.set_bend([&](HttpServer::Exchange&, const Request& request) {
        if (request.number == 2 && changes) server.become(file, "\"two\"");
        if (request.number == 2 && !changes) server.set_has_ranges(false);
        return false;
      });
      Pulling pulling;
      pulling.services.settings.retries = retries;
      Caller caller;
      pulling.join(caller, {server.url()}, digest_of(file));
      pulling.check_is(caller, file);
      CHECK(caller.codes() == Codes{"download_restarted"});
    }
  }
}

TEST_CASE("an empty file is a file") {
  FileServer server("");
  server.set_has_ranges(false);
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {server.url()}, digest_of(""));
  pulling.check_is(caller, "");
}

TEST_CASE("a page where a model should be never becomes a blob") {
  FileServer server("", [](HttpServer::Exchange& exchange, const Request&) {
    exchange.send(answer("<html>sign in</html>", "200 OK", "Content-Type: text/html\r\n"));
    return true;
  });
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {server.url()}, digest_of("the model"));
  pulling.wait(caller);
  CHECK(caller.error() == ErrorCode::sha256_mismatch);
  CHECK(pulling.quarantined(".bin").size() == 2);
  CHECK_FALSE(std::filesystem::exists(pulling.services.store.blob_path(digest_of("the model"))));
}

TEST_CASE("a file for which there is no room is disk_full") {
  const std::string file = some_bytes(3 << 20);
  FileServer server(file);
  Pulling pulling;
  {
    const FileSizeLimit limit(1 << 20);
    Caller caller;
    pulling.join(caller, {server.url()}, digest_of(file));
    pulling.wait(caller);
    CHECK(caller.error() == ErrorCode::disk_full);
  }
  Caller again;
  pulling.join(again, {server.url()}, digest_of(file));
  pulling.check_is(again, file);
}

TEST_CASE("what inspect refuses is not fetched, and no other mirror is asked") {
  const std::string file = some_bytes(20 * segment_bytes);
  FileServer server(file);
  FileServer other(file);
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {server.url(), other.url()}, digest_of(file), [](PullRequest& request) {
    request.inspect = [](const Arrived& arrived) -> Result<Verdict> {
      CHECK(arrived.is_digest_known);
      return fail(ErrorCode::out_of_memory_budget, "too large");
    };
  });
  pulling.wait(caller);
  CHECK(caller.error() == ErrorCode::out_of_memory_budget);
  CHECK(other.requests().empty());
}

TEST_CASE("a blob that nobody vouches for is hashed, and a wrong one is put away and fetched") {
  const std::string file = some_bytes(2 * segment_bytes);
  FileServer server(file);
  for (const bool is_right : {true, false}) {
    CAPTURE(is_right);
    Pulling pulling;
    const std::string path = pulling.services.store.blob_path(digest_of(file));
    std::filesystem::create_directories(pulling.services.store.blob_folder(digest_of(file)));
    std::ofstream(path, std::ios::binary) << (is_right ? file : "wrong");
    Caller caller;
    pulling.join(caller, {server.url()}, digest_of(file));
    CHECK(pulling.check_is(caller, file).was_fetched == !is_right);
    CHECK(pulling.quarantined(".bin").size() == (is_right ? 0 : 1));
    CHECK_FALSE(caller.all<phase::Verify>().empty());
    CHECK(caller.all<phase::Quarantine>().size() == (is_right ? 0 : 1));
    if (is_right) continue;
    CHECK(content_of(pulling.quarantined(".json").at(0)).find(server.url()) != std::string::npos);
  }
}

TEST_CASE(
    "a wrong blob that is found counts as the one quarantine: wrong bytes from the source are the error") {
  const std::string file = some_bytes(2 * segment_bytes);
  FileServer server(some_bytes(2 * segment_bytes, 2));
  server.set_has_ranges(false);
  Pulling pulling;
  std::filesystem::create_directories(pulling.services.store.blob_folder(digest_of(file)));
  std::ofstream(pulling.services.store.blob_path(digest_of(file)), std::ios::binary) << "wrong";
  Caller caller;
  pulling.join(caller, {server.url()}, digest_of(file));
  pulling.wait(caller);
  CHECK(caller.error() == ErrorCode::sha256_mismatch);
  CHECK(caller.all<phase::Quarantine>().size() == 2);
  CHECK(server.requests().size() == 1);
}

}  // namespace
}  // namespace ggufd::fetch
