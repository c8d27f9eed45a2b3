// The writer behind a download: right bytes, right digest, bounded memory, one failure.
#include "fetch/hashing_writer.h"

#include <fcntl.h>

#include <fstream>
#include <sstream>

#include "support.h"

namespace ggufd::fetch {
namespace {

using namespace test;

constexpr std::size_t chunk = HashingWriter::chunk_bytes;
constexpr std::size_t capacity = HashingWriter::max_chunks * chunk;

struct OpenFile {
  explicit OpenFile(const std::string& path, int flags = O_RDWR | O_CREAT)
      : fd(open(path.c_str(), flags, 0600)) {
    REQUIRE(fd.get() >= 0);
  }
  store::UniqueFd fd;
};

struct Writing {
  explicit Writing(int flags = O_RDWR | O_CREAT) { open(path, flags); }
  Writing(const std::string& device, int flags) { open(device, flags); }

  void open(const std::string& name, int flags) {
    auto file = std::make_shared<OpenFile>(name, flags);
    watch = file;
    const int fd = file->fd.get();
    writer =
        std::make_unique<HashingWriter>(loop, fd, std::move(file), name,
                                        HashingWriter::Callbacks{.on_room = [this] { ++rooms; },
                                                                 .on_failed =
                                                                     [this](Error error) {
                                                                       failures.push_back(std::move(error));
                                                                       at_failure();
                                                                     }});
  }
  // Offers all of it, piece by piece, waiting for room where it must.
  void feed(std::string_view bytes, std::size_t piece) {
    while (!bytes.empty()) {
      const std::string_view next = bytes.substr(0, piece);
      const int rooms_before = rooms;
      if (writer->offer(std::as_bytes(std::span(next)))) {
        bytes.remove_prefix(next.size());
      } else {
        REQUIRE(run_until(loop, [&] { return rooms > rooms_before; }));
      }
    }
  }
  void finish() {
    writer->finish([this](HashingWriter::Written result) { written = result; });
    CHECK_FALSE(written);
  }
  bool offer(std::size_t count) {
    const std::string bytes(count, 'x');
    return writer->offer(std::as_bytes(std::span(bytes)));
  }
  std::string content() const {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

  loop::Loop loop;
  loop::test::TempFolder folder;
  std::string path = folder.file("file");
  std::weak_ptr<OpenFile> watch;
  int rooms = 0;
  std::vector<Error> failures;
  std::function<void()> at_failure = [] {};
  std::optional<HashingWriter::Written> written;
  std::unique_ptr<HashingWriter> writer;
};

TEST_CASE("what is offered is written and hashed") {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, chunk - 1, chunk, chunk + 1, 40 * chunk}) {
    for (const std::size_t piece : {std::size_t{16'000}, chunk, 5 * chunk + 3}) {
      for (const bool reserves : {false, true}) {
        CAPTURE(size);
        CAPTURE(piece);
        const std::string bytes = some_bytes(size);
        Writing writing;
        if (reserves) writing.writer->reserve(size);
        writing.feed(bytes, piece);
        writing.finish();
        REQUIRE(run_until(writing.loop, [&] { return writing.written.has_value(); }));
        CHECK(writing.written->bytes == size);
        CHECK(writing.written->digest == *store::sha256_of(bytes));
        CHECK(writing.content() == bytes);
        CHECK(writing.failures.empty());
      }
    }
  }
}

TEST_CASE("a writer that is behind holds no more than its chunks, refuses, and says when there is room") {
  Writing writing;
  BusyPool pool(writing.loop);
  std::size_t taken = 0;
  while (writing.offer(100'000)) {
    taken += 100'000;
    REQUIRE(taken <= capacity);
  }
  CHECK(taken + 100'000 > capacity);
  CHECK(writing.rooms == 0);
  // What still fits is taken all the same.
  CHECK(writing.offer(capacity - taken));
  CHECK_FALSE(writing.offer(1));
  pool.release();
  REQUIRE(run_until(writing.loop, [&] { return writing.rooms > 0; }));
  CHECK(writing.offer(100'000));
  writing.finish();
  REQUIRE(run_until(writing.loop, [&] { return writing.written.has_value(); }));
  CHECK(writing.rooms == 1);
  CHECK(writing.written->bytes == capacity + 100'000);
  CHECK(writing.written->digest == *store::sha256_of(std::string(capacity + 100'000, 'x')));
}

TEST_CASE("a write that fails is told once, and what follows is thrown away") {
  struct Case {
    std::string path;
    int flags;
    ErrorCode code;
  };
  for (const Case& each :
       {Case{"/dev/full", O_WRONLY, ErrorCode::disk_full}, Case{"/dev/null", O_RDONLY, ErrorCode::io}}) {
    CAPTURE(each.path);
    Writing writing(each.path, each.flags);
    for (int i = 0; i < 10; ++i) CHECK(writing.offer(chunk));
    REQUIRE(run_until(writing.loop, [&] { return !writing.failures.empty(); }));
    for (int i = 0; i < 30; ++i) CHECK(writing.offer(chunk));
    writing.finish();
    writing.loop.run();
    REQUIRE(writing.failures.size() == 1);
    CHECK(writing.failures.front().code == each.code);
    CHECK(writing.failures.front().message.find(each.path) != std::string::npos);
    CHECK_FALSE(writing.written);
  }
}

TEST_CASE("a file that may not grow is a failure, of a write or of the reservation") {
  for (const bool reserves : {false, true}) {
    CAPTURE(reserves);
    Writing writing;
    const FileSizeLimit limit(chunk + 1);
    if (reserves) writing.writer->reserve(3 * chunk);
    for (int i = 0; i < 3; ++i) CHECK(writing.offer(chunk));
    writing.finish();
    REQUIRE(run_until(writing.loop, [&] { return !writing.failures.empty(); }));
    writing.loop.run();
    REQUIRE(writing.failures.size() == 1);
    CHECK(writing.failures.front().code == (reserves ? ErrorCode::disk_full : ErrorCode::io));
    CHECK_FALSE(writing.written);
    if (reserves) CHECK(writing.content() == "");
  }
}

TEST_CASE("nothing is written before the reservation is made") {
  Writing writing;
  const FileSizeLimit limit(chunk);
  writing.writer->reserve(2 * chunk);
  CHECK(writing.offer(chunk));
  writing.loop.run();
  CHECK(writing.failures.size() == 1);
  CHECK(writing.content() == "");
}

TEST_CASE("a writer may be destroyed when it fails") {
  Writing writing("/dev/full", O_WRONLY);
  writing.at_failure = [&] { writing.writer.reset(); };
  for (int i = 0; i < 8; ++i) CHECK(writing.offer(chunk));
  writing.loop.run();
  CHECK(writing.failures.size() == 1);
  CHECK(writing.watch.expired());
}

TEST_CASE("a writer may be destroyed when all is written") {
  Writing writing;
  bool is_told = false;
  CHECK(writing.offer(3 * chunk + 1));
  writing.writer->finish([&](const HashingWriter::Written&) {
    is_told = true;
    writing.writer.reset();
  });
  writing.loop.run();
  CHECK(is_told);
  CHECK(writing.watch.expired());
}

TEST_CASE("a writer that is destroyed tells nothing more, and its jobs keep the file until they end") {
  Writing writing;
  BusyPool pool(writing.loop);
  writing.writer->reserve(9 * chunk);
  CHECK(writing.offer(5 * chunk));
  CHECK(writing.offer(4 * chunk));
  writing.finish();
  writing.writer.reset();
  CHECK_FALSE(writing.watch.expired());
  pool.release();
  writing.loop.run();
  CHECK(writing.watch.expired());
  CHECK_FALSE(writing.written);
  CHECK(writing.failures.empty());
  CHECK(writing.rooms == 0);
}

}  // namespace
}  // namespace ggufd::fetch
