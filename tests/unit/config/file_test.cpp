// From bytes on disk to JSON: what a file is that cannot be read, and where a text stops being JSON.
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "config/json_fault.h"
#include "support.h"

using namespace ggufd::config;
using config_test::check_only_mistake;
using config_test::TemporaryFolder;

namespace {

void write(const std::string& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  REQUIRE(file.good());
}

std::string only_message(const std::string& path) {
  const auto config = load_config(path, config_test::home_environment());
  REQUIRE_FALSE(config.has_value());
  REQUIRE(config.error().size() == 1);
  CHECK(config.error()[0].json_pointer.empty());
  return config.error()[0].message;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

TEST_SUITE_BEGIN("config");

TEST_CASE("a file is read") {
  const TemporaryFolder folder;
  write(folder / "config.json", R"({"auto_pull": false})");
  const auto config = load_config(folder / "config.json", config_test::home_environment());
  REQUIRE(config.has_value());
  CHECK_FALSE(config->auto_pull);
}

TEST_CASE("a missing file is a mistake that says what to do") {
  const TemporaryFolder folder;
  const std::string message = only_message(folder / "none.json");
  CHECK(contains(message, folder / "none.json"));
  CHECK(contains(message, "No such file"));
  CHECK(contains(message, "--config"));
}

TEST_CASE("what is no regular file is a mistake, and a FIFO does not block") {
  const TemporaryFolder folder;
  CHECK(contains(only_message(folder.path()), "not a regular file"));
  REQUIRE(mkfifo((folder / "fifo").c_str(), 0600) == 0);
  CHECK(contains(only_message(folder / "fifo"), "not a regular file"));
}

TEST_CASE("a file that may not be read is a mistake") {
  if (geteuid() == 0) {
    MESSAGE("not tried: root may read everything");
    return;
  }
  const TemporaryFolder folder;
  write(folder / "secret.json", "{}");
  REQUIRE(chmod((folder / "secret.json").c_str(), 0) == 0);
  CHECK(contains(only_message(folder / "secret.json"), "Permission denied"));
}

TEST_CASE("a file of one mebibyte is read, a larger one is a mistake") {
  const TemporaryFolder folder;
  write(folder / "full.json", "{}" + std::string(max_config_bytes - 2, ' '));
  CHECK(load_config(folder / "full.json", config_test::home_environment()).has_value());
  write(folder / "large.json", "{}" + std::string(max_config_bytes - 1, ' '));
  CHECK(contains(only_message(folder / "large.json"), "larger than 1048576 bytes"));
}

TEST_CASE("a text that is not JSON says where and why") {
  const auto check = [](std::string_view text, std::string_view place, std::string_view why) {
    check_only_mistake(text, "", fmt::format("line {}: ", place));
    check_only_mistake(text, "", why);
  };
  check("", "1, column 1", "the file is empty");
  check(" \n\t", "2, column 2", "the file is empty");
  check("{\n  \"a\": 1,\n}", "2, column 9", "no comma after the last element");
  check("[1, 2,]", "1, column 6", "no comma after the last element");
  check("{\n  // why\n  \"a\": 1}", "2, column 3", "JSON has no comments");
  check("{} # end", "1, column 4", "JSON has no comments");
  check("{'a': 1}", "1, column 2", "double quotes");
  check("{a: 1}", "1, column 2", "expected a key in double quotes, found \"a\"");
  check("{\"a\" 1}", "1, column 6", "expected \":\" after the key");
  check("{\"a\": 1 \"b\": 2}", "1, column 9", "expected \",\" or \"}\"");
  check("[1 2]", "1, column 4", "expected \",\" or \"]\"");
  check("{\"a\": 1", "1, column 8", "found the end of the file");
  check("{\"a\": \"b", "1, column 7", "the string has no end");
  check("{\"a\": \"b\n\"}", "1, column 9", "does not end in its line");
  check("{\"a\": \"b\tc\"}", "1, column 9", "control characters must be escaped");
  check("{\"a\": True}", "1, column 7", "\"True\" is no JSON value");
  check("{\"a\": }", "1, column 7", "expected a value");
  check("{\"a\": 01}", "1, column 7", "must not begin with 0");
  check("{\"a\": 1.}", "1, column 7", "after the decimal point");
  check("{\"a\": 1e}", "1, column 7", "in the exponent");
  check("{\"a\": -}", "1, column 7", "a digit after \"-\"");
  check("{\"a\": 10k}", "1, column 9", "cannot be part of a number");
  check("{\"a\": 18446744073709551616}", "1, column 7", "too large for 64 bits");
  check("{\"a\": -9223372036854775809}", "1, column 7", "too large for 64 bits");
  check("{\"a\": 1e999}", "1, column 7", "too large for 64 bits");
  check(R"({"a": "\x"})", "1, column 8", "the escape is none of");
  check(R"({"a": "\u12g4"})", "1, column 8", "four hex digits");
  check(R"({"a": "\ud800"})", "1, column 8", "the first half of a surrogate pair");
  check(R"({"a": "\udc00"})", "1, column 8", "the second half of a surrogate pair");
  check("{} {}", "1, column 4", "the end of the file after the value");
  check("{\"a\": \"\xff\"}", "1, column 8", "not UTF-8");
  check("{\"a\":\n\xc3\x28}", "2, column 1", "not UTF-8");
  check("\xEF\xBB\xBF{}", "1, column 1", "byte order mark");
  check(std::string(2000, '['), "1, column 1025", "nesting is too deep");
}

TEST_CASE("the scanner finds nothing wrong with JSON") {
  for (const char* text :
       {"{}", "[]", " 1 ", "-0.5e+10", "\"\\u00e9\\ud83d\\ude00\\n\"", "[[], {}, [{\"a\": null}], true]",
        "{\"a\": {\"b\": [1, 2]}, \"c\": false}", "18446744073709551615", "-9223372036854775808"}) {
    CAPTURE(text);
    CHECK_FALSE(find_json_fault(text).has_value());
  }
}

TEST_CASE("positions count lines and bytes from 1") {
  CHECK(position_at("ab\ncd", 0) == TextPosition{1, 1});
  CHECK(position_at("ab\ncd", 2) == TextPosition{1, 3});
  CHECK(position_at("ab\ncd", 3) == TextPosition{2, 1});
  CHECK(position_at("ab\ncd", 5) == TextPosition{2, 3});
}

TEST_SUITE_END();
