// Shows events as they come: redrawn in place on a terminal, lines elsewhere.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "ctl/context.h"
#include "ctl/scene.h"
#include "ctl/signals.h"
#include "protocol/status_event.h"

namespace ggufd::ctl {

class Progress {
 public:
  struct Choice {
    std::optional<std::string> model;  // only this one and the daemon; none: everything
    bool plain_lines = true;           // where there is no terminal; else nothing is shown there
    bool errors_stay = false;  // on a terminal, errors get a line of their own that stays, as warnings do
    bool needs_reader = true;  // when nobody reads the output any more, that is the end
  };

  Progress(Context& context, Choice choice);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(const StatusEvent& event);
  // Draws what show() has changed. To be called before waiting.
  void flush();
  // Leaves the last picture where it is and gives the cursor back; another may follow.
  void finish();

  bool needs_reader() const { return choice_.needs_reader; }
  // There is a picture, and the cursor is hidden: signals are handled by handle_signals().
  bool is_live() const { return signals_.has_value(); }
  int signal_descriptor() const { return signals_ ? signals_->descriptor() : -1; }
  // A changed size of the terminal, a stop and its end. Returns the number of a signal that asks to end.
  std::optional<int> handle_signals();

 private:
  bool concerns(const StatusEvent& event) const;
  void show_live(const StatusEvent& event);
  void give_cursor_back();

  Context& context_;
  Choice choice_;
  std::optional<Signals> signals_;
  Scene scene_;
  LogFilter log_filter_;
  std::string above_;  // lines that stay, not yet written
  bool has_changed_ = false;
  bool is_cursor_hidden_ = false;
  std::size_t standing_lines_ = 0;
};

}  // namespace ggufd::ctl
