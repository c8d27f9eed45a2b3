#include "memory/limits.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <string_view>
#include <utility>

#include "store/file.h"

namespace ggufd::memory {
namespace {

// What is read of a file that the kernel writes; the longest, memory.stat, has some 2 KiB.
constexpr std::size_t kernel_file_max_bytes = std::size_t{64} << 10;

// Such files say that their size is 0, whatever is in them.
Result<std::string> read_kernel_file(const std::string& path) {
  const auto file = store::open_file(path, O_RDONLY);
  if (!file) return std::unexpected(file.error());
  std::string text(kernel_file_max_bytes, '\0');
  const auto count = store::pread_all(file->get(), std::as_writable_bytes(std::span(text)), 0, path);
  if (!count) return std::unexpected(count.error());
  text.resize(*count);
  return text;
}

std::optional<std::uint64_t> leading_number(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} ? std::optional(number) : std::nullopt;
}

// The number that follows `name` at the beginning of a line.
std::optional<std::uint64_t> number_after(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.starts_with(name)) return leading_number(line.substr(name.size()));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return std::nullopt;
}

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

// The path behind "0::", which is the entry of the unified hierarchy (cgroups(7)); "" is its root.
std::string own_cgroup(const std::string& proc) {
  const auto text = read_kernel_file(proc + "/self/cgroup");
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

std::vector<CgroupMemory> read_cgroups(const SystemFolders& folders) {
  std::vector<CgroupMemory> found;
  std::string path = own_cgroup(folders.proc);
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
