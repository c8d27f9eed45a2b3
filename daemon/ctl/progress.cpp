#include "ctl/progress.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

namespace ggufd::ctl {
namespace {

constexpr const char* hide_cursor = "\x1b[?25l";
constexpr const char* show_cursor = "\x1b[?25h";

}  // namespace

Progress::Progress(Context& context, Choice choice) : context_(context), choice_(std::move(choice)) {
  if (context_.terminal.is_live) signals_.emplace();
}

Progress::~Progress() {
  finish();
}

bool Progress::concerns(const StatusEvent& event) const {
  return !choice_.model || !event.model || *event.model == *choice_.model;
}

void Progress::show(const StatusEvent& event) {
  if (!concerns(event)) return;
  if (is_live()) {
    show_live(event);
  } else if (choice_.plain_lines && log_filter_.admits(event)) {
    context_.out.write(plain_line(describe(event)) + "\n");
  }
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
