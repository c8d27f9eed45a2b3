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

void log_applied(const std::vector<std::string>& keys) {
  spdlog::info("reload: {}",
               keys.empty() ? "nothing new that can be applied" : "applied " + joined(keys, 20, ", "));
}

}  // namespace

Reload::Reload(loop::Loop& loop, std::string path, config::Config& running, ReloadSeams seams)
    : loop_(loop), path_(std::move(path)), running_(running), seams_(std::move(seams)) {}

void Reload::ask(Waiter waiter, std::optional<std::string> model) {
  next_asked_[std::move(model)].add(std::move(waiter));
  if (!operation_) start();
}

void Reload::stop() {
  operation_.reset();
  const Result<void> cancelled = fail(ErrorCode::cancelled, "the daemon is stopping; nothing was read again");
  for (auto& [model, waiters] : std::exchange(asked_, {})) waiters.tell(cancelled);
  for (auto& [model, waiters] : std::exchange(next_asked_, {})) waiters.tell(cancelled);
}

void Reload::start() {
  asked_ = std::exchange(next_asked_, {});
  seams_.on_begin();
  operation_ = loop::offload<Read>(
      loop_, [read = seams_.read](loop::CancelToken) -> Result<Read> { return read(); },
      [this](Result<Read> read) {
        operation_.reset();
        ended(*read);
      });
}

void Reload::ended(const Read& read) {
  auto asked = std::exchange(asked_, {});
  // All of them first: what one of them removes, the others know nevertheless.
  std::vector<Result<void>> outcomes;
  if (read) {
    for (const auto& [model, waiters] : asked) outcomes.push_back(check_known(*read, model));
    apply_what_was_asked(*read, asked);
  } else {
    outcomes.assign(asked.size(), std::unexpected(refuse(read.error())));
  }
  seams_.on_end();
  if (!next_asked_.empty()) start();
  std::size_t index = 0;
  for (auto& [model, waiters] : asked) waiters.tell(outcomes[index++]);
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

Result<void> Reload::check_known(const config::Config& read, const std::optional<std::string>& model) const {
  if (!model || find_model(read, *model) != nullptr || find_model(running_, *model) != nullptr) return {};
  return fail(
      ErrorCode::unknown_model,
      fmt::format("neither {} nor the running configuration has a model \"{}\"; `ggufctl status` lists "
                  "those that there are",
                  path_, *model));
}

void Reload::apply_what_was_asked(const config::Config& read, const Asked& asked) {
  if (asked.contains(std::nullopt)) return apply_all(read);
  for (const auto& [model, waiters] : asked) {
    if (check_known(read, model)) apply_one(read, *model);
  }
}

void Reload::apply_one(const config::Config& read, const std::string& model) {
  const config::Config before = running_;
  ConfigDifference changes = difference(running_, read, model);
  take_over(read, running_, model);
  if (running_.default_model != before.default_model) changes.applicable.push_back("default_model");
  log_applied(changes.applicable);
  seams_.on_changed(before, model);
}

void Reload::apply_all(const config::Config& read) {
  const config::Config before = running_;
  const ConfigDifference changes = difference(running_, read);
  take_over(read, running_);
  log_applied(changes.applicable);
  seams_.on_changed(before, std::nullopt);
  if (changes.pending.empty()) return;
  std::string message = fmt::format("takes effect at the next start: {}", joined(changes.pending, 20, ", "));
  spdlog::warn("reload: {}", message);
  seams_.warn({"reload_incomplete", std::move(message)});
}

}  // namespace ggufd::model
