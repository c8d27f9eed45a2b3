// Shows events as they come: redrawn in place on a terminal, lines elsewhere.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "ctl/context.h"
#include "ctl/phase_times.h"
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
    // Signals are held back without a terminal, too: who interrupts is told what goes on without us.
    bool holds_signals = false;
    // On a terminal: what is being done, "verify", with the time that it has taken so far. For work of which
    // the daemon tells no progress.
    std::string task = {};
  };

  Progress(Context& context, Choice choice);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Something is shown of events, on a terminal or as lines.
  bool is_shown() const { return is_live_ || choice_.plain_lines; }
  // Events up to `seq` tell how things were before: they are part of a picture and of the times that phases
  // take, and no lines, but for what is under way still. Without this call everything is news.
  void news_begins_after(std::uint64_t seq) { news_begins_after_ = seq; }

  void show(const StatusEvent& event);
  // Draws what show() has changed. To be called before waiting.
  void flush();
  // Leaves the last picture where it is and gives the cursor back; another may follow.
  void finish();

  // A picture says that the connection has ended and is waited for, and stops to say so.
  void daemon_gone();
  void daemon_back(bool is_another);

  // When tick() is due, to draw a clock; none where there is none to draw.
  std::optional<std::chrono::steady_clock::time_point> next_tick() const { return next_tick_; }
  void tick();

  bool needs_reader() const { return choice_.needs_reader; }
  // There is a picture, and the cursor is hidden.
  bool is_live() const { return is_live_; }
  // Readable when handle_signals() has something to do; -1: no signal is held back.
  int signal_descriptor() const { return signals_ ? signals_->descriptor() : -1; }
  // A changed size of the terminal, a stop and its end. Returns the number of a signal that asks to end.
  std::optional<int> handle_signals();

 private:
  bool concerns(const StatusEvent& event) const;
  bool is_old(const StatusEvent& event) const;
  void show_live(const StatusEvent& event);
  void show_times(const PhaseSummary& summary);
  void give_cursor_back();

  Context& context_;
  Choice choice_;
  bool is_live_;
  std::optional<Signals> signals_;
  Scene scene_;
  LogFilter log_filter_;
  PhaseTimes phase_times_;
  std::optional<std::uint64_t> news_begins_after_;
  bool has_news_ = false;  // something after that was shown
  std::string above_;      // lines that stay, not yet written
  bool has_changed_ = false;
  bool is_cursor_hidden_ = false;
  std::size_t standing_lines_ = 0;
  std::chrono::steady_clock::time_point begun_at_ = std::chrono::steady_clock::now();
  std::optional<std::chrono::steady_clock::time_point> next_tick_;
};

}  // namespace ggufd::ctl
