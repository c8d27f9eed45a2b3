// The check "service": what systemd says of ggufd's unit.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "loop/child.h"
#include "loop/loop.h"
#include "loop/timer.h"
#include "protocol/answer.h"

namespace ggufd::doctor {

// What `systemctl show` prints of a unit, "Key=value" a line. Pure.
void judge_unit(std::string_view properties, answer::Doctor& report);
// systemd does not run here, or could not be asked, and why. Pure.
void skip_unit(std::string why, answer::Doctor& report);

// Runs `systemctl show ggufd.service`; where `is_user`, that of the user first, and the system's where the
// user has none. Destroyed, it is ended.
class AskUnit {
 public:
  // What it printed, or why there is nothing.
  using Done = std::move_only_function<void(Result<std::string>)>;

  static constexpr std::uint64_t limit_ms = 2000;  // for each

  // `systemctl` is the program's absolute path. `on_done` comes once, never from inside this call.
  AskUnit(loop::Loop& loop, std::string systemctl, bool is_user, std::vector<std::string> environment,
          Done on_done);

 private:
  void ask();
  void answered(Result<std::string> result);
  void conclude();

  loop::Loop& loop_;
  std::string systemctl_;
  std::vector<std::string> environment_;
  Done on_done_;
  bool is_user_;  // who is asked now
  std::string output_;
  Result<std::string> result_;                  // of who is asked now; until there is one: that there is none
  std::optional<Result<std::string>> of_user_;  // where it tells of no unit
  loop::Timer timer_;                           // the limit; then the end of this turn, to go on
  loop::ChildPtr child_;
};

}  // namespace ggufd::doctor
