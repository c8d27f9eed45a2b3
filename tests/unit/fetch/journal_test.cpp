// The journal: what it says, what is believed, and that it is never ahead of its data.
#include "fetch/journal.h"

#include <filesystem>

#include "fetch/journal_keeper.h"
#include "store/blob_store.h"
#include "support.h"

namespace ggufd::fetch {
namespace {

using namespace test;

Journal some_journal() {
  return {.url = "https://host/m.gguf",
          .revision = "abc",
          .etag = "\"one\"",
          .last_modified = "Sat, 07 Nov 2026 10:00:00 GMT",
          .size_bytes = 1000,
          .finished = {{0, 100}, {200, 300}}};
}

struct Place {
  loop::test::TempFolder folder;
  store::BlobStore store{folder.file("models")};
  std::shared_ptr<store::Partial> partial = open();

  std::shared_ptr<store::Partial> open() const {
    auto opened = store.open_partial(digest_of("the key"));
    REQUIRE(opened);
    return std::make_shared<store::Partial>(std::move(*opened));
  }
  void write_data(std::string_view text, std::uint64_t offset = 0) const {
    REQUIRE(store::pwrite_all(partial->fd(), bytes_of(text), offset, partial->data_path()));
  }
  void write_text(const std::string& text) const { std::ofstream(partial->journal_path()) << text; }
  std::optional<Journal> read() const {
    auto journal = read_journal(*partial);
    REQUIRE(journal);
    return *journal;
  }
};

TEST_CASE("what is written is read again, by us and by onlookers") {
  const Place place;
  CHECK(place.read() == std::nullopt);
  CHECK(peek_journal(place.partial->folder()) == std::nullopt);
  place.write_data(std::string(300, 'x'));
  REQUIRE(write_journal(*place.partial, some_journal()));
  CHECK(place.read() == some_journal());
  CHECK(peek_journal(place.partial->folder()) == some_journal());
  CHECK(byte_ranges(some_journal()).size() == 200);
  CHECK(journal_ranges(byte_ranges(some_journal())) == some_journal().finished);
}

TEST_CASE("a journal is worth nothing where it is not whole, not ours or not true") {
  const Place place;
  place.write_data(std::string(300, 'x'));
  const std::string good = to_json(some_journal());
  const auto with = [](auto change) {
    Journal journal = some_journal();
    change(journal);
    return to_json(journal);
  };
  for (const std::string& text : {
           std::string(),
           std::string("{"),
           std::string("[]"),
           good.substr(0, good.size() / 2),
           with([](Journal& journal) { journal.schema_version = 2; }),
           with([](Journal& journal) { journal.finished = {{5, 5}}; }),
           with([](Journal& journal) { journal.finished = {{5, 4}}; }),
           with([](Journal& journal) { journal.finished = {{0, 1001}}; }),
           with([](Journal& journal) { journal.finished = {{0, 100}, {50, 150}}; }),
           with([](Journal& journal) { journal.finished = {{0, 100}, {100, 150}}; }),
           with([](Journal& journal) { journal.finished = {{200, 300}, {0, 100}}; }),
           // Of more bytes than there are.
           with([](Journal& journal) { journal.finished = {{0, 301}}; }),
       }) {
    CAPTURE(text);
    place.write_text(text);
    CHECK(place.read() == std::nullopt);
  }
  place.write_text(good);
  CHECK(place.read() == some_journal());
}

TEST_CASE("a reset leaves no journal and no bytes") {
  const Place place;
  place.write_data("some");
  REQUIRE(write_journal(*place.partial, {.size_bytes = 4, .finished = {{0, 4}}}));
  REQUIRE(reset_partial(*place.partial));
  CHECK_FALSE(std::filesystem::exists(place.partial->journal_path()));
  CHECK(std::filesystem::file_size(place.partial->data_path()) == 0);
  REQUIRE(reset_partial(*place.partial));
}

struct Keeping {
  Place place;
  loop::Loop loop;
  std::vector<Result<void>> saves;
  std::unique_ptr<JournalKeeper> keeper;

