#include "config/suggest.h"

#include <array>

#include "support.h"

using namespace ggufd::config;

TEST_SUITE_BEGIN("config");

TEST_CASE("the edit distance counts insertions, deletions, replacements and swaps") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("models", "modles") == 1);
  CHECK(edit_distance("ca", "abc") == 3);
}

TEST_CASE("the nearest word wins, the first of equals, and nothing where none is near") {
  constexpr auto words =
      std::to_array<std::string_view>({"retries", "connections", "kv_type_k", "kv_type_v"});
  CHECK(nearest("retrys", words) == "retries");
  CHECK(nearest("Connections", words) == "connections");
  CHECK(nearest("kv-type-v", words) == "kv_type_v");
  CHECK(nearest("kv_type_x", words) == "kv_type_k");
  CHECK_FALSE(nearest("elephant", words).has_value());
  CHECK_FALSE(nearest("", words).has_value());
  CHECK_FALSE(nearest(std::string(100, 'k'), words).has_value());
}

TEST_SUITE_END();
