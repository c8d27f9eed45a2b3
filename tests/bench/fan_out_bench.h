// What the programs of the fan-out benchmark share (tests/bench/fan_out.py drives them).
//
// A publisher and a reader do as the lines on their stdin say, and answer each with one JSON line on stdout.
// Time is CLOCK_MONOTONIC in nanoseconds, the same for all processes of a machine. Whatever fails ends the
// program with a sentence on stderr.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/ndjson.h"
#include "protocol/status_event.h"

namespace ggufd::bench {

[[noreturn]] void give_up(std::string_view what);
// Gives up with errno's text unless `is_good`.
void require(bool is_good, std::string_view what);

std::uint64_t now_ns();

// When event k was published: a file that the publisher writes to and the reader looks into, since a frame
// says milliseconds only. It must be there and may be empty.
class Stamps {
 public:
  static constexpr std::size_t capacity = 1U << 20U;

  explicit Stamps(const std::string& path);
  ~Stamps();
  Stamps(const Stamps&) = delete;
  Stamps& operator=(const Stamps&) = delete;

  void set(std::uint64_t index, std::uint64_t ns);
  std::uint64_t at(std::uint64_t index) const;

 private:
  std::uint64_t* ns_;
};

// --- Events

inline constexpr const char* bench_model = "qwen3-4b";

// Event `index` of a download, which has come further with each. Frames of all indices have the same size,
// but for the digits of their seq.
Status progress_event(std::uint64_t index);
// The same; but events with even and odd numbers differ in their status, so that each is a change, which no
// reader may miss.
Status change_event(std::uint64_t index);
// The line that the status log would make of change_event(index).
std::string change_frame(std::uint64_t index);

// --- Commands

// "burst COUNT PER_TURN", "progress COUNT PER_TURN", "steady COUNT INTERVAL_MS" to a publisher;
// "expect FRAMES", "expect-end INDEX", "report" to the reader.
struct Command {
  std::string verb;
  std::uint64_t count = 0;
  std::uint64_t pace = 0;
};

// Commands as they arrive on stdin.
class Commands {
 public:
  // Reads once, which waits where nothing is there; calls on_command(const Command&) for each line. False at
  // the end of input.
  template <class OnCommand>
  bool read(OnCommand on_command) {
    const std::string bytes = read_input();
    if (bytes.empty()) return false;
    lines_.feed(bytes, [&on_command](std::string_view line) {
      on_command(parse(line));
      return true;
    });
    return true;
  }

 private:
  static std::string read_input();
  static Command parse(std::string_view line);

  LineReader lines_{4096};
};

// Writes the line to stdout, at once.
void answer(const std::string& line);
// A publisher's answers: that it takes connections or commands; that it has done what it was told, the first
// of it at `begin_ns`.
void answer_started();
void answer_published(std::uint64_t begin_ns);

// --- Sockets

int connect_to(const std::string& path);
int listen_on(const std::string& path);
void write_all(int fd, std::string_view bytes);

// --- The programs; what they return is the exit code

// The status log and the admin server as the daemon has them.
int serve_ggufd(const std::string& socket, Stamps& stamps);
// Writes each frame to each connection, one after the other, and waits where one is full.
int write_loop(const std::string& socket, Stamps& stamps);
// Sends each frame to a redis-server as PUBLISH, a burst in one piece.
int redis_publish(const std::string& socket, Stamps& stamps);

struct ReadOptions {
  std::string socket;
  std::size_t readers = 1;
  std::size_t stuck = 0;  // further connections, spread among the others, that are never read from
  bool is_redis = false;
};
int read_all(const ReadOptions& options, const Stamps& stamps);

}  // namespace ggufd::bench
