#include "http/event_stream.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

#include "protocol/frame.h"

namespace ggufd::http {
namespace {

Status downloading(std::uint64_t bytes) {
  return status::LoadingModel{
      phase::Download{.downloaded_bytes = bytes, .source_url = "https://example.org/m"}};
}
Status checking() {
  return status::LoadingModel{phase::CheckingLocal{"/m"}};
}

std::string read_all(EventStream& stream, std::size_t at_a_time = 4096) {
  std::string text;
  std::string block(at_a_time, '\0');
  while (const std::size_t count = stream.read(block)) text.append(block, 0, count);
  return text;
}

// The ids of the events in `text`, each followed by a space; "-" for one without.
std::string ids(const std::string& text) {
  std::string found;
  std::string id = "-";
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = text.find('\n', begin);
    const std::string line = text.substr(begin, end - begin);
    if (line.starts_with("id: ")) id = line.substr(4);
    if (line.starts_with("data: ")) found += std::exchange(id, "-") + " ";
    begin = end + 1;
  }
  return found;
}

struct Log {
  admin::StatusLog log{"m", [] {}};
  void publish(Status status) { log.publish("m", std::move(status)); }
};

}  // namespace

TEST_CASE("an event is its seq and its frame") {
  std::string out;
  append_event(out, "{\"status\":\"ready\",\"model\":\"m\",\"seq\":17,\"ts\":\"x\"}\n");
  CHECK(out == "id: 17\ndata: {\"status\":\"ready\",\"model\":\"m\",\"seq\":17,\"ts\":\"x\"}\n\n");
}

TEST_CASE("what looks like a seq within a string is none") {
  const StatusEvent lagged{.status = status::Lagged{5}};
  std::string out;
  append_event(out, encoded(lagged));
  CHECK(out.starts_with("data: {"));
  out.clear();
  append_event(out, encoded(StatusEvent{.status = status::Warning{"x", "a,\"seq\":99,b"}}));
  CHECK(out.starts_with("data: {"));
  out.clear();
  append_event(out, encoded(StatusEvent{.status = status::Warning{"x", "a,\"seq\":99,b"}, .seq = 4}));
  CHECK(out.starts_with("id: 4\n"));
}

TEST_CASE("a Last-Event-ID is a number, and nothing else") {
  CHECK(parse_event_id("0") == 0);
  CHECK(parse_event_id("18446744073709551615") == UINT64_MAX);
  for (const char* text : {"", "-1", "+1", "1 ", "x", "1x", "18446744073709551616"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_event_id(text));
  }
}

TEST_CASE("the snapshot comes first, then what is published") {
  Log story;
  story.publish(checking());
  story.publish(status::Ready{});
  EventStream stream(story.log, std::nullopt);
  CHECK(ids(read_all(stream)) == "2 ");
  CHECK(read_all(stream).empty());
  story.publish(status::Unloading{});
  story.publish(status::Unloaded{});
  CHECK(ids(read_all(stream)) == "3 4 ");
}

TEST_CASE("who knows an id goes on behind it, without a snapshot") {
  Log story;
  for (std::uint64_t i = 0; i < 5; ++i) story.publish(downloading(i));
  EventStream stream(story.log, 2);
  CHECK(ids(read_all(stream)) == "3 4 5 ");
  EventStream at_the_end(story.log, 5);
  CHECK(read_all(at_the_end).empty());
  story.publish(status::Ready{});
  CHECK(ids(read_all(at_the_end)) == "6 ");
}

TEST_CASE("an id that is too old, or another daemon's, gets the lagged frame and the state") {
  Log story;
  for (std::uint64_t i = 0; i < admin::StatusLog::kept_events + 10; ++i) story.publish(downloading(i));
  for (const std::uint64_t since : {std::uint64_t{1}, std::uint64_t{1'000'000}}) {
    EventStream stream(story.log, since);
    const std::string text = read_all(stream);
    CHECK(text.find("\"status\":\"lagged\"") != std::string::npos);
    CHECK(ids(text) == fmt::format("- {} ", story.log.seq()));
  }
}

TEST_CASE("the bytes are the same, however few are taken at a time") {
  Log story;
  for (std::uint64_t i = 0; i < 50; ++i) story.publish(i % 2 == 0 ? downloading(i) : checking());
  EventStream whole(story.log, 0);
  EventStream in_bits(story.log, 0);
  CHECK(read_all(whole) == read_all(in_bits, 7));
}

TEST_CASE("a reader that is slow loses superseded progress, and no change") {
  Log story;
  story.publish(checking());
  EventStream stream(story.log, 0);
  std::array<char, 10> few{};
  CHECK(stream.read(few) == few.size());
  for (std::uint64_t i = 0; i < 3000; ++i) story.publish(downloading(i));
  story.publish(status::Ready{});
  const std::string text = read_all(stream);
  CHECK(text.ends_with("\n\n"));
  CHECK(std::ranges::count(ids(text), ' ') < 3000);
  CHECK(text.find("\"downloaded_bytes\":2999,") != std::string::npos);
  CHECK(text.find("\"status\":\"ready\"") != std::string::npos);
}

TEST_CASE("a comment is sent where there is nothing to say, and only there") {
  Log story;
  story.publish(checking());
  EventStream stream(story.log, std::nullopt);
  stream.keep_alive();
  CHECK(ids(read_all(stream)) == "1 ");
  stream.keep_alive();
  stream.keep_alive();
  const std::string comment = read_all(stream);
  CHECK(comment.starts_with(":"));
  CHECK(comment.ends_with("\n\n"));
  CHECK(comment.find("\n\n") == comment.size() - 2);
}

}  // namespace ggufd::http
