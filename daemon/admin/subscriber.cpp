#include "admin/subscriber.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

namespace ggufd::admin {
namespace {

constexpr std::size_t max_pieces = 64;            // of one write
constexpr std::size_t max_batch_bytes = 1 << 20;  // of one write; a socket's buffer is smaller
// A client that asks and does not read its answers is not read from until it does.
constexpr std::size_t max_private_bytes = 256 * 1024;

}  // namespace

// What one write is made of, and who keeps its bytes alive.
struct Subscriber::Batch {
  std::vector<uv_buf_t> pieces;
  std::vector<std::shared_ptr<const void>> holders;
  std::size_t bytes = 0;
  // Where the cursor stands once all of it is taken.
  std::uint64_t next_seq = 0;
  std::uint64_t changes_seen = 0;
  std::size_t private_count = 0;

  void add(std::string_view piece, std::shared_ptr<const void> holder) {
    bytes += piece.size();
    if (!pieces.empty() && holders.back() == holder &&
        pieces.back().base + pieces.back().len == piece.data()) {
      pieces.back().len += piece.size();  // frames that lie one behind the other are one piece
      return;
    }
    pieces.push_back(uv_buf_init(const_cast<char*>(piece.data()), static_cast<unsigned>(piece.size())));
    holders.push_back(std::move(holder));
  }
};

Subscriber::Subscriber(std::uint64_t id, loop::Loop& loop, std::unique_ptr<loop::Stream> stream,
                       loop::PeerCredentials peer, const StatusLog& log, const Patience& patience,
                       SubscriberOwner& owner)
    : id_(id),
      loop_(loop),
      stream_(std::move(stream)),
      peer_(peer),
      log_(log),
      patience_(patience),
      owner_(owner),
      next_seq_(log.seq() + 1),
      changes_seen_(log.changes()) {
  // The snapshot and the cursor are taken together: nothing can come between.
  push_private(log.snapshot());
  start_reading();
}

// --- What the client says

void Subscriber::start_reading() {
  stream_->start_reading([this](std::string_view bytes) { read(bytes); }, [this] { input_ended(); });
}

// Line by line, because a line's answer may be what pauses the reading.
void Subscriber::read(std::string_view bytes) {
  while (!bytes.empty() && !is_refused_ && !reads_paused_) {
    const std::size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end == std::string_view::npos ? end : end + 1);
    bytes.remove_prefix(piece.size());
    const bool fits = lines_.feed(piece, [this](std::string_view line) {
      owner_.on_line(*this, line);
      return true;
    });
    if (!fits) refuse_line();
  }
  if (!is_refused_) unread_.assign(bytes);
}

// The client has taken its answers: what it asked for meanwhile comes first.
void Subscriber::read_on() {
  if (!std::exchange(reads_paused_, false)) return;
  const std::string unread = std::exchange(unread_, {});
  read(unread);
  if (!reads_paused_ && !has_ended_input_) start_reading();
}

// Answered, and closed: where the next line would begin cannot be known. Its input is read on and thrown
// away, because closing over unread bytes would reset the connection and could lose the answer.
void Subscriber::refuse_line() {
  is_refused_ = true;
  refused_at_ms_ = loop_.now_ms();
  unread_.clear();
  answer("", fail(ErrorCode::frame_too_large, fmt::format("a line has at most {} bytes", max_frame_bytes)));
  close_when_written();
}

void Subscriber::input_ended() {
  has_ended_input_ = true;
  if (stream_->peer_is_gone()) return owner_.drop_soon(*this);
  // A client may end its side once it has asked, and still read (`socat`, `nc -N`).
  owner_.flush_soon(*this);
}

void Subscriber::answer(std::string_view id, const Result<AnswerBody>& answer) {
  fmt::memory_buffer line;
  if (answer) {
    encode_answer(id, *answer, line);
  } else {
    encode_error(id, answer.error(), line);
  }
  push_private(fmt::to_string(line));
}

