#include "model/state_table.h"

#include <cstddef>

namespace ggufd::model {
namespace {

using A = Action;
using S = ModelState;

// In the order of Event.
using Row = std::array<Transition, event_names.size()>;

// In the order of ModelState. An impossible event leaves the state as it is.
constexpr std::array<Row, EnumNames<ModelState>.size()> table{
    Row{{
        {A::begin_load, S::loading},        // load
        {A::nothing, S::uninitialized},     // unload
        {A::nothing, S::uninitialized},     // cancel
        {A::impossible, S::uninitialized},  // warming_up
        {A::impossible, S::uninitialized},  // loaded
        {A::impossible, S::uninitialized},  // failed
        {A::fail, S::error},                // pull_failed
        {A::impossible, S::uninitialized},  // engine_down
        {A::impossible, S::uninitialized},  // lost
        {A::impossible, S::uninitialized},  // given_back
        {A::impossible, S::uninitialized},  // retry_due
        {A::nothing, S::uninitialized},     // reload
        {A::impossible, S::uninitialized},  // staged
    }},
    Row{{
        {A::join, S::loading},             // load
        {A::cancel_load, S::unloading},    // unload
        {A::cancel_load, S::unloading},    // cancel
        {A::go_on, S::warming_up},         // warming_up
        {A::become_ready, S::ready},       // loaded
        {A::fail, S::error},               // failed
        {A::impossible, S::loading},       // pull_failed
        {A::wait_for_engine, S::loading},  // engine_down
        {A::impossible, S::loading},       // lost
        {A::impossible, S::loading},       // given_back
        {A::impossible, S::loading},       // retry_due
        {A::start_over, S::loading},       // reload
        {A::start_over, S::loading},       // staged
    }},
    Row{{
        {A::join, S::warming_up},          // load
        {A::cancel_load, S::unloading},    // unload
        {A::cancel_load, S::unloading},    // cancel
        {A::impossible, S::warming_up},    // warming_up
        {A::become_ready, S::ready},       // loaded
        {A::fail, S::error},               // failed
        {A::impossible, S::warming_up},    // pull_failed
        {A::wait_for_engine, S::loading},  // engine_down
        {A::impossible, S::warming_up},    // lost
        {A::impossible, S::warming_up},    // given_back
        {A::impossible, S::warming_up},    // retry_due
        {A::start_over, S::loading},       // reload
        {A::start_over, S::loading},       // staged
    }},
    Row{{
        {A::nothing, S::ready},            // load
        {A::give_back, S::unloading},      // unload
        {A::nothing, S::ready},            // cancel
        {A::impossible, S::ready},         // warming_up
        {A::impossible, S::ready},         // loaded
        {A::impossible, S::ready},         // failed
        {A::impossible, S::ready},         // pull_failed
        {A::wait_for_engine, S::loading},  // engine_down
        {A::break_down, S::error},         // lost
        {A::impossible, S::ready},         // given_back
        {A::impossible, S::ready},         // retry_due
        {A::stage, S::ready},              // reload
        {A::start_over, S::loading},       // staged
    }},
    Row{{
        {A::refuse_busy, S::unloading},        // load
        {A::join, S::unloading},               // unload
        {A::join, S::unloading},               // cancel
        {A::impossible, S::unloading},         // warming_up
        {A::give_back_late, S::unloading},     // loaded
        {A::finish_unload, S::uninitialized},  // failed
        {A::impossible, S::unloading},         // pull_failed
        {A::impossible, S::unloading},         // engine_down
        {A::impossible, S::unloading},         // lost
        {A::finish_unload, S::uninitialized},  // given_back
        {A::impossible, S::unloading},         // retry_due
        {A::nothing, S::unloading},            // reload
        {A::impossible, S::unloading},         // staged
    }},
    Row{{
        {A::begin_load, S::loading},          // load
        {A::forget_error, S::uninitialized},  // unload
        {A::stop_retrying, S::error},         // cancel
        {A::impossible, S::error},            // warming_up
        {A::impossible, S::error},            // loaded
        {A::impossible, S::error},            // failed
        {A::fail, S::error},                  // pull_failed
        {A::impossible, S::error},            // engine_down
        {A::impossible, S::error},            // lost
        {A::impossible, S::error},            // given_back
        {A::begin_load, S::loading},          // retry_due
        {A::begin_load, S::loading},          // reload
        {A::begin_load, S::loading},          // staged
    }},
};

}  // namespace

Transition transition(ModelState state, Event event) {
  return table[static_cast<std::size_t>(state)][static_cast<std::size_t>(event)];
}

}  // namespace ggufd::model
