#include "protocol/ndjson.h"

#include <doctest/doctest.h>

#include <vector>

#include "protocol/frame.h"

namespace ggufd {
namespace {

using Lines = std::vector<std::string>;

auto collect(Lines& lines) {
  return [&lines](std::string_view line) {
    lines.emplace_back(line);
    return true;
  };
}

TEST_CASE("ndjson: lines come without their newline, an incomplete one waits") {
  LineReader reader(100);
  Lines lines;
  CHECK(reader.feed("one\n\ntwo\r\nthr", collect(lines)));
  CHECK(lines == Lines{"one", "", "two\r"});
  CHECK(reader.partial_bytes() == 3);
  CHECK(reader.feed("ee\n", collect(lines)));
  CHECK(lines.back() == "three");
  CHECK(reader.partial_bytes() == 0);
}

TEST_CASE("ndjson: split anywhere, the lines are the same") {
  const std::string text = "first\nthe second\n\nfourth and last\n";
  const Lines whole = {"first", "the second", "", "fourth and last"};
  for (std::size_t a = 0; a <= text.size(); ++a) {
    for (std::size_t b = a; b <= text.size(); ++b) {
      LineReader reader(15);
      Lines lines;
      CHECK(reader.feed(text.substr(0, a), collect(lines)));
      CHECK(reader.feed(text.substr(a, b - a), collect(lines)));
      CHECK(reader.feed(text.substr(b), collect(lines)));
      CHECK(lines == whole);
    }
  }
}

TEST_CASE("ndjson: byte by byte, the lines are the same") {
  LineReader reader(6);
  Lines lines;
  for (const char c : std::string_view("a\nbcdefg\n\n")) CHECK(reader.feed({&c, 1}, collect(lines)));
  CHECK(lines == Lines{"a", "bcdefg", ""});
}

TEST_CASE("ndjson: a line of the limit passes, one byte more does not") {
  const std::string full(max_frame_bytes, 'x');
  for (const std::size_t split : {std::size_t{0}, std::size_t{1}, full.size() - 1, full.size()}) {
    LineReader reader(max_frame_bytes);
    Lines lines;
    CHECK(reader.feed(full.substr(0, split), collect(lines)));
    CHECK(reader.feed(full.substr(split) + "\n", collect(lines)));
    CHECK(lines == Lines{full});

    LineReader strict(max_frame_bytes);
    lines.clear();
    CHECK(strict.feed(full.substr(0, split), collect(lines)));
    CHECK_FALSE(strict.feed(full.substr(split) + "x\n", collect(lines)));
    CHECK(lines.empty());
  }
}

TEST_CASE("ndjson: a line that is too long is found before its newline comes") {
  LineReader reader(max_frame_bytes);
  Lines lines;
  CHECK(reader.feed("ok\n" + std::string(max_frame_bytes, 'x'), collect(lines)));
  CHECK_FALSE(reader.feed("x", collect(lines)));
  CHECK(lines == Lines{"ok"});
}

TEST_CASE("ndjson: lines before the one that is too long are handed out") {
  LineReader reader(4);
  Lines lines;
  CHECK_FALSE(reader.feed("one\ntwo\nthree\nfour\n", collect(lines)));
  CHECK(lines == Lines{"one", "two"});
}

TEST_CASE("ndjson: a callback that stops drops the rest of the bytes") {
  LineReader reader(100);
  Lines lines;
  const auto stop_at_two = [&](std::string_view line) {
    lines.emplace_back(line);
    return line != "two";
  };
  CHECK(reader.feed("one\ntw", stop_at_two));
  CHECK(reader.feed("o\nthree\nfo", stop_at_two));
  CHECK(lines == Lines{"one", "two"});
  CHECK(reader.partial_bytes() == 0);
}

}  // namespace
}  // namespace ggufd
