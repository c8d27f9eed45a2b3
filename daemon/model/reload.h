// The configuration read again while the daemon runs: SIGHUP and the request `reload`.
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "loop/loop.h"
#include "loop/operation.h"
#include "model/waiters.h"
#include "protocol/error.h"
#include "protocol/status_event.h"

namespace ggufd::model {

struct ReloadSeams {
  // Reads and checks the file; blocks, and is called on the pool.
  std::function<std::expected<config::Config, std::vector<config::Mistake>>()> read;
  // The running configuration was `before` and has changed, with `model` that model of it only; tells those
  // who keep something of it.
  std::function<void(const config::Config& before, const std::optional<std::string>& model)> on_changed;
  // A warning of the daemon: bad_config, reload_incomplete.
  std::function<void(status::Warning)> warn;
  // Around each reading: it has begun, and what it says has been applied or refused.
  std::function<void()> on_begin = [] {};
  std::function<void()> on_end = [] {};
};

// All or nothing: a file with a mistake changes nothing. Of a good one, what a running daemon can take over
// holds at once (config_difference.h says what that is), and the rest is named in the warning.
class Reload {
 public:
  // `bad_config` with the first mistakes; `unknown_model`.
  using Waiter = model::Waiter<void>;

  // `path` is named where the file is bad. `running` belongs to the daemon, and outlives this.
  Reload(loop::Loop& loop, std::string path, config::Config& running, ReloadSeams seams);
  Reload(const Reload&) = delete;
  Reload& operator=(const Reload&) = delete;

  // The file is read after this call, so the waiter is told of nothing older: where one is being read
  // already, it is read once more. With `model` only that model's difference is applied, and nothing else of
  // the file; `unknown_model` where neither the file nor the running configuration has one of that name.
  void ask(Waiter waiter, std::optional<std::string> model = {});
  // Ends at once; who waits is told `cancelled`.
  void stop();

 private:
  using Read = std::expected<config::Config, std::vector<config::Mistake>>;
  // By what they are about: nothing is all of the file.
  using Asked = std::map<std::optional<std::string>, Waiters<void>>;

  void start();
  void ended(const Read& read);
  Error refuse(const std::vector<config::Mistake>& mistakes);
  Result<void> check_known(const config::Config& read, const std::optional<std::string>& model) const;
  void apply_what_was_asked(const config::Config& read, const Asked& asked);
  void apply_one(const config::Config& read, const std::string& model);
  void apply_all(const config::Config& read);

  loop::Loop& loop_;
  const std::string path_;
  config::Config& running_;
  ReloadSeams seams_;
  loop::OperationPtr operation_;
  Asked asked_;       // of the reading that is under way
  Asked next_asked_;  // of the one after it
};

}  // namespace ggufd::model
