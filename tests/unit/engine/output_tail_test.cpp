#include "engine/output_tail.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace ggufd::engine {
namespace {

TEST_CASE("bytes that are no UTF-8 are replaced one by one, what a terminal obeys is dropped") {
  CHECK(readable_text("caf\xC3\xA9\t\xE2\x82\xAC\n") == "caf\xC3\xA9\t\xE2\x82\xAC\n");
  CHECK(readable_text("a\xFF\xC3(\xE2\x82") == "a\xEF\xBF\xBD\xEF\xBF\xBD(\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(readable_text("\x1B[34m0.00\x1B[0m \x1B[1;31mE\x1B[K x") == "0.00 E x");
  CHECK(readable_text(std::string_view("a\rb\0c\x7F\b", 7)) == "abc");
  CHECK(readable_text("\xC2\x9B"
                      "31m") == "31m");  // U+009B, the C1 form of ESC [
  CHECK(readable_text("\x1B[") == "[");  // cut off
  CHECK(readable_text("\x1B]0;title\a") == "]0;title");
  CHECK(readable_text("").empty());
}

TEST_CASE("a tail is cut at a line's start") {
  OutputTail tail;
  tail.append("first line\nsecond line\nthird");
  CHECK(tail.text(1000) == "first line\nsecond line\nthird");
  CHECK(tail.text(28) == "first line\nsecond line\nthird");
  CHECK(tail.text(27) == "second line\nthird");
  CHECK(tail.text(17) == "second line\nthird");
  CHECK(tail.text(16) == "third");
  CHECK(tail.text(3) == "ird");  // no line begins there
  CHECK(tail.text(0).empty());
}

TEST_CASE("where the limit cuts a line with nothing after it, it is kept, and no character halved") {
  OutputTail tail;
  tail.append("one\n\xE2\x82\xAC\xE2\x82\xAC\n");
  CHECK(tail.text(7) == "\xE2\x82\xAC\xE2\x82\xAC\n");
  CHECK(tail.text(6) == "\xE2\x82\xAC\n");
  CHECK(tail.text(4) == "\xE2\x82\xAC\n");
  CHECK(tail.text(3) == "\n");
  CHECK(tail.text(1) == "\n");
}

std::string lines_of(std::size_t begin, std::size_t end) {
  std::string text;
  for (std::size_t i = begin; i < end; ++i) text += "line " + std::to_string(100'000 + i) + " is here\n";
  return text;
}
constexpr std::size_t line_bytes = 20;

TEST_CASE("of much output the last 64 KiB are kept, whatever the pieces it comes in") {
  const std::string all = lines_of(0, 20'000);
  for (const std::size_t piece :
       {std::size_t{1}, std::size_t{7}, std::size_t{4096}, OutputTail::bytes_max - 1, OutputTail::bytes_max,
        OutputTail::bytes_max + 1, all.size()}) {
    CAPTURE(piece);
    OutputTail tail;
    for (std::size_t i = 0; i < all.size(); i += piece) {
      tail.append(std::string_view(all).substr(i, piece));
      if (piece > 1) REQUIRE(tail.bytes().size() <= OutputTail::bytes_max);
    }
    CHECK(tail.bytes() == std::string_view(all).substr(all.size() - OutputTail::bytes_max));
    const std::size_t whole_lines = OutputTail::bytes_max / line_bytes;
    CHECK(tail.text(all.size()) == lines_of(20'000 - whole_lines, 20'000));
    CHECK(tail.text(2 * line_bytes) == lines_of(19'998, 20'000));
    CHECK(tail.text(2 * line_bytes - 1) == lines_of(19'999, 20'000));
  }
}

TEST_CASE("64 KiB that begin with a line lose none") {
  OutputTail tail;
  tail.append("before\n");
  tail.append(std::string(OutputTail::bytes_max - 2, 'a') + "\nb");
  CHECK(tail.text(1 << 20) == std::string(OutputTail::bytes_max - 2, 'a') + "\nb");
  OutputTail in_one;
  in_one.append("before\n" + std::string(OutputTail::bytes_max - 2, 'a') + "\nb");
  CHECK(in_one.text(1 << 20) == tail.text(1 << 20));
  in_one.append(std::string(OutputTail::bytes_max + 5, 'c'));
  CHECK(in_one.text(1 << 20) == std::string(OutputTail::bytes_max, 'c'));
}

}  // namespace
}  // namespace ggufd::engine
