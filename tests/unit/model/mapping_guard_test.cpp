// A mapped file that goes away under its readers.
#include "model/mapping_guard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <thread>
#include <vector>

#include "model/memory_region.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

constexpr std::size_t pages = 64;

// A file of whole pages, all of one letter, mapped.
struct MappedPages {
  explicit MappedPages(const std::string& name = "m", char letter = 'x') : path(folder.file(name)) {
    put(path, std::string(pages * page_bytes(), letter));
    auto opened = store::open_file(path, O_RDONLY);
    REQUIRE(opened);
    file = std::move(*opened);
    auto mapped = map_file(file.get(), pages * page_bytes(), path);
    REQUIRE(mapped);
    region = std::move(*mapped);
    install_mapping_guard();
  }
  void keep_pages(std::size_t count) const { std::filesystem::resize_file(path, count * page_bytes()); }
  char at_page(std::size_t index) const {
    return static_cast<char>(*static_cast<volatile std::byte*>(&region.bytes()[index * page_bytes()]));
  }
  std::string all_pages() const {
    std::string letters;
    for (std::size_t i = 0; i < pages; ++i) letters += at_page(i);
    return letters;
  }

  TempFolder folder;
  std::string path;
  store::UniqueFd file;
  MemoryRegion region;
};

TEST_CASE("what lies behind the end of a truncated file reads as zeros, and the mapping has failed") {
  const MappedPages mapped;
  CHECK(mapped.all_pages() == std::string(pages, 'x'));
  CHECK_FALSE(mapped.region.has_failed());
  mapped.keep_pages(10);
  CHECK(mapped.at_page(10) == '\0');
  CHECK(mapped.region.has_failed());
  CHECK(mapped.all_pages() == std::string(10, 'x') + std::string(pages - 10, '\0'));
}

TEST_CASE("several threads may fault in one mapping") {
  const MappedPages mapped;
  mapped.keep_pages(1);
  std::vector<std::string> seen(4);
  std::vector<std::thread> threads;
  for (std::string& letters : seen) {
    threads.emplace_back([&letters, &mapped] { letters = mapped.all_pages(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& letters : seen) CHECK(letters == "x" + std::string(pages - 1, '\0'));
  CHECK(mapped.region.has_failed());
}

TEST_CASE("one mapping fails, the one beside it does not") {
  const MappedPages good("good", 'g');
  const MappedPages bad("bad", 'b');
  const MappedPages also_good("also good", 'a');
  bad.keep_pages(0);
  CHECK(bad.all_pages() == std::string(pages, '\0'));
  CHECK(good.all_pages() == std::string(pages, 'g'));
  CHECK(also_good.all_pages() == std::string(pages, 'a'));
  CHECK(bad.region.has_failed());
  CHECK_FALSE(good.region.has_failed());
  CHECK_FALSE(also_good.region.has_failed());
}

TEST_CASE("a mapping takes its guard along when it moves") {
  MappedPages mapped;
  const MemoryRegion moved = std::move(mapped.region);
  CHECK_FALSE(mapped.region.has_failed());
  mapped.region = {};
  mapped.keep_pages(0);
  CHECK(*static_cast<volatile std::byte*>(moved.bytes().data()) == std::byte{0});
  CHECK(moved.has_failed());
}

TEST_CASE("a failure does not stay behind in the table") {
  for (int i = 0; i < 3; ++i) {
    const MappedPages mapped;
    CHECK_FALSE(mapped.region.has_failed());
    mapped.keep_pages(0);
    CHECK(mapped.at_page(3) == '\0');
    CHECK(mapped.region.has_failed());
  }
}

TEST_CASE("more mappings than can be guarded are map_failed, and names the file") {
  const MappedPages another;
  {
    std::vector<MappingGuard> guards;
    for (std::size_t i = 1; i < max_guarded_mappings; ++i) {
      // Addresses that nothing is ever mapped at.
      auto guard = MappingGuard::guard(reinterpret_cast<void*>(i * page_bytes()), page_bytes(), "none");
      REQUIRE(guard);
      guards.push_back(std::move(*guard));
    }
    const auto refused = map_file(another.file.get(), page_bytes(), another.path);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::map_failed);
    CHECK(refused.error().message.find(another.path) != std::string::npos);
  }
  CHECK(map_file(another.file.get(), page_bytes(), another.path));
}

TEST_CASE("the loop is told of a fault on another thread") {
  loop::Loop loop;
  const MappedPages mapped;
  int calls = 0;
  bool had_failed = false;
  const MappingFaults faults(loop, [&] {
    ++calls;
    had_failed = mapped.region.has_failed();
  });
  mapped.keep_pages(0);
  std::thread([&mapped] { CHECK(mapped.at_page(0) == '\0'); }).join();
  CHECK(calls == 0);
  REQUIRE(run_until(loop, [&calls] { return calls > 0; }));
  CHECK(had_failed);
}

TEST_CASE("who is told of faults may go away, in the middle of it, too") {
  loop::Loop loop;
  std::optional<MappingFaults> faults;
  int calls = 0;
  const ggufd::loop::test::Token token;
  faults.emplace(loop, [&, held = token.held] {
    ++calls;
    faults.reset();
    CHECK_FALSE(held->empty());
  });
  const MappedPages mapped;
  mapped.keep_pages(5);
  CHECK(mapped.at_page(9) == '\0');
  REQUIRE(run_until(loop, [&calls] { return calls > 0; }));
  mapped.keep_pages(4);
  CHECK(mapped.at_page(4) == '\0');
  loop.run();
  CHECK(calls == 1);
}

// How a process ends that does `what`, in silence: sanitizers have a lot to say about it.
template <class What>
int status_of_child(What what) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, STDERR_FILENO);
    what();
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

// Sanitizers end the process in their own way, with an exit code.
bool has_died(int status) {
  return WIFSIGNALED(status) ? WTERMSIG(status) == SIGBUS : WEXITSTATUS(status) != 0;
}

TEST_CASE("a fault outside of the guarded mappings ends the process") {
  const MappedPages mapped;
  mapped.keep_pages(0);
  const int fd = mapped.file.get();
  CHECK(has_died(status_of_child([fd] {
    const void* begin = mmap(nullptr, page_bytes(), PROT_READ, MAP_SHARED, fd, 0);
    [[maybe_unused]] const char read = *static_cast<const volatile char*>(begin);
  })));
  CHECK_FALSE(mapped.region.has_failed());
}

TEST_CASE("a SIGBUS that somebody sends ends the process") {
  install_mapping_guard();
  CHECK(has_died(status_of_child([] { kill(getpid(), SIGBUS); })));
}

}  // namespace
}  // namespace ggufd::model
