#include "fetch/transfer_state.h"

#include <fmt/core.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <span>
#include <utility>

#include "config/address.h"
#include "config/environment.h"
#include "fetch/ascii.h"
#include "fetch/curl_error.h"
#include "fetch/http_fields.h"

namespace ggufd::fetch {
namespace {

constexpr long max_redirects = 10;
constexpr std::size_t max_headers = 256;  // of one response; curl bounds their bytes

bool is_control(char c) {
  return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F;
}

// RFC 9110 section 5.5: control characters become blanks. Values are shown, kept and sent again.
std::string value_of(std::string_view text) {
  std::string value(text);
  std::ranges::replace_if(value, is_control, ' ');
  return std::string(trimmed(value));
}

// Nobody on the way can read or change what is sent.
bool is_encrypted_or_loopback(std::string_view url) {
  const auto parts = config::split_url(url);
  if (!parts || parts->scheme == "https") return parts.has_value();
  // Before an @ stand user and password; a URL with a second one curl refuses.
  const std::string_view authority = parts->authority;
  const auto address = config::parse_host_port(authority.substr(authority.rfind('@') + 1));
  return address && address->is_loopback;
}

// Hosts that the environment's proxies are not asked for: those that it names itself, and this machine.
// CURLOPT_NOPROXY replaces what curl would read from the environment.
std::string direct_hosts(const config::Environment& environment) {
  std::string hosts = "localhost,127.0.0.0/8,::1";
  auto named = environment("no_proxy");
  if (!named) named = environment("NO_PROXY");
  if (!named) return hosts;
  if (trimmed(*named) == "*") return "*";  // is not known as part of a list
  return hosts.append(",").append(*named);
}

}  // namespace

std::optional<std::string_view> ResponseHead::header(std::string_view lower_case_name) const {
  const auto found = headers.find(lower_case_name);
  if (found == headers.end()) return std::nullopt;
  return found->second;
}

std::optional<std::uint64_t> ResponseHead::content_length() const {
  const auto text = header("content-length");
  if (!text) return std::nullopt;
  return parse_size(*text);
}

Transfer::State::~State() {
  curl_easy_cleanup(easy);
  curl_slist_free_all(headers);
}

void Transfer::State::set_up(const TransferRequest& request) {
  set(CURLOPT_PRIVATE, static_cast<void*>(this));
  set(CURLOPT_NOSIGNAL, 1L);
  // A transfer that ends while its host's name is looked up leaves that thread behind instead of waiting for
  // it.
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  // HTTP/2 where TLS offers it.
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(request.connect_timeout_s));
  set(CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(request.stall_bytes_per_second));
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.stall_timeout_s));
  set(CURLOPT_BUFFERSIZE, static_cast<long>(request.receive_buffer_bytes));
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(CURLOPT_ERRORBUFFER, detail.data());
  if (!request.ca_file.empty()) {
    set(CURLOPT_CAINFO, request.ca_file.c_str());
    // Otherwise the system's folder of authorities, which Debian builds curl with, would count as well.
    set(CURLOPT_CAPATH, nullptr);
  }
  if (request.proxy.empty()) {
    set(CURLOPT_NOPROXY, direct_hosts(config::process_environment()).c_str());
  } else {
    set(CURLOPT_PROXY, request.proxy.c_str());
  }
  set_up_connection(request);
  set_up_request(request);
  set_up_callbacks();
  if (!request.allow_plain_http) guard_plain_http();
}

void Transfer::State::set_up_connection(const TransferRequest& request) {
  if (!request.unix_socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());
  if (request.limit_ms > 0) set(CURLOPT_TIMEOUT_MS, static_cast<long>(request.limit_ms));
  if (request.keeps_connection) return;
  set(CURLOPT_FRESH_CONNECT, 1L);
  set(CURLOPT_FORBID_REUSE, 1L);
  add_header("Connection: close");
}

