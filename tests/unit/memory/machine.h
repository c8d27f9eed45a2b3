// Folders that look like /proc and /sys/fs/cgroup of a machine with 16 GiB, 12 of them available.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "memory/limits.h"
#include "tests/unit/loop/support.h"

namespace ggufd::memory::test {

inline constexpr std::uint64_t gib = std::uint64_t{1} << 30;

class Machine {
 public:
  struct Cgroup {
    std::string max = "max";
    std::string high = "max";
    std::uint64_t current = 0;
    std::uint64_t inactive_file = 0;
    std::uint64_t active_file = 0;
  };

  explicit Machine(std::uint64_t total_bytes = 16 * gib, std::uint64_t available_bytes = 12 * gib) {
    std::filesystem::create_directories(file("proc/self"));
    std::filesystem::create_directories(file("cgroup"));
    put(file("proc/meminfo"),
        fmt::format("MemTotal:       {:8} kB\nMemFree:            1024 kB\nMemAvailable:   {:8} "
                    "kB\n",
                    total_bytes / 1024, available_bytes / 1024));
    put(file("proc/self/limits"),
        "Max address space         unlimited            unlimited            bytes     \n");
    put(file("proc/self/status"), "Name:\tggufd\n");
    is_in_cgroup("/");
  }

  SystemFolders folders() const { return {.proc = file("proc"), .cgroup = file("cgroup")}; }
  std::string file(const std::string& name) const { return folder_.file(name); }

  static void put(const std::string& path, const std::string& text) { std::ofstream(path) << text; }
  void is_in_cgroup(const std::string& path) const {
    put(file("proc/self/cgroup"), fmt::format("1:name=systemd:/elsewhere\n0::{}\n", path));
  }
  void cgroup(const std::string& path, const Cgroup& cgroup) const {
    const std::string folder = file("cgroup") + path;
    std::filesystem::create_directories(folder);
    put(folder + "/memory.max", cgroup.max + "\n");
    put(folder + "/memory.high", cgroup.high + "\n");
    put(folder + "/memory.current", fmt::format("{}\n", cgroup.current));
    put(folder + "/memory.stat", fmt::format("anon 1\nfile 3\ninactive_file {}\nactive_file {}\n",
                                             cgroup.inactive_file, cgroup.active_file));
  }

 private:
  loop::test::TempFolder folder_;
};

}  // namespace ggufd::memory::test
