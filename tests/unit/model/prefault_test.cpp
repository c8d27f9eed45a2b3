// A model's files are brought into memory, each way.
#include "model/prefault.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "model/page_cache.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

constexpr std::array all_choices = {PrefaultChoice::automatic, PrefaultChoice::populate,
                                    PrefaultChoice::pread};
constexpr std::uint64_t mib = 1U << 20U;

// Files of these sizes, mapped, and not in memory. They are holes, which a disk need not be read for.
struct ColdFiles {
  explicit ColdFiles(const std::vector<std::uint64_t>& sizes) {
    for (const std::uint64_t size : sizes) {
      auto copy = std::make_shared<LocalCopy>();
      copy->path = folder.file(std::to_string(copies.size()));
      copy->size_bytes = size;
      put(copy->path, "");
      std::filesystem::resize_file(copy->path, size);
      auto opened = store::open_file(copy->path, O_RDONLY);
      REQUIRE(opened);
      copy->file = std::move(*opened);
      auto mapped = map_file(copy->fd(), size, copy->path);
      REQUIRE(mapped);
      mappings.push_back(std::make_shared<MemoryRegion>(std::move(*mapped)));
      copies.push_back(std::move(copy));
    }
    install_mapping_guard();
    REQUIRE(resident() == 0);
  }
  std::uint64_t resident() const {
    std::uint64_t sum = 0;
    for (const auto& mapping : mappings) {
      const auto bytes = resident_bytes(*mapping, 0, mapping->size_bytes());
      REQUIRE(bytes);
      sum += *bytes;
    }
    return sum;
  }
  void forget(std::size_t index) const {
    const auto bytes = mappings[index]->bytes();
    REQUIRE(madvise(bytes.data(), bytes.size(), MADV_DONTNEED) == 0);
    drop_page_cache(copies[index]->fd());
  }

  TempFolder folder;
  Copies copies;
  Mappings mappings;
};

// A prefault and all that it says.
struct Run {
  Run(const ColdFiles& in, PrefaultChoice choice) : files(in) {
    operation = prefault(loop, files.copies, files.mappings,
                         {.on_progress =
                              [this](std::uint64_t bytes) {
                                CHECK(ends == 0);
                                progress.push_back(bytes);
                                at_progress();
                              },
                          .on_done =
                              [this](Result<std::uint64_t> result) {
                                ++ends;
                                end.emplace(std::move(result));
                                operation.reset();
                              }},
                         choice);
  }
  void wait() {
    REQUIRE(run_until(loop, [this] { return ends > 0; }));
  }
  std::optional<ErrorCode> error() const {
    return end && !*end ? std::optional<ErrorCode>(end->error().code) : std::nullopt;
  }

  const ColdFiles& files;
  loop::Loop loop;
  std::vector<std::uint64_t> progress;
  std::function<void()> at_progress = [] {};
  int ends = 0;
  std::optional<Result<std::uint64_t>> end;
  loop::OperationPtr operation;
};

TEST_CASE("every page of all files is in memory at the end, whichever way, and the progress rises") {
  const std::uint64_t total = 9 * mib + 123 + 1 + 70 * mib;
  for (const PrefaultChoice choice : all_choices) {
    const ColdFiles files({9 * mib + 123, 1, 70 * mib});
    Run run(files, choice);
    run.wait();
    REQUIRE(run.end->has_value());
    CHECK(**run.end == total);
    CHECK(files.resident() == total);
    CHECK(std::ranges::is_sorted(run.progress, std::ranges::less_equal()));
    CHECK(run.progress.back() == total);
    CHECK(run.progress.front() > 0);
    for (const auto& mapping : files.mappings) CHECK_FALSE(mapping->has_failed());
  }
}

TEST_CASE("a large cold file is probed, and its progress is told all the same") {
  const std::uint64_t size = 514 * mib;
  const ColdFiles files({size});
  Run run(files, PrefaultChoice::automatic);
  run.wait();
  REQUIRE(run.end->has_value());
  CHECK(**run.end == size);
  CHECK(std::ranges::is_sorted(run.progress, std::ranges::less_equal()));
  CHECK(run.progress.back() == size);
}

TEST_CASE("pages that the kernel takes away meanwhile are brought back once") {
  for (const PrefaultChoice choice : all_choices) {
    const ColdFiles files({6 * mib, 11 * mib});
    Run run(files, choice);
    run.at_progress = [&] {
      if (run.progress.back() == 17 * mib) files.forget(1);
    };
    run.wait();
    REQUIRE(run.end->has_value());
    CHECK(**run.end == 17 * mib);
    CHECK(run.progress.back() == 17 * mib);
  }
}

TEST_CASE("a file that became shorter is map_failed, and named") {
  for (const PrefaultChoice choice : all_choices) {
    const ColdFiles files({2 * mib, 40 * mib});
    std::filesystem::resize_file(files.copies[1]->path, 20 * mib);
    Run run(files, choice);
    run.wait();
    REQUIRE(run.error() == ErrorCode::map_failed);
    CHECK(run.end->error().message.find(files.copies[1]->path) != std::string::npos);
  }
}

TEST_CASE("a file that lost less than a page is map_failed, too") {
  const ColdFiles files({2 * mib});
  std::filesystem::resize_file(files.copies[0]->path, 2 * mib - 1);
  Run run(files, PrefaultChoice::populate);
  run.wait();
  CHECK(run.error() == ErrorCode::map_failed);
}

TEST_CASE("a mapping that has failed before is map_failed") {
  for (const PrefaultChoice choice : all_choices) {
    const ColdFiles files({2 * mib});
    std::filesystem::resize_file(files.copies[0]->path, 0);
    CHECK(*static_cast<volatile std::byte*>(files.mappings[0]->bytes().data()) == std::byte{0});
    std::filesystem::resize_file(files.copies[0]->path, 2 * mib);
    Run run(files, choice);
    run.wait();
    CHECK(run.error() == ErrorCode::map_failed);
  }
}

TEST_CASE("cancelling ends it with cancelled, from the beginning, from its progress, and in a probe") {
  for (const PrefaultChoice choice : all_choices) {
    const ColdFiles files({514 * mib});
    Run at_once(files, choice);
    at_once.operation->cancel();
    CHECK(at_once.ends == 0);
    at_once.wait();
    CHECK(at_once.error() == ErrorCode::cancelled);

    Run later(files, choice);
    later.at_progress = [&later] {
      later.operation->cancel();
      later.operation->cancel();
    };
    later.wait();
    CHECK(later.error() == ErrorCode::cancelled);
    CHECK(later.progress.size() == 1);
    CHECK(later.ends == 1);
  }
}

TEST_CASE("destroying it drops the callbacks, from its progress, too") {
  for (const PrefaultChoice choice : all_choices) {
    const ColdFiles files({130 * mib});
    Run begun(files, choice);
    begun.operation.reset();
    begun.loop.run();
    CHECK(begun.progress.empty());
    CHECK(begun.ends == 0);

    Run halfway(files, choice);
    halfway.at_progress = [&halfway] { halfway.operation.reset(); };
    REQUIRE(run_until(halfway.loop, [&halfway] { return !halfway.operation; }));
    halfway.loop.run();
    CHECK(halfway.progress.size() == 1);
    CHECK(halfway.ends == 0);
  }
}

}  // namespace
}  // namespace ggufd::model
