// Whatever the order of connects, events, requests and reads: what a reader has seen is what the log says.
#include <random>

#include "admin/cursor.h"
#include "reader_oracle.h"
#include "support.h"

namespace ggufd::admin {
namespace {

using namespace test;

// A connection without a socket: as many bytes as the test says are taken.
struct Reader {
  Reader(const StatusLog& log, const History& history) : cursor(log), oracle(history) {}

  // Lets the socket take at most `room` bytes; why what came is wrong, if it is.
  std::optional<std::string> flush(std::size_t room, Gathered& gathered) {
    while (true) {
      const std::size_t own_bytes = cursor.private_bytes();
      cursor.gather(gathered);
      const bool has_lagged = cursor.private_bytes() > own_bytes;
      if (has_lagged) {
        if (auto wrong = oracle.lagged()) return wrong;
      }
      if (gathered.bytes() == 0) {
        oracle.caught_up();
        return std::nullopt;
      }
      const std::size_t taken = std::min(room, gathered.bytes());
      append(gathered.pieces(), taken);
      // Seen before the cursor knows that the socket was full: nothing of this has been skipped.
      if (auto wrong = check_lines()) return wrong;
      cursor.took(taken, gathered);
      room -= taken;
      if (taken == gathered.bytes()) continue;
      oracle.fell_behind();
      return std::nullopt;
    }
  }

  void append(std::span<const iovec> pieces, std::size_t bytes) {
    for (const iovec& piece : pieces) {
      const std::size_t count = std::min(bytes, piece.iov_len);
      received.append(static_cast<const char*>(piece.iov_base), count);
      bytes -= count;
    }
  }
  std::optional<std::string> check_lines() {
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = received.find('\n', begin)) != std::string::npos; begin = end + 1) {
      if (auto wrong = oracle.got(received.substr(begin, end + 1 - begin))) return wrong;
    }
    received.erase(0, begin);
    return std::nullopt;
  }

  Cursor cursor;
  ReaderOracle oracle;
  std::string received;  // of the line that is not complete
};

class Interleaving {
 public:
  explicit Interleaving(std::uint32_t seed) : random_(seed) {}

  // Why it went wrong; nothing where all is right.
  std::optional<std::string> run() {
    const std::uint32_t steps = 20 + pick(60);
    for (std::uint32_t i = 0; i < steps; ++i) {
      if (auto wrong = step()) return wrong;
    }
    for (const auto& reader : readers_) {
      if (auto wrong = reader->flush(SIZE_MAX, gathered_)) return wrong;
      if (!reader->received.empty()) return "half a line: " + reader->received;
      if (auto missing = reader->oracle.outstanding()) return "never came: " + *missing;
    }
    return std::nullopt;
  }

 private:
  std::uint32_t pick(std::uint32_t count) { return static_cast<std::uint32_t>(random_() % count); }

  std::optional<std::string> step() {
    const std::uint32_t dice = pick(100);
    if (dice < 45) {
      publish();
    } else if (dice < 55) {
      readers_.push_back(std::make_unique<Reader>(log_, history_));
    } else if (dice < 57) {
      burst();
    } else if (!readers_.empty()) {
      return with(*readers_[pick(static_cast<std::uint32_t>(readers_.size()))], dice);
    }
    return std::nullopt;
  }

  std::optional<std::string> with(Reader& reader, std::uint32_t dice) {
    if (dice < 82) return reader.flush(pick(3) == 0 ? SIZE_MAX : pick(2000), gathered_);
    if (dice < 88) {
      const std::string answer = next_answer();
      reader.cursor.tell(answer);
      reader.oracle.told(answer);
    } else if (dice < 96) {
      subscribe(reader);
    } else if (dice < 98) {
      reader.cursor.unsubscribe();
      reader.oracle.unsubscribed();
    } else {
      std::erase_if(readers_, [&](const auto& one) { return one.get() == &reader; });
    }
    return std::nullopt;
  }

  void subscribe(Reader& reader) {
    Filter filter{.progress = pick(2) == 0};
    for (const char* name : {"a", "b", "c"}) {
      if (pick(3) == 0) filter.models.insert(name);
    }
    std::optional<std::uint64_t> since;
    // Of the near past mostly; now and then from long ago, or a number that there has not been.
    if (pick(3) > 0) since = log_.seq() - std::min<std::uint64_t>(log_.seq(), pick(pick(4) == 0 ? 9000 : 30));
    if (pick(20) == 0) since = log_.seq() + 1 + pick(10);
    const std::string answer = next_answer();
    reader.oracle.subscribed(answer, since, filter);
    reader.cursor.subscribe(answer, since, std::move(filter));
  }

  void publish() {
    static const std::array<const char*, 3> names{"a", "b", "c"};
    const std::uint32_t kind = pick(40);
    if (kind == 0) return publish(std::nullopt, status::Starting{"test", 1});
    if (kind == 1) return publish(std::nullopt, warning("of the daemon"));
    if (kind == 2 && pick(10) == 0) return publish(std::nullopt, status::Draining{});
    publish(names[pick(3)], status_of(kind));
  }
  Status status_of(std::uint32_t kind) {
    if (kind < 20) return downloading(pick(1000));
    if (kind < 26) return mapping(pick(1000));
    if (kind < 30) return warning(std::string(pick(600), 'w'));
    if (kind < 32) return status::Capabilities{};
    if (kind < 34) return status::Ready{.load_ms = pick(1000)};
    if (kind < 36) return status::Unloaded{};
    if (kind < 38) return status::Failed{.code = ErrorCode::network, .message = "gone"};
    return status::Restarting{.phase = phase::Mmap{.resident_bytes = pick(1000)}};
  }
  // More than the log keeps, or than a reader may be behind.
  void burst() {
    if (pick(8) > 0) return;
    const std::uint32_t count = 900 + pick(4000);
    const bool is_progress = pick(2) == 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      publish("c", is_progress ? downloading(i) : warning(fmt::format("{}", i)));
    }
  }
  void publish(const std::optional<std::string>& model, const Status& status) {
    if (model) {
      log_.publish(*model, status);
    } else {
      log_.publish(status);
    }
    history_.published(model, status, std::string(log_.find(log_.seq())->line()));
    for (const auto& reader : readers_) reader->oracle.published(log_.seq());
  }
  std::string next_answer() {
    return fmt::format("{{\"id\":\"{}\",\"type\":\"response\",\"x\":\"{}\"}}\n", ++answers_,
                       std::string(pick(500), 'x'));
  }

  std::mt19937 random_;
  StatusLog log_{"b", [] {}};
  History history_;
  Gathered gathered_;  // of all readers, as the server has it
  std::vector<std::unique_ptr<Reader>> readers_;
  std::uint32_t answers_ = 0;
};

// With sanitizers, fewer of them: they take a hundred times as long.
constexpr std::uint32_t interleavings = is_sanitized ? 200 : 10'000;

TEST_CASE("ten thousand interleavings: every reader has seen exactly what the log says") {
  for (std::uint32_t seed = 0; seed < interleavings; ++seed) {
    const auto wrong = Interleaving(seed).run();
    INFO("seed ", seed);
    REQUIRE_MESSAGE(!wrong, *wrong);
  }
}

}  // namespace
}  // namespace ggufd::admin
