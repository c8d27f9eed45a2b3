// Whenever a client connects, whatever is published meanwhile and however it reads: a snapshot, then every
// event after it, once. Random stories, told to a server and to a model of what its readers may see.
#include <random>

#include "admin/server.h"
#include "support.h"

namespace ggufd::admin {
namespace {

using namespace test;

// The published events, judged without the log's own bookkeeping.
struct Published {
  std::string line;
  bool is_progress = false;
  bool is_superseded = false;  // by a later one of the same phase
};

struct ModelNews {
  std::string capabilities;
  std::string status;
  std::optional<std::pair<std::size_t, std::size_t>> phase;  // status and phase of the last
  std::size_t last_progress = 0;                             // its seq, 0: the last was none
};

// A reader with what it must be told.
struct Reader {
  std::unique_ptr<Peer> peer;
  std::string snapshot;                        // what it must begin with
  std::uint64_t seq = 0;                       // of the last event in it
  bool is_eager = true;                        // reads all there is in every turn
  std::map<std::string, std::uint64_t> asked;  // id of a ping -> the last seq when it was answered
};

class Story {
 public:
  explicit Story(unsigned seed) : chance_(seed) {
    house_.log.publish(status::Starting{"1", 1}), learn(std::nullopt);
  }

  void run() {
    for (int step = 0; step < 80; ++step) {
      const unsigned what = pick(10);
      if (what < 5) {
        for (unsigned count = pick(12); count > 0; --count) publish();
      } else if (what == 5 && readers_.size() < 8) {
        connect();
      } else if (what == 6 && !readers_.empty()) {
        ask(readers_[pick(static_cast<unsigned>(readers_.size()))]);
      }
      house_.turns(static_cast<int>(pick(3)));
      for (Reader& reader : readers_) {
        if (reader.is_eager)
          reader.peer->receive();
        else if (pick(4) == 0)
          reader.peer->receive(pick(40'000));
      }
    }
    for (Reader& reader : readers_) finish(reader);
  }

 private:
  unsigned pick(unsigned below) { return std::uniform_int_distribution<unsigned>(0, below - 1)(chance_); }
  std::string text() { return std::string(pick(20) == 0 ? pick(8000) : pick(200), 'x'); }

  Status random_status() {
    switch (pick(12)) {
      case 0:
        return status::Ready{};
      case 1:
        return status::Capabilities{.n_ctx = pick(100)};
      case 2:
        return warning(text());
      case 3:
        return status::Failed{.message = text()};
      case 4:
        return status::Unloaded{};
      case 5:
        return status::Restarting{.phase = phase::Mmap{.path = text()}};
      case 6:
        return checking(text());
      case 7:
        return mapping(pick(100));
      default:
        return downloading(pick(1000), text());
    }
  }

  void publish() {
    const std::string model(1, static_cast<char>('a' + pick(3)));
    const Status status = random_status();
    house_.log.publish(model, status);
    learn(model, &status);
  }

  // Takes down what was published last.
  void learn(const std::optional<std::string>& model, const Status* status = nullptr) {
    const std::uint64_t seq = house_.log.seq();
    Published& event = published_.emplace_back(Published{std::string(house_.log.find(seq)->line())});
    REQUIRE(published_.size() == seq);
    seqs_[event.line] = seq;
    if (!model) return;
    ModelNews& news = news_[*model];
    const StatusKind kind = kind_of(*status);
    if (kind == StatusKind::warning) return;
    if (kind == StatusKind::capabilities) {
      news.capabilities = event.line;
      return;
    }
    const StatusEvent told{.status = *status};
    const LoadPhase* phase = phase_of(told);
    const auto now =
        phase != nullptr ? std::optional(std::pair(status->index(), phase->index())) : std::nullopt;
    event.is_progress = now && now == news.phase;
    if (event.is_progress && news.last_progress != 0) published_[news.last_progress - 1].is_superseded = true;
    news.last_progress = event.is_progress ? seq : 0;
    news.phase = now;
    news.status = event.line;
    if (kind == StatusKind::unloaded || kind == StatusKind::error) news.capabilities.clear();
  }

  std::string snapshot() const {
    std::string frames;
    for (const auto& [name, news] : news_) frames += news.capabilities;
    std::string statuses;
    for (const char* name : {"a", "c", "b"}) {  // b is the default model
      if (const auto news = news_.find(name); news != news_.end()) statuses += news->second.status;
    }
    return frames + (statuses.empty() ? published_.front().line : statuses);
  }

  void connect() {
    // What is published before the server's next turn stands in the snapshot, unread by anybody.
    Reader& reader = readers_.emplace_back(Reader{.peer = std::make_unique<Peer>(house_.path())});
    reader.is_eager = pick(2) == 0;
    for (unsigned count = pick(3); count > 0; --count) publish();
    reader.snapshot = snapshot();
    reader.seq = house_.log.seq();
    house_.turns(1);
  }

  void ask(Reader& reader) {
    const std::string id = fmt::format("ping {}", reader.asked.size());
    reader.peer->ask(id, "ping");
    reader.asked[id] = house_.log.seq();
    house_.turns(1);
  }

  void finish(Reader& reader) {
    publish_end();
    const std::string last = published_.back().line;
    REQUIRE(house_.until([&] {
      reader.peer->receive();
      return reader.peer->bytes().ends_with(last);
    }));
    REQUIRE(reader.peer->bytes().starts_with(reader.snapshot));
    const auto lines = reader.peer->lines();
    std::uint64_t seq = reader.seq;
    const auto snapshot_lines = static_cast<std::size_t>(std::ranges::count(reader.snapshot, '\n'));
    for (std::size_t i = snapshot_lines; i < lines.size(); ++i) {
      const auto event = seqs_.find(lines[i]);  // byte for byte what was published
      if (event == seqs_.end()) {
        // The events that were published before it have come, or are lost; none that was published after.
        const auto asked = reader.asked.extract(id_of(lines[i]));
        REQUIRE(!asked.empty());
        REQUIRE(seq <= asked.mapped());
        REQUIRE(may_be_lost(reader, seq + 1, asked.mapped()));
        seq = asked.mapped();
      } else {
        const bool is_next = event->second > seq && may_be_lost(reader, seq + 1, event->second - 1);
        if (!is_next) FAIL("after event ", seq, " comes ", event->second);
        seq = event->second;
      }
    }
    REQUIRE(seq == published_.size());
    REQUIRE(reader.asked.empty());
  }

  void publish_end() {
    house_.log.publish(warning("the end"));
    learn(std::nullopt);
  }

  bool may_be_lost(const Reader& reader, std::uint64_t first, std::uint64_t last) const {
    for (std::uint64_t seq = first; seq <= last; ++seq) {
      if (reader.is_eager || !published_[seq - 1].is_superseded) return false;
    }
    return true;
  }

  std::mt19937 chance_;
  House house_;
  std::vector<Published> published_;
  std::map<std::string, std::uint64_t> seqs_;  // of each line
  std::map<std::string, ModelNews> news_;
  std::vector<Reader> readers_;
};

TEST_CASE("a snapshot and every event after it, whenever a client connects and however it reads") {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    Story(seed).run();
  }
}

TEST_CASE("connecting between any two events") {
  House house;
  const std::vector<Status> story{
      checking(), downloading(0),         downloading(1),  downloading(2),      mapping(0),
      mapping(1), status::Capabilities{}, status::Ready{}, status::Unloading{}, status::Unloaded{}};
  std::vector<std::unique_ptr<Peer>> peers;
  std::vector<std::string> expected;
  house.log.publish(status::Starting{"1", 1});
  for (const Status& status : story) {
    expected.push_back(house.log.snapshot());
    peers.push_back(std::make_unique<Peer>(house.path()));
    house.turns(1);
    house.log.publish("b", status);
    for (std::string& bytes : expected) bytes += house.log.find(house.log.seq())->line();
  }
  house.turns();
  for (std::size_t i = 0; i < peers.size(); ++i) {
    peers[i]->receive();
    CHECK(peers[i]->bytes() == expected[i]);
  }
}

}  // namespace
}  // namespace ggufd::admin
