// The picture that `watch` and its kin draw: a line a model. Pure: events in, lines out.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ctl/description.h"
#include "ctl/terminal.h"
#include "protocol/status_event.h"

namespace ggufd::ctl {

// A status that another one follows by itself.
bool is_under_way(StatusKind kind);

class Scene {
 public:
  void apply(const StatusEvent& event);
  // A line of ours above the others, until it is taken back by nothing.
  void note(std::optional<Description> note) { note_ = std::move(note); }
  // Another daemon's models come.
  void clear();
  // At most `rows` lines of at most `columns` columns, in the order in which the models came. Where they
  // don't fit, those under way are shown first and the last line counts the rest.
  std::vector<std::string> lines(std::size_t columns, std::size_t rows, const Style& style) const;

 private:
  struct Row {
    Description description;
    bool is_busy = false;
  };

  std::vector<Row> models_;
  std::optional<Row> daemon_;  // the daemon's own word, where it has one now
  std::optional<Description> note_;
};

// From one picture to the next on a terminal: back up over the lines that stand, and over them. Lines must be
// shorter than the terminal is wide.
std::string redrawn(std::size_t standing_lines, const std::vector<std::string>& lines);

// Which events are worth a line in a log: each, but progress within a phase at most once a second (of the
// events' own time) and at its end.
class LogFilter {
 public:
  bool admits(const StatusEvent& event);

 private:
  struct Last {
    std::string model;
    std::string label;
    Timestamp ts;
    bool was_complete = false;
  };
  std::vector<Last> last_;
};

}  // namespace ggufd::ctl
