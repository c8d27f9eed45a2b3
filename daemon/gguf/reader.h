// Reads the header of a GGUF (v2 and v3, little endian) and finds everything that is wrong with its
// structure. It goes by ggml's format description (docs/gguf.md), enforces the limits ggml enforces, and also
// catches what ggml lets through: tensors outside the file, sizes that wrap, zero dimensions, names cut at
// NUL. What the keys mean is validate.h's concern.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "gguf/defect.h"
#include "gguf/header.h"

namespace ggufd::gguf {

inline constexpr std::uint64_t max_string_bytes = std::uint64_t{1} << 30;
inline constexpr std::uint64_t max_array_elements = std::uint64_t{1} << 30;
inline constexpr std::size_t max_tensor_name_bytes = 63;
// Powers of two up to here; files use 32, some a page. ggml's padding goes wrong at 2^31.
inline constexpr std::uint32_t max_alignment = std::uint32_t{1} << 24;

struct Report {
  Header header;
  Defects defects;
  // The header does not end within the bytes given, but may within the file: read again with at least so many
  // (always more than were given, never more than the file has). 0 where it was read as far as it can be.
  std::uint64_t needs_bytes = 0;

  bool complete() const { return needs_bytes == 0; }
  bool sound() const { return complete() && defects.empty(); }
};

// `bytes` is the file, or the first part of it (a ranged read); `file_bytes` is the size of the whole file,
// against which tensors are checked. The header's views point into `bytes`.
Report read(std::span<const std::byte> bytes, std::uint64_t file_bytes);

}  // namespace ggufd::gguf
