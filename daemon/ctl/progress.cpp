#include "ctl/progress.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "ctl/human.h"

namespace ggufd::ctl {
namespace {

constexpr const char* hide_cursor = "\x1b[?25l";
constexpr const char* show_cursor = "\x1b[?25h";

}  // namespace

Progress::Progress(Context& context, Choice choice)
    : context_(context), choice_(std::move(choice)), is_live_(context.terminal.is_live) {
  if (is_live_ || choice_.holds_signals) signals_.emplace();
  if (is_live_ && !choice_.task.empty()) tick();
}

Progress::~Progress() {
  finish();
}

bool Progress::concerns(const StatusEvent& event) const {
  return !choice_.model || !event.model || *event.model == *choice_.model;
}

// What was made for this connection only has no number, and is news.
bool Progress::is_old(const StatusEvent& event) const {
  return news_begins_after_ && event.seq != 0 && event.seq <= *news_begins_after_;
}

void Progress::show(const StatusEvent& event) {
  if (!concerns(event)) return;
  if (is_old(event)) {
    phase_times_.apply(event);
    // The daemon's own word is about nothing that was asked for.
    if (event.model) scene_.apply(event);
    has_changed_ = true;
    if (!is_live() && is_under_way(kind_of(event.status)) && log_filter_.admits(event))
      context_.out.write(plain_line(describe(event)) + "\n");
    return;
  }
  if (news_begins_after_ && !std::exchange(has_news_, true)) phase_times_.all_is_known();
  const auto summary = phase_times_.apply(event);
  if (is_live()) {
    show_live(event);
  } else if (choice_.plain_lines && log_filter_.admits(event)) {
    context_.out.write(plain_line(describe(event)) + "\n");
  }
  if (summary) show_times(*summary);
}

void Progress::show_times(const PhaseSummary& summary) {
  const std::string text = to_string(summary);
  if (!is_live()) {
    if (choice_.plain_lines) context_.out.write(text + "\n");
    return;
  }
  for (const std::string& line : wrapped(text, std::max<std::size_t>(context_.terminal.columns, 3) - 1))
    above_ += line + "\n";
}

void Progress::daemon_gone() {
  scene_.note(Description{.subject = "ggufd",
                          .label = "gone",
                          .colour = Colour::yellow,
                          .fraction = {},
                          .details = {"the daemon has gone; waiting for it"}});
  has_changed_ = true;
}

void Progress::daemon_back(bool is_another) {
  scene_.note(std::nullopt);
  has_changed_ = true;
  if (!is_another) return;
  scene_.clear();
  phase_times_.forget();
  log_filter_ = {};
}

void Progress::tick() {
  const auto now = std::chrono::steady_clock::now();
  const auto elapsed_s = std::chrono::duration_cast<std::chrono::seconds>(now - begun_at_);
  scene_.note(
      Description{.subject = printable(choice_.model.value_or("ggufd")),
                  .label = choice_.task,
                  .colour = Colour::cyan,
                  .fraction = {},
                  .details = {human_clock(static_cast<std::uint64_t>(elapsed_s.count())) + " so far"}});
  next_tick_ = begun_at_ + elapsed_s + std::chrono::seconds(1);
  has_changed_ = true;
}

void Progress::show_live(const StatusEvent& event) {
  const StatusKind kind = kind_of(event.status);
  const bool stays = kind == StatusKind::warning || kind == StatusKind::lagged ||
                     (kind == StatusKind::error && choice_.errors_stay);
  if (stays) {
    const Description description = describe(event);
    above_ += painted(plain_line(description), description.colour, context_.terminal.style) + "\n";
  }
  scene_.apply(event);
  has_changed_ = true;
}

void Progress::flush() {
  if (!is_live() || !has_changed_) return;
  const Terminal& terminal = context_.terminal;
  // A line that fills the last column, or a picture that fills the last row, would scroll.
  const auto lines = scene_.lines(std::max<std::size_t>(terminal.columns, 2) - 1,
                                  std::max<std::size_t>(terminal.rows, 2) - 1, terminal.style);
  std::string bytes;
  if (!is_cursor_hidden_) bytes += hide_cursor;
  is_cursor_hidden_ = true;
  if (!above_.empty()) {
    bytes += redrawn(standing_lines_, {});
    standing_lines_ = 0;
    bytes += std::exchange(above_, {});
  }
  bytes += redrawn(standing_lines_, lines);
  standing_lines_ = lines.size();
  has_changed_ = false;
  context_.out.write(bytes);
}

void Progress::finish() {
  if (next_tick_) {
    scene_.note(std::nullopt);
    next_tick_.reset();
    has_changed_ = true;
  }
  flush();
  give_cursor_back();
  standing_lines_ = 0;
}

void Progress::give_cursor_back() {
  if (std::exchange(is_cursor_hidden_, false)) context_.out.write(show_cursor);
}

std::optional<int> Progress::handle_signals() {
  while (const auto number = signals_ ? signals_->next() : std::nullopt) {
    switch (*number) {
      case SIGWINCH:
        if (!is_live()) break;
        context_.terminal = terminal_of(context_.out.descriptor(), context_.environment);
        has_changed_ = true;
        break;
      case SIGTSTP:
        give_cursor_back();
        kill(getpid(), SIGSTOP);
        // Continued: what the shell has written stays above.
        standing_lines_ = 0;
        has_changed_ = true;
        break;
      default:
        return number;
    }
  }
  return std::nullopt;
}

}  // namespace ggufd::ctl
