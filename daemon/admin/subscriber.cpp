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
// A reader that takes no byte for so long is not coming back.
constexpr std::uint64_t stall_limit_ms = 60'000;
// How long a client whose line was refused may go on sending before it is cut off.
constexpr std::uint64_t refused_limit_ms = 1000;

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
    if (!pieces.empty() && pieces.back().base + pieces.back().len == piece.data()) {
      pieces.back().len += piece.size();  // frames that lie one behind the other are one piece
      return;
    }
    pieces.push_back(uv_buf_init(const_cast<char*>(piece.data()), static_cast<unsigned>(piece.size())));
    holders.push_back(std::move(holder));
  }
};

Subscriber::Subscriber(std::uint64_t id, loop::Loop& loop, std::unique_ptr<loop::Stream> stream,
                       loop::PeerCredentials peer, const StatusLog& log, SubscriberOwner& owner)
    : id_(id), loop_(loop), stream_(std::move(stream)), peer_(peer), log_(log), owner_(owner),
      next_seq_(log.seq() + 1), changes_seen_(log.changes()) {
  // The snapshot and the cursor are taken together: nothing can come between.
  push_private(log.snapshot());
  stream_->start_reading([this](std::string_view bytes) { read(bytes); }, [this] { input_ended(); });
}

// --- What the client says

void Subscriber::read(std::string_view bytes) {
  if (is_refused_) return;
  const bool fits = lines_.feed(bytes, [this](std::string_view line) {
    owner_.on_line(*this, line);
    return true;
  });
  if (!fits) refuse_line();
}

// Answered, and closed: where the next line would begin cannot be known. Its input is read on and thrown away, because
// closing over unread bytes would reset the connection and could lose the answer.
void Subscriber::refuse_line() {
  is_refused_ = true;
  refused_at_ms_ = loop_.now_ms();
  answer("", fail(ErrorCode::frame_too_large, fmt::format("a line has at most {} bytes", max_frame_bytes)));
  close_when_written();
}

void Subscriber::input_ended() {
  has_ended_input_ = true;
  // A client may end its side once it has asked, and still read (`socat`, `nc -N`).
  if (closes_when_written_ || stream_->peer_is_gone()) return owner_.drop_soon(*this);
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
  filter_ = std::move(filter);
  gets_events_ = true;
  is_behind_ = false;
  answer(id, AnswerBody(answer::Subscribe{log_.seq()}));
  if (!since) return;
  const std::uint64_t last_seq = log_.seq();
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
}

void Subscriber::push_private(std::string bytes) {
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
  const bool is_lagging =
      log_.changes() - changes_seen_ > StatusLog::kept_changes || !log_.has_changes_since(next_seq_);
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

// All of the batch counts as taken: what the socket did not take at once follows in the one write that is under way.
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
  if (refused_at_ms_ && now_ms - *refused_at_ms_ >= refused_limit_ms) return false;
  if (has_ended_input_ && stream_->peer_is_gone()) return false;
  if (!stream_->is_writing()) return true;
  if (const std::size_t waiting = stream_->unwritten_bytes(); waiting != waiting_bytes_) {
    waiting_bytes_ = waiting;
    waiting_since_ms_ = now_ms;
  }
  return now_ms - waiting_since_ms_ < stall_limit_ms;
}

void Subscriber::close_when_written() {
  closes_when_written_ = true;
  owner_.flush_soon(*this);
}

void Subscriber::finished_writing() {
  if (std::exchange(reads_paused_, false)) {
    stream_->start_reading([this](std::string_view bytes) { read(bytes); }, [this] { input_ended(); });
  }
  if (!closes_when_written_) return;
  if (has_ended_input_ || !is_refused_) return owner_.drop_soon(*this);
  gets_events_ = false;
  stream_->end_writing();
}

}  // namespace ggufd::admin
