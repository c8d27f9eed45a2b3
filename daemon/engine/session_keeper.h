// The process that ends an engine's session: why there is one, see engine/launcher.h.
#pragma once

namespace ggufd::engine {

// Forks the keeper of the caller's session. It keeps `lifeline` and no other descriptor, lets no signal but
// SIGKILL disturb it, and at the lifeline's end kills all other processes of the session, then ends. For a
// process with one thread. False, with errno set, where there can be none.
bool start_session_keeper(int lifeline);

}  // namespace ggufd::engine
