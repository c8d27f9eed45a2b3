// What an event says, taken apart for showing: the same parts make a live line, a plain line and a cell of
// the status table. Pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "ctl/terminal.h"
#include "protocol/status_event.h"

namespace ggufd::ctl {

struct Description {
  std::string subject;  // the model, or "ggufd" for the daemon itself
  std::string label;    // "download", "ready", "error", …
  Colour colour = Colour::plain;
  std::optional<double> fraction;    // 0 to 1, where the end is known
  std::vector<std::string> details;  // the most important first

  friend bool operator==(const Description&, const Description&) = default;
};

Description describe(const StatusEvent& event);

// Filled and empty part of a bar of so many columns (at least 3), its two ends included.
std::string bar(double fraction, std::size_t columns, const Style& style);

// One line of at most `columns` columns that begins with the subject, padded to `subject_columns`. What does
// not fit goes in this order: the details from the last, the bar, the label (where a percentage says more),
// then the line is cut.
std::string live_line(const Description& description, std::size_t subject_columns, std::size_t columns,
                      const Style& style);

// "qwen3-4b: download 43 %, 1.0/2.3 GiB, 92.1 MiB/s, 0:14 left": everything, without colours.
std::string plain_line(const Description& description);

}  // namespace ggufd::ctl
