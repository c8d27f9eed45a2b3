#include "store/digest.h"

#include <openssl/evp.h>

#include <utility>

namespace ggufd::store {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::optional<Digest> Digest::parse(std::string_view hex) {
  if (hex.size() != 2 * size_bytes) return std::nullopt;
  Bytes bytes{};
  for (std::size_t i = 0; i < size_bytes; ++i) {
    const int high = hex_value(hex[2 * i]);
    const int low = hex_value(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes[i] = static_cast<std::byte>(high * 16 + low);
  }
  return Digest(bytes);
}

std::optional<Digest> Digest::parse_prefixed(std::string_view text) {
  constexpr std::string_view prefix = "sha256:";
  if (!text.starts_with(prefix)) return std::nullopt;
  return parse(text.substr(prefix.size()));
}

std::string Digest::to_hex() const {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * size_bytes);
  for (const std::byte byte : bytes_) {
    hex += digits[std::to_integer<std::size_t>(byte >> 4U)];
    hex += digits[std::to_integer<std::size_t>(byte & std::byte{0x0F})];
  }
  return hex;
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  start();
}

Sha256::~Sha256() {
  EVP_MD_CTX_free(context_);
}

Sha256::Sha256(Sha256&& other) noexcept
    : context_(std::exchange(other.context_, nullptr)), is_good_(std::exchange(other.is_good_, false)) {}

Sha256& Sha256::operator=(Sha256&& other) noexcept {
  std::swap(context_, other.context_);
  std::swap(is_good_, other.is_good_);
  return *this;
}

void Sha256::start() {
  is_good_ = context_ != nullptr && EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1;
}

void Sha256::update(std::span<const std::byte> bytes) {
  if (is_good_) is_good_ = EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1;
}

Result<Digest> Sha256::finish() {
  Digest::Bytes bytes{};
  unsigned int length = 0;
  const bool is_done =
      is_good_ && EVP_DigestFinal_ex(context_, reinterpret_cast<unsigned char*>(bytes.data()), &length) == 1;
  start();
  if (!is_done || length != Digest::size_bytes) {
    return fail(ErrorCode::internal,
                "OpenSSL refused to compute a SHA-256; see its configuration (openssl.cnf)");
  }
  return Digest(bytes);
}

Result<Digest> sha256_of(std::string_view text) {
  Sha256 hasher;
  hasher.update(text);
  return hasher.finish();
}

}  // namespace ggufd::store
