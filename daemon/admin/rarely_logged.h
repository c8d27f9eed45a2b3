// Log lines that a flood of clients would write over and over.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ggufd::admin {

// Warns at most once a second, with how often it would have.
class RarelyLogged {
 public:
  // now_ms: of the loop's clock.
  void warn(std::uint64_t now_ms, std::string_view sentence);

 private:
  std::optional<std::uint64_t> last_ms_;
  std::uint64_t untold_ = 0;
};

}  // namespace ggufd::admin
