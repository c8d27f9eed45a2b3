#include "service/status_line.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <variant>

namespace ggufd::service {
namespace {

std::optional<std::uint64_t> part(std::uint64_t done, std::uint64_t total) {
  if (total == 0) return std::nullopt;
  const double percent = 100.0 * static_cast<double>(done) / static_cast<double>(total);
  return std::min<std::uint64_t>(static_cast<std::uint64_t>(percent), 100);
}

std::optional<std::uint64_t> percent_of(const LoadPhase& phase) {
  if (const auto* download = std::get_if<phase::Download>(&phase))
    return part(download->downloaded_bytes, download->total_bytes.value.value_or(0));
  if (const auto* verify = std::get_if<phase::Verify>(&phase))
    return part(verify->verified_bytes, verify->total_bytes);
  if (const auto* mmap = std::get_if<phase::Mmap>(&phase))
    return part(mmap->resident_bytes, mmap->total_bytes);
  if (const auto* cache = std::get_if<phase::KvCache>(&phase); cache != nullptr && cache->allocated_bytes)
    return part(*cache->allocated_bytes, cache->bytes);
  if (const auto* engine = std::get_if<phase::EngineStart>(&phase)) return engine->loaded_percent;
  return std::nullopt;
}

bool tells_of_a_model(const StatusEvent& event) {
  const StatusKind kind = kind_of(event.status);
  return event.model && kind != StatusKind::warning && kind != StatusKind::capabilities;
}

}  // namespace

StatusLine::Shown StatusLine::shown(const StatusEvent& event) {
  Shown model{.status = kind_of(event.status)};
  if (const LoadPhase* phase = phase_of(event)) {
    model.phase = kind_of(*phase);
    model.percent = percent_of(*phase);
  }
  if (const auto* failed = std::get_if<status::Failed>(&event.status)) model.error = failed->code;
  return model;
}

StatusLine::Change StatusLine::observe(const StatusEvent& event) {
  if (std::holds_alternative<status::Draining>(event.status)) {
    is_draining_ = true;
    return Change::status;
  }
  if (is_draining_ || !tells_of_a_model(event)) return Change::none;
  if (std::holds_alternative<status::Unloaded>(event.status)) return forget(*event.model);
  const auto [place, is_new] = models_.try_emplace(*event.model);
  const Shown before = std::exchange(place->second, shown(event));
  const Shown& now = place->second;
  if (is_new || now.status != before.status || now.phase != before.phase || now.error != before.error)
    return Change::status;
  return now.percent == before.percent ? Change::none : Change::progress;
}

StatusLine::Change StatusLine::forget(const std::string& model) {
  return models_.erase(model) > 0 ? Change::status : Change::none;
}

std::string StatusLine::doing(const Shown& model) {
  if (model.error) return fmt::format("error {}", name_of(*model.error));
  if (model.status == StatusKind::unloading) return "unloading";
  const std::string percent = model.percent ? fmt::format(" {} %", *model.percent) : "";
  const std::string phase = model.phase ? fmt::format("{}{}", name_of(*model.phase), percent) : "";
  if (model.status != StatusKind::restarting) return phase;
  return phase.empty() ? "restarting" : fmt::format("restarting, {}", phase);
}

const StatusLine::Models::value_type* StatusLine::most_interesting() const {
  constexpr auto by_interest = std::to_array(
      {StatusKind::loading_model, StatusKind::restarting, StatusKind::error, StatusKind::unloading});
  for (const StatusKind kind : by_interest) {
    const auto found =
        std::ranges::find_if(models_, [kind](const auto& entry) { return entry.second.status == kind; });
    if (found != models_.end()) return &*found;
  }
  return nullptr;
}

std::string StatusLine::text(std::size_t models) const {
  if (is_draining_) return "draining";
  if (models == 0 && models_.empty()) return "no model is configured";
  const auto ready = std::ranges::count_if(
      models_, [](const auto& entry) { return entry.second.status == StatusKind::ready; });
  const std::string counted = fmt::format("{} of {} model{} ready", ready, models, models == 1 ? "" : "s");
  const auto* model = most_interesting();
  if (model == nullptr) return counted;
  const std::string line = fmt::format("{}: {}", model->first, doing(model->second));
  return models == 1 ? line : fmt::format("{}, {}", line, counted);
}

}  // namespace ggufd::service
