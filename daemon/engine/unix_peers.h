// Who is connected to a Unix socket that another process listens on.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace ggufd::engine {

// Connections that the listening Unix socket of this path has, taken or still waiting to be, as the kernel
// tells in /proc/net/unix: the listener's ends of them, which carry its path. Such an end is there until the
// listener's process closes it, also when the client has gone. `socket_path` is the one that was given to
// bind(), absolute or not, not another name of the same file. Blocks for as long as the table is long: call
// it on the pool. The table is read in pieces, so that a socket may be missed while others come and go.
//
// Nothing where the kernel does not say: no such table, nobody of that path in this network namespace, a path
// that the table cannot show (with a line's end in it). Who may bind sockets of their own can choose a path
// that makes others' counts too high; too low they cannot make them.
std::optional<std::size_t> count_connections(const std::string& socket_path);

}  // namespace ggufd::engine
