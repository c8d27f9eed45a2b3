// One stream of events out of several connections, the one after the other. Pure: frames in, frames out.
//
// The first connection's frames pass as they come. Those of a later one are held back until its daemon has
// said who it is, in the answer to a `ping`. Where it is the same one, it is asked for the events since the
// last one seen, and what it had sent before that is dropped: it comes again. Another daemon begins anew, so
// that its snapshot counts.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/answer.h"
#include "protocol/frame.h"

namespace ggufd::ctl {

struct HeardFrame {
  Frame frame;
  std::string line;  // as it came
};

class Continuity {
 public:
  using Moment = std::chrono::steady_clock::time_point;

  struct Step {
    std::vector<HeardFrame> news;                  // to be shown, in this order
    std::optional<std::uint64_t> subscribe_since;  // to be asked for; then subscribed()
    bool is_another = false;                       // a daemon that was not there before: `news` is all of it
  };

  // A connection stands, and a `ping` has been sent on it.
  void connected(std::string ping_id);
  void subscribed(std::string subscribe_id) { subscribe_id_ = std::move(subscribe_id); }
  // `now`: when the frame was read.
  Step take(HeardFrame heard, Moment now);

  std::uint64_t last_seq() const { return last_seq_; }

 private:
  enum class Stage { passing, held, resuming };

  // Which run of which daemon: a process number alone may come again, in a container it always does.
  struct Identity {
    std::int64_t pid = 0;
    Moment began;
  };

  static bool is_same(const Identity& one, const Identity& other);
  Step decide(std::optional<Identity> identity);
  void pass(HeardFrame heard, std::vector<HeardFrame>& news);

  Stage stage_ = Stage::passing;
  std::string ping_id_;
  std::string subscribe_id_;
  std::optional<Identity> identity_;
  std::vector<HeardFrame> held_;
  std::uint64_t last_seq_ = 0;   // the highest that has passed
  std::uint64_t known_seq_ = 0;  // up to here everything was seen on an earlier connection
  bool has_connected_ = false;
};

}  // namespace ggufd::ctl
