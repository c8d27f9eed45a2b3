#include "protocol/json_writer.h"

#include <doctest/doctest.h>
#include <simdjson.h>

#include <cmath>
#include <limits>
#include <string>

#include "protocol/fields.h"

namespace ggufd {
namespace {

using namespace std::string_literals;

std::string written(auto&& write) {
  fmt::memory_buffer out;
  JsonWriter json(out);
  write(json);
  return fmt::to_string(out);
}

std::string as_json(std::string_view text) {
  return written([&](JsonWriter& json) { json.value(text); });
}

// What a JSON parser makes of a text that was written.
std::string read_back(const std::string& json) {
  simdjson::dom::parser parser;
  std::string_view text;
  const std::string array = "[" + json + "]";
  const auto error = parser.parse(array).at(0).get(text);
  REQUIRE_MESSAGE(error == simdjson::SUCCESS, json);
  return std::string(text);
}

TEST_CASE("json: commas and brackets") {
  CHECK(written([](JsonWriter& json) {
          json.begin_object();
          json.key("a");
          json.begin_array();
          json.value(1);
          json.begin_object();
          json.end_object();
          json.begin_array();
          json.end_array();
          json.null();
          json.end_array();
          json.key("b");
          json.value(true);
          json.key("c");
          json.raw(R"({"x":1})");
          json.end_object();
        }) == R"({"a":[1,{},[],null],"b":true,"c":{"x":1}})");
}

TEST_CASE("json: numbers at their limits") {
  CHECK(written([](JsonWriter& json) { json.value(std::numeric_limits<std::uint64_t>::max()); }) ==
        "18446744073709551615");
  CHECK(written([](JsonWriter& json) { json.value(std::numeric_limits<std::int64_t>::min()); }) ==
        "-9223372036854775808");
  CHECK(written([](JsonWriter& json) { json.value(0.1); }) == "0.1");
  CHECK(written([](JsonWriter& json) { json.value(1e300); }) == "1e+300");
  CHECK(written([](JsonWriter& json) { json.value(std::nan("")); }) == "null");
  CHECK(written([](JsonWriter& json) { json.value(-std::numeric_limits<double>::infinity()); }) == "null");
}

TEST_CASE("json: quotes, backslashes and control characters are escaped") {
  CHECK(as_json("a\"b\\c/d") == R"("a\"b\\c/d")");
  CHECK(as_json("\n\r\t\b\f\x1f"s + '\0') == R"("\n\r\t\u0008\u000c\u001f\u0000")");
  CHECK(as_json("\x7F") == "\"\x7F\"");
  for (int c = 0; c < 0x80; ++c) {
    const std::string text(3, static_cast<char>(c));
    CHECK(read_back(as_json(text)) == text);
  }
}

TEST_CASE("json: keys are escaped too") {
  CHECK(written([](JsonWriter& json) {
          json.begin_object();
          json.key("a\"\n");
          json.value(1);
          json.end_object();
        }) == R"({"a\"\n":1})");
}

TEST_CASE("json: UTF-8 stays as it is") {
  CHECK(as_json("ü€😀 模型") == "\"ü€😀 模型\"");
}

TEST_CASE("json: a path that is not UTF-8 gets a replacement character for each bad byte") {
  CHECK(as_json("/srv/gr\xFC\xDF.gguf") == "\"/srv/gr\uFFFD\uFFFD.gguf\"");
  CHECK(as_json("\xC3") == "\"\uFFFD\"");
  CHECK(as_json("\xE2\x82") == "\"\uFFFD\uFFFD\"");
  CHECK(as_json("\xED\xA0\x80") == "\"\uFFFD\uFFFD\uFFFD\"");
  CHECK(as_json("\x80ü\xF4\x90\x80\x80z") == "\"\uFFFDü\uFFFD\uFFFD\uFFFD\uFFFDz\"");
}

TEST_CASE("json: whatever two bytes come, the text is valid JSON") {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text = {static_cast<char>(first), static_cast<char>(second)};
      CHECK_FALSE(read_back(as_json(text)).empty());
    }
  }
}

TEST_CASE("json: a text with a limit is cut between characters and between escapes") {
  const struct {
    std::size_t limit;
    const char* text;
    const char* json;
  } cases[] = {
      {0, "a", R"("")"},
      {3, "abc", R"("abc")"},
      {3, "abcdef", R"("abc")"},
      {2, "a\nb", R"("a")"},
      {3, "a\nb", R"("a\n")"},
      {4, "a\nbc", R"("a\nb")"},
      {5, "\x01", R"("")"},
      {6, "\x01\x01", R"("\u0001")"},
      {1, "ü€", "\"\""},
      {4, "ü€", "\"ü\""},
      {5, "ü€", "\"ü€\""},
      {2, "\xFF", R"("")"},
      {3, "\xFF\xFF", "\"\uFFFD\""},
      {3, "abc\nd", R"("abc")"},
      {2, "\x01z", R"("")"},  // nothing after the cut is written
  };
  for (const auto& [limit, text, expected] : cases) {
    std::size_t bytes = 0;
    CHECK(written([&](JsonWriter& json) { bytes = json.value(text, limit); }) == expected);
    CHECK(bytes == std::string_view(expected).size() - 2);
  }
}

struct Sample {
  std::map<std::string, std::uint32_t> counts;
  RawJson raw;
  double ratio = 0;

  static void fields(auto& self, auto&& f) {
    f("counts", self.counts, "");
    f("raw", self.raw, "");
    f("ratio", self.ratio, "");
  }
};

TEST_CASE("json: a struct with a map, passed-on JSON and a fraction") {
  CHECK(to_json(Sample{{{"a\"", 1}, {"b", 2}}, {"[1,2]"}, 4.5}) ==
        R"({"counts":{"a\"":1,"b":2},"raw":[1,2],"ratio":4.5})");
}

}  // namespace
}  // namespace ggufd
