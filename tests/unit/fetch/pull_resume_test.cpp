// A pull that goes on where another process, which was killed, had come to.
#include "pull_support.h"

namespace ggufd::fetch {
namespace {

using namespace test;
using Request = FileServer::Request;

constexpr std::uint64_t allowed_bytes = 2 * segment_bytes;  // connections * segment_bytes

// What a process that dies now leaves: the store as it is on the disk, in the folder of another one.
void copy_store(const Pulling& from, const Pulling& to) {
  std::filesystem::copy(from.services.store.root(), to.services.store.root(),
                        std::filesystem::copy_options::recursive);
}

// Pulls until `bytes` have come, or a little more, and leaves a copy of the store of that moment in `to`.
void die_at(FileServer& server, const store::Digest& digest, std::uint64_t bytes, const Pulling& to) {
  server.set_bend([&server, bytes](HttpServer::Exchange& exchange, const Request& request) {
    if (!request.range || request.range->end <= bytes) return false;
    const std::uint64_t begin = request.range->begin;
    server.answer_right(exchange, request, bytes > begin ? bytes - begin : 0);
    return true;
  });
  Pulling dying;
  Caller caller;
  dying.join(caller, {server.url()}, digest);
  const auto has_come = [&] {
    const auto all = caller.all<phase::Download>();
    return !all.empty() && all.back().downloaded_bytes >= bytes;
  };
  REQUIRE(run_until(dying.loop, has_come));
  copy_store(dying, to);
  caller.operation.reset();
  server.set_bend(nullptr);
}

TEST_CASE("killed at any point, it goes on; no more than a segment a connection is fetched again") {
  const std::string file = some_bytes(12 * segment_bytes + 99);
  for (const std::uint64_t bytes : {std::uint64_t{0}, segment_bytes / 2, segment_bytes, 5 * segment_bytes + 7,
                                    11 * segment_bytes, 12 * segment_bytes + 98}) {
    CAPTURE(bytes);
    FileServer server(file);
    Pulling pulling;
    die_at(server, digest_of(file), bytes, pulling);
    const std::size_t asked_before = server.requests().size();
    const auto journal = peek_journal(pulling.partial_folder(digest_of(file)));
    const ByteRanges safe = journal ? byte_ranges(*journal) : ByteRanges();
    CHECK(safe.size() + allowed_bytes >= bytes);
    Caller caller;
    pulling.join(caller, {server.url()}, digest_of(file));
    pulling.check_is(caller, file);
    CHECK(caller.warnings.empty());
    CHECK(caller.all<phase::Download>().front().resumed_bytes == safe.size());
    const auto requests = server.requests();
    for (std::size_t i = asked_before; i < requests.size(); ++i) {
      const ByteRange range = *requests[i].range;
      CAPTURE(range.begin);
      const std::uint64_t end = std::min<std::uint64_t>(range.end, file.size());
      ByteRanges both = safe;
      both.add({range.begin, end});
      CHECK(both.size() == safe.size() + end - range.begin);  // nothing that was safe
      if (safe.size() > 0) CHECK(requests[i].if_range == "\"one\"");
    }
  }
}

TEST_CASE("an object that is another one meanwhile begins anew") {
  const std::string file = some_bytes(6 * segment_bytes, 2);
  for (const bool has_same_size : {true, false}) {
    CAPTURE(has_same_size);
    FileServer server(some_bytes((has_same_size ? 6 : 7) * segment_bytes, 1));
    Pulling pulling;
    die_at(server, digest_of(file), 4 * segment_bytes, pulling);
    server.become(file, "\"two\"");
    Caller caller;
    pulling.join(caller, {server.url()}, digest_of(file));
    pulling.check_is(caller, file);
    CHECK(caller.codes() == Codes{"download_restarted"});
  }
}

TEST_CASE("a journal that is damaged, or of another size than is required, is not believed") {
  const std::string file = some_bytes(6 * segment_bytes);
  for (const bool is_damaged : {true, false}) {
    CAPTURE(is_damaged);
    FileServer server(is_damaged ? file : some_bytes(7 * segment_bytes));
    Pulling pulling;
    die_at(server, digest_of(file), 4 * segment_bytes, pulling);
    const std::string path = pulling.partial_folder(digest_of(file)) + "/journal.json";
    REQUIRE(std::filesystem::exists(path));
    if (is_damaged) std::ofstream(path) << "{";
    server.become(file, "\"one\"");
    Caller caller;
    pulling.join(caller, {server.url()}, digest_of(file),
                 [&](PullRequest& request) { request.size_bytes = file.size(); });
    pulling.check_is(caller, file);
    CHECK(caller.all<phase::Download>().front().resumed_bytes == 0);
  }
}

TEST_CASE("without a digest only the same place can go on with it") {
  const std::string file = some_bytes(6 * segment_bytes);
  FileServer server(file);
  server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
    if (!request.range || request.range->begin < 3 * segment_bytes) return false;
    exchange.send(answer("", "404 Not Found"));
    return true;
  });
  const std::string other_file = some_bytes(6 * segment_bytes, 2);
  FileServer other(other_file);
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {server.url(), other.url()}, std::nullopt);
  pulling.check_is(caller, other_file);
  CHECK(caller.codes() == Codes{"download_restarted"});
}

TEST_CASE("a stream of unknown size is not continued from another place") {
  const std::string file = some_bytes(3 * segment_bytes, 2);
  FileServer server("", [](HttpServer::Exchange& exchange, const Request& request) {
    if (request.method == "HEAD") {
      exchange.send(answer("", "405 Method Not Allowed"));
    } else if (request.number == 1) {
      exchange.send(head_of("200 OK", "Transfer-Encoding: chunked\r\nAccept-Ranges: bytes\r\n") +
                    "4\r\nabcd\r\n");
      exchange.close();
    } else {
      exchange.send(answer("", "404 Not Found"));
    }
    return true;
  });
  FileServer other(file);
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {server.url(), other.url()}, std::nullopt);
  pulling.check_is(caller, file);
}

}  // namespace
}  // namespace ggufd::fetch
