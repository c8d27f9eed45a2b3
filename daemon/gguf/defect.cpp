#include "gguf/defect.h"

#include <algorithm>
#include <cassert>
#include <iterator>

namespace ggufd::gguf {
namespace {

constexpr std::size_t shown_bytes = 96;       // of a name
constexpr std::size_t findings_in_error = 3;  // a frame is one line; `ggufctl inspect` shows them all

}  // namespace

std::string printable(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, shown_bytes)) {
    if (c >= ' ' && c <= '~' && c != '\\') {
      shown += c;
    } else {
      fmt::format_to(std::back_inserter(shown), "\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  if (text.size() > shown_bytes) shown += "...";
  return shown;
}

bool is_unsupported(DefectCode code) {
  switch (code) {
    case DefectCode::unsupported_version:
    case DefectCode::big_endian:
    case DefectCode::nested_array:
    case DefectCode::unknown_tensor_type:
    case DefectCode::removed_tensor_type:
    case DefectCode::limit_exceeded:
      return true;
    default:
      return false;
  }
}

Error to_error(const Defects& defects) {
  assert(!defects.empty());
  const auto& list = defects.list();
  const bool unsupported =
      defects.found() == list.size() && std::ranges::all_of(list, is_unsupported, &Defect::code);
  std::string message;
  for (std::size_t i = 0; i < std::min(list.size(), findings_in_error); ++i) {
    if (i > 0) message += "; ";
    message += list[i].message;
  }
  if (defects.found() > findings_in_error) {
    fmt::format_to(std::back_inserter(message), "; and {} more", defects.found() - findings_in_error);
  }
  return {unsupported ? ErrorCode::unsupported_gguf : ErrorCode::invalid_gguf, std::move(message)};
}

}  // namespace ggufd::gguf
