// libcurl on the event loop: transfers, and nothing else. What a transfer brings, and what its end means for
// a model, is its sink's business (fetch/download.h).
//
// One thread, no blocking call: curl's sockets are polled by the loop and its timer is one of ours
// (https://curl.se/libcurl/c/curl_multi_socket_action.html).
#pragma once

#include <curl/curl.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fetch/byte_ranges.h"
#include "loop/loop.h"
#include "loop/operation.h"
#include "loop/timer.h"
#include "protocol/error.h"

namespace ggufd::fetch {

// Fewer, larger reads than with curl's default of 16 KiB.
inline constexpr std::size_t default_receive_buffer_bytes = std::size_t{512} * 1024;

struct TransferRequest {
  std::string url;                 // http or https
  bool is_head = false;            // HEAD: no body
  std::optional<ByteRange> range;  // nothing: the whole file
  std::string if_range;  // with a range: an entity tag or a date, without control characters; empty: none
  // Authorization: Bearer …, without control characters, to url's own scheme, host and port only, whatever
  // redirects follow; empty: none.
  std::string bearer_token;
  // False: a redirect's head is the head that counts.
  bool follow_redirects = true;
  std::size_t receive_buffer_bytes = default_receive_buffer_bytes;
  std::uint32_t connect_timeout_s = 30;
  // Less than stall_bytes_per_second for so long, while it is not paused, is a stall.
  std::uint32_t stall_timeout_s = 30;
  std::uint32_t stall_bytes_per_second = 1024;
  bool allow_plain_http = false;  // false: http only to loopback, by any redirect too
  std::string ca_file;            // PEM; empty: the system's
  // Empty: what the environment says (https_proxy, no_proxy and so on, as curl reads them), but for loopback,
  // which is reached directly. Otherwise for all hosts but those of no_proxy.
  std::string proxy;
  std::string unix_socket;               // the path to connect to, whatever url's host is; empty: url's host
  std::optional<std::string> post_json;  // POST with this body; nothing: GET
  std::uint64_t limit_ms = 0;            // for all of it; 0: none
  bool keeps_connection = true;          // false: a connection of its own, closed at the end
};

// The head of the response that counts: the last one after all redirects.
struct ResponseHead {
  long status = 0;
  std::string effective_url;
  // Names in lower case; the last one of a name. Control characters in values are blanks.
  std::map<std::string, std::string, std::less<>> headers;
  // The protocol says where the body ends (its length, chunks, HTTP/2), so one that ends well is complete.
  // Otherwise only the connection's end does, and that may be anything.
  bool is_end_told = false;

  std::optional<std::string_view> header(std::string_view lower_case_name) const;
  std::optional<std::uint64_t> content_length() const;
};

// Whoever takes what a transfer brings. Called on the loop, some of it from inside curl: a sink may cancel or
// destroy its transfer there, but not resume it.
class TransferSink {
 public:
  // An error ends the transfer with it.
  virtual Result<void> on_head(const ResponseHead& head) = 0;
  enum class Taken { all, nothing };
  // `nothing` pauses the transfer; the same bytes are offered again after Transfer::resume().
  virtual Taken on_body(std::span<const std::byte> bytes) = 0;
  // Once, last, and never from inside another call to the transfer. Codes: network, tls, http_status,
  // bad_source, cancelled, and whatever on_head returned.
  virtual void on_end(Result<void> result) = 0;

 protected:
  ~TransferSink() = default;
};

class CurlLoop;

// A transfer under way; loop::Operation says how it is cancelled and dropped.
class Transfer final : public loop::Operation {
 public:
  ~Transfer() override;
  void cancel() override;
  void resume();

 private:
  friend class CurlLoop;
  struct State;
  explicit Transfer(std::shared_ptr<State> state) : state_(std::move(state)) {}

  std::shared_ptr<State> state_;
};

class CurlLoop {
 public:
  explicit CurlLoop(loop::Loop& loop);
  // All transfers must have been destroyed.
  ~CurlLoop();
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  // Begins a transfer; `sink` must outlive it. Connections are kept and used again by later transfers.
  std::unique_ptr<Transfer> start(const TransferRequest& request, TransferSink& sink);

 private:
  friend class Transfer;
  struct Socket;
  using State = Transfer::State;

  static int socket_wish(CURL* easy, curl_socket_t fd, int what, void* self, void* socket);
  static int timer_wish(CURLM* multi, long timeout_ms, void* self);
  void watch(curl_socket_t fd, int what, Socket* socket);
  void act(curl_socket_t fd, int events);
  void drain_messages();
  void detach(State& state);
  void resume(State& state);
  void cancel_soon(const std::shared_ptr<State>& state);

  loop::Loop& loop_;
  CURLM* multi_ = nullptr;
  loop::Timer timer_;
  bool inside_curl_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace ggufd::fetch
