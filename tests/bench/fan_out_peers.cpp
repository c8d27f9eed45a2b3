// What ours is held against: a bare loop of writes, and redis's pub/sub.
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "tests/bench/fan_out_bench.h"

namespace ggufd::bench {
namespace {

// When the events of a steady stream are due.
class Beat {
 public:
  explicit Beat(std::uint64_t interval_ms) : interval_ns_(interval_ms * 1'000'000), due_ns_(now_ns()) {}

  void wait() {
    due_ns_ += interval_ns_;
    const timespec due = {static_cast<time_t>(due_ns_ / 1'000'000'000),
                          static_cast<long>(due_ns_ % 1'000'000'000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr) == EINTR) {
    }
  }

 private:
  std::uint64_t interval_ns_;
  std::uint64_t due_ns_;
};

// --- The bare loop

class WriteLoop {
 public:
  WriteLoop(const std::string& socket, Stamps& stamps) : listener_(listen_on(socket)), stamps_(stamps) {}

  void run() {
    answer_started();
    std::array<pollfd, 2> watched = {{{STDIN_FILENO, POLLIN, 0}, {listener_, POLLIN, 0}}};
    while (true) {
      require(poll(watched.data(), watched.size(), -1) > 0 || errno == EINTR, "poll");
      if (watched[1].revents != 0) take_connection();
      if (watched[0].revents == 0) continue;
      if (!commands_.read([this](const Command& command) { run(command); })) return;
    }
  }

 private:
  void take_connection() {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    require(fd >= 0, "accept");
    write_all(fd, change_frame(1));
    connections_.push_back(fd);
  }

  void run(const Command& command) {
    const bool is_steady = command.verb == "steady";
    if (!is_steady && command.verb != "burst") give_up("unknown command " + command.verb);
    Beat beat(command.pace);
    std::uint64_t begin_ns = 0;
    for (std::uint64_t i = 0; i < command.count; ++i) {
      if (is_steady) beat.wait();
      const std::uint64_t now = now_ns();
      if (i == 0) begin_ns = now;
      stamps_.set(next_index_, now);
      const std::string frame = change_frame(next_index_++);
      for (const int fd : connections_) write_all(fd, frame);
    }
    answer_published(begin_ns);
  }

  const int listener_;
  Stamps& stamps_;
  Commands commands_;
  std::vector<int> connections_;
  std::uint64_t next_index_ = 0;
};

// --- redis

class RedisPublisher {
 public:
  RedisPublisher(const std::string& socket, Stamps& stamps) : fd_(connect_to(socket)), stamps_(stamps) {}

  void run() {
    answer_started();
    while (commands_.read([this](const Command& command) { run(command); })) {
    }
  }

 private:
  void run(const Command& command) {
    std::uint64_t begin_ns = 0;
    if (command.verb == "burst") {
      begin_ns = publish(command.count);
    } else if (command.verb == "steady") {
      Beat beat(command.pace);
      for (std::uint64_t i = 0; i < command.count; ++i) {
        beat.wait();
        const std::uint64_t now = publish(1);
        if (i == 0) begin_ns = now;
      }
    } else {
      give_up("unknown command " + command.verb);
    }
    answer_published(begin_ns);
  }

  // Returns when it was published. Encoding is none of redis's work and comes before.
  std::uint64_t publish(std::uint64_t count) {
    std::string commands;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::string frame = change_frame(next_index_ + i);
      commands += fmt::format("*3\r\n$7\r\nPUBLISH\r\n$1\r\nm\r\n${}\r\n{}\r\n", frame.size(), frame);
    }
    const std::uint64_t now = now_ns();
    for (std::uint64_t i = 0; i < count; ++i) stamps_.set(next_index_++, now);
    write_all(fd_, commands);
    read_answers(count);
    return now;
  }

  // One line each: the number of subscribers that it went to.
  void read_answers(std::uint64_t count) {
    std::array<char, 4096> buffer = {};
    while (count > 0) {
      const ssize_t size = read(fd_, buffer.data(), buffer.size());
      if (size < 0 && errno == EINTR) continue;
      require(size >= 0, "redis");
      if (size == 0) give_up("redis-server has closed the publisher's connection");
      if (buffer[0] == '-') give_up("redis-server refuses to publish");
      count -= static_cast<std::uint64_t>(std::count(buffer.data(), buffer.data() + size, '\n'));
    }
  }

  const int fd_;
  Stamps& stamps_;
  Commands commands_;
  std::uint64_t next_index_ = 0;
};

}  // namespace

int write_loop(const std::string& socket, Stamps& stamps) {
  WriteLoop(socket, stamps).run();
  return 0;
}

int redis_publish(const std::string& socket, Stamps& stamps) {
  RedisPublisher(socket, stamps).run();
  return 0;
}

}  // namespace ggufd::bench
