// How far an import is: a line redrawn in place on a terminal, nothing elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "ctl/context.h"

namespace ggufd::ctl {

// The cursor stays as it is, so that a signal may end the program at any moment.
class ImportProgress {
 public:
  ImportProgress(Context& context, std::string name, std::uint64_t total_bytes);
  ~ImportProgress();
  ImportProgress(const ImportProgress&) = delete;
  ImportProgress& operator=(const ImportProgress&) = delete;

  // Draws at most ten times a second.
  void show(std::uint64_t done_bytes);

 private:
  using Clock = std::chrono::steady_clock;
  void draw(std::uint64_t done_bytes, Clock::time_point now);

  Context& context_;
  std::string name_;
  std::uint64_t total_bytes_;
  Clock::time_point begun_at_ = Clock::now();
  std::optional<Clock::time_point> drawn_at_;
};

}  // namespace ggufd::ctl
