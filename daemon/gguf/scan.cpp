#include "gguf/scan.h"

#include <algorithm>

namespace ggufd::gguf {
namespace {

std::uint64_t add_up_to(std::uint64_t limit, std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? limit : std::min(sum, limit);
}

}  // namespace

bool holds_control_bytes(std::string_view name) {
  return std::ranges::any_of(name, [](char c) { return (c >= '\0' && c < ' ') || c == '\x7f'; });
}

bool Scan::short_of(std::uint64_t count, std::string_view where) {
  if (count > in.left_in_file()) {
    report.defects.add(DefectCode::truncated, where, in.position(),
                       "the file ends after {} bytes, within {}; fetch it again", in.file_bytes(),
                       printable(where));
  } else {
    report.needs_bytes = add_up_to(in.file_bytes(), in.position() + count, least_after);
  }
  return false;
}

bool Scan::check_length(std::uint64_t length, std::string_view where, std::string_view what) {
  if (length > max_string_bytes) {
    report.defects.add(DefectCode::string_too_long, where, in.position() - sizeof length,
                       "{} claims to be a string of {} bytes; at most 1 GiB is allowed", printable(what),
                       length);
    return false;
  }
  if (length > in.left_in_file()) {
    report.defects.add(DefectCode::length_beyond_file, where, in.position() - sizeof length,
                       "{} claims to be a string of {} bytes where the file has {} left", printable(what),
                       length, in.left_in_file());
    return false;
  }
  return true;
}

bool Scan::string(std::string_view& text, std::string_view where, std::string_view what) {
  std::uint64_t length = 0;
  std::span<const std::byte> raw;
  if (!number(length, where) || !check_length(length, where, what) || !bytes(length, raw, where))
    return false;
  text = {reinterpret_cast<const char*>(raw.data()), raw.size()};
  return true;
}

bool Scan::strings(std::uint64_t count, std::string_view where) {
  const std::uint64_t left = in.pass_strings(count, max_string_bytes);
  if (left == 0) return true;
  // The next one is not whole, or is too long. Each string after it takes a length, at least.
  std::string_view text;
  least_after += (left - 1) * sizeof(std::uint64_t);
  return string(text, where, "an element of the array");
}

}  // namespace ggufd::gguf
