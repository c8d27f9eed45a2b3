// One connection to the admin socket: a cursor into the status log, and the requests of its client.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "admin/cursor.h"
#include "loop/stream.h"
#include "protocol/frame.h"
#include "protocol/ndjson.h"

namespace ggufd::admin {

class Subscriber;

// How long the server is patient. The values are those of docs/protocol.md; tests have less time.
struct Patience {
  // A reader that takes no byte for so long while there are some waiting is not coming back.
  std::uint64_t stall_ms = 60'000;
  // How long a client whose line was refused may go on sending before it is cut off.
  std::uint64_t refused_ms = 1000;
  // How often those are looked at whom this concerns; nobody else is.
  std::uint64_t watch_interval_ms = 1000;
};

// What a subscriber needs of the server that owns it.
class SubscriberOwner {
 public:
  // The subscriber has a line: decode, answer with Subscriber::answer().
  virtual void on_line(Subscriber& from, std::string_view line) = 0;
  // There is something to write: Subscriber::flush() is called once, at the end of the turn.
  virtual void flush_soon(Subscriber& subscriber) = 0;
  // It is to be destroyed, at the end of the turn.
  virtual void drop_soon(Subscriber& subscriber) = 0;
  // It makes the daemon hold so many bytes more, or less.
  virtual void held_bytes_changed(std::ptrdiff_t change) = 0;

 protected:
  ~SubscriberOwner() = default;
};

class Subscriber final : private loop::StreamUser {
 public:
  Subscriber(std::uint64_t id, loop::Loop& loop, std::unique_ptr<loop::Stream> stream,
             loop::PeerCredentials peer, const StatusLog& log, const Patience& patience,
             SubscriberOwner& owner);
  ~Subscriber();

  std::uint64_t id() const { return id_; }
  const loop::PeerCredentials& peer() const { return peer_; }
  bool gets_events() const { return cursor_.gets_events(); }

  // Requests that wait for their answer, counted by the owner; each keeps so many bytes.
  std::size_t open_requests() const { return open_requests_; }
  void request_began(std::size_t bytes);
  void request_ended(std::size_t bytes);

  // Alive as long as this is: those who keep something for its sake see that it has gone.
  std::weak_ptr<const void> alive();

  // Answers a request, behind the events that were published before.
  void answer(std::string_view id, const Result<AnswerBody>& answer);
  // Goes on with events after `since`, or where it stands if there is none; answers with `id` and `last_seq`
  // first.
  void subscribe(std::string_view id, std::uint64_t last_seq, std::optional<std::uint64_t> since,
                 Filter filter);
  void unsubscribe() { cursor_.unsubscribe(); }

  // Writes what the socket takes: answers and events in their order, straight from the log. `gathered` is
  // anybody's of the same log.
  void flush(Gathered& gathered);
  // Nothing more will come: closes once everything is written.
  void close_when_written();

  // Looked at now and then while it `needs_watch`: data waits to be taken or its line was refused. False once
  // its time is over and it is to be dropped.
  bool needs_watch() const { return stream_->waits_for_room() || is_refused_; }
  bool outlives(std::uint64_t now_ms);

  // What it makes the daemon hold: answers not taken, lines not ended, requests not answered.
  std::size_t held_bytes() const { return held_bytes_; }

 private:
  void on_bytes(std::string_view bytes) override;
  void on_end() override;
  void on_room() override { owner_.flush_soon(*this); }
  void on_gone() override { owner_.drop_soon(*this); }

  void read(std::string_view bytes);
  void read_on();
  void refuse_line();
  void tell(std::string bytes);
  void count_held_bytes();
  void lose_output();
  void wait_for_room();
  void finished_writing();

  const std::uint64_t id_;
  loop::Loop& loop_;
  std::unique_ptr<loop::Stream> stream_;
  const loop::PeerCredentials peer_;
  const Patience& patience_;
  SubscriberOwner& owner_;

  Cursor cursor_;
  LineReader lines_{max_frame_bytes};
  std::string unread_;  // lines that had arrived when reading was paused
  std::shared_ptr<const void> alive_;
  std::size_t held_bytes_ = 0;
  std::size_t request_bytes_ = 0;
  std::uint32_t open_requests_ = 0;
  bool reads_paused_ = false;
  bool is_refused_ = false;  // its input is thrown away
  bool has_ended_input_ = false;
  bool closes_when_written_ = false;
  bool has_ended_output_ = false;
  std::size_t unread_kernel_bytes_ = 0;  // when it was last looked at
  std::uint64_t waiting_since_ms_ = 0;   // since then not a byte was taken; of the loop's clock
  std::uint64_t refused_at_ms_ = 0;
};

}  // namespace ggufd::admin