void Subscriber::subscribe(std::string_view id, std::optional<std::uint64_t> since, Filter filter) {
  const std::uint64_t last_seq = log_.seq();
  if (!gets_events_) {
    // What came while it wanted none is not made up for.
    next_seq_ = last_seq + 1;
    changes_seen_ = log_.changes();
  }
  filter_ = std::move(filter);
  gets_events_ = true;
  is_behind_ = false;
  answer(id, AnswerBody(answer::Subscribe{last_seq}));
  if (!since) return;
  if (*since > last_seq || !log_.has_events_since(*since + 1)) {
    // Too far back, or the number of another daemon's life.
    push_private(log_.lagged_snapshot(*since < last_seq ? last_seq - *since : last_seq));
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

void Subscriber::push_private(std::string bytes) {
  if (bytes.empty() || has_ended_output_) return;
  private_bytes_ += bytes.size();
  private_.push_back({log_.seq() + 1, std::make_shared<const std::string>(std::move(bytes))});
  if (private_bytes_ > max_private_bytes && !std::exchange(reads_paused_, true)) stream_->stop_reading();
  owner_.flush_soon(*this);
}

// --- What it is told

bool Subscriber::wants(const LogEntry& entry) const {
  if (!gets_events_) return false;
  if (entry.is_superseded && is_behind_) return false;
  if (entry.is_progress && !filter_.progress) return false;
  return filter_.models.empty() || entry.model == nullptr || filter_.models.contains(*entry.model);
}

void Subscriber::catch_up_if_lagging() {
  const std::uint64_t behind = log_.changes() - std::max(changes_seen_, changes_before_replay_);
  const bool is_lagging = behind > StatusLog::kept_changes || !log_.has_changes_since(next_seq_);
  if (!is_lagging || !gets_events_) return;
  const std::uint64_t missed = log_.seq() + 1 - next_seq_;
  next_seq_ = log_.seq() + 1;
  changes_seen_ = log_.changes();
  push_private(log_.lagged_snapshot(missed));
}

// Collects what comes next, events and private bytes in their order, until the batch is full.
void Subscriber::gather(Batch& batch) {
  batch.next_seq = next_seq_;
  batch.changes_seen = changes_seen_;
  while (batch.pieces.size() < max_pieces && batch.bytes < max_batch_bytes) {
    const LogEntry* entry = log_.find(batch.next_seq);
    const bool has_private = batch.private_count < private_.size();
    if (has_private && (entry == nullptr || private_[batch.private_count].before_seq <= entry->seq)) {
      const auto& bytes = private_[batch.private_count++].bytes;
      batch.add(*bytes, bytes);
      continue;
    }
    if (entry == nullptr) break;
    if (wants(*entry)) batch.add(entry->line(), entry->segment);
    batch.next_seq = entry->seq + 1;
    batch.changes_seen = entry->change_number;
  }
}

void Subscriber::flush() {
  while (!stream_->is_writing()) {
    catch_up_if_lagging();
    Batch batch;
    gather(batch);
    if (batch.bytes == 0) {
      next_seq_ = batch.next_seq;
      changes_seen_ = batch.changes_seen;
      is_behind_ = false;
      return finished_writing();
    }
    const auto written = stream_->try_write(batch.pieces);
    if (!written) return owner_.drop_soon(*this);
    took(*written, batch);
  }
}

// All of the batch counts as taken: what the socket did not take at once follows in the one write that is
// under way.
void Subscriber::took(std::size_t bytes, Batch& batch) {
  next_seq_ = batch.next_seq;
  changes_seen_ = batch.changes_seen;
  for (; batch.private_count > 0; --batch.private_count) {
    private_bytes_ -= private_.front().bytes->size();
    private_.pop_front();
  }
  if (bytes == batch.bytes) return;
  std::size_t piece = 0;
  for (; bytes >= batch.pieces[piece].len; ++piece) bytes -= batch.pieces[piece].len;
  batch.pieces.erase(batch.pieces.begin(), batch.pieces.begin() + static_cast<std::ptrdiff_t>(piece));
  batch.holders.erase(batch.holders.begin(), batch.holders.begin() + static_cast<std::ptrdiff_t>(piece));
  batch.pieces.front().base += bytes;
  batch.pieces.front().len -= bytes;
  write_later(batch);
}

void Subscriber::write_later(Batch& batch) {
  is_behind_ = true;
  waiting_since_ms_ = loop_.now_ms();
  waiting_bytes_ = batch.bytes;
  auto holders = std::make_shared<std::vector<std::shared_ptr<const void>>>(std::move(batch.holders));
  stream_->write(batch.pieces, std::move(holders), [this](bool ok) {
    if (!ok) return owner_.drop_soon(*this);
    owner_.flush_soon(*this);
  });
}

bool Subscriber::outlives(std::uint64_t now_ms) {
  if (refused_at_ms_ && now_ms - *refused_at_ms_ >= patience_.refused_ms) return false;
  if (has_ended_input_ && stream_->peer_is_gone()) return false;
  if (!stream_->is_writing()) return true;
  if (const std::size_t waiting = stream_->unwritten_bytes(); waiting != waiting_bytes_) {
    waiting_bytes_ = waiting;
    waiting_since_ms_ = now_ms;
  }
  return now_ms - waiting_since_ms_ < patience_.stall_ms;
}

void Subscriber::close_when_written() {
  closes_when_written_ = true;
  owner_.flush_soon(*this);
}

void Subscriber::finished_writing() {
  read_on();
  if (!closes_when_written_ || !private_.empty()) return;
  if (has_ended_input_ || !is_refused_) return owner_.drop_soon(*this);
  if (std::exchange(has_ended_output_, true)) return;
  gets_events_ = false;
  stream_->end_writing();
}

}  // namespace ggufd::admin
