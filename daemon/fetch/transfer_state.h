// One transfer as curl and its sink know it.
#pragma once

#include <curl/curl.h>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "fetch/curl_loop.h"
#include "protocol/error.h"

namespace ggufd::fetch {

// Shared by the owner's Transfer and whatever is still to be done for it. `owner` is null once the transfer
// has ended.
struct Transfer::State {
  CurlLoop* owner = nullptr;
  TransferSink* sink = nullptr;  // null once nobody wants to hear of it
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  std::string url;
  ResponseHead head;
  bool follows_redirects = true;
  bool is_answered = false;  // something that looks like HTTP has come
  bool guards_plain_http = false;
  bool is_http1 = false;
  bool is_head_told = false;     // what comes after that are trailers
  std::optional<Error> refused;  // by the sink's on_head, or by us
  std::array<char, CURL_ERROR_SIZE> detail{};

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State();

  void set_up(const TransferRequest& request);
  void set_up_connection(const TransferRequest& request);
  void set_up_request(const TransferRequest& request);
  void set_up_callbacks();
  void guard_plain_http();
  bool may_send();
  void set(CURLoption option, auto value) { curl_easy_setopt(easy, option, value); }
  void add_header(const std::string& line) { headers = curl_slist_append(headers, line.c_str()); }
  std::size_t header_line(std::string_view line);
  Result<void> result(CURLcode code);
};

}  // namespace ggufd::fetch
