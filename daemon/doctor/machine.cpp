#include <fcntl.h>
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "doctor/checks.h"
#include "doctor/group.h"
#include "doctor/text.h"
#include "memory/kernel_file.h"
#include "memory/limits.h"

namespace ggufd::doctor {
namespace {

// The first line that begins with `name`, behind its colon.
std::string_view line_of(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.starts_with(name)) return line.substr(std::min(line.find(':') + 1, line.size()));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return {};
}

bool has_word(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const std::string_view first = words.substr(0, words.find_first_of(" \t"));
    if (first == word) return true;
    words.remove_prefix(std::min(first.size() + 1, words.size()));
  }
  return false;
}

unsigned usable_processors() {
  cpu_set_t usable;
  CPU_ZERO(&usable);
  if (sched_getaffinity(0, sizeof usable, &usable) != 0) return 1;
  return static_cast<unsigned>(CPU_COUNT(&usable));
}

// The smallest cpu.max ("max 100000", or microseconds of each period) of the process's cgroups, in
// processors.
std::optional<double> processor_quota(const Subject& subject) {
  const memory::SystemFolders folders{subject.system_root + "/proc", subject.system_root + "/sys/fs/cgroup"};
  std::optional<double> least;
  std::string path = memory::own_cgroup(folders);
  while (true) {
    const auto text = memory::read_kernel_file(folders.cgroup + path + "/cpu.max");
    const auto quota_us = text ? memory::leading_number(*text) : std::nullopt;
    const auto period_us =
        quota_us ? memory::leading_number(std::string_view(*text).substr(text->find(' ') + 1)) : std::nullopt;
    if (period_us && *period_us > 0) {
      const double processors = static_cast<double>(*quota_us) / static_cast<double>(*period_us);
      least = std::min(least.value_or(processors), processors);
    }
    if (path.empty()) return least;
    path.resize(path.rfind('/'));
  }
}

struct Processor {
  std::vector<std::string> features;  // of those that matter, those that are there
  std::string missing;                // and what lacks, as a clause; empty: nothing
};

// What hashing and llama.cpp gain most from; the names are the kernel's.
Processor processor_of(const std::string& cpuinfo) {
  Processor processor;
  const auto look = [&](std::string_view flags, auto names) {
    for (const char* name : names) {
      if (has_word(flags, name)) processor.features.emplace_back(name);
    }
  };
  const std::string_view arm = line_of(cpuinfo, "Features");
  if (!arm.empty()) {
    look(arm, std::array{"sha2", "asimd", "asimddp", "i8mm", "sve"});
    if (!has_word(arm, "sha2")) processor.missing = "SHA-2 instructions: hashing takes four times as long";
    return processor;
  }
  const std::string_view flags = line_of(cpuinfo, "flags");
  look(flags, std::array{"sha_ni", "avx2", "avx512f", "avx512_vnni", "amx_tile"});
  if (!has_word(flags, "avx2")) processor.missing = "AVX2: inference on it is slow";
  if (!has_word(flags, "sha_ni")) {
    processor.missing = "SHA instructions: hashing takes four times as long" +
                        (processor.missing.empty() ? "" : "; and " + processor.missing);
  }
  return processor;
}

void check_processor(const Subject& subject, const config::Config& config, Group& group) {
  const auto cpuinfo = memory::read_kernel_file(subject.system_root + "/proc/cpuinfo");
  if (!cpuinfo) return group.skip("processor", cpuinfo.error().message);
  const Processor processor = processor_of(*cpuinfo);
  const unsigned usable = usable_processors();
  const auto quota = processor_quota(subject);
  std::string found =
      fmt::format("{} usable; {}", count_of(usable, "processor"),
                  processor.features.empty() ? "none of the features that matter"
                                             : fmt::format("{}", fmt::join(processor.features, ", ")));
  if (quota) found += fmt::format("; the cgroup allows {:.2f} of them", *quota);
  // Hashing 1 GB then takes ten seconds and more.
  constexpr double hardly_any = 0.1;
  if (quota && *quota < hardly_any) {
    group.fail("processor", found, "raise the cgroup's cpu.max (CPUQuota=, or the container's CPU limit)");
  } else if (quota && *quota < usable && config.llama_server.threads == 0) {
    group.warn("processor", found + ": llama-server starts a thread for each, and they are held back",
               fmt::format("set llama_server.threads to {}", std::max(1U, static_cast<unsigned>(*quota))));
  } else if (config.llama_server.threads > usable) {
    group.warn("processor", fmt::format("{}; llama_server.threads is {}", found, config.llama_server.threads),
               fmt::format("set it to {} or 0", usable));
  } else if (!processor.missing.empty()) {
    group.warn("processor", fmt::format("{}; it lacks {}", found, processor.missing),
               "another machine would be faster");
  } else {
    group.ok("processor", found);
  }
}

