#include "admin/cursor.h"

#include <algorithm>
#include <utility>

namespace ggufd::admin {

void Gathered::clear() {
  piece_count_ = 0;
  bytes_ = 0;
  private_count_ = 0;
  place_.reset();
}

void Gathered::add(std::string_view piece) {
  bytes_ += piece.size();
  if (piece_count_ > 0) {
    iovec& last = pieces_[piece_count_ - 1];
    if (static_cast<const char*>(last.iov_base) + last.iov_len == piece.data()) {
      last.iov_len += piece.size();  // frames that lie one behind the other are one piece
      return;
    }
  }
  pieces_[piece_count_++] = {const_cast<char*>(piece.data()), piece.size()};
}

Cursor::Cursor(const StatusLog& log) : log_(log), next_seq_(log.seq() + 1), changes_seen_(log.changes()) {
  tell(log.snapshot());
}

void Cursor::tell(std::string bytes) {
  if (bytes.empty()) return;
  private_bytes_ += bytes.size();
  const std::uint64_t before_seq = log_.seq() + 1;
  if (!private_.empty() && private_.back().before_seq == before_seq) {
    private_.back().bytes += bytes;
  } else {
    private_.push_back({before_seq, std::move(bytes)});
  }
}

void Cursor::subscribe(std::string answer, std::optional<std::uint64_t> since, Filter filter) {
  const std::uint64_t last_seq = log_.seq();
  if (!gets_events_) {
    // What came while it wanted none is not made up for.
    next_seq_ = last_seq + 1;
    changes_seen_ = log_.changes();
  }
  const bool wants_all = filter.models.empty() && filter.progress;
  filter_ = wants_all ? nullptr : std::make_unique<const Filter>(std::move(filter));
  gets_events_ = true;
  is_behind_ = false;
  tell(std::move(answer));
  if (!since) return;
  if (*since > last_seq || !log_.has_events_since(*since + 1)) {
    // Too far back, or the number of another daemon's life.
    tell(current_state(*since < last_seq ? last_seq - *since : last_seq));
    next_seq_ = last_seq + 1;
    changes_seen_ = log_.changes();
    return;
  }
  // The answer comes first, then the events that are told once more.
  next_seq_ = *since + 1;
  for (Private& waiting : private_) waiting.before_seq = std::min(waiting.before_seq, next_seq_);
  const LogEntry* first = log_.find(next_seq_);
  changes_seen_ = first == nullptr ? log_.changes() : first->change_number - (first->is_progress ? 0 : 1);
  changes_before_replay_ = log_.changes();
}

void Cursor::fall_silent() {
  gets_events_ = false;
  private_ = {};
  private_bytes_ = 0;
  rest_ = {};
}

bool Cursor::wants(const LogEntry& entry) const {
  if (!gets_events_ || (entry.is_superseded && is_behind_)) return false;
  if (filter_ == nullptr || entry.model == nullptr) return true;
  if (entry.is_progress && !filter_->progress) return false;
  return filter_->models.empty() || filter_->models.contains(*entry.model);
}

std::optional<Gathered::Place> Cursor::place() const {
  const bool is_like_others = gets_events_ && filter_ == nullptr && private_.empty() && !rest_.is_private;
  if (!is_like_others) return std::nullopt;
  const char* rest = rest_.bytes.empty() ? nullptr : rest_.bytes.data();
  return Gathered::Place{next_seq_, log_.seq(), rest, is_behind_};
}

std::string Cursor::current_state(std::optional<std::uint64_t> missed) const {
  const auto* models = filter_ == nullptr || filter_->models.empty() ? nullptr : &filter_->models;
  return missed ? log_.lagged_snapshot(*missed, models) : log_.snapshot(models);
}

void Cursor::catch_up_if_lagging() {
  const std::uint64_t behind = log_.changes() - std::max(changes_seen_, changes_before_replay_);
  const bool is_lagging = behind > StatusLog::kept_changes || !log_.has_changes_since(next_seq_);
  if (!is_lagging || !gets_events_) return;
  const std::uint64_t missed = log_.seq() + 1 - next_seq_;
  next_seq_ = log_.seq() + 1;
  changes_seen_ = log_.changes();
  tell(current_state(missed));
}

const Cursor::Private* Cursor::private_at(std::size_t index, const LogEntry* entry) const {
  if (index == private_.size()) return nullptr;
  return entry == nullptr || private_[index].before_seq <= entry->seq ? &private_[index] : nullptr;
}

void Cursor::gather(Gathered& gathered) {
  catch_up_if_lagging();
  const auto place = this->place();
  if (!place || gathered.place_ != place) {
    gathered.clear();
    gathered.place_ = place;
    collect(gathered);
  }
  if (gathered.bytes() == 0) took(0, gathered);  // what it has seen or does not want is behind it
}

void Cursor::collect(Gathered& gathered) const {
  gathered.next_seq_ = next_seq_;
  gathered.changes_seen_ = changes_seen_;
  if (!rest_.bytes.empty()) gathered.add(rest_.bytes);
  while (!gathered.is_full()) {
    const LogEntry* entry = log_.find(gathered.next_seq_);
    if (const Private* own = private_at(gathered.private_count_, entry)) {
      gathered.add(own->bytes);
      ++gathered.private_count_;
      continue;
    }
    if (entry == nullptr) break;
    if (wants(*entry)) gathered.add(entry->line());
    gathered.next_seq_ = entry->seq + 1;
    gathered.changes_seen_ = entry->change_number;
  }
}

void Cursor::took(std::size_t bytes, const Gathered& gathered) {
  if (bytes < gathered.bytes()) {
    took_some(bytes);
    is_behind_ = true;
    return;
  }
  next_seq_ = gathered.next_seq_;
  changes_seen_ = gathered.changes_seen_;
  if (rest_.is_private) private_bytes_ -= rest_.bytes.size();
  rest_ = {};
  took_private(gathered.private_count_);
  if (next_seq_ > log_.seq() && private_.empty()) is_behind_ = false;
}

// Goes the same way as gather() once more, as far as the bytes reach.
void Cursor::took_some(std::size_t bytes) {
  const std::size_t of_rest = std::min(bytes, rest_.bytes.size());
  rest_.bytes.remove_prefix(of_rest);
  if (rest_.is_private) private_bytes_ -= of_rest;
  if (!rest_.bytes.empty()) return;
  rest_ = {};
  bytes -= of_rest;
  std::size_t private_count = 0;
  while (bytes > 0) {
    const LogEntry* entry = log_.find(next_seq_);
    const Private* own = private_at(private_count, entry);
    if (own != nullptr) {
      ++private_count;
    } else {
      next_seq_ = entry->seq + 1;
      changes_seen_ = entry->change_number;
      if (!wants(*entry)) continue;
    }
    const std::string_view frame = own != nullptr ? std::string_view(own->bytes) : entry->line();
    if (frame.size() <= bytes) {
      bytes -= frame.size();
      continue;
    }
    if (own != nullptr) {
      auto holder = std::make_shared<std::string>(std::move(private_[private_count - 1].bytes));
      rest_ = {holder, std::string_view(*holder).substr(bytes), true};
      private_bytes_ -= bytes;
    } else {
      rest_ = {entry->segment, frame.substr(bytes), false};
    }
    break;
  }
  took_private(private_count);
}

// The first so many of private_ are done with; of a `rest_` only the emptied string is left there.
void Cursor::took_private(std::size_t count) {
  const auto end = private_.begin() + static_cast<std::ptrdiff_t>(count);
  for (auto own = private_.begin(); own != end; ++own) private_bytes_ -= own->bytes.size();
  private_.erase(private_.begin(), end);
  if (private_.empty() && private_.capacity() > 0) private_.shrink_to_fit();
}

}  // namespace ggufd::admin
