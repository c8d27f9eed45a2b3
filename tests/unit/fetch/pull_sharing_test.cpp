// One download for all who want the same bytes: inside the process, and across processes.
#include "pull_support.h"

namespace ggufd::fetch {
namespace {

using namespace test;
using Request = FileServer::Request;

// Sends one segment at once, the others after go().
FileServer::Bend waiting_after_the_first() {
  return [](HttpServer::Exchange& exchange, const Request& request) {
    if (request.range && request.range->begin >= segment_bytes) exchange.wait_for_go();
    return false;
  };
}

bool has_come(const Caller& caller, std::uint64_t bytes) {
  const auto all = caller.all<phase::Download>();
  return !all.empty() && all.back().downloaded_bytes >= bytes;
}

TEST_CASE("two who want the same share one download, its progress and its end") {
  const std::string file = some_bytes(3 * segment_bytes);
  FileServer server(file, waiting_after_the_first());
  Pulling pulling;
  Caller first;
  Caller second;
  pulling.join(first, {server.url()}, digest_of(file));
  REQUIRE(run_until(pulling.loop, [&] { return has_come(first, segment_bytes); }));
  pulling.join(second, {server.url("/elsewhere")}, digest_of(file),
               [](auto& request) { request.name = "n"; });
  // Who comes later sees at once how far it is.
  REQUIRE(run_until(pulling.loop, [&] { return !second.phases.empty(); }));
  CHECK(second.all<phase::Download>().front().downloaded_bytes >= segment_bytes);
  server.go();
  pulling.check_is(first, file);
  pulling.check_is(second, file);
  CHECK((*first.end)->blob == (*second.end)->blob);
  CHECK(server.requests().size() == 3);
}

TEST_CASE("one of two goes, the other gets its file") {
  const std::string file = some_bytes(3 * segment_bytes);
  for (const bool destroys : {false, true}) {
    CAPTURE(destroys);
    FileServer server(file, waiting_after_the_first());
    Pulling pulling;
    Caller first;
    Caller second;
    pulling.join(first, {server.url()}, digest_of(file));
    pulling.join(second, {server.url()}, digest_of(file));
    REQUIRE(run_until(pulling.loop, [&] { return has_come(first, segment_bytes); }));
    if (destroys) first.operation.reset();
    if (!destroys) {
      first.operation->cancel();
      CHECK(first.ends == 0);
      pulling.wait(first);
      CHECK(first.error() == ErrorCode::cancelled);
    }
    server.go();
    pulling.check_is(second, file);
    CHECK(first.ends == (destroys ? 0 : 1));
  }
}

TEST_CASE("when the last one goes it ends at once, and what has come is kept") {
  const std::string file = some_bytes(40 * segment_bytes);
  FileServer server(file);
  server.set_bend([](HttpServer::Exchange& exchange, const Request& request) {
    if (request.range->begin >= 20 * segment_bytes) exchange.wait_for_go();
    return false;
  });
  Pulling pulling;
  Caller first;
  Caller second;
  pulling.join(first, {server.url()}, digest_of(file));
  pulling.join(second, {server.url()}, digest_of(file));
  REQUIRE(run_until(pulling.loop, [&] { return has_come(first, 20 * segment_bytes); }));
  const Stopwatch watch;
  first.operation->cancel();
  second.operation->cancel();
  pulling.wait(first);
  pulling.wait(second);
  CHECK(watch.elapsed_ms() < 100);
  CHECK(first.error() == ErrorCode::cancelled);
  pulling.loop.run();
  CHECK(first.ends == 1);
  CHECK(pulling.is_partial_free(digest_of(file)));
  const auto journal = peek_journal(pulling.partial_folder(digest_of(file)));
  REQUIRE(journal);
  CHECK(byte_ranges(*journal).size() >= 18 * segment_bytes);
  const std::size_t asked_before = server.requests().size();
  server.go();
  Caller again;
  pulling.join(again, {server.url()}, digest_of(file));
  pulling.check_is(again, file);
  CHECK(again.all<phase::Download>().back().resumed_bytes == byte_ranges(*journal).size());
  CHECK(server.requests().size() - asked_before <= 22);
}

TEST_CASE("who leaves and comes back in the same turn gets the file") {
  const std::string file = some_bytes(3 * segment_bytes);
  FileServer server(file);
  Pulling pulling;
  for (const bool has_begun : {false, true}) {
    CAPTURE(has_begun);
    Caller caller;
    pulling.join(caller, {server.url()}, digest_of(file));
    if (has_begun) REQUIRE(run_until(pulling.loop, [&] { return !caller.phases.empty(); }));
    caller.operation.reset();
    Caller again;
    pulling.join(again, {server.url()}, digest_of(file));
    pulling.check_is(again, file);
    CHECK(caller.ends == 0);
    again.end.reset();
    std::filesystem::remove_all(pulling.services.store.root());
  }
}

TEST_CASE("who has joined a download that fails, and names another source, gets the file from there") {
  const std::string file = some_bytes(3 * segment_bytes);
  FileServer bad("");
  bad.set_bend([](HttpServer::Exchange& exchange, const Request&) {
    exchange.send(answer("", "404 Not Found"));
    return true;
  });
  FileServer good(file);
  Pulling pulling;
  Caller first;
  Caller second;
  Caller third;
  pulling.join(first, {bad.url()}, digest_of(file));
  pulling.join(second, {good.url()}, digest_of(file));
  pulling.join(third, {bad.url()}, digest_of(file));
  pulling.check_is(second, file);
  CHECK(first.error() == ErrorCode::http_status);
  CHECK(third.error() == ErrorCode::http_status);
  CHECK(bad.requests().size() == 1);
  REQUIRE_FALSE(second.warnings.empty());
  CHECK(second.warnings.front().first == "download_restarted");
}

TEST_CASE("a caller may be destroyed by its end, and may ask again there") {
  const std::string file = some_bytes(1000);
  FileServer server(file);
  server.set_bend([](HttpServer::Exchange& exchange, const Request& request) {
    if (request.number == 0) exchange.send(answer("", "404 Not Found"));
    return request.number == 0;
  });
  Pulling pulling;
  auto first = std::make_unique<Caller>();
  auto second = std::make_unique<Caller>();
  Caller third;
  first->at_done = [&] {
    second.reset();
    pulling.join(third, {server.url()}, digest_of(file));
    first->operation.reset();
  };
  second->at_done = [] { FAIL("it has gone"); };
  pulling.join(*first, {server.url()}, digest_of(file));
  pulling.join(*second, {server.url()}, digest_of(file));
  pulling.wait(*first);
  CHECK(first->error() == ErrorCode::http_status);
  pulling.check_is(third, file);
}

TEST_CASE("a phase may be the reason for another caller to go") {
  const std::string file = some_bytes(3 * segment_bytes);
  FileServer server(file);
  Pulling pulling;
  Caller first;
  Caller second;
  first.at_phase = [&] { second.operation.reset(); };
  pulling.join(first, {server.url()}, digest_of(file));
  pulling.join(second, {server.url()}, digest_of(file));
  pulling.check_is(first, file);
  CHECK(second.phases.empty());
  CHECK(second.ends == 0);
}

TEST_CASE("all that pulls may go at any moment, callers first or last") {
  const std::string file = some_bytes(3 * segment_bytes);
  FileServer server(file, waiting_after_the_first());
  for (const bool callers_first : {true, false}) {
    for (const std::uint64_t bytes : {std::uint64_t{0}, segment_bytes}) {
      CAPTURE(callers_first);
      CAPTURE(bytes);
      Pulling pulling;
      Caller caller;
      pulling.join(caller, {server.url()}, digest_of(file));
      if (bytes > 0) REQUIRE(run_until(pulling.loop, [&] { return has_come(caller, bytes); }));
      if (callers_first) caller.operation.reset();
      pulling.pulls.reset();
      caller.operation.reset();
      pulling.loop.run();
      CHECK(caller.ends == 0);
    }
  }
}

TEST_CASE("another process's download is followed: its progress is seen, and its blob is taken") {
  const std::string file = some_bytes(3 * segment_bytes);
  FileServer server(file);
  Pulling pulling;
  const store::BlobStore other(pulling.services.store.root());
  auto partial = other.open_partial(digest_of(file));
  REQUIRE(partial);
  REQUIRE(store::pwrite_all(partial->fd(), bytes_of(file), 0, partial->data_path()));
  const auto write_up_to = [&](std::uint64_t end) {
    REQUIRE(write_journal(*partial, {.url = "https://user:secret@host/theirs?key=secret",
                                     .etag = "\"one\"",
                                     .size_bytes = file.size(),
                                     .finished = {{0, end}}}));
  };
  write_up_to(1000);
  const std::string journal_path = partial->journal_path();
  Caller caller;
  pulling.join(caller, {server.url()}, digest_of(file));
  REQUIRE(run_until(pulling.loop, [&] { return has_come(caller, 1000); }));
  CHECK(caller.all<phase::Download>().back().total_bytes.value == file.size());
  CHECK(caller.all<phase::Download>().back().source_url == "https://host/theirs");
  write_up_to(2000);
  REQUIRE(run_until(pulling.loop, [&] { return has_come(caller, 2000); }));
  CHECK(server.requests().empty());
  CHECK(caller.warnings.empty());
  SUBCASE("it brings the blob") {
    REQUIRE(other.commit(std::move(*partial), digest_of(file), file.size(), "https://host/theirs"));
    CHECK_FALSE(pulling.check_is(caller, file).was_fetched);
    CHECK(server.requests().empty());
  }
  SUBCASE("it dies, and what it had is gone on with") {
    {
      const store::Partial dead = std::move(*partial);
    }
    CHECK(pulling.check_is(caller, file).was_fetched);
    CHECK(server.requests().front().range->begin == 2000);
    CHECK(caller.warnings.empty());
  }
  SUBCASE("it dies, and what it had is of no use") {
    std::filesystem::remove(journal_path);
    {
      const store::Partial dead = std::move(*partial);
    }
    std::size_t told_before = caller.all<phase::Download>().size();
    const auto count_when_warned = [&] {
      if (caller.warnings.empty()) told_before = caller.all<phase::Download>().size();
    };
    caller.at_phase = count_when_warned;
    CHECK(pulling.check_is(caller, file).was_fetched);
    CHECK(caller.codes() == Codes{"download_restarted"});
    const auto downloads = caller.all<phase::Download>();
    REQUIRE(told_before < downloads.size());
    CHECK(downloads[told_before - 1].downloaded_bytes == 2000);
    for (std::size_t i = 1; i < downloads.size(); ++i)
      CHECK((i == told_before || downloads[i].downloaded_bytes >= downloads[i - 1].downloaded_bytes));
  }
  SUBCASE("it leaves a wrong blob, which is told as bad bytes are") {
    const std::string path = other.blob_path(digest_of(file));
    std::filesystem::create_directories(other.blob_folder(digest_of(file)));
    std::ofstream(path, std::ios::binary) << "wrong";
    {
      const store::Partial dead = std::move(*partial);
    }
    CHECK(pulling.check_is(caller, file).was_fetched);
    CHECK(caller.warnings.empty());
    const auto quarantines = caller.all<phase::Quarantine>();
    REQUIRE(quarantines.size() == 1);
    CHECK(quarantines[0].path == path);
    CHECK(quarantines[0].expected_sha256 == digest_of(file).to_hex());
    CHECK(quarantines[0].actual_sha256 == digest_of("wrong").to_hex());
    CHECK(Codes{quarantines[0].quarantine_path} == pulling.quarantined(".bin"));
    CHECK(content_of(pulling.quarantined(".json").at(0)).find("\"https://host/theirs\"") !=
          std::string::npos);
  }
  SUBCASE("it begins anew") {
    write_up_to(500);
    REQUIRE(run_until(pulling.loop, [&] { return !caller.warnings.empty(); }));
    CHECK(caller.codes() == Codes{"download_restarted"});
    const Stopwatch watch;
    caller.operation->cancel();
    pulling.wait(caller);
    CHECK(watch.elapsed_ms() < 100);
  }
}

}  // namespace
}  // namespace ggufd::fetch
