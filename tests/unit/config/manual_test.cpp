// docs/man/ggufd-config.5.scd says what stands in config/config.h.
#include <fmt/format.h>

#include "config/reference.h"
#include "tests/support/scdoc.h"

using namespace ggufd;

namespace {

// A heading and its keys for each table of the reference.
std::string manual_of_reference(const std::string& reference) {
  std::string text;
  constexpr std::string_view mark = "### ";
  for (std::size_t at = reference.find(mark); at != std::string::npos;) {
    const std::size_t next = reference.find(mark, at + mark.size());
    const std::string part = reference.substr(at + mark.size(), next - at - mark.size());
    text += scdoc::heading(2, part.substr(0, part.find('\n')));
    for (const auto& cells : scdoc::rows_of(part)) {
      REQUIRE(cells.size() == 4);
      const std::string fallback =
          cells[2] == "required" ? "required" : "default " + scdoc::inline_text(cells[2]);
      text += scdoc::definition(
          fmt::format("{} ({}; {})", scdoc::inline_text(cells[0]), scdoc::inline_text(cells[1]), fallback),
          scdoc::inline_text(cells[3]));
    }
    at = next;
  }
  return text;
}

}  // namespace

TEST_SUITE_BEGIN("config");

TEST_CASE("the manual page holds the reference as the fields have it") {
  const std::string manual = manual_of_reference(config::configuration_reference());
  CHECK(manual.find("*n\\_seq* (1 to 256; default *1*)\n\t") != std::string::npos);
  scdoc::check_region("ggufd-config.5", "reference", manual);
}

TEST_SUITE_END();
