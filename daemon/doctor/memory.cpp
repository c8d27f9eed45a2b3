#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>

#include "doctor/checks.h"
#include "doctor/group.h"
#include "doctor/text.h"
#include "memory/budget.h"
#include "memory/kernel_file.h"
#include "memory/limits.h"

namespace ggufd::doctor {
namespace {

using memory::amount;

// Of what is available, less than this part left is little: other programs breathe, too.
constexpr double little_left = 0.1;

std::string limit_text(const answer::Plan& plan) {
  if (plan.limits.empty() || !plan.available_bytes.value) return "";
  const auto tightest = std::ranges::min_element(plan.limits, {}, &answer::MemoryLimit::bytes);
  return fmt::format("{} available ({})", amount(*plan.available_bytes.value), tightest->name);
}

void judge_plan(const PlannedModel& model, Group& group) {
  if (!model.plan) return group.skip(model.name, model.plan.error().message);
  const answer::Plan& plan = *model.plan;
  if (!plan.total_bytes.value || !plan.available_bytes.value || !plan.fits.value) {
    const std::string why = plan.kv_unknown ? ": " + *plan.kv_unknown : "";
    return group.warn(model.name,
                      fmt::format("weights {}, the rest is not known{}", amount(plan.weights_bytes), why),
                      "leave room: it is admitted by what is known, and may turn out to need more");
  }
  const std::uint64_t total = *plan.total_bytes.value;
  const std::uint64_t available = *plan.available_bytes.value;
  const std::string found =
      fmt::format("needs {} for {} tokens, {}", amount(total), plan.n_ctx, limit_text(plan));
  if (!*plan.fits.value) {
    const std::uint32_t longest = plan.largest_n_ctx.value.value_or(0);
    group.fail(model.name, found,
               longest > 0 ? fmt::format("set n_ctx to {} or less; `ggufctl plan {}` has other ways", longest,
                                         model.name)
                           : "take a smaller quantisation, or free memory");
  } else if (static_cast<double>(available - total) < little_left * static_cast<double>(available)) {
    group.warn(
        model.name, fmt::format("{}: {} are left", found, amount(available - total)),
        fmt::format("a shorter n_ctx or smaller cache types leave more; see `ggufctl plan {}`", model.name));
  } else {
    group.ok(model.name, found);
  }
}

// Before any of them is loaded: each may fit alone, and not beside the others.
void judge_boot_models(const Subject& subject, const config::Config& config, Group& group) {
  std::uint64_t total = 0;
  std::uint64_t available = UINT64_MAX;
  std::size_t models = 0;
  for (const PlannedModel& model : subject.plans) {
    const auto configured = std::ranges::find(config.models, model.name, &config::ModelConfig::name);
    if (configured == config.models.end() || configured->load != config::Load::boot || !model.plan) continue;
    if (!model.plan->total_bytes.value || !model.plan->available_bytes.value) continue;
    ++models;
    total += *model.plan->total_bytes.value;
    available = std::min(available, *model.plan->available_bytes.value);
  }
  if (models < 2 || subject.running) return;
  const std::string found = fmt::format("the {} that are loaded at boot need {} together, {} available",
                                        count_of(models, "model"), amount(total), amount(available));
  if (total <= available) {
    group.ok("together", found);
  } else if (config.evict == config::Evict::lru) {
    group.warn("together", found + "; evict is lru, so the last ones push the first ones out",
               "set \"load\": \"manual\" for those that are not always needed");
  } else {
    group.fail("together", found,
               "set \"load\": \"manual\" for some, make them smaller, or set \"evict\": \"lru\"");
  }
}

// "Max locked memory         8388608              8388608              bytes" (proc(5)); "unlimited" is no
// number.
std::optional<std::uint64_t> soft_memlock(const Subject& subject) {
  const auto limits = memory::read_kernel_file(subject.system_root + "/proc/self/limits");
  return limits ? memory::number_after(*limits, "Max locked memory") : std::nullopt;
}

bool may_lock_all(const Subject& subject) {
  constexpr std::uint64_t cap_ipc_lock = std::uint64_t{1} << 14;  // linux/capability.h
  const auto status = memory::read_kernel_file(subject.system_root + "/proc/self/status");
  if (!status) return false;
  const std::size_t at = status->find("CapEff:\t");
  if (at == std::string::npos) return false;
  return (std::strtoull(status->c_str() + at + std::string_view("CapEff:\t").size(), nullptr, 16) &
          cap_ipc_lock) != 0;
}

// What a model's weights take: as planned, else as the configuration says.
std::optional<std::uint64_t> weights_of(const Subject& subject, const config::ModelConfig& model) {
  const auto planned = std::ranges::find(subject.plans, model.name, &PlannedModel::name);
  if (planned != subject.plans.end() && planned->plan) return planned->plan->weights_bytes;
  return model.size_bytes;
}

void check_memlock(const Subject& subject, const config::Config& config, Group& group) {
  std::uint64_t largest = 0;
  std::uint64_t all = 0;
  std::size_t models = 0;
  for (const config::ModelConfig& model : config.models) {
    if (!model.mlock) continue;
    ++models;
    const std::uint64_t weights = weights_of(subject, model).value_or(0);
    largest = std::max(largest, weights);
    all += weights;
  }
  if (models == 0) return group.skip("mlock", "no model asks for it");
  const auto limit = soft_memlock(subject);
  if (!limit || may_lock_all(subject)) return group.ok("mlock", "as much as there is may be locked");
  const std::string found =
      fmt::format("{} may be locked, {} want {}", amount(*limit), count_of(models, "model"), amount(all));
  constexpr const char* advice =
      "raise RLIMIT_MEMLOCK: LimitMEMLOCK=infinity in the unit, or `ulimit -l unlimited`";
  if (*limit < largest) {
    group.fail("mlock", found, advice);
  } else if (*limit < all) {
    group.warn("mlock", found + ": enough for some of them", advice);
  } else {
    group.ok("mlock", found);
  }
}

bool is_short_of_memory(const Subject& subject, std::uint64_t spare_bytes) {
  return std::ranges::any_of(subject.plans, [&](const PlannedModel& model) {
    if (!model.plan || model.plan->fits.value.value_or(true)) return false;
    return *model.plan->total_bytes.value <= *model.plan->available_bytes.value + spare_bytes;
  });
}

void check_huge_pages(const Subject& subject, Group& group) {
  const auto enabled =
      memory::read_kernel_file(subject.system_root + "/sys/kernel/mm/transparent_hugepage/enabled");
  const auto meminfo = memory::read_kernel_file(subject.system_root + "/proc/meminfo");
  const std::uint64_t page_bytes =
      meminfo ? memory::number_after(*meminfo, "Hugepagesize:").value_or(0) * 1024 : 0;
  const std::uint64_t reserved =
      meminfo ? memory::number_after(*meminfo, "HugePages_Free:").value_or(0) * page_bytes : 0;
  if (reserved > 0) {
    const std::string found = amount(reserved) + " are reserved for huge pages and used by nobody";
    constexpr const char* advice =
        "give them back: sysctl vm.nr_hugepages=0; ggufd needs none to be reserved";
    if (is_short_of_memory(subject, reserved))
      return group.fail("huge pages", found + ", and a model would fit with them", advice);
    return group.warn("huge pages", found, advice);
  }
  if (!enabled) return group.skip("huge pages", "this kernel has no transparent ones");
  if (enabled->find("[never]") != std::string::npos) {
    return group.warn("huge pages", "transparent ones are off: the KV cache is made of small pages",
                      "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
  }
  group.ok("huge pages", enabled->find("[always]") != std::string::npos
                             ? "transparent ones are always on"
                             : "transparent ones are given when asked for");
}

}  // namespace

void check_memory(const Subject& subject, const config::Config& config, answer::Doctor& report) {
  Group group(report, "memory");
  for (const PlannedModel& model : subject.plans) judge_plan(model, group);
  judge_boot_models(subject, config, group);
  check_memlock(subject, config, group);
  check_huge_pages(subject, group);
}

}  // namespace ggufd::doctor
