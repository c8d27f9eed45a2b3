// Connecting to a port of this machine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "loop/loop.h"
#include "loop/operation.h"
#include "loop/tcp_stream.h"
#include "protocol/error.h"

namespace ggufd::loop {

using OnConnected = std::move_only_function<void(Result<std::unique_ptr<TcpStream>>)>;

// Connects to 127.0.0.1:<port>. What is written to the stream is sent at once (TCP_NODELAY). `done` comes
// once, never from inside this call: `network` where nobody listens there, or where there is no descriptor
// for it. A listener that takes nobody is waited for as long as the kernel does, minutes: a deadline is the
// caller's.
[[nodiscard]] OperationPtr connect_loopback(Loop& loop, std::uint16_t port, OnConnected done);

}  // namespace ggufd::loop
