// Many readers in one process, and as cheap as they can be: they share the machine with what is measured.
#include <fmt/core.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "tests/bench/fan_out_bench.h"

namespace ggufd::bench {
namespace {

constexpr std::size_t buffer_bytes = 256 * 1024;
constexpr std::size_t tail_bytes = 512;  // longer than the frame that ends a run of progress
constexpr std::string_view end_mark = R"("status":"ready")";
constexpr std::string_view redis_subscribe = "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nm\r\n";

// Sixteen bytes at a time, with the instructions that every x86-64 and AArch64 has.
std::uint64_t count_newlines(const char* bytes, std::size_t size) {
  using Vector = unsigned char __attribute__((vector_size(16)));
  constexpr std::size_t counted_at_once = 255 * sizeof(Vector);  // as far as a byte counts
  const Vector newlines = Vector{} + static_cast<unsigned char>('\n');
  std::uint64_t total = 0;
  std::size_t at = 0;
  while (size - at >= sizeof(Vector)) {
    const std::size_t end = at + std::min(size - at, counted_at_once) / sizeof(Vector) * sizeof(Vector);
    Vector counts = {};
    for (; at < end; at += sizeof(Vector)) {
      Vector piece;
      std::memcpy(&piece, bytes + at, sizeof(piece));
      counts -= (Vector)(piece == newlines);  // NOLINT: every bit of a byte that is one
    }
    for (std::size_t i = 0; i < sizeof(Vector); ++i) total += counts[i];
  }
  return total + static_cast<std::uint64_t>(std::count(bytes + at, bytes + size, '\n'));
}

// Nanoseconds, to 1.6 % exactly.
class Histogram {
 public:
  void add(std::uint64_t ns) {
    ++buckets_[bucket_of(ns)];
    ++total_;
  }

  std::uint64_t total() const { return total_; }

  // The value that `percent` of them do not exceed; 0 where there is none.
  std::uint64_t percentile(std::uint64_t percent) const {
    const std::uint64_t wanted = (total_ * percent + 99) / 100;
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen >= wanted && seen > 0) return value_of(i);
    }
    return 0;
  }

 private:
  static constexpr std::size_t steps = 64;  // of each power of two

  static std::size_t bucket_of(std::uint64_t ns) {
    const int shift = std::max(0, static_cast<int>(std::bit_width(ns)) - 7);
    return static_cast<std::size_t>(shift) * steps + static_cast<std::size_t>(ns >> shift);
  }
  static std::uint64_t value_of(std::size_t bucket) {
    if (bucket < 2 * steps) return bucket;
    return static_cast<std::uint64_t>(bucket % steps + steps) << (bucket / steps - 1);
  }

  std::array<std::uint64_t, (64 - 7 + 2) * steps> buckets_ = {};
  std::uint64_t total_ = 0;
};

struct Connection {
  int fd = -1;
  std::int64_t lines = 0;  // since the greeting, of which as many are still to come as are below zero
  std::uint64_t frames = 0;
  std::string tail;  // the last bytes, while the end of a run of progress is waited for
  bool has_end = false;
};

class Readers {
 public:
  Readers(const ReadOptions& options, const Stamps& stamps)
      : stamps_(stamps),
        // Of redis's message; a frame's own newline is the last but one.
        lines_per_frame_(options.is_redis ? 8 : 1),
        buffer_(buffer_bytes),
        connections_(options.readers) {
    require(epoll_ >= 0, "epoll");
    watch(STDIN_FILENO, connections_.size());
    const std::size_t all = options.readers + options.stuck;
    std::size_t stuck = 0;
    for (std::size_t i = 0, reader = 0; i < all; ++i) {
      const int fd = connect_to(options.socket);
      if (options.is_redis) write_all(fd, redis_subscribe);
      if (stuck * all < options.stuck * (i + 1)) {
        ++stuck;  // open until the process ends
        continue;
      }
      connections_[reader] = {.fd = fd, .lines = options.is_redis ? -6 : -1, .tail = {}};
      watch(fd, reader++);
    }
  }

  void run() {
    std::array<epoll_event, 512> events;
    while (true) {
      const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      require(ready >= 0 || errno == EINTR, "epoll_wait");
      for (int i = 0; i < ready; ++i) {
        const std::uint64_t index = events[static_cast<std::size_t>(i)].data.u64;
        if (index < connections_.size()) {
          read(connections_[index]);
        } else if (!commands_.read([this](const Command& command) { run(command); })) {
          return;
        }
      }
      tell_if_reached();
    }
  }

