#include "gguf/defect.h"

#include <algorithm>
#include <cassert>
#include <iterator>

namespace ggufd::gguf {
namespace {

constexpr std::size_t kShownBytes = 96;      // of a name
constexpr std::size_t kFindingsInError = 3;  // a frame is one line; `ggufctl inspect` shows them all

}  // namespace

std::string printable(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, kShownBytes)) {
    if (c >= ' ' && c <= '~' && c != '\\') {
      shown += c;
    } else {
      fmt::format_to(std::back_inserter(shown), "\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  if (text.size() > kShownBytes) shown += "...";
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
  for (std::size_t i = 0; i < std::min(list.size(), kFindingsInError); ++i) {
    if (i > 0) message += "; ";
    message += list[i].message;
  }
  if (defects.found() > kFindingsInError) {
    fmt::format_to(std::back_inserter(message), "; and {} more", defects.found() - kFindingsInError);
  }
  return {unsupported ? ErrorCode::unsupported_gguf : ErrorCode::invalid_gguf, std::move(message)};
}

}  // namespace ggufd::gguf
