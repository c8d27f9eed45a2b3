// A partial against what its source sends again.
#include "fetch/comparison.h"

#include <filesystem>

#include "store/blob_store.h"
#include "support.h"

namespace ggufd::fetch {
namespace {

using namespace test;

constexpr std::size_t chunk_bytes = ChunkBuffer::chunk_bytes;

struct Comparing {
  loop::test::TempFolder folder;
  store::BlobStore store{folder.file("models")};
  std::shared_ptr<store::Partial> partial;
  loop::Loop loop;
  std::optional<Error> error;
  std::optional<std::vector<ByteRange>> replaced;
  std::unique_ptr<Comparison> comparison;

  explicit Comparing(const std::string& ours) {
    auto opened = store.open_partial(digest_of("the key"));
    REQUIRE(opened);
    partial = std::make_shared<store::Partial>(std::move(*opened));
    REQUIRE(store::pwrite_all(partial->fd(), bytes_of(ours), 0, partial->data_path()));
    comparison =
        std::make_unique<Comparison>(loop, partial, [this](Error failed) { error = std::move(failed); });
  }
  void offer(const std::string& theirs, std::size_t begin, std::size_t end) const {
    while (begin < end) {
      const std::size_t count = std::min<std::size_t>(200'000, end - begin);
      REQUIRE(run_until(const_cast<loop::Loop&>(loop), [&] {
        return comparison->offer(begin, bytes_of(std::string_view(theirs).substr(begin, count)));
      }));
      begin += count;
    }
    comparison->seal(end);
  }
  void replace() {
    comparison->replace([this](std::vector<ByteRange> ranges) { replaced = std::move(ranges); });
    CHECK_FALSE(replaced);
    REQUIRE(run_until(loop, [this] { return replaced || error; }));
  }
  std::string content() const { return content_of(partial->data_path()); }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(partial->folder()), {}));
  }
};

TEST_CASE("what differs is found to the byte and replaced; the rest is not touched") {
  const std::string theirs = some_bytes(3 * chunk_bytes + 777);
  std::string ours = theirs;
  const std::size_t last = ours.size() - 1;
  for (const std::size_t at : {std::size_t{0}, chunk_bytes + 10, chunk_bytes + 20, last}) ours[at] ^= 1;
  Comparing comparing(ours);
  comparing.offer(theirs, 0, theirs.size());
  CHECK(comparing.comparison->accepted().size() == theirs.size());
  CHECK(comparing.content() == ours);
  comparing.replace();
  REQUIRE(comparing.replaced);
  CHECK(*comparing.replaced ==
        std::vector<ByteRange>{{0, 1}, {chunk_bytes + 10, chunk_bytes + 21}, {last, last + 1}});
  CHECK(comparing.content() == theirs);
  CHECK(comparing.files() == 1);
}

TEST_CASE("the same bytes again are no difference") {
  const std::string theirs = some_bytes(2 * chunk_bytes);
  Comparing comparing(theirs);
  comparing.offer(theirs, 0, theirs.size());
  comparing.replace();
  REQUIRE(comparing.replaced);
  CHECK(comparing.replaced->empty());
  CHECK(comparing.content() == theirs);
}

TEST_CASE("all of it may differ, and more than the memory holds") {
  const std::string theirs = some_bytes((ChunkBuffer::max_chunks + 6) * chunk_bytes);
  Comparing comparing(some_bytes(theirs.size(), 2));
  comparing.offer(theirs, 0, theirs.size());
  comparing.replace();
  REQUIRE(comparing.replaced);
  CHECK(comparing.content() == theirs);
  std::uint64_t bytes = 0;
  for (const ByteRange& range : *comparing.replaced) bytes += range.size();
  CHECK(bytes > theirs.size() - 100'000);
}

TEST_CASE("parts in another order are compared at their places") {
  const std::string theirs = some_bytes(2 * chunk_bytes);
  std::string ours = theirs;
  ours[5] ^= 1;
  ours[chunk_bytes + 5] ^= 1;
  Comparing comparing(ours);
  comparing.offer(theirs, chunk_bytes, theirs.size());
  comparing.offer(theirs, 0, chunk_bytes);
  comparing.replace();
  REQUIRE(comparing.replaced);
  CHECK(*comparing.replaced == std::vector<ByteRange>{{5, 6}, {chunk_bytes + 5, chunk_bytes + 6}});
}

TEST_CASE("where our file ends early what is missing differs") {
  const std::string theirs = some_bytes(1000);
  Comparing comparing(theirs.substr(0, 600));
  comparing.offer(theirs, 0, theirs.size());
  comparing.replace();
  CHECK(comparing.content() == theirs);
}

TEST_CASE("dropped or abandoned while it compares, it leaves the partial as it was, and nothing beside it") {
  const std::string theirs = some_bytes(8 * chunk_bytes);
  for (const bool is_abandoned : {false, true}) {
    CAPTURE(is_abandoned);
    Comparing comparing(some_bytes(theirs.size(), 2));
    BusyPool pool(comparing.loop);
    comparing.offer(theirs, 0, theirs.size());
    bool is_idle = false;
    if (is_abandoned) {
      comparing.comparison->abandon([&] {
        is_idle = true;
        CHECK(comparing.partial.use_count() == 2);  // ours and the comparison's: no job has one
        comparing.comparison.reset();
      });
      CHECK_FALSE(is_idle);
      CHECK(comparing.comparison->offer(0, bytes_of("more")));
    } else {
      comparing.comparison.reset();
    }
    pool.release();
    comparing.loop.run();
    CHECK(is_idle == is_abandoned);
    CHECK(comparing.content() == some_bytes(theirs.size(), 2));
    CHECK(comparing.files() == 1);
  }
}

TEST_CASE("a scratch file that can't be made is an error, once") {
  const std::string theirs = some_bytes(4 * chunk_bytes);
  Comparing comparing(some_bytes(theirs.size(), 2));
  std::filesystem::create_directory(comparing.partial->folder() + "/repair.tmp");
  comparing.offer(theirs, 0, theirs.size());
  comparing.comparison->replace([](const std::vector<ByteRange>&) { FAIL("nothing can be replaced"); });
  REQUIRE(run_until(comparing.loop, [&] { return comparing.error.has_value(); }));
  comparing.loop.run();
  CHECK(comparing.content() == some_bytes(theirs.size(), 2));
}

}  // namespace
}  // namespace ggufd::fetch
