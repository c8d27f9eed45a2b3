// One file from one place: what is asked for, what is made of the answers, and when it is enough.
#include "fetch/download.h"

#include <thread>

#include "fetch/file_writer.h"
#include "store/blob_store.h"
#include "support.h"

namespace ggufd::fetch {
namespace {

using namespace test;
using Request = FileServer::Request;

constexpr std::uint64_t segment_bytes = 64 * 1024;

// A store, a partial in it, and one download into that.
struct Fetching {
  loop::test::TempFolder folder;
  store::BlobStore store{folder.file("models")};
  std::shared_ptr<store::Partial> partial = open();
  loop::Loop loop;
  std::unique_ptr<CurlLoop> curl = std::make_unique<CurlLoop>(loop);
  RateLimit limit{loop};
  config::FetchConfig settings{.connections = 4, .segment_bytes = segment_bytes, .retries = 3};

  std::vector<phase::Download> reports;
  std::vector<Identity> bound;
  std::vector<std::string> notes;
  std::vector<std::string> warnings;
  std::function<void()> at_progress = [] {};
  std::function<void()> at_done = [] {};
  int ends = 0;
  std::optional<std::expected<DownloadEnd, DownloadFailure>> end;
  std::optional<Error> write_error;
  std::optional<store::Digest> digest;
  std::unique_ptr<FileWriter> writer = std::make_unique<FileWriter>(
      loop, partial, ByteRanges(), [this](Error error) { write_error = std::move(error); });
  std::unique_ptr<Download> download;

