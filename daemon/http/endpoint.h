// One listening socket served by libmicrohttpd, on the loop and without a thread: its epoll descriptor is one
// that the loop watches, its time-outs are a timer.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_set>

#include "http/answer.h"
#include "http/listen_socket.h"
#include "loop/loop.h"
#include "loop/timer.h"

struct MHD_Daemon;

namespace ggufd::http {

class Endpoint {
 public:
  // What one connection may take: of memory for its header (and for what is being written), and of time
  // without a byte. An event stream has the time that readers of the admin socket have.
  static constexpr std::size_t max_header_bytes = std::size_t{16} * 1024;
  static constexpr unsigned idle_limit_s = 30;
  static constexpr unsigned stalled_stream_limit_s = 60;

  // Serves at most `max_connections` at a time; more wait to be accepted. `internal` where the library will
  // not start.
  static Result<std::unique_ptr<Endpoint>> start(loop::Loop& loop, ListenSocket socket, Door door,
                                                 unsigned max_connections, Site& site);
  // Cuts off who is still connected.
  ~Endpoint();
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  const std::string& name() const { return name_; }
  std::size_t streams() const { return streams_; }

  // There may be something new for the event streams: called at the end of a turn, never by the site.
  void wake_streams();
  // Sends a comment to the streams that have nothing else to say.
  void keep_streams_alive();

  // Takes nobody new; streams end once they have told everything. Idle from then on when nothing is being
  // answered any more.
  void end_soon();
  bool is_idle() const { return open_.empty(); }

 private:
  // What the library calls, and what it calls it with.
  struct Library;
  struct Exchange;

  Endpoint(loop::Loop& loop, ListenSocket socket, Door door, Site& site);
  Result<void> start(unsigned max_connections);
  void run();
  bool is_served(int fd) const;

  Site& site_;
  const Door door_;
  const std::string name_;
  std::unique_ptr<ListenSocket> socket_;
  MHD_Daemon* daemon_ = nullptr;
  loop::HandlePtr<uv_poll_t> poll_;
  loop::Timer time_out_;
  std::unordered_set<Exchange*> open_;  // requests that are being answered; the library has the other end
  std::size_t streams_ = 0;             // of them
  bool has_closed_some_ = false;        // connections, in this run of the library
  bool is_ending_ = false;
};

}  // namespace ggufd::http
