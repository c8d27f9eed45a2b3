// SHA-256: the name of a blob, and the hasher that computes it.
//
// The hasher is OpenSSL's EVP, which takes the CPU's SHA instructions (SHA-NI, ARMv8) where there are
// any: 1.5 GB/s and more on one core, against 0.35 GB/s for a portable one.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "protocol/error.h"

struct evp_md_ctx_st;  // OpenSSL's EVP_MD_CTX

namespace ggufd::store {

// A SHA-256 value; a plain value, ordered bytewise, so that it can be a key.
class Digest {
 public:
  static constexpr std::size_t size_bytes = 32;
  using Bytes = std::array<std::byte, size_bytes>;

  Digest() = default;
  explicit Digest(const Bytes& bytes) : bytes_(bytes) {}

  // Exactly 64 hexadecimal digits, of either case; nothing where `hex` is anything else.
  static std::optional<Digest> parse(std::string_view hex);
  // As `parse`, after the prefix "sha256:" that manifests write.
  static std::optional<Digest> parse_prefixed(std::string_view text);

  // 64 digits, lower case: the form that stands in paths and on the wire.
  std::string to_hex() const;
  const Bytes& bytes() const { return bytes_; }

  friend bool operator==(const Digest&, const Digest&) = default;
  friend auto operator<=>(const Digest&, const Digest&) = default;

 private:
  Bytes bytes_{};
};

// Hashes a stream, piece by piece. Owns its OpenSSL context; for one thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&& other) noexcept;
  Sha256& operator=(Sha256&& other) noexcept;
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }

  // The digest of all that was added; the hasher then starts anew. Where OpenSSL refused at any step (no
  // memory, or a policy without SHA-256) this is the place that says so, with the code `internal`.
  Result<Digest> finish();

 private:
  void start();

  evp_md_ctx_st* context_ = nullptr;
  bool is_good_ = false;
};

// The digest of a short piece, whole.
Result<Digest> sha256_of(std::string_view text);

}  // namespace ggufd::store
