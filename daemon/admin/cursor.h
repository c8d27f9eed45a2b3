// One reader's place in the status log: what it is told next, and what of that it has taken. Knows nothing of
// sockets; nothing is copied or queued for a reader but what is for it alone.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "admin/status_log.h"

namespace ggufd::admin {

// Which events a reader wants.
struct Filter {
  std::set<std::string, std::less<>> models;  // empty: all; those of the daemon always
  bool progress = true;
};

// What one write is made of: pieces of the log and of what is for one reader. Used for one reader after the
// other, since those who want everything and are equally far are told the same.
class Gathered {
 public:
  std::span<const iovec> pieces() const { return {pieces_.data(), piece_count_}; }
  std::size_t bytes() const { return bytes_; }

 private:
  friend class Cursor;

  // All that decides what a reader is told who wants everything and is told nothing of its own.
  struct Place {
    std::uint64_t next_seq = 0;
    std::uint64_t log_seq = 0;  // the log ends there
    const char* rest = nullptr;
    bool is_behind = false;

    friend bool operator==(const Place&, const Place&) = default;
  };

  static constexpr std::size_t max_pieces = 64;
  static constexpr std::size_t max_bytes = std::size_t{1} << 20;  // a socket's buffer is smaller

  bool is_full() const { return piece_count_ == max_pieces || bytes_ >= max_bytes; }
  void clear();
  void add(std::string_view piece);

  std::array<iovec, max_pieces> pieces_;
  std::size_t piece_count_ = 0;
  std::size_t bytes_ = 0;
  // Where the cursor stands once all of it is taken.
  std::uint64_t next_seq_ = 0;
  std::uint64_t changes_seen_ = 0;
  std::size_t private_count_ = 0;
  std::optional<Place> place_;  // for whoever else stands there
};

class Cursor {
 public:
  // Stands behind the log's end and is told the snapshot first: nothing can come between. `log` outlives it.
  explicit Cursor(const StatusLog& log);

  // Bytes for this reader only, behind the events that were published before.
  void tell(std::string bytes);

  // Goes on with events after `since`, or where it stands if there is none; `answer` comes first.
  void subscribe(std::string answer, std::optional<std::uint64_t> since, Filter filter);
  void unsubscribe() { gets_events_ = false; }
  bool gets_events() const { return gets_events_; }
  // Tells nothing more, and keeps nothing for it.
  void fall_silent();

  // What is to be written next, events and private bytes in their order; nothing where it has all. The pieces
  // are valid until the log or the cursor changes.
  void gather(Gathered& gathered);
  // So many bytes of what was just gathered have been taken.
  void took(std::size_t bytes, const Gathered& gathered);

  // Answers and snapshots that it has not taken yet: what it makes the daemon hold.
  std::size_t private_bytes() const { return private_bytes_; }

 private:
  struct Private {
    std::uint64_t before_seq = 0;  // stands before this event
    std::string bytes;
  };
  // A frame that has been taken in part: the rest comes before everything else, whatever else is skipped.
  struct Rest {
    std::shared_ptr<const void> holder;
    std::string_view bytes;
    bool is_private = false;
  };

  bool wants(const LogEntry& entry) const;
  std::optional<Gathered::Place> place() const;
  void catch_up_if_lagging();
  void collect(Gathered& gathered) const;
  std::string current_state(std::optional<std::uint64_t> missed) const;
  // What comes at this place: a private piece, an event or nothing.
  const Private* private_at(std::size_t index, const LogEntry* entry) const;
  void took_some(std::size_t bytes);
  void took_private(std::size_t count);

  const StatusLog& log_;
  std::vector<Private> private_;
  std::size_t private_bytes_ = 0;
  Rest rest_;
  std::uint64_t next_seq_;
  std::uint64_t changes_seen_;               // changes before next_seq_
  std::uint64_t changes_before_replay_ = 0;  // those that `since` asked for are no lag
  std::unique_ptr<const Filter> filter_;     // none: everything
  bool gets_events_ = true;
  bool is_behind_ = false;  // the socket was full: superseded progress is passed over
};

}  // namespace ggufd::admin
