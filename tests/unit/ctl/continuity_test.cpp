#include "ctl/continuity.h"

#include "tests/unit/ctl/support.h"

namespace ggufd::ctl {

using namespace test;

namespace {

using Moment = Continuity::Moment;

HeardFrame heard(const std::string& line) {
  return {*decode_frame(std::string_view(line).substr(0, line.size() - 1)), line};
}
HeardFrame heard(const StatusEvent& e) {
  return heard(encoded(e));
}
HeardFrame answer_to(const std::string& id, const AnswerBody& body) {
  fmt::memory_buffer out;
  encode_answer(id, body, out);
  return heard(fmt::to_string(out));
}

const Moment origin = Moment() + std::chrono::hours(1);
Moment at(int seconds) {
  return origin + std::chrono::seconds(seconds);
}
HeardFrame ping(std::int64_t pid, std::uint64_t uptime_s) {
  return answer_to("p", answer::Ping{.version = "1", .pid = pid, .uptime_s = uptime_s});
}

std::vector<std::uint64_t> seqs(const Continuity::Step& step) {
  std::vector<std::uint64_t> all;
  for (const HeardFrame& frame : step.news) all.push_back(std::get<StatusEvent>(frame.frame).seq);
  return all;
}
using Seqs = std::vector<std::uint64_t>;

// A first connection to process 7, which began at -100 s, with events up to 9.
Continuity after_first_connection() {
  Continuity continuity;
  continuity.connected("p");
  CHECK(seqs(continuity.take(heard(event(9, download(1))), at(0))) == Seqs{9});
  CHECK(seqs(continuity.take(heard(event(4, ready(), "b")), at(0))) == Seqs{4});
  CHECK(continuity.take(ping(7, 100), at(0)).news.empty());
  continuity.connected("p");
  return continuity;
}

}  // namespace

TEST_CASE("continuity: the same daemon is asked for what came after the last event") {
  Continuity continuity = after_first_connection();
  CHECK(continuity.take(heard(event(12, download(7))), at(20)).news.empty());
  const auto decided = continuity.take(ping(7, 121), at(20));
  CHECK(decided.subscribe_since == 9);
  CHECK_FALSE(decided.is_another);
  continuity.subscribed("s");
  CHECK(continuity.take(heard(event(13, download(8))), at(20)).news.empty());
  CHECK(continuity.take(answer_to("s", answer::Subscribe{.seq = 13}), at(20)).news.empty());
  CHECK(continuity.take(heard(event(9, download(1))), at(20)).news.empty());
  CHECK(seqs(continuity.take(heard(event(10, download(2))), at(20))) == Seqs{10});
}

TEST_CASE("continuity: another process, or the same number begun at another time, is another daemon") {
  for (const auto& [pid, uptime_s] : {std::pair<std::int64_t, std::uint64_t>{8, 120}, {7, 3}}) {
    Continuity continuity = after_first_connection();
    CHECK(continuity.take(heard(event(1, download(1))), at(20)).news.empty());
    CHECK(continuity.take(heard(event(2, download(2))), at(20)).news.empty());
    const auto decided = continuity.take(ping(pid, uptime_s), at(20));
    CHECK(decided.is_another);
    CHECK_FALSE(decided.subscribe_since);
    CHECK(seqs(decided) == Seqs{1, 2});
    CHECK(seqs(continuity.take(heard(event(3, download(3))), at(20))) == Seqs{3});
  }
}

TEST_CASE("continuity: a daemon that does not say who it is counts as another") {
  Continuity continuity = after_first_connection();
  CHECK(continuity.take(heard(event(1, download(1))), at(20)).news.empty());
  fmt::memory_buffer refusal;
  encode_error("p", {ErrorCode::unknown_type, "ping is not a request"}, refusal);
  const auto decided = continuity.take(heard(fmt::to_string(refusal)), at(20));
  CHECK(decided.is_another);
  CHECK(seqs(decided) == Seqs{1});
}

TEST_CASE("continuity: a gap is followed by the state as it is, however old") {
  Continuity continuity = after_first_connection();
  continuity.take(ping(7, 120), at(20));
  continuity.subscribed("s");
  continuity.take(answer_to("s", answer::Subscribe{.seq = 99}), at(20));
  CHECK(seqs(continuity.take(heard(event(0, status::Lagged{.missed = 90}, {})), at(20))) == Seqs{0});
  CHECK(seqs(continuity.take(heard(event(4, ready(), "b")), at(20))) == Seqs{4});
}

TEST_CASE("continuity: a connection that ends before its daemon is known leaves nothing behind") {
  Continuity continuity = after_first_connection();
  CHECK(continuity.take(heard(event(12, download(7))), at(20)).news.empty());
  continuity.connected("p");
  const auto decided = continuity.take(ping(8, 0), at(21));
  CHECK(decided.is_another);
  CHECK(decided.news.empty());
}

}  // namespace ggufd::ctl
