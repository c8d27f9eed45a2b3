// docs/configuration.md says what stands in config/config.h.
#include "config/reference.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "support.h"

using namespace ggufd::config;

namespace {

constexpr std::string_view begin_mark = "<!-- reference: begin -->\n";
constexpr std::string_view end_mark = "<!-- reference: end -->\n";

std::string document_path() {
  return GGUFD_SOURCE_DIR "/docs/configuration.md";
}

std::string read_document() {
  std::ifstream file(document_path(), std::ios::binary);
  REQUIRE_MESSAGE(file.good(), document_path());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST_SUITE_BEGIN("config");

TEST_CASE("the document holds the reference as the fields have it") {
  const std::string document = read_document();
  const auto begin = document.find(begin_mark);
  const auto end = document.find(end_mark);
  REQUIRE(begin != std::string::npos);
  REQUIRE(end != std::string::npos);
  const auto start = begin + begin_mark.size();
  const std::string wanted = "\n" + configuration_reference();
  if (std::getenv("UPDATE_DOCS") != nullptr) {
    std::ofstream(document_path(), std::ios::binary)
        << document.substr(0, start) << wanted << document.substr(end);
    return;
  }
  CHECK_MESSAGE(document.substr(start, end - start) == wanted, "run this test with UPDATE_DOCS=1");
}

TEST_CASE("the document's example is a configuration") {
  const std::string document = read_document();
  constexpr std::string_view fence = "```json\n";
  const auto begin = document.find(fence);
  REQUIRE(begin != std::string::npos);
  const auto start = begin + fence.size();
  const auto config = config_test::right(document.substr(start, document.find("```", start) - start));
  CHECK(config.models.size() == 4);
}

TEST_CASE("the reference has a table for each object and a row for each key") {
  const std::string reference = configuration_reference();
  for (const char* line : {"### The file\n", "### `models[]`\n", "### `fetch`\n", "### `llama_server`\n",
                           "### `admin`\n", "### `http`\n", "### `log`\n", "| `n_seq` | 1 to 256 | `1` | ",
                           "| `name` | name | required | ", "| `load` | `boot`, `manual` | `\"boot\"` | ",
                           "| `memory_headroom_bytes` | 0 to 2^50 | `536870912` | "}) {
    CAPTURE(line);
    CHECK(reference.find(line) != std::string::npos);
  }
}

TEST_SUITE_END();
