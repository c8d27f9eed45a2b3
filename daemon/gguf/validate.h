// Whether a header that could be read makes sense as a model: keys of the right type, vocabulary arrays that
// fit each other, numbers within the limits of the engines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "gguf/reader.h"

namespace ggufd::gguf {

// Adds what is wrong to `defects`. Takes any header, also one that is incomplete or defective.
void validate(const Header& header, Defects& defects);

// read() and validate(): every finding of a file. A header that is not complete is not validated.
Report inspect(std::span<const std::byte> bytes, std::uint64_t file_bytes);

// The same for a caller who wants a sound header or none: invalid_gguf, or unsupported_gguf where the file is
// sound in itself but of a kind that is not read (GGUF v1, big endian, a removed tensor type, more than an
// engine's limits). `bytes` must hold the whole header.
Result<Header> read_model(std::span<const std::byte> bytes, std::uint64_t file_bytes);

}  // namespace ggufd::gguf
