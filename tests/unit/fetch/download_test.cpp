// One file from one place: what is asked for, and what is made of right answers and wrong ones.
#include <atomic>
#include <thread>

#include "download_support.h"

namespace ggufd::fetch {
namespace {

using namespace test;
using Request = FileServer::Request;

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
  // There is no range in it, and that is the server's judgement.
  CHECK(nothing.code() == ErrorCode::http_status);
  CHECK_FALSE(nothing.failure().must_restart);
  CHECK(empty.requests().size() == 1);
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

TEST_CASE(
    "a whole answer that is too short is judged where it says its end, and passes where it may be cut off") {
  for (const bool says_its_end : {true, false}) {
    CAPTURE(says_its_end);
    FileServer server("", [&](HttpServer::Exchange& exchange, const Request&) {
      if (says_its_end) {
        exchange.send(head_of("200 OK", "Transfer-Encoding: chunked\r\n") + "6\r\n123456\r\n0\r\n\r\n");
      } else {
        exchange.send(head_of("200 OK", "Connection: close\r\n") + "123456");
        exchange.close();
      }
      return true;
    });
    Fetching fetching;
    fetching.run(server.url(), {.size_bytes = 7});
    CHECK(server.requests().size() == 1);
    CHECK(fetching.code() == (says_its_end ? ErrorCode::size_mismatch : ErrorCode::network));
    CHECK(fetching.failure().are_bytes_wrong == says_its_end);
    CHECK(fetching.failure().must_restart == !says_its_end);
    // Neither can be gone on with.
    CHECK_FALSE(is_in("is kept", fetching.failure().failure.error.message));
    if (says_its_end)
      CHECK(is_in("has 6 bytes and 7 are expected", fetching.failure().failure.error.message));
  }
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

}  // namespace
}  // namespace ggufd::fetch
