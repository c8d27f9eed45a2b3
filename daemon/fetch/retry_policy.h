// When a request that has failed is made again, and when it is enough.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>

namespace ggufd::fetch {

class RetryPolicy {
 public:
  static constexpr std::uint64_t first_wait_ms = 500;
  static constexpr std::uint64_t longest_wait_ms = 60'000;

  // `retries` failures in a row may be tried again.
  explicit RetryPolicy(std::uint32_t retries, std::uint64_t seed = std::random_device()())
      : retries_(retries), random_(seed) {}

  // A new byte has come: the row of failures ends.
  void progressed() { failures_ = 0; }

  // How long to wait before the next try, milliseconds; nothing: it is enough. The wait doubles with each
  // failure; half of it is chance, so that those who failed together don't come back together. `asked_ms` is
  // what the server asks for.
  std::optional<std::uint64_t> failed(std::optional<std::uint64_t> asked_ms) {
    if (failures_ >= retries_) return std::nullopt;
    const std::uint64_t doubled_ms = first_wait_ms << std::min<std::uint32_t>(failures_, 16);
    const std::uint64_t wait_ms = std::min(doubled_ms, longest_wait_ms);
    ++failures_;
    const std::uint64_t chance_ms = std::uniform_int_distribution<std::uint64_t>(0, wait_ms / 2)(random_);
    return std::max(wait_ms / 2 + chance_ms, asked_ms.value_or(0));
  }

  std::uint32_t failures() const { return failures_; }

 private:
  std::uint32_t retries_;
  std::uint32_t failures_ = 0;
  std::mt19937_64 random_;
};

}  // namespace ggufd::fetch
