#include "model/reload.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <span>
#include <utility>

#include "loop/offload.h"
#include "model/config_difference.h"

namespace ggufd::model {
namespace {

// The first few say enough; all of them stand in the output of `ggufd --check-config`.
std::string joined(std::span<const std::string> parts, std::size_t most, std::string_view separator) {
  const auto shown = parts.first(std::min(most, parts.size()));
  std::string text = fmt::format("{}", fmt::join(shown, separator));
  if (shown.size() < parts.size())
    text += fmt::format("{}and {} more", separator, parts.size() - shown.size());
  return text;
}

}  // namespace

Reload::Reload(loop::Loop& loop, std::string path, config::Config& running, ReloadSeams seams)
    : loop_(loop), path_(std::move(path)), running_(running), seams_(std::move(seams)) {}

void Reload::ask(Waiter waiter) {
  next_waiters_.add(std::move(waiter));
  if (operation_) {
    is_asked_again_ = true;
  } else {
    start();
  }
}

void Reload::stop() {
  operation_.reset();
  const Result<void> cancelled = fail(ErrorCode::cancelled, "the daemon is stopping; nothing was read again");
  waiters_.tell(cancelled);
  next_waiters_.tell(cancelled);
}

void Reload::start() {
  waiters_ = std::exchange(next_waiters_, {});
  operation_ = loop::offload<Read>(
      loop_, [read = seams_.read](loop::CancelToken) -> Result<Read> { return read(); },
      [this](Result<Read> read) {
        operation_.reset();
        ended(*read);
      });
}

void Reload::ended(const Read& read) {
  Result<void> outcome;
  if (read) {
    apply(*read);
  } else {
    outcome = std::unexpected(refuse(read.error()));
  }
  auto told = std::exchange(waiters_, {});
  if (std::exchange(is_asked_again_, false)) start();
  told.tell(outcome);
}

Error Reload::refuse(const std::vector<config::Mistake>& mistakes) {
  std::vector<std::string> sentences;
  for (const config::Mistake& mistake : mistakes) sentences.push_back(to_string(mistake));
  Error error{ErrorCode::bad_config,
              fmt::format("{} has {} mistake{}, and nothing was changed: {}", path_, mistakes.size(),
                          mistakes.size() == 1 ? "" : "s", joined(sentences, 3, "; "))};
  spdlog::warn("reload: {}", error.message);
  seams_.warn({std::string(name_of(error.code)), error.message});
  return error;
}

void Reload::apply(const config::Config& read) {
  const ConfigDifference changes = difference(running_, read);
  take_over(read, running_);
  seams_.on_changed();
  spdlog::info("reload: {}", changes.applicable.empty() ? "nothing new that can be applied"
                                                        : "applied " + joined(changes.applicable, 20, ", "));
  if (changes.pending.empty()) return;
  std::string message = fmt::format("takes effect at the next start: {}", joined(changes.pending, 20, ", "));
  spdlog::warn("reload: {}", message);
  seams_.warn({"reload_incomplete", std::move(message)});
}

}  // namespace ggufd::model