  std::shared_ptr<store::Partial> open() const {
    auto opened = store.open_partial(digest_of("the key"));
    REQUIRE(opened);
    return std::make_shared<store::Partial>(std::move(*opened));
  }
  void start(const std::string& url, DownloadRequest request = {}) {
    request.remote.url = url;
    request.settings = settings;
    request.inspect_fd = partial->fd();
    request.keeper = partial;
    download = std::make_unique<Download>(
        loop, *curl, limit, *writer, std::move(request),
        DownloadCallbacks{
            .on_progress =
                [this] {
                  CHECK(ends == 0);
                  if (!download) return;
                  reports.push_back(download->progress());
                  at_progress();
                },
            .on_bound =
                [this, url](const Identity& identity) {
                  bound.push_back(identity);
                  if (identity.size_bytes)
                    writer->keep_journal({.url = url, .size_bytes = *identity.size_bytes}, segment_bytes);
                },
            .on_warning = [this](const std::string& code, const std::string&) { warnings.push_back(code); },
            .on_note = [this](const std::string& note) { notes.push_back(note); },
            .on_done =
                [this](std::expected<DownloadEnd, DownloadFailure> result) {
                  ++ends;
                  end.emplace(std::move(result));
                  at_done();
                }});
  }
  void run(const std::string& url, DownloadRequest request = {}) {
    start(url, std::move(request));
    REQUIRE(run_until(loop, [this] { return ends > 0; }));
    CHECK(ends == 1);
  }
  // Lets everything come that may still come.
  void run_dry() {
    writer.reset();  // its journal has a clock
    loop.run();
  }
  // The end must be a complete file with these bytes.
  void check_is(const std::string& file) {
    REQUIRE(end);
    REQUIRE_MESSAGE(*end, (*end ? "" : (*end).error().failure.error.message));
    CHECK((*end)->identity.size_bytes == file.size());
    CHECK(writer->accepted().size() == file.size());
    writer->finish(file.size(), [this](const store::Digest& done) { digest = done; });
    REQUIRE(run_until(loop, [this] { return digest.has_value(); }));
    CHECK(digest == digest_of(file));
    CHECK(content_of(partial->data_path()) == file);
  }
  const DownloadFailure& failure() const {
    REQUIRE(end);
    REQUIRE_FALSE(*end);
    return end->error();
  }
  ErrorCode code() const { return failure().failure.error.code; }
};

bool is_in(std::string_view part, std::string_view text) {
  return text.find(part) != std::string_view::npos;
}

TEST_CASE("a file comes in segments, each on condition that it is still the same object") {
  const std::string file = some_bytes(5 * segment_bytes + 77);
  FileServer server(file);
  Fetching fetching;
  fetching.run(server.url("/m.gguf?token=secret"));
  fetching.check_is(file);
  ByteRanges asked;
  const auto requests = server.requests();
  CHECK(requests.size() == 6);
  for (const Request& request : requests) {
    CAPTURE(request.number);
    REQUIRE(request.range);
    CHECK(request.method == "GET");
    CHECK(request.range->size() <= segment_bytes);
    CHECK(request.if_range == (request.number == 0 ? "(none)" : "\"one\""));
    asked.add(*request.range);
  }
  CHECK(requests[0].range == ByteRange{0, segment_bytes});
  CHECK(asked.contains({0, file.size()}));
  CHECK(fetching.bound == std::vector<Identity>{{.etag = "\"one\"", .size_bytes = file.size()}});
  std::uint64_t before = 0;
  for (const phase::Download& report : fetching.reports) {
    CHECK(report.downloaded_bytes >= before);
    before = report.downloaded_bytes;
    CHECK(report.source_url == server.url("/m.gguf"));
  }
  CHECK(before == file.size());
  CHECK(fetching.reports.back().connections == 0);
  CHECK((*fetching.end)->has_ranges);
}

TEST_CASE("a file smaller than a segment, and an empty one") {
  FileServer server("123456");
  Fetching fetching;
  fetching.run(server.url());
  fetching.check_is("123456");
  CHECK(server.requests().size() == 1);

  FileServer empty("");
  Fetching nothing;
  nothing.run(empty.url());
  // There is no range in it: the caller asks for the whole.
  CHECK(nothing.failure().must_restart);
  CHECK_FALSE(nothing.failure().has_ranges);
  Fetching whole;
  whole.run(empty.url(), {.has_ranges = false});
  whole.check_is("");
  CHECK_FALSE(empty.requests().back().range);
}

TEST_CASE("a server without ranges is one stream") {
  const std::string file = some_bytes(5 * segment_bytes);
  FileServer server(file);
  server.set_has_ranges(false);
  Fetching fetching;
  fetching.run(server.url());
  fetching.check_is(file);
  CHECK(server.requests().size() == 1);
  CHECK_FALSE((*fetching.end)->has_ranges);
}

TEST_CASE("a size that the server does not tell is the one that is known, or is learned at the end") {
  const auto closing = [](HttpServer::Exchange& exchange, const Request&) {
    exchange.send(head_of("200 OK", "Connection: close\r\n") + "123456");
    exchange.close();
    return true;
  };
  FileServer server("", closing);
  for (const bool is_known : {false, true}) {
    CAPTURE(is_known);
    Fetching fetching;
    DownloadRequest request;
    if (is_known) request.size_bytes = 6;
    fetching.run(server.url(), std::move(request));
    REQUIRE(fetching.bound.size() == 1);
    CHECK(fetching.bound[0].size_bytes.has_value() == is_known);
    fetching.check_is("123456");
  }
  // And it is an end to whoever sends more than that, and never stops.
  FileServer endless("", [](HttpServer::Exchange& exchange, const Request&) {
    exchange.send(head_of("200 OK", "Connection: close\r\n") + std::string(100'000, 'x'));
    exchange.wait_for_close();
    return true;
  });
  Fetching fetching;
  fetching.run(endless.url(), {.size_bytes = 1'000});
  CHECK(fetching.code() == ErrorCode::size_mismatch);
}

TEST_CASE("a body that does not end is left where the file's header says that it should have") {
  FileServer endless("", [](HttpServer::Exchange& exchange, const Request&) {
    exchange.send(head_of("200 OK", "Connection: close\r\n"));
    exchange.send(std::string(3 << 20, 'x'));
    exchange.wait_for_close();
    return true;
  });
  Fetching fetching;
  fetching.run(endless.url(),
               {.inspect = [](const Arrived&) -> Result<Verdict> { return Verdict{.size_bytes = 1000}; }});
  CHECK(fetching.code() == ErrorCode::size_mismatch);
  CHECK(is_in("does not end", fetching.failure().failure.error.message));
}

TEST_CASE("shorter parts than were asked for are taken, and the rest is asked for") {
  const std::string file = some_bytes(3 * segment_bytes);
  FileServer server(file);
  server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
    Request shorter = request;
    shorter.range->end = std::min<std::uint64_t>(request.range->begin + 50'000, request.range->end);
    server.answer_right(exchange, shorter);
    return true;
  });
  Fetching fetching;
  fetching.run(server.url());
  fetching.check_is(file);
  CHECK(server.requests().size() > 3);
}

TEST_CASE("an answer that can't be continued with ends it; how to begin anew is told") {
  struct Case {
    std::string what;
    std::function<std::string(const Request&)> answer_of;
    bool has_ranges;
  };
  const auto with_range = [](const std::string& range, const std::string& etag) {
    return answer(std::string(segment_bytes, 'x'), "206 Partial Content",
                  "Content-Range: bytes " + range + "\r\nETag: " + etag + "\r\n");
  };
  for (const Case& each : {
           Case{"another range", [&](const Request&) { return with_range("5-65540/327680", "\"one\""); },
                false},
           Case{"another object",
                [&](const Request&) { return with_range("65536-131071/327680", "\"two\""); }, true},
           Case{"another size", [&](const Request&) { return with_range("65536-131071/327681", "\"one\""); },
                true},
           Case{"all of it", [](const Request&) { return answer("x", "200 OK", "ETag: \"one\"\r\n"); }, true},
           Case{"no range", [](const Request&) { return answer("x", "206 Partial Content"); }, false},
       }) {
    CAPTURE(each.what);
    FileServer server(some_bytes(5 * segment_bytes));
    server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
      if (request.range->begin != segment_bytes) return false;
      exchange.send(each.answer_of(request));
      return true;
    });
    Fetching fetching;
    fetching.run(server.url());
    CHECK(fetching.failure().must_restart);
    CHECK(fetching.failure().has_ranges == each.has_ranges);
    CHECK(fetching.writer->accepted().contains({0, segment_bytes}));
    // Not a byte of the wrong answer was taken.
    CHECK_FALSE(fetching.writer->accepted().contains({segment_bytes, segment_bytes + 1}));
  }
}

TEST_CASE("a size that must be is required of the first answer") {
  FileServer server(some_bytes(1000));
  Fetching fetching;
  fetching.run(server.url(), {.size_bytes = 999});
  CHECK(fetching.code() == ErrorCode::size_mismatch);
  CHECK_FALSE(fetching.failure().must_restart);
  CHECK(fetching.writer->accepted().size() == 0);
}

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

TEST_CASE("more connections where they bring more, and never more at stake than a segment each") {
  // A line of 20 KiB in 20 ms for each connection: the file would take one of them 4 s.
  const std::string file = some_bytes(4 << 20);
  FileServer server(file);
  Fetching fetching;
  const std::string folder = fetching.partial->folder();
  std::mutex mutex;
  ByteRanges asked;
  std::uint64_t most_at_stake = 0;
  server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
    {
      const std::lock_guard lock(mutex);
      asked.add(*request.range);
      const auto journal = peek_journal(folder);
      const std::uint64_t safe_bytes = journal ? byte_ranges(*journal).size() : 0;
      most_at_stake = std::max(most_at_stake, asked.size() - std::min(asked.size(), safe_bytes));
    }
    exchange.send(head_of("206 Partial Content",
                          "ETag: \"one\"\r\nContent-Length: " + std::to_string(request.range->size()) +
                              "\r\nContent-Range: bytes " + std::to_string(request.range->begin) + "-" +
                              std::to_string(request.range->end - 1) + "/" + std::to_string(file.size()) +
                              "\r\n"));
    constexpr std::size_t piece_bytes = 20 * 1024;
    std::string_view left = std::string_view(file).substr(request.range->begin, request.range->size());
    while (!left.empty()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the line's pace, not a wait
      exchange.send(left.substr(0, piece_bytes));
      left.remove_prefix(std::min(left.size(), piece_bytes));
    }
    return true;
  });
  fetching.run(server.url());
  std::uint32_t most_connections = 0;
  for (const phase::Download& report : fetching.reports)
    most_connections = std::max(most_connections, report.connections);
  CHECK(most_connections > 1);
  CHECK(most_connections <= 4);
  fetching.check_is(file);
  const std::lock_guard lock(mutex);
  CHECK(most_at_stake <= 4 * segment_bytes);
  CHECK(most_at_stake >= segment_bytes);
}

TEST_CASE("one connection until the header was looked at; a refusal ends it early") {
  const std::string file = some_bytes(40 * segment_bytes);
  FileServer server(file);
  SUBCASE("good") {
    Fetching fetching;
    std::vector<std::uint64_t> fronts;
    std::mutex mutex;
    loop::test::Gate gate;
    const Inspect inspect = [&, passage = gate.passage()](const Arrived& arrived) -> Result<Verdict> {
      passage.wait();
      const std::lock_guard lock(mutex);
      fronts.push_back(arrived.front_bytes);
      CHECK(arrived.total_bytes == file.size());
      std::string head(100, '\0');
      CHECK(pread(arrived.fd, head.data(), head.size(), 0) == 100);
      CHECK(head == file.substr(0, 100));
      if (fronts.size() == 1)
        return Verdict{.wants_front_bytes = 500'000, .warnings = {{"odd", "it is odd"}}};
      return Verdict{.size_bytes = file.size()};
    };
    fetching.start(server.url(), {.inspect = inspect});
    fetching.at_progress = [&] {
      CHECK(fetching.download->progress().connections <= 1);
      if (fetching.reports.size() > 3) gate.open();
    };
    REQUIRE(run_until(fetching.loop, [&] { return fetching.ends > 0; }));
    fetching.check_is(file);
    CHECK(fetching.warnings == std::vector<std::string>{"odd"});
    const std::lock_guard lock(mutex);
    REQUIRE(fronts.size() == 2);
    CHECK(fronts[0] >= first_look_bytes);
    CHECK(fronts[1] >= 500'000);
  }
  SUBCASE("refused") {
    server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
      // What comes behind the fourth segment comes only to whoever goes on all the same.
      if (request.range->begin < 4 * segment_bytes) return false;
      exchange.wait_for_close();
      return true;
    });
    Fetching fetching;
    fetching.run(server.url(), {.inspect = [](const Arrived&) -> Result<Verdict> {
                   return fail(ErrorCode::unsupported_gguf, "not that");
                 }});
    CHECK(fetching.code() == ErrorCode::unsupported_gguf);
    CHECK(fetching.failure().is_refused);
    CHECK(fetching.writer->accepted().size() <= 4 * segment_bytes);
    CHECK(fetching.writer->accepted().size() >= segment_bytes);
  }
  SUBCASE("a file smaller than the first look is looked at whole, before the end") {
    FileServer small("123456");
    Fetching fetching;
    std::atomic<int> looks = 0;
    fetching.run(small.url(), {.inspect = [&](const Arrived& arrived) -> Result<Verdict> {
                   ++looks;
                   CHECK(arrived.front_bytes == 6);
                   return Verdict{.wants_front_bytes = 1000};  // there is no more
                 }});
    fetching.check_is("123456");
    CHECK(looks == 1);
  }
}

TEST_CASE("what is in the target already is not asked for") {
  const std::string file = some_bytes(4 * segment_bytes);
  FileServer server(file);
  Fetching fetching;
  ByteRanges present;
  present.add({0, 1000});
  present.add({segment_bytes, 3 * segment_bytes});
  REQUIRE(store::pwrite_all(fetching.partial->fd(), bytes_of(file), 0, fetching.partial->data_path()));
  fetching.writer = std::make_unique<FileWriter>(fetching.loop, fetching.partial, present, [&](Error error) {
    fetching.write_error = std::move(error);
  });
  fetching.run(server.url(),
               {.bound = {.etag = "\"one\"", .size_bytes = file.size()}, .resumed_bytes = present.size()});
  fetching.check_is(file);
  const auto requests = server.requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].range == ByteRange{1000, segment_bytes});
  CHECK(requests[0].if_range == "\"one\"");
  CHECK(requests[1].range == ByteRange{3 * segment_bytes, 4 * segment_bytes});
  CHECK(fetching.reports.front().resumed_bytes == present.size());
}

