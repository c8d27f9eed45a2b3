// Pulls of sources that no configured model has: the request `pull` with `source` and `name`.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "model/services.h"
#include "model/waiters.h"
#include "protocol/answer.h"
#include "protocol/state.h"
#include "protocol/status_event.h"

namespace ggufd::model {

// Their progress is published under the name that the file gets, as that of a model's pull is, and so is
// their end; then the name is forgotten. A model that gets that name in the configuration meanwhile speaks
// for itself.
class SourcePulls {
 public:
  // At a time; one more is `busy`.
  static constexpr std::size_t max_pulls = 64;
  // The state of the model of that name; nothing where there is none.
  using StateOf = std::function<std::optional<ModelState>(std::string_view name)>;

  // `services` outlive this.
  SourcePulls(Services& services, StateOf state_of);
  ~SourcePulls();
  SourcePulls(const SourcePulls&) = delete;
  SourcePulls& operator=(const SourcePulls&) = delete;

  // Who asks for what is being fetched already waits for that. `busy` where the name is that of another
  // source's pull, or of one that is being cancelled.
  void pull(const config::ModelConfig& source, Waiter<answer::Blob> waiter);
  bool has(std::string_view name) const { return find(name) != nullptr; }
  // Ends the pull of that name, whose waiters are told `cancelled`; what has arrived is kept. `waiter` is
  // told when it has ended, at once where there is none.
  void cancel(std::string_view name, Waiter<ModelState> waiter);
  // The daemon stops: ends all. `holder` is let go of when the last one has ended.
  void cancel_all(std::shared_ptr<void> holder);

 private:
  struct Pull;

  Pull* find(std::string_view name) const;
  void begin(Pull& pull);
  void tell(Pull& pull, LoadPhase phase);
  void warn(const Pull& pull, std::string code, std::string text);
  void end(Pull& pull, UnloadReason reason);
  void ended(Pull& pull, const Result<answer::Blob>& result);
  void tell_end(Pull& pull, const Result<answer::Blob>& result);

  Services& services_;
  StateOf state_of_;
  std::vector<std::unique_ptr<Pull>> pulls_;
  std::shared_ptr<void> holder_;  // while all are being ended
};

}  // namespace ggufd::model
