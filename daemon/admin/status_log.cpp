#include "admin/status_log.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "protocol/frame.h"

namespace ggufd::admin {
namespace {

constexpr std::size_t segment_bytes = 64 * 1024;
static_assert(segment_bytes >= max_frame_bytes);

}  // namespace

StatusLog::StatusLog(std::string default_model, std::function<void()> on_published)
    : default_model_(std::move(default_model)), on_published_(std::move(on_published)) {}

void StatusLog::publish(const std::string& model, Status status) {
  append(&models_.try_emplace(model).first->first, std::move(status));
}

void StatusLog::publish(Status status) {
  append(nullptr, std::move(status));
}

void StatusLog::forget(const std::string& model) {
  if (const auto known = models_.find(model); known != models_.end()) known->second = {};
  if (observer_.on_forgotten) observer_.on_forgotten(model);
  // Clients make names up, for the files that they have pulled: those must not pile up.
  constexpr std::size_t names_between_looks = 512;
  if (++forgotten_names_ >= names_between_looks) drop_unused_names();
}

void StatusLog::drop_unused_names() {
  forgotten_names_ = 0;
  std::set<const std::string*> used;
  for (const auto* entries : {&older_, &recent_}) {
    for (const LogEntry& entry : *entries) used.insert(entry.model);
  }
  std::erase_if(models_, [&](const auto& known) {
    const auto& [name, current] = known;
    return current.status.empty() && current.capabilities.empty() && !used.contains(&name);
  });
}

void StatusLog::append(const std::string* model, Status status) {
  StatusEvent event{std::move(status), std::nullopt, ++last_seq_, Timestamp::now()};
  if (model != nullptr) event.model = *model;
  fmt::memory_buffer line;
  encode(event, line);
  LogEntry& entry = recent_.emplace_back();
  entry.seq = last_seq_;
  entry.model = model;
  store({line.data(), line.size()}, segment_, entry);
  if (model != nullptr) {
    remember(models_.find(*model)->second, event, entry);
  } else if (kind_of(event.status) == StatusKind::starting) {
    starting_ = entry.line();
  } else if (kind_of(event.status) == StatusKind::draining) {
    draining_ = entry.line();
  }
  if (!entry.is_progress) ++changes_;
  entry.change_number = changes_;
  if (recent_.size() > kept_events) forget_oldest();
  if (observer_.on_event) observer_.on_event(event);
  on_published_();
}

// Puts the line behind the others of `segment`, or into a new one where it does not fit.
void StatusLog::store(std::string_view line, SegmentPtr& segment, LogEntry& entry) {
  if (!segment || segment->capacity - segment->used < line.size()) {
    segment = std::make_shared<Segment>(segment_bytes);
  }
  std::memcpy(segment->bytes.get() + segment->used, line.data(), line.size());
  entry.offset = static_cast<std::uint32_t>(segment->used);
  entry.size = static_cast<std::uint32_t>(line.size());
  segment->used += line.size();
  entry.segment = segment;
}

void StatusLog::remember(Current& current, const StatusEvent& event, LogEntry& entry) {
  const StatusKind kind = kind_of(event.status);
  if (kind == StatusKind::warning) return;
  if (kind == StatusKind::capabilities) {
    current.capabilities = entry.line();
    return;
  }
  const LoadPhase* phase = phase_of(event);
  entry.is_progress = phase != nullptr && current.kind == kind && current.phase == kind_of(*phase);
  if (entry.is_progress && current.last_progress_seq != 0) supersede(current.last_progress_seq);
  current.last_progress_seq = entry.is_progress ? entry.seq : 0;
  current.kind = kind;
  current.phase = phase != nullptr ? std::optional(kind_of(*phase)) : std::nullopt;
  current.status = entry.line();
  // What it could do, it cannot do any more.
  if (kind == StatusKind::unloaded || kind == StatusKind::error) current.capabilities.clear();
}

void StatusLog::supersede(std::uint64_t seq) {
  if (seq >= recent_.front().seq) {
    recent_[seq - recent_.front().seq].is_superseded = true;
    return;
  }
  const auto entry = std::ranges::lower_bound(older_, seq, {}, &LogEntry::seq);
  if (entry != older_.end() && entry->seq == seq) older_.erase(entry);
}

// A reader that is more than kept_changes behind has lagged: what only that one would need can go.
void StatusLog::forget_oldest() {
  if (!recent_.front().is_superseded) {
    // Moved together: hours of progress between two changes are not kept for the sake of the changes.
    LogEntry& entry = older_.emplace_back(std::move(recent_.front()));
    const SegmentPtr from = entry.segment;
    store(entry.line(), older_segment_, entry);
  }
  recent_.pop_front();
  while (!older_.empty() && changes_ - older_.front().change_number > kept_changes) {
    forgotten_seq_ = older_.front().seq;
    older_.pop_front();
  }
}

std::string StatusLog::snapshot(ModelNames models) const {
  if (!draining_.empty()) return draining_;
  std::string capabilities;
  std::string statuses;
  std::string_view last;
  for (const auto& [name, current] : models_) {
    if (models != nullptr && !models->contains(name)) continue;
    capabilities += current.capabilities;
    if (name == default_model_) {
      last = current.status;
    } else {
      statuses += current.status;
    }
  }
  statuses += last;
  return capabilities + (statuses.empty() ? starting_ : statuses);
}

std::string StatusLog::lagged_snapshot(std::uint64_t missed, ModelNames models) const {
  ++lagged_readers_;
  return encoded(StatusEvent{.status = status::Lagged{missed}}) + snapshot(models);
}

const LogEntry* StatusLog::find(std::uint64_t seq) const {
  if (!recent_.empty() && seq >= recent_.front().seq) {
    const std::uint64_t index = seq - recent_.front().seq;
    return index < recent_.size() ? &recent_[index] : nullptr;
  }
  const auto old = std::ranges::lower_bound(older_, seq, {}, &LogEntry::seq);
  if (old != older_.end()) return &*old;
  return recent_.empty() ? nullptr : &recent_.front();
}

bool StatusLog::has_events_since(std::uint64_t seq) const {
  return seq > last_seq_ || (!recent_.empty() && seq >= recent_.front().seq);
}

}  // namespace ggufd::admin
