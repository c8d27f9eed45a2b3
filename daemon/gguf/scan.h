// What the readers of keys and of tensors share: the place in the file, the report, and how a field is taken.
#pragma once

#include <cstdint>
#include <string_view>

#include "gguf/cursor.h"
#include "gguf/reader.h"

namespace ggufd::gguf {

// Every member that returns bool says false when reading cannot go on; the report then says why.
class Scan {
 public:
  Scan(Cursor at, Report& into) : in(at), report(into) {}

  Cursor in;
  Report& report;
  // The least that must still follow the field that is being read; makes `needs_bytes` a better bound.
  std::uint64_t least_after = 0;

  template <class T>
  bool number(T& value, std::string_view where) {
    return in.number(value) || short_of(sizeof value, where);
  }
  bool bytes(std::uint64_t count, std::span<const std::byte>& taken, std::string_view where) {
    return in.take(count, taken) || short_of(count, where);
  }
  // `what` is the string itself where it has no name of its own, such as a key's.
  bool string(std::string_view& text, std::string_view where, std::string_view what);
  // Passes over `count` strings; each is checked as string() does.
  bool strings(std::uint64_t count, std::string_view where);

 private:
  // Notes that `count` more bytes are needed here, of the reader or of the file. Always false.
  bool short_of(std::uint64_t count, std::string_view where);
  bool check_length(std::uint64_t length, std::string_view where, std::string_view what);
};

// The table of tensors, `count` entries, and where each of them lies in the file.
bool read_tensors(Scan& scan, std::uint64_t count);

// `where` of findings that belong to no key and no tensor.
inline constexpr std::string_view header_place = "header";

// NUL above all: C programs take the name to end there.
bool holds_control_bytes(std::string_view name);

// The least that one entry takes, even a defective one.
inline constexpr std::uint64_t least_key_bytes = 8 + 4 + 1;
inline constexpr std::uint64_t least_tensor_bytes = 8 + 4 + 4 + 8;

}  // namespace ggufd::gguf
