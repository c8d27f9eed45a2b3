// The background re-hash: which blob, when, and what becomes of a bad one.
#include "model/scrub.h"

#include <sys/syscall.h>

#include "model/idle_read.h"
#include "model/keep.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

constexpr std::int64_t hour_ms = 3'600'000;

// A scrub under a clock that the test sets; the blobs' stamps are of the real one.
struct Scrubbed {
  struct Bad {
    BadBlob blob;
    std::vector<std::string> names;
  };

  House house;
  Timestamp now = Timestamp::now();
  std::vector<Bad> found = {};
  std::unique_ptr<Scrub> scrub = make();

  std::unique_ptr<Scrub> make() {
    return std::make_unique<Scrub>(
        house.loop, house.store(),
        [this](const BadBlob& bad, const std::vector<std::string>& names) { found.push_back({bad, names}); },
        [this] { return now; });
  }
  std::int64_t verified_ms(const store::Digest& digest) const {
    const auto blob = house.store().find(digest);
    REQUIRE(blob);
    REQUIRE(*blob);
    return (*blob)->verified_at.value_or(Timestamp{}).ms;
  }
  void until_asleep() {
    REQUIRE(run_until(house.loop, [this] { return scrub->is_asleep(); }));
  }
};

TEST_CASE("scrub: nothing is hashed before its interval is over") {
  Scrubbed scrubbed;
  const store::Digest digest = scrubbed.house.put_blob(small_gguf());
  const std::int64_t stamped_ms = scrubbed.verified_ms(digest);
  spoil(scrubbed.house, scrubbed.house.put_blob(small_gguf(2)));
  scrubbed.now = Timestamp::now();
  scrubbed.scrub->set_interval_h(1);
  // The spoilt one has no stamp that holds, so nobody knows when it was good: it is looked at now.
  REQUIRE(run_until(scrubbed.house.loop, [&] { return !scrubbed.found.empty(); }));
  scrubbed.until_asleep();
  CHECK(scrubbed.found.size() == 1);
  CHECK(scrubbed.verified_ms(digest) == stamped_ms);
}

TEST_CASE("scrub: a blob whose interval is over is hashed and stamped anew, once") {
  Scrubbed scrubbed;
  const store::Digest digest = scrubbed.house.put_blob(small_gguf());
  const std::int64_t stamped_ms = scrubbed.verified_ms(digest);
  while (Timestamp::now().ms <= stamped_ms) continue;
  scrubbed.now.ms = stamped_ms + 2 * hour_ms;
  scrubbed.scrub->set_interval_h(1);
  REQUIRE(run_until(scrubbed.house.loop, [&] { return scrubbed.verified_ms(digest) > stamped_ms; }));
  scrubbed.until_asleep();
  CHECK(scrubbed.found.empty());
}

TEST_CASE("scrub: a stamp of a moment that is still to come says nothing, and is looked into once") {
  Scrubbed scrubbed;
  const store::Digest digest = scrubbed.house.put_blob(small_gguf());
  const std::int64_t stamped_ms = scrubbed.verified_ms(digest);
  while (Timestamp::now().ms <= stamped_ms) continue;
  scrubbed.now.ms = stamped_ms - hour_ms;
  scrubbed.scrub->set_interval_h(1);
  REQUIRE(run_until(scrubbed.house.loop, [&] { return scrubbed.verified_ms(digest) > stamped_ms; }));
  scrubbed.until_asleep();
}

TEST_CASE("scrub: a bad blob is put away and told, with the models that stand for it") {
  Scrubbed scrubbed;
  const std::string bytes = small_gguf();
  const store::Digest digest = scrubbed.house.put_blob(bytes);
  const config::Source source{config::UrlSource{.url = "https://example.org/m.gguf"}};
  for (const char* name : {"one", "two"}) {
    REQUIRE(record_manifest(
        scrubbed.house.store(),
        {.name = name, .digests = {digest}, .size_bytes = bytes.size(), .source = source, .revision = ""}));
  }
  spoil(scrubbed.house, digest);
  scrubbed.scrub->set_interval_h(24);
  REQUIRE(run_until(scrubbed.house.loop, [&] { return !scrubbed.found.empty(); }));
  const auto& [bad, names] = scrubbed.found.front();
  CHECK(bad.expected == digest);
  CHECK(bad.actual != digest);
  CHECK(std::filesystem::exists(bad.quarantine_path));
  CHECK(names == std::vector<std::string>{"one", "two"});
  CHECK_FALSE(scrubbed.house.is_in_store(digest));
  scrubbed.until_asleep();
  CHECK(scrubbed.found.size() == 1);
}

TEST_CASE("scrub: every blob is looked at, the one that was verified longest ago first") {
  Scrubbed scrubbed;
  std::vector<store::Digest> digests;
  for (std::uint64_t seed = 1; seed <= 3; ++seed)
    digests.push_back(scrubbed.house.put_blob(small_gguf(seed)));
  for (const auto& digest : digests) spoil(scrubbed.house, digest);
  scrubbed.scrub->set_interval_h(1);
  REQUIRE(run_until(scrubbed.house.loop, [&] { return scrubbed.found.size() == digests.size(); }));
  CHECK(scrubbed.house.quarantined() == digests.size());
}

TEST_CASE("scrub: with the interval 0 it sleeps for good, and does not keep the loop running") {
  Scrubbed scrubbed;
  spoil(scrubbed.house, scrubbed.house.put_blob(small_gguf()));
  scrubbed.scrub->set_interval_h(0);
  scrubbed.house.loop.run();
  CHECK(uv_loop_alive(scrubbed.house.loop.raw()) == 0);
  scrubbed.scrub->set_interval_h(1);
  CHECK(uv_loop_alive(scrubbed.house.loop.raw()) != 0);
  scrubbed.scrub->set_interval_h(0);
  scrubbed.house.loop.run();
  CHECK(scrubbed.found.empty());
}

TEST_CASE("idle reading hashes what is there, of any size, and leaves the thread's priority as it was") {
  House house;
  const long before = syscall(SYS_ioprio_get, 1, 0);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{4096}, (std::size_t{1} << 20) + 4097}) {
    std::string bytes(size, 'x');
    if (!bytes.empty()) bytes.back() = 'y';
    const std::string path = house.file(bytes, std::to_string(size));
    const auto file = store::open_file(path, O_RDONLY);
    REQUIRE(file);
    auto reader = IdleReader::open(file->get(), path);
    REQUIRE(reader);
    store::Sha256 hasher;
    REQUIRE(reader->hash(0, size, hasher));
    CHECK(hasher.finish() == digest_of(bytes));
    const auto beyond = reader->hash(0, size + 1, hasher);
    REQUIRE_FALSE(beyond);
    CHECK(beyond.error().code == ErrorCode::io);
  }
  CHECK(syscall(SYS_ioprio_get, 1, 0) == before);
}

}  // namespace
}  // namespace ggufd::model