void Transfer::State::set_up_request(const TransferRequest& request) {
  follows_redirects = request.follow_redirects;
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_USERAGENT, "ggufd");
  set(CURLOPT_FOLLOWLOCATION, request.follow_redirects ? 1L : 0L);
  set(CURLOPT_MAXREDIRS, max_redirects);
  if (request.is_head) set(CURLOPT_NOBODY, 1L);
  if (request.post_json) {
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.post_json->size()));
    set(CURLOPT_COPYPOSTFIELDS, request.post_json->c_str());
    add_header("Content-Type: application/json");
  }
  // The bytes themselves are asked for, never a compressed form of them.
  add_header("Accept-Encoding: identity");
  if (request.range) {
    assert(request.range->begin < request.range->end);
    set(CURLOPT_RANGE, fmt::format("{}-{}", request.range->begin, request.range->end - 1).c_str());
    if (!request.if_range.empty()) add_header(fmt::format("If-Range: {}", request.if_range));
  }
  set(CURLOPT_HTTPHEADER, headers);
  if (request.bearer_token.empty()) return;
  // As credentials, not as a header of ours: curl sends those to the first scheme, host and port only, and to
  // no proxy (CURLOPT_UNRESTRICTED_AUTH).
  set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
  set(CURLOPT_XOAUTH2_BEARER, request.bearer_token.c_str());
}

void Transfer::State::set_up_callbacks() {
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(
      CURLOPT_HEADERFUNCTION, +[](char* line, std::size_t size, std::size_t count, void* self) {
        return static_cast<State*>(self)->header_line({line, size * count});
      });
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(
      CURLOPT_WRITEFUNCTION,
      +[](char* bytes, std::size_t size, std::size_t count, void* self) -> std::size_t {
        auto& state = *static_cast<State*>(self);
        if (state.sink == nullptr || state.refused) return 0;
        const auto body = std::as_bytes(std::span(bytes, size * count));
        return state.sink->on_body(body) == TransferSink::Taken::all ? body.size() : CURL_WRITEFUNC_PAUSE;
      });
  set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(this));
  set(
      CURLOPT_OPENSOCKETFUNCTION, +[](void* self, curlsocktype, curl_sockaddr* address) -> curl_socket_t {
        auto& state = *static_cast<State*>(self);
        if (state.guards_plain_http && !state.may_send()) return CURL_SOCKET_BAD;
        // A child must not inherit it.
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
      });
}

// Asked before each connection, and before each request on one that was kept.
void Transfer::State::guard_plain_http() {
  guards_plain_http = true;
  set(CURLOPT_PREREQDATA, static_cast<void*>(this));
  set(
      CURLOPT_PREREQFUNCTION, +[](void* self, char*, char*, int, int) -> int {
        return static_cast<State*>(self)->may_send() ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
      });
}

bool Transfer::State::may_send() {
  const char* hop = nullptr;
  curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &hop);
  if (hop != nullptr && is_encrypted_or_loopback(hop)) return true;
  refused = Error{ErrorCode::bad_source,
                  fmt::format("fetching {}: it leads to plain http on another host, which only "
                              "fetch.allow_plain_http allows",
                              display_url(url))};
  return false;
}

std::size_t Transfer::State::header_line(std::string_view line) {
  const std::size_t taken = line.size();
  if (sink == nullptr) return 0;
  if (is_head_told) return taken;
  if (line.starts_with("HTTP/")) {
    head = {};
    is_answered = true;
    is_http1 = line.starts_with("HTTP/1");
    return taken;
  }
  const bool is_last = line == "\r\n" || line == "\n";  // a line of blanks is not
  line = trimmed(line);
  if (!is_last) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || head.headers.size() >= max_headers) return taken;
    head.headers.insert_or_assign(lower_case(line.substr(0, colon)), value_of(line.substr(colon + 1)));
    return taken;
  }
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &head.status);
  // curl does not follow an empty one: that head is the last.
  const bool is_redirect = follows_redirects && head.status >= 300 && head.status < 400 &&
                           !head.header("location").value_or("").empty();
  if (head.status < 200 || is_redirect) return taken;  // another head follows
  const char* effective_url = nullptr;
  curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &effective_url);
  head.effective_url = effective_url == nullptr ? url : effective_url;
  head.is_end_told = !is_http1 || head.header("content-length") || head.header("transfer-encoding");
  is_head_told = true;
  if (auto wanted = sink->on_head(head); !wanted) {
    refused = std::move(wanted.error());
    return 0;
  }
  return taken;
}

Result<void> Transfer::State::result(CURLcode code) {
  if (refused) return std::unexpected(std::move(*refused));
  if (code == CURLE_OK) return {};
  // Our own URL is http or https: it is the answer that is no HTTP.
  if (code == CURLE_UNSUPPORTED_PROTOCOL && !is_answered) code = CURLE_WEIRD_SERVER_REPLY;
  return std::unexpected(curl_error(code, url, detail.data()));
}

}  // namespace ggufd::fetch
