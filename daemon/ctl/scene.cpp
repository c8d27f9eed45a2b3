#include "ctl/scene.h"

#include <fmt/core.h>

#include <algorithm>

#include "ctl/human.h"

namespace ggufd::ctl {
namespace {

// Frames that tell something else than what a model or the daemon is doing.
bool is_aside(StatusKind kind) {
  return kind == StatusKind::capabilities || kind == StatusKind::warning || kind == StatusKind::lagged;
}

// Of the phases that report more than their begin.
bool is_progress(const StatusEvent& event) {
  const LoadPhase* phase = phase_of(event);
  if (!phase) return false;
  const PhaseKind kind = kind_of(*phase);
  return kind == PhaseKind::download || kind == PhaseKind::verify || kind == PhaseKind::mmap ||
         kind == PhaseKind::kv_cache;
}

// Phase and all: what changes when a phase does.
std::string label_of(const StatusEvent& event) {
  const LoadPhase* phase = phase_of(event);
  return fmt::format("{}/{}", name_of(kind_of(event.status)), phase ? name_of(kind_of(*phase)) : "");
}

}  // namespace

bool is_under_way(StatusKind kind) {
  return kind == StatusKind::loading_model || kind == StatusKind::restarting || kind == StatusKind::unloading;
}

void Scene::apply(const StatusEvent& event) {
  const StatusKind kind = kind_of(event.status);
  if (is_aside(kind)) return;
  Row row{describe(event), is_under_way(kind)};
  if (!event.model) {
    daemon_ = std::move(row);
    return;
  }
  // The daemon has started once a model has a word; its stop is said until the end.
  if (daemon_ && daemon_->description.label == name_of(StatusKind::starting)) daemon_.reset();
  const auto known = std::find_if(models_.begin(), models_.end(), [&](const Row& r) {
    return r.description.subject == row.description.subject;
  });
  if (known == models_.end()) {
    models_.push_back(std::move(row));
  } else {
    *known = std::move(row);
  }
}

void Scene::clear() {
  models_.clear();
  daemon_.reset();
}

std::vector<std::string> Scene::lines(std::size_t columns, std::size_t rows, const Style& style) const {
  std::vector<const Description*> shown;
  if (note_) shown.push_back(&*note_);
  if (daemon_) shown.push_back(&daemon_->description);
  rows = std::max<std::size_t>(rows, 1);
  const std::size_t all = shown.size() + models_.size();
  const std::size_t hidden = all > rows ? all - (rows - 1) : 0;
  if (hidden == 0) {
    for (const Row& row : models_) shown.push_back(&row.description);
  } else {
    for (const bool is_busy : {true, false}) {
      for (const Row& row : models_) {
        if (row.is_busy == is_busy) shown.push_back(&row.description);
      }
    }
    shown.resize(rows - 1);
  }
  std::size_t subject_columns = 0;
  for (const Description* row : shown) {
    subject_columns = std::max(subject_columns, columns_of(row->subject));
  }
  std::vector<std::string> lines;
  lines.reserve(shown.size() + 1);
  for (const Description* row : shown) lines.push_back(live_line(*row, subject_columns, columns, style));
  if (hidden > 0) lines.push_back(cut(fmt::format("and {} more", hidden), columns, style.ellipsis()));
  return lines;
}

std::string redrawn(std::size_t standing_lines, const std::vector<std::string>& lines) {
  std::string out;
  if (standing_lines > 0) out += fmt::format("\x1b[{}A", standing_lines);
  out += '\r';
  for (const std::string& line : lines) out.append(line).append("\x1b[K\n");
  out += "\x1b[J";
  return out;
}

bool LogFilter::admits(const StatusEvent& event) {
  const Description d = describe(event);
  if (is_aside(kind_of(event.status))) return true;
  const bool is_complete = d.fraction.value_or(0) >= 1;
  const std::string label = label_of(event);
  auto last = std::find_if(last_.begin(), last_.end(), [&](const Last& l) { return l.model == d.subject; });
  if (last == last_.end()) {
    last_.push_back({d.subject, label, event.ts, is_complete});
    return true;
  }
  const bool completes = is_complete && !last->was_complete;
  const std::int64_t age_ms = event.ts.ms - last->ts.ms;
  // A clock that was set back does not silence anything.
  const bool is_soon = age_ms >= 0 && age_ms < 1000;
  if (is_progress(event) && last->label == label && !completes && is_soon) return false;
  *last = {d.subject, label, event.ts, is_complete};
  return true;
}

}  // namespace ggufd::ctl
