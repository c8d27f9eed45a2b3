// One connection to the admin socket: a cursor into the status log, and the requests of its client.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "admin/status_log.h"
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

 protected:
  ~SubscriberOwner() = default;
};

class Subscriber {
 public:
  Subscriber(std::uint64_t id, loop::Loop& loop, std::unique_ptr<loop::Stream> stream,
             loop::PeerCredentials peer, const StatusLog& log, const Patience& patience,
             SubscriberOwner& owner);

  std::uint64_t id() const { return id_; }
  const loop::PeerCredentials& peer() const { return peer_; }
  bool gets_events() const { return gets_events_; }

  // Requests that wait for their answer, counted by the owner.
  std::size_t open_requests() const { return open_requests_; }
  void request_began() { ++open_requests_; }
  void request_ended() { --open_requests_; }

  // Answers a request, behind the events that were published before.
  void answer(std::string_view id, const Result<AnswerBody>& answer);

  struct Filter {
    std::set<std::string, std::less<>> models;  // empty: all
    bool progress = true;
  };
  // Goes on with events after `since`, or where it stands if there is none; answers with `id` first.
  void subscribe(std::string_view id, std::optional<std::uint64_t> since, Filter filter);
  void unsubscribe() { gets_events_ = false; }

  // Writes what the socket takes: answers and events in their order, straight from the log.
  void flush();
  // Nothing more will come: closes once everything is written.
  void close_when_written();

  // Looked at now and then while it `needs_watch`: data waits to be taken, its line was refused, or it has
  // ended its side. False once its time is over and it is to be dropped.
  bool needs_watch() const { return stream_->is_writing() || is_refused_ || has_ended_input_; }
  bool outlives(std::uint64_t now_ms);

 private:
  // Bytes for this reader only; they stand before the event `before_seq`.
  struct Private {
    std::uint64_t before_seq = 0;
    std::shared_ptr<const std::string> bytes;
  };
  struct Batch;

  void read(std::string_view bytes);
  void start_reading();
  void read_on();
  void input_ended();
  void refuse_line();
  void push_private(std::string bytes);
  bool wants(const LogEntry& entry) const;
  void catch_up_if_lagging();
  void gather(Batch& batch);
  void took(std::size_t bytes, Batch& batch);
  void write_later(Batch& batch);
  void finished_writing();

  const std::uint64_t id_;
  loop::Loop& loop_;
  std::unique_ptr<loop::Stream> stream_;
  const loop::PeerCredentials peer_;
  const StatusLog& log_;
  const Patience& patience_;
  SubscriberOwner& owner_;

  LineReader lines_{max_frame_bytes};
  std::deque<Private> private_;
  std::size_t private_bytes_ = 0;
  std::size_t open_requests_ = 0;
  std::uint64_t next_seq_;                   // the cursor
  std::uint64_t changes_seen_;               // changes before the cursor
  std::uint64_t changes_before_replay_ = 0;  // those that `since` asked for are no lag
  Filter filter_;
  bool gets_events_ = true;
  bool is_behind_ = false;  // the socket was full: superseded progress is passed over
  bool reads_paused_ = false;
  std::string unread_;       // lines that had arrived when it was paused
  bool is_refused_ = false;  // its input is thrown away
  bool has_ended_input_ = false;
  bool closes_when_written_ = false;
  bool has_ended_output_ = false;
  std::size_t waiting_bytes_ = 0;       // when it was last looked at
  std::uint64_t waiting_since_ms_ = 0;  // since then not a byte was taken; of the loop's clock
  std::optional<std::uint64_t> refused_at_ms_;
};

}  // namespace ggufd::admin
