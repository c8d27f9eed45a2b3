// docs/protocol.md is held against the code: its field tables are printed from the messages' own lists, its
// examples are golden lines, and no name of the wire is missing. With UPDATE_DOCS=1 in the environment, the
// tables in the page are rewritten instead.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include "golden.h"
#include "page_tables.h"
#include "protocol/frame.h"
#include "protocol/state.h"

namespace ggufd {
namespace {

// From the folder of golden lines.
constexpr const char* page_path = "../../docs/protocol.md";

constexpr std::string_view marker_begin = "<!-- fields: ";
constexpr std::string_view marker_name_end = " -->\n";
constexpr std::string_view marker_end = "<!-- end -->\n";

// The page with each marked table replaced by `printed`'s; `used` gets the names of the markers.
std::string with_tables(const std::string& page, const std::map<std::string, std::string>& printed,
                        std::set<std::string>& used) {
  std::string result;
  std::size_t at = 0;
  for (;;) {
    const std::size_t begin = page.find(marker_begin, at);
    if (begin == std::string::npos) return result + page.substr(at);
    const std::size_t name_begin = begin + marker_begin.size();
    const std::size_t name_end = page.find(marker_name_end, name_begin);
    REQUIRE(name_end != std::string::npos);
    const std::string name = page.substr(name_begin, name_end - name_begin);
    REQUIRE_MESSAGE(printed.contains(name), "docs/protocol.md asks for an unknown table: ", name);
    CHECK_MESSAGE(used.insert(name).second, "docs/protocol.md has a table twice: ", name);
    const std::size_t table_begin = name_end + marker_name_end.size();
    const std::size_t end = page.find(marker_end, table_begin);
    REQUIRE_MESSAGE(end != std::string::npos, "the table has no end marker: ", name);
    result += page.substr(at, table_begin - at) + printed.at(name);
    at = end;
  }
}

void rewrite_page(const std::string& text) {
  std::ofstream file(std::filesystem::path(GGUFD_GOLDEN_DIR) / page_path, std::ios::binary);
  file << text;
  REQUIRE_MESSAGE(file.flush(), "docs/protocol.md cannot be written");
}

TEST_CASE("page: the field tables are those of the code") {
  const std::string page = golden::read_file(page_path);
  const auto printed = field_tables();
  std::set<std::string> used;
  const std::string expected = with_tables(page, printed, used);
  for (const auto& [name, text] : printed) {
    CHECK_MESSAGE(!text.empty(), name, " has no fields");
    CHECK_MESSAGE(used.contains(name), "docs/protocol.md has no table for ", name);
  }
  if (std::getenv("UPDATE_DOCS") != nullptr) return rewrite_page(expected);
  const bool same = page == expected;  // not within the check, which would print both
  CHECK_MESSAGE(same, "the tables in docs/protocol.md differ from the code; run with UPDATE_DOCS=1");
}

// The lines within the page's ```json blocks.
std::set<std::string> examples_in(const std::string& page) {
  std::set<std::string> examples;
  constexpr std::string_view fence = "```json\n";
  for (std::size_t at = page.find(fence); at != std::string::npos; at = page.find(fence, at)) {
    at += fence.size();
    const std::size_t end = page.find("```\n", at);
    REQUIRE(end != std::string::npos);
    while (at < end) {
      const std::size_t line_end = page.find('\n', at);
      examples.insert(page.substr(at, line_end - at));
      at = line_end + 1;
    }
  }
  return examples;
}

TEST_CASE("page: the examples are golden lines") {
  std::set<std::string> golden_lines;
  for (const auto* name :
       {"status", "loading", "restarting", "errors", "requests", "answers", "answer_errors"}) {
    golden_lines.merge([&] {
      const auto lines = golden::lines(name);
      return std::set<std::string>(lines.begin(), lines.end());
    }());
  }
  const auto examples = examples_in(golden::read_file(page_path));
  CHECK(examples.size() >= 20);
  for (const auto& example : examples) {
    CHECK_MESSAGE(golden_lines.contains(example), "not a golden line: ", example);
  }
}

template <NamedEnum E>
void check_named(const std::string& page) {
  for (const auto name : EnumNames<E>) {
    CHECK_MESSAGE(page.find(fmt::format("`{}`", name)) != std::string::npos, "docs/protocol.md does not say ",
                  name);
  }
}

TEST_CASE("page: every name of the wire is said") {
  const std::string page = golden::read_file(page_path);
  check_named<StatusKind>(page);
  check_named<PhaseKind>(page);
  check_named<ErrorCode>(page);
  check_named<Verb>(page);
  check_named<UnloadReason>(page);
  check_named<RestartReason>(page);
  check_named<Integrity>(page);
  check_named<Backend>(page);
  check_named<Accelerator>(page);
  check_named<ModelState>(page);
  check_named<Health>(page);
  check_named<WarmUpState>(page);
  check_named<answer::Check::Outcome>(page);
}

}  // namespace
}  // namespace ggufd
