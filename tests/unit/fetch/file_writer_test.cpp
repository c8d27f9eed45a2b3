// Bytes into a partial, in any order, with the digest at the end.
#include "fetch/file_writer.h"

#include <filesystem>
#include <numeric>
#include <random>

#include "store/blob_store.h"
#include "support.h"

namespace ggufd::fetch {
namespace {

using namespace test;

struct Writing {
  loop::test::TempFolder folder;
  store::BlobStore store{folder.file("models")};
  std::shared_ptr<store::Partial> partial = open();
  loop::Loop loop;
  std::optional<Error> error;
  std::optional<store::Digest> digest;
  std::function<void()> at_end = [] {};
  std::unique_ptr<FileWriter> writer;

  explicit Writing(const std::string& present = "") {
    ByteRanges ranges;
    ranges.add({0, present.size()});
    REQUIRE(store::pwrite_all(partial->fd(), bytes_of(present), 0, partial->data_path()));
    writer = std::make_unique<FileWriter>(loop, partial, ranges, [this](Error failed) {
      error = std::move(failed);
      at_end();
    });
  }
  std::shared_ptr<store::Partial> open() const {
    auto opened = store.open_partial(digest_of("the key"));
    REQUIRE(opened);
    return std::make_shared<store::Partial>(std::move(*opened));
  }
  // Offers bytes [begin, end) of `file`, in pieces, and waits where there is no room.
  void offer(const std::string& file, std::size_t begin, std::size_t end, std::size_t piece = 100'000) {
    while (begin < end) {
      const std::size_t count = std::min(piece, end - begin);
      REQUIRE(run_until(
          loop, [&] { return writer->offer(begin, bytes_of(std::string_view(file).substr(begin, count))); }));
      begin += count;
    }
    writer->seal(end);
  }
  void finish(std::uint64_t size_bytes) {
    writer->finish(size_bytes, [this](const store::Digest& done) {
      digest = done;
      at_end();
    });
    CHECK_FALSE(digest);
    REQUIRE(run_until(loop, [this] { return digest || error; }));
  }
};

TEST_CASE("bytes in order become the file and its digest") {
  for (const std::size_t size : {0UL, 1UL, 1UL << 20U, (5UL << 20U) + 3}) {
    CAPTURE(size);
    const std::string file = some_bytes(size);
    Writing writing;
    writing.offer(file, 0, size);
    CHECK(writing.writer->accepted().size() == size);
    writing.finish(size);
    CHECK(writing.digest == digest_of(file));
    CHECK(content_of(writing.partial->data_path()) == file);
    CHECK(writing.writer->settled().size() == size);
  }
}

TEST_CASE("any order of parts, in any mixture, gives the same") {
  const std::string file = some_bytes((9UL << 20U) + 12'345);
  constexpr std::size_t part_bytes = 700'001;
  std::mt19937 random(3);
  for (int round = 0; round < 6; ++round) {
    CAPTURE(round);
    struct Part {
      std::size_t next;
      std::size_t end;
    };
    std::vector<Part> parts;
    for (std::size_t begin = 0; begin < file.size(); begin += part_bytes)
      parts.push_back({begin, std::min(file.size(), begin + part_bytes)});
    std::ranges::shuffle(parts, random);
    Writing writing;
    if (round % 2 == 1) writing.writer->reserve(file.size());
    // Some of them at a time, as several connections bring them.
    while (!parts.empty()) {
      const std::size_t which = random() % std::min<std::size_t>(parts.size(), 4);
      Part& part = parts[which];
      const std::size_t count = std::min<std::size_t>(part.end - part.next, 1 + random() % 300'000);
      REQUIRE(run_until(writing.loop, [&] {
        return writing.writer->offer(part.next, bytes_of(std::string_view(file).substr(part.next, count)));
      }));
      part.next += count;
      if (part.next < part.end) continue;
      writing.writer->seal(part.end);
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(which));
    }
    writing.finish(file.size());
    CHECK(writing.digest == digest_of(file));
    CHECK(content_of(writing.partial->data_path()) == file);
  }
}

TEST_CASE("what was there before is read back for the hash") {
  const std::string file = some_bytes(FileWriter::read_back_bytes + 3'000'000);
  for (const std::size_t present : {std::size_t{1}, FileWriter::read_back_bytes + 1, file.size()}) {
    CAPTURE(present);
    Writing writing(file.substr(0, present));
    CHECK(writing.writer->accepted().size() == present);
    CHECK(writing.writer->settled().size() == present);
    writing.offer(file, present, file.size());
    writing.finish(file.size());
    CHECK(writing.digest == digest_of(file));
  }
}

TEST_CASE("memory is bounded while the pool does nothing, and room is told") {
  const std::string file = some_bytes(40UL << 20U);
  Writing writing;
  BusyPool pool(writing.loop);
  int rooms = 0;
  writing.writer->set_on_room([&] { ++rooms; });
  std::size_t next = 0;
  while (writing.writer->offer(next, bytes_of(std::string_view(file).substr(next, 500'000)))) next += 500'000;
  constexpr std::size_t capacity = ChunkBuffer::max_chunks * ChunkBuffer::chunk_bytes;
  CHECK(next <= capacity);
  CHECK(next > capacity - 1'000'000);
  CHECK(rooms == 0);
  CHECK(writing.writer->settled().size() == 0);
  pool.release();
  REQUIRE(run_until(writing.loop, [&] { return rooms > 0; }));
  writing.writer->set_on_room(nullptr);
  writing.offer(file, next, file.size());
  writing.finish(file.size());
  CHECK(writing.digest == digest_of(file));
}

TEST_CASE("many small runs that are open at once cannot block each other") {
  const std::string file = some_bytes(64 * 10'000);
  Writing writing;
  // Each of 64 connections brings a byte in turn: more runs than there are chunks.
  std::vector<std::size_t> next(64);
  for (std::size_t i = 0; i < next.size(); ++i) next[i] = i * 10'000;
  for (int turn = 0; turn < 10; ++turn) {
    for (std::size_t i = 0; i < next.size(); ++i) {
      REQUIRE(run_until(writing.loop, [&] {
        return writing.writer->offer(next[i], bytes_of(std::string_view(file).substr(next[i], 1'000)));
      }));
      next[i] += 1'000;
    }
  }
  writing.finish(file.size());
  CHECK(writing.digest == digest_of(file));
}

TEST_CASE("the journal follows the bytes, and is complete enough when the writer goes") {
  const std::string file = some_bytes(4UL << 20U);
  Writing writing;
  int settled = 0;
  writing.writer->set_on_settled([&] { ++settled; });
  CHECK(writing.writer->safe_bytes() == 0);
  writing.writer->keep_journal({.url = "https://host/m", .size_bytes = file.size()}, 1UL << 30U);
  writing.offer(file, 0, 1'500'000);
  REQUIRE(run_until(writing.loop, [&] { return writing.writer->settled().size() == 1'500'000; }));
  CHECK(settled > 0);
  writing.writer->make_safe();
  REQUIRE(run_until(writing.loop, [&] { return writing.writer->safe_bytes() == 1'500'000; }));
  writing.offer(file, 2'000'000, 3'000'000);
  REQUIRE(run_until(writing.loop, [&] { return writing.writer->settled().size() == 2'500'000; }));
  writing.writer.reset();
  const std::string folder = writing.partial->folder();
  writing.partial.reset();
  writing.loop.run();
  const auto journal = peek_journal(folder);
  REQUIRE(journal);
  CHECK(journal->finished == std::vector<JournalRange>{{0, 1'500'000}, {2'000'000, 3'000'000}});
}

TEST_CASE("without a journal everything that was taken counts as safe") {
  Writing writing("1234");
  CHECK(writing.writer->safe_bytes() == 4);
  writing.offer("12345678", 4, 8);
  CHECK(writing.writer->safe_bytes() == 8);
}

TEST_CASE("a writer that is dropped at any moment lets go of the partial") {
  const std::string file = some_bytes(3UL << 20U);
  for (int moment = 0; moment < 4; ++moment) {
    CAPTURE(moment);
    Writing writing;
    BusyPool pool(writing.loop);
    if (moment > 0) writing.writer->reserve(file.size());
    if (moment > 1) writing.offer(file, 0, file.size());
    if (moment > 2) writing.writer->finish(file.size(), [&](const store::Digest&) { FAIL("it has gone"); });
    writing.writer.reset();
    writing.partial.reset();
    pool.release();
    writing.loop.run();
    CHECK(writing.store.open_partial(digest_of("the key")).has_value());
  }
}

TEST_CASE("an abandoned writer tells when nobody writes any more, and never inside the call") {
  const std::string file = some_bytes(6UL << 20U);
  for (const bool is_busy : {false, true}) {
    CAPTURE(is_busy);
    Writing writing;
    writing.writer->keep_journal({.size_bytes = file.size()}, 1);
    if (is_busy) writing.writer->reserve(file.size());
    if (is_busy) writing.offer(file, 0, file.size());
    bool is_idle = false;
    writing.writer->abandon([&] {
      writing.writer.reset();
      is_idle = true;
    });
    CHECK_FALSE(is_idle);
    CHECK(writing.writer->offer(0, bytes_of("more")));
    REQUIRE(run_until(writing.loop, [&] { return is_idle; }));
    // Nothing comes after it: not a byte, not a journal.
    REQUIRE(reset_partial(*writing.partial));
    writing.loop.run();
    CHECK(std::filesystem::file_size(writing.partial->data_path()) == 0);
    CHECK_FALSE(std::filesystem::exists(writing.partial->journal_path()));
    CHECK_FALSE(writing.error);
  }
}

TEST_CASE("a disk without room is told with numbers, and a write that fails ends it once") {
  const std::string file = some_bytes(3UL << 20U);
  SUBCASE("no disk is so large") {
    Writing writing;
    writing.writer->reserve(std::uint64_t{1} << 50U);
    REQUIRE(run_until(writing.loop, [&] { return writing.error.has_value(); }));
    CHECK(writing.error->code == ErrorCode::disk_full);
    CHECK(writing.error->message.find("1125899906842624") != std::string::npos);
    CHECK(writing.error->message.find(writing.partial->data_path()) != std::string::npos);
  }
  SUBCASE("a file may not be so large") {
    const FileSizeLimit limit(1UL << 20U);
    Writing writing;
    writing.at_end = [&] { writing.writer.reset(); };
    writing.offer(file, 0, file.size());
    REQUIRE(run_until(writing.loop, [&] { return writing.error.has_value(); }));
    writing.loop.run();
    CHECK_FALSE(writing.digest);
  }
}

TEST_CASE("a writer may be destroyed by its digest") {
  Writing writing;
  writing.at_end = [&] { writing.writer.reset(); };
  writing.offer("123456", 0, 6);
  writing.finish(6);
  writing.loop.run();
  CHECK(writing.digest == digest_of("123456"));
}

}  // namespace
}  // namespace ggufd::fetch