 private:
  void watch(int fd, std::uint64_t index) {
    epoll_event event = {.events = EPOLLIN, .data = {.u64 = index}};
    require(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
  }

  void run(const Command& command) {
    if (command.verb == "expect") {
      expected_frames_ = command.count;
      is_waiting_ = true;
      reached_ = static_cast<std::size_t>(std::ranges::count_if(
          connections_, [this](const Connection& reader) { return reader.frames >= expected_frames_; }));
    } else if (command.verb == "expect-end") {
      waits_for_end_ = true;
      is_waiting_ = true;
      expected_frames_ = std::numeric_limits<std::uint64_t>::max();
      end_index_ = command.count;
      reached_ = 0;
      answer(R"({"expecting":true})");
    } else if (command.verb == "report") {
      report();
    } else {
      give_up("unknown command " + command.verb);
    }
  }

  void read(Connection& from) {
    const ssize_t size = recv(from.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    require(size >= 0, "reading");
    if (size == 0) give_up("a connection was closed");
    const std::string_view bytes(buffer_.data(), static_cast<std::size_t>(size));
    const auto newlines = static_cast<std::int64_t>(count_newlines(bytes.data(), bytes.size()));
    if (newlines > 0) read_lines(from, newlines);
    if (waits_for_end_) look_for_end(from, bytes);
  }

  void read_lines(Connection& from, std::int64_t newlines) {
    const bool was_greeted = from.lines >= 0;
    from.lines += newlines;
    if (from.lines < 0) return;
    if (!was_greeted && ++greeted_ == connections_.size()) answer(R"({"connected":true})");
    const std::uint64_t frames = static_cast<std::uint64_t>(from.lines) / lines_per_frame_;
    const std::uint64_t seen = std::exchange(from.frames, frames);
    if (frames == seen) return;
    last_read_ns_ = now_ns();
    if (waits_for_end_) {
      // Some were passed over: which number a frame has is not known.
      frames_since_report_ += frames - seen;
      return;
    }
    for (std::uint64_t i = seen; i < frames; ++i) latencies_.add(last_read_ns_ - stamps_.at(i));
    frames_since_report_ += frames - seen;
    if (seen < expected_frames_ && frames >= expected_frames_) ++reached_;
  }

  void look_for_end(Connection& from, std::string_view bytes) {
    from.tail.append(bytes.substr(bytes.size() - std::min(bytes.size(), tail_bytes)));
    if (from.tail.size() > tail_bytes) from.tail.erase(0, from.tail.size() - tail_bytes);
    if (from.has_end || !from.tail.ends_with('\n') || !from.tail.contains(end_mark)) return;
    from.has_end = true;
    ++reached_;
    latencies_.add(last_read_ns_ - stamps_.at(end_index_));
  }

  void tell_if_reached() {
    if (!is_waiting_ || reached_ < connections_.size()) return;
    is_waiting_ = false;
    answer(fmt::format(R"({{"last_read_ns":{}}})", last_read_ns_));
  }

  // Of the frames since the last report.
  void report() {
    answer(fmt::format(R"({{"frames":{},"p50_ns":{},"p99_ns":{},"worst_ns":{}}})", frames_since_report_,
                       latencies_.percentile(50), latencies_.percentile(99), latencies_.percentile(100)));
    latencies_ = {};
    frames_since_report_ = 0;
  }

  const Stamps& stamps_;
  const std::uint64_t lines_per_frame_;
  const int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::vector<char> buffer_;
  std::vector<Connection> connections_;
  Commands commands_;
  Histogram latencies_;
  std::size_t greeted_ = 0;
  std::size_t reached_ = 0;  // connections that have all that is waited for
  std::uint64_t expected_frames_ = 0;
  std::uint64_t frames_since_report_ = 0;
  std::uint64_t last_read_ns_ = 0;
  std::uint64_t end_index_ = 0;
  bool is_waiting_ = false;
  bool waits_for_end_ = false;
};

}  // namespace

int read_all(const ReadOptions& options, const Stamps& stamps) {
  Readers(options, stamps).run();
  return 0;
}

}  // namespace ggufd::bench
