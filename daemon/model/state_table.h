// A model's state machine as a table: what each event does in each state, and the state that it leads to.
// docs/architecture.md prints it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "protocol/state.h"

namespace ggufd::model {

enum class Event : std::uint8_t {
  load,         // asked for
  unload,       // asked for, for whatever reason
  cancel,       // asked for: ends what is under way and leaves what is loaded alone
  warming_up,   // the engine is healthy, and is tried out
  loaded,       // the bring-up has ended well, or an engine that was started again is up
  failed,       // the bring-up has ended with an error
  pull_failed,  // a pull that was told as a load's download has
  engine_down,  // the engine has ended by itself, and is started again
  lost,         // what was ready can't be used any more
  given_back,   // the memory that unloading gives back has been
  retry_due,    // an error that passes has had its time
  reload,       // its configuration has changed
  staged,       // the bytes that the new configuration names are here
};
inline constexpr auto event_names = std::to_array<std::string_view>(
    {"load", "unload", "cancel", "warming_up", "loaded", "failed", "pull_failed", "engine_down", "lost",
     "given_back", "retry_due", "reload", "staged"});

enum class Action : std::uint8_t {
  nothing,          // it is so already, or does not concern this state
  impossible,       // nothing that could send the event goes on in this state
  begin_load,       // start the bring-up
  join,             // wait for the outcome of what is under way
  refuse_busy,      // `busy`: ask again later
  cancel_load,      // end the bring-up, then give back what it had
  give_back,        // unpublish, then give back the memory
  give_back_late,   // the bring-up ended well before it heard of its end: give that back
  go_on,            // tell
  become_ready,     // publish the socket and tell
  wait_for_engine,  // tell `restarting`; what was published is not any more
  fail,             // tell the error; where it passes, try again after a while
  break_down,       // the same, unpublished first and the memory given back
  finish_unload,    // tell that it is unloaded
  forget_error,     // the same, for what failed before
  stop_retrying,    // the error stays, and is not tried again by itself
  stage,            // bring the new bytes here, while the old ones serve
  start_over,       // give back what there is, then bring up the new
};
inline constexpr auto action_names = std::to_array<std::string_view>(
    {"–", "", "begin the load", "join", "refuse: busy", "cancel the load", "give back", "give back", "tell",
     "publish and tell", "unpublish, tell `restarting`", "tell the error",
     "unpublish, give back, tell the error", "tell", "forget the error", "stop trying again",
     "fetch and verify the new", "unpublish, give back, begin again"});

struct Transition {
  Action action = Action::impossible;
  ModelState to = ModelState::uninitialized;

  friend bool operator==(const Transition&, const Transition&) = default;
};

Transition transition(ModelState state, Event event);

}  // namespace ggufd::model