  explicit Keeping(const ByteRanges& saved = {}) {
    keeper = std::make_unique<JournalKeeper>(
        loop, place.partial, saved, [this](Result<void> result) { saves.push_back(std::move(result)); });
  }
  static ByteRanges up_to(std::uint64_t end) {
    ByteRanges ranges;
    ranges.add({0, end});
    return ranges;
  }
  std::uint64_t on_disk() const {
    const auto journal = peek_journal(place.partial->folder());
    return journal ? byte_ranges(*journal).size() : 0;
  }
};

TEST_CASE("a save comes with a batch, when it is wanted, and by the clock") {
  Keeping keeping;
  keeping.place.write_data(std::string(1000, 'x'));
  keeping.keeper->written(Keeping::up_to(50));
  CHECK_FALSE(keeping.keeper->is_keeping());
  keeping.keeper->begin({.url = "https://host/m", .size_bytes = 1000}, 100);
  CHECK(keeping.keeper->saved_bytes() == 0);
  keeping.keeper->written(Keeping::up_to(100));
  REQUIRE(run_until(keeping.loop, [&] { return keeping.saves.size() == 1; }));
  CHECK(keeping.saves[0]);
  CHECK(keeping.keeper->saved_bytes() == 100);
  CHECK(keeping.on_disk() == 100);
  keeping.keeper->written(Keeping::up_to(110));
  keeping.keeper->save_soon();
  REQUIRE(run_until(keeping.loop, [&] { return keeping.saves.size() == 2; }));
  CHECK(keeping.on_disk() == 110);
  // Wanted while nothing is unsaved: the next byte brings it.
  keeping.keeper->save_soon();
  keeping.keeper->written(Keeping::up_to(111));
  REQUIRE(run_until(keeping.loop, [&] { return keeping.saves.size() == 3; }));
  CHECK(keeping.on_disk() == 111);
  keeping.keeper->written(Keeping::up_to(112));
  REQUIRE(run_until(keeping.loop, [&] { return keeping.saves.size() == 4; }));
  CHECK(keeping.on_disk() == 112);
}

TEST_CASE("what is written while a save is under way is not in it, and is saved after it") {
  Keeping keeping;
  keeping.place.write_data(std::string(1000, 'x'));
  keeping.keeper->begin({.size_bytes = 1000}, 100);
  BusyPool pool(keeping.loop);
  keeping.keeper->written(Keeping::up_to(100));
  keeping.keeper->written(Keeping::up_to(900));
  pool.release();
  REQUIRE(run_until(keeping.loop, [&] { return keeping.saves.size() == 1; }));
  CHECK(keeping.keeper->saved_bytes() == 100);
  REQUIRE(run_until(keeping.loop, [&] { return keeping.saves.size() == 2; }));
  CHECK(keeping.keeper->saved_bytes() == 900);
  CHECK(keeping.on_disk() == 900);
}

TEST_CASE("destroyed, it saves what is unsaved and holds the lock so long; stopped, it does not") {
  for (const bool is_stopped : {false, true}) {
    CAPTURE(is_stopped);
    Keeping keeping;
    keeping.place.write_data(std::string(1000, 'x'));
    keeping.keeper->begin({.size_bytes = 1000}, 100'000);
    keeping.keeper->written(Keeping::up_to(500));
    BusyPool pool(keeping.loop);
    if (is_stopped) CHECK(keeping.keeper->stop());
    keeping.keeper.reset();
    const std::string folder = keeping.place.partial->folder();
    keeping.place.partial.reset();
    const auto is_free = [&] { return keeping.place.store.open_partial(digest_of("the key")).has_value(); };
    CHECK(is_free() == is_stopped);
    pool.release();
    keeping.loop.run();
    CHECK(is_free());
    const auto journal = peek_journal(folder);
    CHECK(journal.has_value() == !is_stopped);
    if (journal) CHECK(byte_ranges(*journal) == Keeping::up_to(500));
    CHECK(keeping.saves.empty());
  }
}

TEST_CASE("a save that fails is told") {
  Keeping keeping;
  keeping.place.write_data(std::string(1000, 'x'));
  keeping.keeper->begin({.size_bytes = 1000}, 1);
  std::filesystem::remove_all(keeping.place.partial->folder());
  keeping.keeper->written(Keeping::up_to(500));
  REQUIRE(run_until(keeping.loop, [&] { return keeping.saves.size() == 1; }));
  CHECK_FALSE(keeping.saves[0]);
  CHECK(keeping.keeper->saved_bytes() == 0);
}

}  // namespace
}  // namespace ggufd::fetch
