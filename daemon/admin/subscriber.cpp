#include "admin/subscriber.h"

#include <fmt/core.h>

#include <utility>

namespace ggufd::admin {
namespace {

// A client that asks and does not read its answers is not read from until it does.
constexpr std::size_t max_private_bytes = 256 * 1024;

std::string encoded_answer(std::string_view id, const Result<AnswerBody>& answer) {
  fmt::memory_buffer line;
  if (answer) {
    encode_answer(id, *answer, line);
  } else {
    encode_error(id, answer.error(), line);
  }
  return fmt::to_string(line);
}

}  // namespace

Subscriber::Subscriber(std::uint64_t id, loop::Loop& loop, std::unique_ptr<loop::Stream> stream,
                       loop::PeerCredentials peer, const StatusLog& log, const Patience& patience,
                       SubscriberOwner& owner)
    : id_(id),
      loop_(loop),
      stream_(std::move(stream)),
      peer_(peer),
      patience_(patience),
      owner_(owner),
      cursor_(log) {
  owner_.flush_soon(*this);
  stream_->start_reading(*this);
}

Subscriber::~Subscriber() {
  owner_.held_bytes_changed(-static_cast<std::ptrdiff_t>(held_bytes_));
}

// --- What the client says

void Subscriber::on_bytes(std::string_view bytes) {
  read(bytes);
  count_held_bytes();
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
  if (!is_refused_ && !bytes.empty()) unread_.assign(bytes);
}

// The client has taken its answers: what it asked for meanwhile comes first.
void Subscriber::read_on() {
  if (!std::exchange(reads_paused_, false)) return;
  const std::string unread = std::exchange(unread_, {});
  read(unread);
  if (!reads_paused_ && !has_ended_input_) stream_->start_reading(*this);
}

// Answered, and closed: where the next line would begin cannot be known. Its input is read on and thrown
// away, because closing over unread bytes would reset the connection and could lose the answer.
void Subscriber::refuse_line() {
  is_refused_ = true;
  refused_at_ms_ = loop_.now_ms();
  unread_ = {};
  lines_ = LineReader(max_frame_bytes);
  answer("", fail(ErrorCode::frame_too_large, fmt::format("a line has at most {} bytes", max_frame_bytes)));
  close_when_written();
}

// A client may end its side once it has asked, and still read (`socat`, `nc -N`).
void Subscriber::on_end() {
  has_ended_input_ = true;
  if (has_ended_output_) return owner_.drop_soon(*this);
  owner_.flush_soon(*this);
}

void Subscriber::request_began(std::size_t bytes) {
  ++open_requests_;
  request_bytes_ += bytes;
}

void Subscriber::request_ended(std::size_t bytes) {
  --open_requests_;
  request_bytes_ -= bytes;
}

std::weak_ptr<const void> Subscriber::alive() {
  if (alive_ == nullptr) alive_ = std::make_shared<char>();
  return alive_;
}

void Subscriber::count_held_bytes() {
  const std::size_t held = cursor_.private_bytes() + lines_.partial_bytes() + unread_.size() + request_bytes_;
  const auto change = static_cast<std::ptrdiff_t>(held) - static_cast<std::ptrdiff_t>(held_bytes_);
  held_bytes_ = held;
  if (change != 0) owner_.held_bytes_changed(change);
}

// --- What it is told

void Subscriber::answer(std::string_view id, const Result<AnswerBody>& answer) {
  tell(encoded_answer(id, answer));
}

void Subscriber::tell(std::string bytes) {
  if (has_ended_output_) return;
  cursor_.tell(std::move(bytes));
  if (cursor_.private_bytes() > max_private_bytes && !std::exchange(reads_paused_, true)) {
    stream_->stop_reading();
  }
  count_held_bytes();
  owner_.flush_soon(*this);
}

void Subscriber::subscribe(std::string_view id, std::uint64_t last_seq, std::optional<std::uint64_t> since,
                           Filter filter) {
  cursor_.subscribe(encoded_answer(id, AnswerBody(answer::Subscribe{last_seq})), since, std::move(filter));
  count_held_bytes();
  owner_.flush_soon(*this);
}

void Subscriber::flush(Gathered& gathered) {
  if (stream_->waits_for_room()) return;
  while (true) {
    cursor_.gather(gathered);
    if (gathered.bytes() == 0) break;
    const auto written = stream_->try_write(gathered.pieces());
    if (!written) return lose_output();
    const bool is_full = *written < gathered.bytes();
    cursor_.took(*written, gathered);
    if (is_full) return wait_for_room();
  }
  finished_writing();
  count_held_bytes();
}

// Nobody reads any more. What the client said before it went is still heard: whoever writes a request and
// closes means it.
void Subscriber::lose_output() {
  has_ended_output_ = true;
  cursor_.fall_silent();
  count_held_bytes();
  if (has_ended_input_ || closes_when_written_) return owner_.drop_soon(*this);
  read_on();
}

void Subscriber::wait_for_room() {
  count_held_bytes();
  stream_->wait_for_room();
  waiting_since_ms_ = loop_.now_ms();
  unread_kernel_bytes_ = stream_->unread_kernel_bytes();
}

// Some of what the kernel keeps for the reader is taken now and then, long before there is room for more.
bool Subscriber::outlives(std::uint64_t now_ms) {
  if (is_refused_ && now_ms - refused_at_ms_ >= patience_.refused_ms) return false;
  if (!stream_->waits_for_room()) return true;
  if (const std::size_t unread = stream_->unread_kernel_bytes(); unread != unread_kernel_bytes_) {
    unread_kernel_bytes_ = unread;
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
  if (!closes_when_written_ || cursor_.private_bytes() > 0) return;
  if (has_ended_input_ || !is_refused_) return owner_.drop_soon(*this);
  if (std::exchange(has_ended_output_, true)) return;
  cursor_.unsubscribe();
  stream_->end_writing();
}

}  // namespace ggufd::admin