TEST_CASE("a target that has everything is the end, and nothing is asked") {
  FileServer server("123456");
  Fetching fetching;
  REQUIRE(store::pwrite_all(fetching.partial->fd(), bytes_of("123456"), 0, fetching.partial->data_path()));
  ByteRanges present;
  present.add({0, 6});
  fetching.writer =
      std::make_unique<FileWriter>(fetching.loop, fetching.partial, present, [](const Error&) {});
  fetching.run(server.url(), {.bound = {.etag = "\"one\"", .size_bytes = 6}});
  fetching.check_is("123456");
  CHECK(server.requests().empty());
}

TEST_CASE("under a rate limit the file comes at that rate") {
  const std::string file = some_bytes(300'000);
  FileServer server(file);
  Fetching fetching;
  fetching.limit.set(400'000);
  const Stopwatch watch;
  fetching.run(server.url());
  CHECK(watch.elapsed_ms() >= 450);  // 750 ms less a quarter of a second's burst
  fetching.check_is(file);
}

TEST_CASE("a disk that is slower than the network holds the transfers, not the memory") {
  const std::string file = some_bytes(40 << 20);
  FileServer server(file);
  Fetching fetching;
  fetching.settings.segment_bytes = 64 << 20;
  BusyPool pool(fetching.loop);
  constexpr std::uint64_t capacity = ChunkBuffer::max_chunks * ChunkBuffer::chunk_bytes;
  fetching.start(server.url());
  REQUIRE(run_until(fetching.loop, [&] { return fetching.writer->accepted().size() > capacity - 600'000; }));
  int turns = 0;
  loop::Timer turn(fetching.loop, [&] { ++turns; });
  turn.start_repeating(1);
  REQUIRE(run_until(fetching.loop, [&] { return turns > 20; }));
  turn.stop();
  CHECK(fetching.writer->accepted().size() <= capacity);
  pool.release();
  REQUIRE(run_until(fetching.loop, [&] { return fetching.ends > 0; }));
  fetching.check_is(file);
}

TEST_CASE("the next download into the same target hears of its room, though the last one still lives") {
  const std::string file = some_bytes(40 << 20);
  FileServer server(file);
  FileServer refusing("", [](HttpServer::Exchange& exchange, const Request&) {
    exchange.send(answer("", "404 Not Found"));
    return true;
  });
  Fetching fetching;
  fetching.settings.segment_bytes = 64 << 20;
  bool has_refused = false;
  fetching.at_done = [&] {
    if (has_refused) return;
    has_refused = true;
    fetching.ends = 0;
    // As in a pull: the one that has ended goes when the turn does.
    fetching.loop.at_end_of_turn([ended = std::shared_ptr<Download>(std::move(fetching.download))] {});
    fetching.start(server.url());
  };
  fetching.start(refusing.url());
  BusyPool pool(fetching.loop);
  REQUIRE(run_until(fetching.loop, [&] { return fetching.writer->accepted().size() > (20 << 20); }));
  pool.release();
  REQUIRE(run_until(fetching.loop, [&] { return fetching.ends > 0; }));
  fetching.check_is(file);
}

enum class Moment { at_once, waiting_for_head, in_the_body, inside_progress, waiting_to_retry };
constexpr std::array moments = {Moment::at_once, Moment::waiting_for_head, Moment::in_the_body,
                                Moment::inside_progress, Moment::waiting_to_retry};

// Runs a download to the moment and does `act` then.
struct Scene {
  Fetching fetching;
  HttpServer server{[](auto& exchange) {
    if (exchange.path == "/silent") return exchange.wait_for_close();
    if (exchange.path == "/busy") return exchange.send(answer("", "503 Busy"));
    exchange.send(head_of("200 OK", "Content-Length: 6\r\n") + "123");
    exchange.wait_for_close();
  }};

  void act_at(Moment moment, const std::function<void()>& act) {
    fetching.start(server.url(moment == Moment::waiting_for_head   ? "/silent"
                              : moment == Moment::waiting_to_retry ? "/busy"
                                                                   : "/half"));
    const auto come_to = [&](auto reached) { REQUIRE(run_until(fetching.loop, reached)); };
    bool has_acted = false;
    if (moment == Moment::inside_progress) {
      fetching.at_progress = [&] {
        if (!std::exchange(has_acted, true)) act();
      };
      come_to([&] { return has_acted; });
      fetching.at_progress = [] {};
      return;
    }
    if (moment == Moment::waiting_for_head) come_to([&] { return server.requests() == 1; });
    if (moment == Moment::in_the_body) come_to([&] { return fetching.writer->accepted().size() == 3; });
    if (moment == Moment::waiting_to_retry) come_to([&] { return !fetching.notes.empty(); });
    act();
  }
};

TEST_CASE("cancelling ends a download once, at once, and never inside the call; its bytes stay") {
  for (const Moment moment : moments) {
    CAPTURE(static_cast<int>(moment));
    Scene scene;
    Fetching& fetching = scene.fetching;
    Stopwatch watch;
    scene.act_at(moment, [&] {
      watch = {};
      fetching.download->cancel();
      fetching.download->cancel();
      CHECK(fetching.ends == 0);
    });
    REQUIRE(run_until(fetching.loop, [&] { return fetching.ends > 0; }));
    CHECK(watch.elapsed_ms() < 100);
    CHECK(fetching.code() == ErrorCode::cancelled);
    fetching.download->cancel();
    if (moment == Moment::in_the_body) CHECK(fetching.writer->accepted().size() == 3);
    fetching.download.reset();
    fetching.run_dry();
    CHECK(fetching.ends == 1);
  }
}

TEST_CASE("destroying a download is its end: nothing is told") {
  for (const Moment moment : moments) {
    if (moment == Moment::inside_progress) continue;  // on_progress must not destroy it
    CAPTURE(static_cast<int>(moment));
    Scene scene;
    scene.act_at(moment, [&] { scene.fetching.download.reset(); });
    scene.fetching.run_dry();
    CHECK(scene.fetching.ends == 0);
  }
}

TEST_CASE("a download may be destroyed by its end, whatever that is") {
  const std::string file = some_bytes(30 << 20);
  for (const char* path : {"/whole", "/404", "/changed", "/cancel", "/paused"}) {
    CAPTURE(path);
    const std::string_view what = path;
    FileServer server(what == "/paused" ? file : some_bytes(3 * segment_bytes));
    server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
      if (what == "/404") exchange.send(answer("", "404 Not Found"));
      if (what == "/changed" && request.number > 0) exchange.send(answer("x", "200 OK", "ETag: \"two\"\r\n"));
      // Ends while it is held back: resuming it is the end.
      if (what == "/paused") server.answer_right(exchange, request, file.size() - 1);
      return what == "/404" || what == "/paused" || (what == "/changed" && request.number > 0);
    });
    Fetching fetching;
    if (what == "/paused") fetching.settings = {.segment_bytes = 64 << 20, .retries = 0};
    fetching.at_done = [&] { fetching.download.reset(); };
    if (what == "/cancel") fetching.at_progress = [&] { fetching.download->cancel(); };
    std::unique_ptr<BusyPool> pool;
    if (what == "/paused") pool = std::make_unique<BusyPool>(fetching.loop);
    fetching.start(server.url(path));
    if (pool) {
      REQUIRE(run_until(fetching.loop, [&] { return fetching.writer->accepted().size() > (23 << 20); }));
      pool->release();
    }
    REQUIRE(run_until(fetching.loop, [&] { return fetching.ends > 0; }));
    CHECK(fetching.download == nullptr);
    fetching.run_dry();
    CHECK(fetching.ends == 1);
  }
}

}  // namespace
}  // namespace ggufd::fetch