// Files in /dev by which programs reach graphics cards: NVIDIA's, AMD's compute interface, and DRM's.
std::vector<std::string> graphics_devices(const std::string& root) {
  std::vector<std::string> found;
  const auto add = [&](const std::string& folder, std::string_view prefix) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      if (entry.path().filename().string().starts_with(prefix)) found.push_back(entry.path().string());
    }
  };
  add(root + "/dev", "nvidia0");
  add(root + "/dev", "kfd");
  add(root + "/dev/dri", "renderD");
  std::ranges::sort(found);
  return found;
}

void check_graphics(const Subject& subject, const config::Config& config, Group& group) {
  const auto devices = graphics_devices(subject.system_root);
  const bool is_wanted = config.llama_server.gpu_layers > 0;
  if (devices.empty() && !is_wanted) return group.skip("graphics", "no card, and none is asked for");
  if (devices.empty()) {
    return group.fail("graphics",
                      fmt::format("gpu_layers is {}, and no card is there", config.llama_server.gpu_layers),
                      "pass the device into the container, install its driver, or set gpu_layers to 0");
  }
  for (const std::string& device : devices) {
    if (faccessat(AT_FDCWD, device.c_str(), R_OK | W_OK, AT_EACCESS) == 0) continue;
    const std::string found = device + " may not be opened by this user";
    constexpr const char* advice = "add the user to the groups render and video";
    if (is_wanted) return group.fail("graphics", found, advice);
    return group.warn("graphics", found, advice);
  }
  const std::string found = fmt::format("{}", fmt::join(devices, ", "));
  if (!is_wanted) {
    return group.warn("graphics", found + "; gpu_layers is 0, so models run on the processor",
                      "set llama_server.gpu_layers, where llama-server is built for that card");
  }
  group.ok("graphics", found);
}

struct KernelVersion {
  unsigned major = 0;
  unsigned minor = 0;
  auto operator<=>(const KernelVersion&) const = default;
};

void check_kernel(const Subject& subject, Group& group) {
  const auto text = memory::read_kernel_file(subject.system_root + "/proc/sys/kernel/osrelease");
  const auto number = text ? memory::leading_number(*text) : std::nullopt;
  if (!number) return group.skip("kernel", "its version is not known");
  const std::string release = text->substr(0, text->find('\n'));
  const auto minor = memory::leading_number(std::string_view(release).substr(release.find('.') + 1));
  const KernelVersion version{static_cast<unsigned>(*number), static_cast<unsigned>(minor.value_or(0))};
  const bool has_verity = std::filesystem::exists(subject.system_root + "/sys/fs/ext4/features/verity") ||
                          std::filesystem::exists(subject.system_root + "/sys/fs/f2fs/features/verity");
  constexpr KernelVersion has_pidfd{5, 3};           // pidfd_open(2)
  constexpr KernelVersion has_populate_read{5, 14};  // madvise(2), MADV_POPULATE_READ
  if (version < has_pidfd) {
    group.fail("kernel", release + ": it has no pidfds, so engines may outlive a daemon that is killed",
               "run Linux 5.14 or newer");
  } else if (version < has_populate_read) {
    group.warn("kernel", release + ": it cannot read a mapping in by itself, which makes a cold load slower",
               "run Linux 5.14 or newer");
  } else {
    group.ok("kernel", fmt::format("{}: pidfd, MADV_POPULATE_READ, fs-verity {}", release,
                                   has_verity ? "known" : "not known"));
  }
}

// "Max open files            1024                 1048576              files" (proc(5)): the second number.
std::optional<std::uint64_t> hard_limit(std::string_view limits, std::string_view name) {
  const std::size_t at = limits.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = limits.substr(at + name.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  rest.remove_prefix(std::min(rest.find(' '), rest.size()));
  return memory::leading_number(rest);
}

// The hard limit is what ggufd makes its own.
void check_open_files(const Subject& subject, const config::Config& config, Group& group) {
  const auto limits = memory::read_kernel_file(subject.system_root + "/proc/self/limits");
  const auto hard = limits ? hard_limit(*limits, "Max open files") : std::nullopt;
  if (!hard) return group.skip("open files", "the limit is not known, or there is none");
  // What ggufd keeps for the bring-up, before subscribers get any.
  constexpr std::uint64_t kept = 256;
  const std::string found =
      fmt::format("{} at most; max_subscribers is {}", *hard, config.admin.max_subscribers);
  if (*hard < kept) {
    group.fail("open files", found, "raise RLIMIT_NOFILE: LimitNOFILE=65536 in the unit, or `ulimit -Hn`");
  } else if (*hard < config.admin.max_subscribers + kept) {
    group.warn("open files", found + ": fewer can be connected",
               "raise RLIMIT_NOFILE, or lower admin.max_subscribers");
  } else {
    group.ok("open files", found);
  }
}

}  // namespace

void check_machine(const Subject& subject, const config::Config& config, answer::Doctor& report) {
  Group group(report, "machine");
  check_processor(subject, config, group);
  check_graphics(subject, config, group);
  check_kernel(subject, group);
  check_open_files(subject, config, group);
}

}  // namespace ggufd::doctor
