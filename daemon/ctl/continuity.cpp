#include "ctl/continuity.h"

#include <algorithm>
#include <utility>

namespace ggufd::ctl {
namespace {

// `uptime_s` is rounded down, and its answer takes a while to arrive.
constexpr std::chrono::seconds begin_tolerance{3};

const std::string* id_of(const Frame& frame) {
  if (const auto* answer = std::get_if<AnswerFrame>(&frame)) return &answer->id;
  if (const auto* error = std::get_if<ErrorFrame>(&frame)) return &error->id;
  return nullptr;
}

}  // namespace

void Continuity::connected(std::string ping_id) {
  ping_id_ = std::move(ping_id);
  subscribe_id_.clear();
  held_.clear();
  stage_ = std::exchange(has_connected_, true) ? Stage::held : Stage::passing;
}

bool Continuity::is_same(const Identity& one, const Identity& other) {
  return one.pid == other.pid && std::chrono::abs(one.began - other.began) <= begin_tolerance;
}

// A daemon that does not say who it is counts as another one.
Continuity::Step Continuity::decide(std::optional<Identity> identity) {
  const bool is_known = identity_ && identity && is_same(*identity_, *identity);
  identity_ = identity;
  Step step;
  if (stage_ != Stage::held) return step;
  if (is_known) {
    held_.clear();
    stage_ = Stage::resuming;
    step.subscribe_since = last_seq_;
    return step;
  }
  stage_ = Stage::passing;
  step.is_another = true;
  last_seq_ = known_seq_ = 0;
  for (HeardFrame& heard : std::exchange(held_, {})) pass(std::move(heard), step.news);
  return step;
}

void Continuity::pass(HeardFrame heard, std::vector<HeardFrame>& news) {
  if (const auto* event = std::get_if<StatusEvent>(&heard.frame)) {
    if (event->seq != 0 && event->seq <= known_seq_) return;
    // What follows is the current state, however old: it has to be heard again.
    if (std::holds_alternative<status::Lagged>(event->status)) known_seq_ = 0;
    last_seq_ = std::max(last_seq_, event->seq);
  }
  news.push_back(std::move(heard));
}

Continuity::Step Continuity::take(HeardFrame heard, Moment now) {
  const std::string* id = id_of(heard.frame);
  if (id && !ping_id_.empty() && *id == ping_id_) {
    const auto* answer = std::get_if<AnswerFrame>(&heard.frame);
    const auto ping = answer ? decode_answer<answer::Ping>(*answer) : Result<answer::Ping>();
    if (!answer || !ping) return decide(std::nullopt);
    const auto uptime = std::chrono::seconds(std::min<std::uint64_t>(ping->uptime_s, std::uint64_t{1} << 32));
    return decide(Identity{ping->pid, now - uptime});
  }
  if (id && stage_ == Stage::resuming && *id == subscribe_id_) {
    stage_ = Stage::passing;
    known_seq_ = last_seq_;
    return {};
  }
  Step step;
  if (id || stage_ == Stage::passing) {
    pass(std::move(heard), step.news);
  } else if (stage_ == Stage::held) {
    held_.push_back(std::move(heard));
  }
  return step;
}

}  // namespace ggufd::ctl
