// The machine's memory and the limits above a process, read from folders that look like the kernel's.
#include "memory/limits.h"

#include "machine.h"

namespace ggufd::memory {
namespace {

using namespace test;

TEST_CASE("without limits there is the machine's memory") {
  const Machine machine;
  const auto limits = read_limits(machine.folders());
  REQUIRE(limits);
  CHECK(*limits == Limits{.total_bytes = 16 * gib, .available_bytes = 12 * gib});
  CHECK(hard_limits(*limits) == std::vector{Bound{"MemTotal", 16 * gib}});
  CHECK(available_memory(*limits) == std::vector{Bound{"MemAvailable", 12 * gib}});
}

TEST_CASE("every cgroup above the process counts, its own first; one without a limit is left out") {
  const Machine machine;
  machine.is_in_cgroup("/a/b/c");
  machine.cgroup("/a/b/c", {.max = "max", .high = "max", .current = gib});
  machine.cgroup(
      "/a/b",
      {.max = "4294967296", .high = "max", .current = 3 * gib, .inactive_file = gib, .active_file = gib});
  machine.cgroup("/a", {.max = "max", .high = "2147483648", .current = gib});
  machine.cgroup("", {.max = "8589934592", .high = "max", .current = 9 * gib});
  const auto limits = read_limits(machine.folders());
  REQUIRE(limits);
  CHECK(limits->cgroups == std::vector{CgroupMemory{"/a/b", 4 * gib, std::nullopt, gib},
                                       CgroupMemory{"/a", std::nullopt, 2 * gib, gib},
                                       CgroupMemory{"/", 8 * gib, std::nullopt, 9 * gib}});
  CHECK(hard_limits(*limits) == std::vector{Bound{"MemTotal", 16 * gib},
                                            Bound{"memory.max of the cgroup /a/b", 4 * gib},
                                            Bound{"memory.max of the cgroup /", 8 * gib}});
  CHECK(tightest(hard_limits(*limits)).bytes == 4 * gib);
  CHECK(available_memory(*limits) ==
        std::vector{Bound{"MemAvailable", 12 * gib}, Bound{"memory.max of the cgroup /a/b", 3 * gib},
                    Bound{"memory.high of the cgroup /a", gib}, Bound{"memory.max of the cgroup /", 0}});
}

TEST_CASE("a cgroup that is not to be seen from here limits nothing; those that are do") {
  const Machine machine;
  SUBCASE("its folder is not mounted") {
    machine.is_in_cgroup("/outside/x");
  }
  SUBCASE("its path leads out of what is mounted") {
    machine.is_in_cgroup("/../../x");
  }
  SUBCASE("the process tells of none") {
    machine.put(machine.file("proc/self/cgroup"), "4:memory:/x\n");
  }
  machine.cgroup("", {.max = "1073741824", .high = "max", .current = 0});
  const auto limits = read_limits(machine.folders());
  REQUIRE(limits);
  REQUIRE(limits->cgroups.size() == 1);
  CHECK(limits->cgroups.front().path == "/");
}

TEST_CASE("what is no number limits nothing") {
  const Machine machine;
  for (const char* text : {"", "max", "x1", "99999999999999999999999"}) {
    machine.cgroup("", {.max = text, .high = text, .current = 0});
    const auto limits = read_limits(machine.folders());
    REQUIRE(limits);
    CHECK(limits->cgroups.empty());
  }
}

TEST_CASE("RLIMIT_AS counts with what is mapped already") {
  const Machine machine;
  machine.put(machine.file("proc/self/limits"),
              "Limit                     Soft Limit           Hard Limit           Units     \n"
              "Max address space         4294967296           unlimited            bytes     \n");
  machine.put(machine.file("proc/self/status"),
              "Name:\tggufd\nVmPeak:\t  9999999 kB\nVmSize:\t  1048576 kB\n");
  const auto limits = read_limits(machine.folders());
  REQUIRE(limits);
  CHECK(limits->address_space_bytes == 4 * gib);
  CHECK(limits->address_space_used_bytes == gib);
  CHECK(tightest(hard_limits(*limits)) == Bound{"RLIMIT_AS", 4 * gib, true});
  CHECK(tightest(available_memory(*limits)) == Bound{"RLIMIT_AS", 3 * gib, true});
}

TEST_CASE("a machine that does not tell its memory is an error that names the file") {
  const Machine machine;
  SUBCASE("no file") {
    std::filesystem::remove(machine.file("proc/meminfo"));
  }
  SUBCASE("nothing in it") {
    machine.put(machine.file("proc/meminfo"), "MemTotal:       16777216 kB\n");
  }
  const auto limits = read_limits(machine.folders());
  REQUIRE_FALSE(limits);
  CHECK(limits.error().code == ErrorCode::io);
  CHECK(limits.error().message.find(machine.file("proc/meminfo")) != std::string::npos);
}

TEST_CASE("this machine tells its memory") {
  const auto limits = read_limits();
  REQUIRE(limits);
  CHECK(limits->total_bytes >= limits->available_bytes);
  CHECK(limits->available_bytes > 0);
}

}  // namespace
}  // namespace ggufd::memory
