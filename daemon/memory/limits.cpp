#include "memory/limits.h"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "memory/kernel_file.h"

namespace ggufd::memory {
namespace {

// /proc/meminfo and /proc/self/status count in KiB.
std::optional<std::uint64_t> kib_after(std::string_view text, std::string_view name) {
  const auto kib = number_after(text, name);
  if (!kib || *kib > UINT64_MAX / 1024) return std::nullopt;
  return *kib * 1024;
}

// "max", which is no number, is no limit.
std::optional<std::uint64_t> read_number(const std::string& path) {
  const auto text = read_kernel_file(path);
  return text ? leading_number(*text) : std::nullopt;
}

// Nothing where it has no limit, or is not to be seen from here.
std::optional<CgroupMemory> read_cgroup(const std::string& root, const std::string& path) {
  const std::string folder = root + path;
  CgroupMemory cgroup{.path = path.empty() ? "/" : path,
                      .max_bytes = read_number(folder + "/memory.max"),
                      .high_bytes = read_number(folder + "/memory.high")};
  if (!cgroup.max_bytes && !cgroup.high_bytes) return std::nullopt;
  cgroup.used_bytes = read_number(folder + "/memory.current").value_or(0);
  if (const auto stat = read_kernel_file(folder + "/memory.stat")) {
    for (const char* droppable : {"inactive_file ", "active_file "}) {
      cgroup.used_bytes -= std::min(cgroup.used_bytes, number_after(*stat, droppable).value_or(0));
    }
  }
  return cgroup;
}

std::vector<CgroupMemory> read_cgroups(const SystemFolders& folders) {
  std::vector<CgroupMemory> found;
  std::string path = own_cgroup(folders);
  while (true) {
    if (auto cgroup = read_cgroup(folders.cgroup, path)) found.push_back(std::move(*cgroup));
    if (path.empty()) return found;
    path.resize(path.rfind('/'));
  }
}

std::uint64_t left(std::uint64_t limit, std::uint64_t used) {
  return limit - std::min(limit, used);
}

}  // namespace

// The path behind "0::", which is the entry of the unified hierarchy (cgroups(7)).
std::string own_cgroup(const SystemFolders& folders) {
  const auto text = read_kernel_file(folders.proc + "/self/cgroup");
  if (!text) return "";
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (!line.starts_with("0::/")) continue;
    const std::string_view path = line.substr(std::string_view("0::").size());
    // One with ".." lies outside of what is mounted here.
    if (path.find("/..") == std::string_view::npos) return std::string(path == "/" ? "" : path);
  }
  return "";
}

Result<Limits> read_limits(const SystemFolders& folders) {
  const std::string path = folders.proc + "/meminfo";
  const auto meminfo = read_kernel_file(path);
  if (!meminfo) return std::unexpected(meminfo.error());
  const auto total = kib_after(*meminfo, "MemTotal:");
  const auto available = kib_after(*meminfo, "MemAvailable:");
  if (!total || !available)
    return fail(ErrorCode::io, fmt::format("{} does not tell the machine's memory", path));
  Limits limits{.total_bytes = *total, .available_bytes = *available, .cgroups = read_cgroups(folders)};
  if (const auto text = read_kernel_file(folders.proc + "/self/limits")) {
    limits.address_space_bytes = number_after(*text, "Max address space");
  }
  if (const auto text = read_kernel_file(folders.proc + "/self/status")) {
    limits.address_space_used_bytes = kib_after(*text, "VmSize:").value_or(0);
  }
  return limits;
}

std::vector<Bound> hard_limits(const Limits& limits) {
  std::vector<Bound> bounds{{"MemTotal", limits.total_bytes}};
  for (const CgroupMemory& cgroup : limits.cgroups) {
    if (cgroup.max_bytes) bounds.push_back({"memory.max of the cgroup " + cgroup.path, *cgroup.max_bytes});
  }
  if (limits.address_space_bytes) bounds.push_back({"RLIMIT_AS", *limits.address_space_bytes, true});
  return bounds;
}

std::vector<Bound> available_memory(const Limits& limits) {
  std::vector<Bound> bounds{{"MemAvailable", limits.available_bytes}};
  for (const CgroupMemory& cgroup : limits.cgroups) {
    if (cgroup.max_bytes) {
      bounds.push_back(
          {"memory.max of the cgroup " + cgroup.path, left(*cgroup.max_bytes, cgroup.used_bytes)});
    }
    if (cgroup.high_bytes) {
      bounds.push_back(
          {"memory.high of the cgroup " + cgroup.path, left(*cgroup.high_bytes, cgroup.used_bytes)});
    }
  }
  if (limits.address_space_bytes) {
    bounds.push_back({"RLIMIT_AS", left(*limits.address_space_bytes, limits.address_space_used_bytes), true});
  }
  return bounds;
}

const Bound& tightest(const std::vector<Bound>& bounds) {
  return *std::ranges::min_element(bounds, {}, &Bound::bytes);
}

}  // namespace ggufd::memory
