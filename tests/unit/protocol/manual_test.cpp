// docs/man/ggufd-protocol.7.scd says what docs/protocol.md says of statuses, phases, requests and error
// codes, with the fields of the code.
#include <fmt/format.h>

#include <map>

#include "page_tables.h"
#include "protocol/error.h"
#include "protocol/request.h"
#include "protocol/status_event.h"
#include "tests/support/scdoc.h"

namespace ggufd {
namespace {

std::string protocol_page() {
  return scdoc::read_file(GGUFD_SOURCE_DIR "/docs/protocol.md");
}

// The paragraph that begins with "**`NAME`** — ", with the table that it leads to; empty where there is none.
std::string paragraph_on(const std::string& page, std::string_view name) {
  const std::string mark = fmt::format("**`{}`** — ", name);
  const std::size_t begin = page.find("\n" + mark);
  if (begin == std::string::npos) return "";
  const std::size_t start = begin + 1 + mark.size();
  const std::size_t end = page.find("\n\n", start);
  std::string text = page.substr(start, end - start);
  for (char& c : text) c = c == '\n' ? ' ' : c;
  // The page's own numbers.
  if (const std::size_t at = text.find(" (section "); at != std::string::npos)
    text.erase(at, sizeof " (section 3)" - 1);
  text = scdoc::inline_text(text) + "\n\n";
  if (page.compare(end + 2, 1, "|") != 0) return text;
  for (const auto& cells : scdoc::rows_of(page.substr(end + 2, page.find("\n\n", end + 2) - end - 2)))
    text += scdoc::definition(scdoc::inline_text(cells.at(0)), scdoc::inline_text(cells.at(1)));
  return text;
}

// Each field with its type, and what it is.
std::string fields_of(const std::string& table) {
  std::string text;
  for (const auto& cells : scdoc::rows_of(table)) {
    REQUIRE(cells.size() == 3);
    text +=
        scdoc::definition(fmt::format("{} ({})", scdoc::inline_text(cells[0]), scdoc::inline_text(cells[1])),
                          scdoc::inline_text(cells[2]));
  }
  return text;
}

template <NamedEnum E>
std::string manual_of(const std::string& page, const std::map<std::string, std::string>& tables) {
  std::string text;
  for (const std::string_view name : EnumNames<E>) {
    const std::string paragraph = paragraph_on(page, name);
    const auto table = tables.find(std::string(name));
    if (paragraph.empty() && table == tables.end()) continue;  // reserved
    text += scdoc::heading(2, name);
    text += paragraph;
    if (table != tables.end()) text += fields_of(table->second);
  }
  return text;
}

std::string manual_of_requests(const std::map<std::string, std::string>& tables) {
  std::string text;
  for (const std::string_view name : EnumNames<Verb>) {
    // unload, reload and cancel take what load takes.
    const bool is_like_load = name == "unload" || name == "reload" || name == "cancel";
    const auto table = tables.find(fmt::format("request {}", is_like_load ? "load" : name));
    text += scdoc::heading(2, name);
    text += table == tables.end() ? "No fields.\n\n" : fields_of(table->second);
  }
  return text;
}

std::string manual_of_codes(const std::string& page) {
  std::string text;
  for (const auto& cells : scdoc::rows_of(page)) {
    for (const std::string_view code : EnumNames<ErrorCode>) {
      if (cells.size() == 2 && cells[0] == fmt::format("`{}`", code))
        text += scdoc::definition(scdoc::bold(code), scdoc::inline_text(cells[1]));
    }
  }
  return text;
}

TEST_CASE("manual: statuses, phases, requests and error codes are those of the page and of the code") {
  const std::string page = protocol_page();
  const auto tables = field_tables();
  scdoc::check_region("ggufd-protocol.7", "statuses", manual_of<StatusKind>(page, tables));
  scdoc::check_region("ggufd-protocol.7", "phases", manual_of<PhaseKind>(page, tables));
  scdoc::check_region("ggufd-protocol.7", "requests", manual_of_requests(tables));
  const std::string codes = manual_of_codes(page.substr(page.find("## 4. Error codes")));
  for (const std::string_view code : EnumNames<ErrorCode>) {
    const bool is_said = ("\n" + codes).find("\n" + scdoc::bold(code)) != std::string::npos;
    CHECK_MESSAGE(is_said, code);
  }
  scdoc::check_region("ggufd-protocol.7", "codes", codes);
}

}  // namespace
}  // namespace ggufd
