// What becomes of a complete file with the wrong digest.
#include <atomic>

#include "pull_support.h"

namespace ggufd::fetch {
namespace {

using namespace test;
using Request = FileServer::Request;

constexpr std::size_t flipped_at = 2 * segment_bytes + 100;

bool has_flipped_byte(const Request& request) {
  return request.range && request.range->begin <= flipped_at && flipped_at < request.range->end;
}

// Answers with the flipped byte so many times, then rightly.
FileServer::Bend flips(FileServer& server, int times) {
  return [&server, left = std::make_shared<std::atomic<int>>(times)](HttpServer::Exchange& exchange,
                                                                     const Request& request) {
    if (!has_flipped_byte(request) || left->fetch_sub(1) <= 0) return false;
    server.answer_flipped(exchange, request, flipped_at);
    return true;
  };
}

std::string range_in_words() {
  return std::to_string(flipped_at) + "-" + std::to_string(flipped_at);
}

TEST_CASE("one flipped byte is found by asking again, and replaced") {
  const std::string file = some_bytes(5 * segment_bytes);
  FileServer server(file);
  server.set_bend(flips(server, 1));
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {server.url()}, digest_of(file));
  pulling.check_is(caller, file);
  CHECK(caller.codes() == Codes{"repairing", "repaired"});
  CHECK(caller.warnings[1].second.find(range_in_words()) != std::string::npos);
  CHECK(pulling.quarantined(".bin").empty());
  // download, verify, download again from 0, verify from 0.
  const auto verified = caller.all<phase::Verify>();
  REQUIRE(verified.size() >= 3);
  CHECK(verified[0].verified_bytes == file.size());
  CHECK(verified[1].verified_bytes == 0);
  CHECK(verified.back().verified_bytes == file.size());
  const auto downloads = caller.all<phase::Download>();
  CHECK(std::ranges::adjacent_find(downloads, [](const auto& a, const auto& b) {
          return a.downloaded_bytes > 0 && b.downloaded_bytes == 0;
        }) != downloads.end());
}

TEST_CASE("another mirror is the better witness") {
  const std::string file = some_bytes(5 * segment_bytes);
  FileServer wrong(file);
  wrong.set_bend(flips(wrong, 100));
  FileServer right(file);
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {wrong.url(), right.url()}, digest_of(file));
  pulling.check_is(caller, file);
  CHECK(caller.codes() == Codes{"repairing", "repaired"});
  CHECK(wrong.requests().size() == 5);
  CHECK(right.requests().size() == 5);
}

TEST_CASE("where nothing differs, or it is still wrong, it is put away and fetched anew, once") {
  const std::string file = some_bytes(5 * segment_bytes);
  SUBCASE("the second file is right") {
    FileServer server(file);
    server.set_bend(flips(server, 2));  // the first download, and its comparison
    Pulling pulling;
    Caller caller;
    pulling.join(caller, {server.url()}, digest_of(file));
    pulling.check_is(caller, file);
    CHECK(caller.codes() == Codes{"repairing"});
    REQUIRE(pulling.quarantined(".bin").size() == 1);
    const auto put_away = caller.all<phase::Quarantine>();
    REQUIRE(put_away.size() == 1);
    CHECK(put_away[0].quarantine_path == pulling.quarantined(".bin")[0]);
    CHECK(put_away[0].expected_sha256 == digest_of(file).to_hex());
    CHECK(digest_of(content_of(put_away[0].quarantine_path)).to_hex() == put_away[0].actual_sha256);
  }
  SUBCASE("it is wrong as well") {
    FileServer server(file);
    server.set_bend(flips(server, 100));
    Pulling pulling;
    Caller caller;
    pulling.join(caller, {server.url()}, digest_of(file));
    pulling.wait(caller);
    CHECK(caller.error() == ErrorCode::sha256_mismatch);
    CHECK(caller.codes() == Codes{"repairing"});
    CHECK(caller.all<phase::Quarantine>().size() == 2);
    CHECK(pulling.quarantined(".bin").size() == 2);
    // Fetched, compared, fetched anew; no more than that.
    CHECK(server.requests().size() == 15);
    caller.operation.reset();
    pulling.loop.run();
    CHECK_FALSE(std::filesystem::exists(pulling.services.store.blob_path(digest_of(file))));
  }
  SUBCASE("what differs is replaced, and the digest is another one all the same") {
    // The byte is wrong at the first download only; what is required is of no file at all.
    FileServer server(file);
    server.set_bend(flips(server, 1));
    Pulling pulling;
    Caller caller;
    pulling.join(caller, {server.url()}, digest_of("something else"));
    pulling.wait(caller);
    CHECK(caller.error() == ErrorCode::sha256_mismatch);
    CHECK(caller.codes() == Codes{"repairing", "repaired"});
    const auto records = pulling.quarantined(".json");
    REQUIRE(records.size() == 2);
    const std::string evidence = content_of(records[0]) + content_of(records[1]);
    CHECK(evidence.find("\"begin\":" + std::to_string(flipped_at)) != std::string::npos);
    CHECK(evidence.find("\"end\":" + std::to_string(flipped_at + 1)) != std::string::npos);
  }
}

TEST_CASE("a source without ranges gives no evidence: it is put away at once") {
  const std::string file = some_bytes(5 * segment_bytes);
  FileServer server(file);
  server.set_has_ranges(false);
  server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
    if (request.number == 0) server.answer_flipped(exchange, request, flipped_at);
    return request.number == 0;
  });
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {server.url()}, digest_of(file));
  pulling.check_is(caller, file);
  CHECK(caller.warnings.empty());
  CHECK(caller.all<phase::Quarantine>().size() == 1);
  CHECK(server.requests().size() == 2);
}

TEST_CASE("a witness that can't be asked leaves the file to the quarantine") {
  const std::string file = some_bytes(40 * segment_bytes);
  FileServer server(file);
  std::atomic<bool> has_refused = false;
  server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
    // The second time it is asked for, with much of the comparison under way.
    const auto all = server.requests();
    const auto same =
        std::ranges::count_if(all, [&](const Request& each) { return each.range == request.range; });
    if (has_flipped_byte(request) && same == 1) {
      server.answer_flipped(exchange, request, flipped_at);
      return true;
    }
    const bool is_refused =
        same == 2 && request.range->begin >= 30 * segment_bytes && !has_refused.exchange(true);
    if (is_refused) exchange.send(answer("", "404 Not Found"));
    return is_refused;
  });
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {server.url()}, digest_of(file));
  pulling.check_is(caller, file);
  CHECK(caller.codes() == Codes{"repairing"});
  CHECK(caller.all<phase::Quarantine>().size() == 1);
}

TEST_CASE("cancelled in the midst of a repair, the next one takes up the file") {
  const std::string file = some_bytes(5 * segment_bytes);
  FileServer server(file);
  server.set_bend(flips(server, 1));
  Pulling pulling;
  {
    Caller caller;
    pulling.join(caller, {server.url()}, digest_of(file));
    REQUIRE(run_until(pulling.loop, [&] { return caller.codes() == Codes{"repairing"}; }));
    caller.operation->cancel();
    pulling.wait(caller);
    CHECK(caller.error() == ErrorCode::cancelled);
  }
  Caller again;
  pulling.join(again, {server.url()}, digest_of(file));
  pulling.check_is(again, file);
}

}  // namespace
}  // namespace ggufd::fetch
