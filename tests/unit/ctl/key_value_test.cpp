// How the values of keys are shown and written.
#include "ctl/key_value.h"

#include <cmath>
#include <limits>

#include "ctl/human.h"
#include "inspect_support.h"

namespace ggufd::ctl {

using namespace test;

namespace {

constexpr Style ascii{};
constexpr Style utf8{.utf8 = true};

// The value of the one key `k` of a file.
struct OneKey {
  FileHeader file;
  explicit OneKey(const GgufBuilder& builder) : file(header_of(builder)) {
    REQUIRE(file.report.header.find_key("k") != nullptr);
  }
  const gguf::Value& value() const { return file.report.header.find_key("k")->value; }
  std::string text(std::size_t columns, const Style& style = ascii) const {
    return value_text(value(), columns, style);
  }
  std::string json() const {
    fmt::memory_buffer out;
    JsonWriter writer(out);
    write_value(writer, value());
    return fmt::to_string(out);
  }
};

template <class T>
OneKey number(T value) {
  return OneKey(GgufBuilder().add("k", value));
}

OneKey text(std::string_view value) {
  return OneKey(GgufBuilder().add("k", value));
}

}  // namespace

TEST_CASE("key value: numbers of each type are themselves") {
  CHECK(number(std::uint8_t{200}).text(80) == "200");
  CHECK(number(std::int8_t{-3}).text(80) == "-3");
  CHECK(number(std::uint64_t{UINT64_MAX}).json() == "18446744073709551615");
  CHECK(number(std::int64_t{INT64_MIN}).json() == "-9223372036854775808");
  CHECK(number(true).text(80) == "true");
  CHECK(number(false).json() == "false");
  CHECK(number(1e-5F).text(80) == "1e-05");
  CHECK(number(1e-5F).json() == "1e-05");
  CHECK(number(0.1).json() == "0.1");
}

TEST_CASE("key value: what JSON has no number for is null") {
  CHECK(number(std::numeric_limits<float>::quiet_NaN()).json() == "null");
  CHECK(number(-std::numeric_limits<double>::infinity()).json() == "null");
  CHECK(number(std::numeric_limits<float>::infinity()).text(80) == "inf");
}

TEST_CASE("key value: text is quoted and escaped, and steers no terminal") {
  CHECK(text("a\"b\\c\nd\te").text(80) == R"("a\"b\\c\nd\te")");
  CHECK(text("\x1b[31mred").text(80) == "\" [31mred\"");
  CHECK(text("\xff\xfe.").text(80) == "\"??.\"");
  CHECK(text("\xff!").json() == "\"\xEF\xBF\xBD!\"");
}

TEST_CASE("key value: long text is cut, with its length") {
  const OneKey value = text(std::string(4116, 'x'));
  CHECK(value.text(30) == "\"xxxxxxxxxxxxxx~\" (4116 bytes)");
  CHECK(value.text(30, utf8) == "\"xxxxxxxxxxxxxx…\" (4116 bytes)");
  CHECK(text(std::string(28, 'x')).text(30) == '"' + std::string(28, 'x') + '"');
  for (std::size_t columns = 1; columns < 40; ++columns) {
    CAPTURE(columns);
    CHECK(columns_of(value.text(columns, utf8)) <= columns);
    CHECK(columns_of(text("日本語日本語日本語日本語").text(columns, utf8)) <= columns);
  }
}

TEST_CASE("key value: an array says how many elements it has, and shows the first") {
  std::vector<std::string> tokens(151'936, "t");
  tokens[0] = "!";
  tokens[1] = "\"";
  tokens[2] = std::string(100, 'y');
  const OneKey strings(GgufBuilder().add_strings("k", tokens));
  CHECK(strings.text(30) == R"([151936 strings] "!", "\"", ~)");
  CHECK(strings.text(30, utf8) == R"([151936 strings] "!", "\"", …)");
  CHECK(strings.text(60) == R"([151936 strings] "!", "\"", "yyyyyyyyyyyyyyyyyyyyy~", "t", ~)");
  for (std::size_t columns = 1; columns < 60; ++columns) {
    CAPTURE(columns);
    CHECK(columns_of(strings.text(columns)) <= columns);
  }
  CHECK(OneKey(GgufBuilder().add_array<std::uint32_t>("k", {1, 2, 3})).text(80) == "[3 u32] 1, 2, 3");
  CHECK(OneKey(GgufBuilder().add_array<std::uint32_t>("k", {})).text(80) == "[0 u32]");
  CHECK(OneKey(GgufBuilder().add_array<bool>("k", {true, false})).text(80) == "[2 bool] true, false");
}

TEST_CASE("key value: arrays of up to 64 elements are whole in JSON, longer ones are not") {
  const auto of = [](std::size_t count) {
    std::vector<std::int32_t> values(count, 7);
    return OneKey(GgufBuilder().add_array<std::int32_t>("k", std::span<const std::int32_t>(values))).json();
  };
  CHECK(of(2) == "[7,7]");
  CHECK(of(64).size() == 64 * 2 + 1);
  CHECK(of(65) == R"({"type":"i32","count":65,"first":[7,7,7,7,7,7,7,7]})");
  CHECK(OneKey(GgufBuilder().add_strings("k", {"a", "b"})).json() == R"(["a","b"])");
  const OneKey strings(GgufBuilder().add_strings("k", std::vector<std::string>(100, "s")));
  CHECK(strings.json() == R"({"type":"string","count":100,"first":["s","s","s","s","s","s","s","s"]})");
  CHECK(OneKey(GgufBuilder().add_array<float>("k", {NAN, 0.5F})).json() == "[null,0.5]");
}

}  // namespace ggufd::ctl
