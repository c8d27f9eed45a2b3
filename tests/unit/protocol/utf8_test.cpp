#include "protocol/utf8.h"

#include <doctest/doctest.h>

#include <string>

namespace ggufd {
namespace {

using namespace std::string_view_literals;

TEST_CASE("utf8: the length of a well-formed sequence, at each range's ends") {
  CHECK(utf8_sequence_length("\0"sv) == 1);
  CHECK(utf8_sequence_length("\x7F") == 1);
  CHECK(utf8_sequence_length("\xC2\x80") == 2);          // U+0080
  CHECK(utf8_sequence_length("\xDF\xBF") == 2);          // U+07FF
  CHECK(utf8_sequence_length("\xE0\xA0\x80") == 3);      // U+0800
  CHECK(utf8_sequence_length("\xED\x9F\xBF") == 3);      // U+D7FF
  CHECK(utf8_sequence_length("\xEE\x80\x80") == 3);      // U+E000
  CHECK(utf8_sequence_length("\xEF\xBF\xBF") == 3);      // U+FFFF
  CHECK(utf8_sequence_length("\xF0\x90\x80\x80") == 4);  // U+10000
  CHECK(utf8_sequence_length("\xF4\x8F\xBF\xBF") == 4);  // U+10FFFF
  CHECK(utf8_sequence_length("\xC3\xBCx") == 2);         // what follows does not matter
}

TEST_CASE("utf8: every class of malformed sequence has the length 0") {
  const struct {
    const char* what;
    std::string_view bytes;
  } cases[] = {
      {"nothing", ""},
      {"a continuation byte alone", "\x80"},
      {"the last continuation byte alone", "\xBF"},
      {"an overlong form of two bytes", "\xC0\xAF"},
      {"an overlong form of two bytes, the longest", "\xC1\xBF"},
      {"an overlong form of three bytes", "\xE0\x9F\xBF"},
      {"an overlong form of four bytes", "\xF0\x8F\xBF\xBF"},
      {"the first high surrogate", "\xED\xA0\x80"},
      {"the last low surrogate", "\xED\xBF\xBF"},
      {"above U+10FFFF", "\xF4\x90\x80\x80"},
      {"a first byte for code points that do not exist", "\xF5\x80\x80\x80"},
      {"a first byte of five", "\xF8\x88\x80\x80\x80"},
      {"a first byte of six", "\xFC\x84\x80\x80\x80\x80"},
      {"FE", "\xFE"},
      {"FF", "\xFF"},
      {"two bytes, cut", "\xC3"},
      {"three bytes, cut after one", "\xE2"},
      {"three bytes, cut after two", "\xE2\x82"},
      {"four bytes, cut after three", "\xF0\x9F\x98"},
      {"two bytes, the second is ASCII", "\xC3x"},
      {"three bytes, the third is ASCII", "\xE2\x82x"},
      {"four bytes, the third is a first byte", "\xF0\x9F\xC3\x80"},
      {"four bytes, the fourth is ASCII", "\xF0\x9F\x98x"},
  };
  for (const auto& [what, bytes] : cases) {
    INFO(what);
    CHECK(utf8_sequence_length(bytes) == 0);
  }
}

TEST_CASE("utf8: a prefix ends before the sequence that would be cut") {
  const std::string text = "aü€😀";  // 1 + 2 + 3 + 4 bytes
  const std::size_t lengths[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
  for (std::size_t i = 0; i < std::size(lengths); ++i) {
    INFO("limit " << i);
    CHECK(utf8_prefix(text, i) == text.substr(0, lengths[i]));
  }
}

TEST_CASE("utf8: a prefix of text that is not UTF-8 loses no more than the limit asks") {
  CHECK(utf8_prefix(std::string(100, '\x80'), 50).size() == 50);
  CHECK(utf8_prefix(std::string(100, '\xE2'), 50).size() == 50);
  CHECK(utf8_prefix("", 0).empty());
  CHECK(utf8_prefix("\xE2\x82", 1).size() == 1);
}

}  // namespace
}  // namespace ggufd
