// Mirrors of the same bytes, some of which send others.
#include "pull_support.h"

namespace ggufd::fetch {
namespace {

using namespace test;
using Request = FileServer::Request;

// A web page for every request, whatever was asked for.
FileServer::Bend page() {
  return [](HttpServer::Exchange& exchange, const Request&) {
    exchange.send(answer("<html>sign in</html>", "200 OK", "Content-Type: text/html\r\n"));
    return true;
  };
}

// What is no model is told by its first byte, which the good file's is not.
Result<Verdict> refuse_pages(const Arrived& arrived) {
  char first = 0;
  CHECK(pread(arrived.fd, &first, 1, 0) == 1);
  if (first == '<') return fail(ErrorCode::invalid_gguf, "a page");
  return Verdict{};
}

void look_for_pages(PullRequest& request) {
  request.inspect = refuse_pages;
}

TEST_CASE("after bytes that were put away the fresh download begins with the next mirror") {
  const std::string file = some_bytes(3 * segment_bytes);
  FileServer good(file);
  FileServer bad(file);
  SUBCASE("a page") {
    bad.set_bend(page());
  }
  SUBCASE("a shorter file") {
    bad.become(file.substr(0, file.size() - 5), "\"short\"");
  }
  SUBCASE("another file") {
    bad.become(some_bytes(file.size(), 2), "\"other\"");
    bad.set_has_ranges(false);
  }
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {bad.url(), good.url()}, digest_of(file));
  pulling.check_is(caller, file);
  CHECK((*caller.end)->source == source_of(good.url()));
  CHECK(caller.all<phase::Quarantine>().size() == 1);
}

TEST_CASE("a bad mirror behind a bad one is the error, which names both, and it is the end") {
  const std::string file = some_bytes(2 * segment_bytes);
  FileServer first("", page());
  FileServer second("", page());
  FileServer third(file);
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {first.url(), second.url(), third.url()}, digest_of(file));
  pulling.wait(caller);
  CHECK(caller.error() == ErrorCode::sha256_mismatch);
  CHECK(caller.message().starts_with(second.url()));
  CHECK(caller.message().find("what " + first.url() + " had was wrong, too") != std::string::npos);
  CHECK(caller.all<phase::Quarantine>().size() == 2);
  CHECK(third.requests().empty());
}

TEST_CASE("the mirrors before the bad one get their turn in the fresh download, too") {
  const std::string file = some_bytes(2 * segment_bytes);
  FileServer first(file);
  first.set_bend([](HttpServer::Exchange& exchange, const Request& request) {
    if (request.number == 0) exchange.send(answer("", "404 Not Found"));
    return request.number == 0;
  });
  FileServer second("", page());
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {first.url(), second.url()}, digest_of(file));
  pulling.check_is(caller, file);
  CHECK(second.count("GET") == 1);
}

TEST_CASE("without a digest, a mirror with what is no model makes way for the next") {
  const std::string file = some_bytes(3 * segment_bytes);
  REQUIRE(file.front() != '<');
  FileServer bad("", page());
  FileServer good(file);
  SUBCASE("which publishes none either") {}
  SUBCASE("whose digest is required then") {
    good.set_headers("X-Linked-Etag: \"" + digest_of(file).to_hex() + "\"\r\n");
  }
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {bad.url(), good.url()}, std::nullopt, look_for_pages);
  pulling.check_is(caller, file);
  CHECK((*caller.end)->source == source_of(good.url()));
  CHECK(caller.codes() == Codes{"download_restarted"});
  CHECK(good.count("HEAD") == 1);
}

TEST_CASE("a digest that a later mirror publishes and does not keep is the error") {
  FileServer bad("", page());
  FileServer liar(some_bytes(1000));
  liar.set_headers("X-Linked-Etag: \"" + digest_of("other").to_hex() + "\"\r\n");
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {bad.url(), liar.url()}, std::nullopt, look_for_pages);
  pulling.wait(caller);
  CHECK_FALSE(caller.error() == std::nullopt);
  CHECK_FALSE(std::filesystem::exists(pulling.services.store.blob_path(digest_of(some_bytes(1000)))));
}

TEST_CASE("where no mirror has a model the first one's refusal is told, and its bytes are gone") {
  FileServer bad("", page());
  FileServer gone("", [](HttpServer::Exchange& exchange, const Request&) {
    exchange.send(answer("", "404 Not Found"));
    return true;
  });
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {bad.url(), gone.url()}, std::nullopt, look_for_pages);
  pulling.wait(caller);
  CHECK(caller.error() == ErrorCode::invalid_gguf);
  CHECK_FALSE(std::filesystem::exists(pulling.partial_folder(digest_of(bad.url()))));
  // Once it has the model, it is asked again instead of being believed to have none.
  const std::string file = some_bytes(1000);
  bad.set_bend(nullptr);
  bad.become(file, "\"now\"");
  Caller again;
  pulling.join(again, {bad.url()}, std::nullopt, look_for_pages);
  pulling.check_is(again, file);
}

TEST_CASE("a whole answer that is shorter than it must be is of no use to the next mirror") {
  const std::string file = some_bytes(3 * segment_bytes);
  FileServer chunked("", [](HttpServer::Exchange& exchange, const Request&) {
    exchange.send(head_of("200 OK", "Transfer-Encoding: chunked\r\n") + "5\r\nwrong\r\n0\r\n\r\n");
    return true;
  });
  FileServer good(file);
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {chunked.url(), good.url()}, digest_of(file),
               [&](PullRequest& request) { request.size_bytes = file.size(); });
  pulling.check_is(caller, file);
  CHECK(caller.codes() == Codes{"download_restarted"});
  CHECK(chunked.requests().size() == 1);
  CHECK(pulling.quarantined(".bin").empty());
}

TEST_CASE("a wrong digest is said with where the right one comes from") {
  const std::string file = some_bytes(1000);
  FileServer server(file);
  Pulling pulling;
  Caller caller;
  std::string remedy;
  std::optional<store::Digest> digest = digest_of("other");
  bool is_pinned = false;
  SUBCASE("the configuration") {
    remedy = "correct sha256, or the source";
  }
  SUBCASE("the first use") {
    is_pinned = true;
    remedy = "`ggufctl rm m` forgets the pin";
  }
  SUBCASE("the source") {
    server.set_headers("X-Linked-Etag: \"" + digest->to_hex() + "\"\r\n");
    digest.reset();
    remedy = "the source itself publishes it";
  }
  pulling.join(caller, {server.url()}, digest,
               [&](PullRequest& request) { request.is_digest_pinned = is_pinned; });
  pulling.wait(caller);
  CHECK(caller.error() == ErrorCode::sha256_mismatch);
  CHECK(caller.message().find(remedy) != std::string::npos);
  CHECK((caller.message().find("sha256") != std::string::npos) == (remedy.starts_with("correct")));
}

}  // namespace
}  // namespace ggufd::fetch
