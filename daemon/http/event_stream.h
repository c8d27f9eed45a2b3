// Events as server-sent events (WHATWG HTML, section 9.2): a cursor of the status log whose frames become
// `id: <seq>` and `data: <frame>`. Knows no sockets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "admin/cursor.h"

namespace ggufd::http {

// One frame, with or without its '\n'; one that has no seq (`lagged`) gets no id.
void append_event(std::string& out, std::string_view frame);

// `Last-Event-ID` as a number; nothing where it is none of ours.
std::optional<std::uint64_t> parse_event_id(std::string_view text);

class EventStream {
 public:
  // The snapshot first; or, with `since`, the events after that one. `log` outlives this.
  EventStream(const admin::StatusLog& log, std::optional<std::uint64_t> since);

  // Puts what comes next into `out` and returns how many bytes that were: 0 where there is nothing now.
  std::size_t read(std::span<char> out);

  // A comment, so that whoever is between sees life; not where more is on its way anyway.
  void keep_alive();

 private:
  void fill();

  // So much of the log is taken at a time, as whole frames: what a reader that is slow makes us hold.
  static constexpr std::size_t max_taken_bytes = std::size_t{256} * 1024;

  admin::Cursor cursor_;
  std::string taken_;
  std::size_t given_ = 0;  // of it
};

}  // namespace ggufd::http
