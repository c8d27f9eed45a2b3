// What is asked over HTTP, and what comes back: plain values, which know nothing of the library that reads
// and writes HTTP.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "http/event_stream.h"

namespace ggufd::http {

// Where a request came in: http.sock, which only the daemon's user and root can open, or `http.tcp`.
enum class Door { unix_socket, tcp };

// Views of what the client has sent; valid while the question is being answered. Header fields are absent
// where the client sent none.
struct Question {
  Door door = Door::unix_socket;
  std::string_view method;
  std::string_view path;  // without the query
  std::optional<std::string_view> accept;
  std::optional<std::string_view> host;
  std::optional<std::string_view> last_event_id;
  std::optional<std::string_view> if_none_match;
  bool has_body = false;
};

struct Page {
  unsigned status = 200;
  std::string_view content_type;  // of static storage
  std::string body;
  std::string_view allow;  // of static storage; the methods, where another one was asked for
  bool closes = false;     // the connection ends with it
  std::string_view cache_control = "no-store";                         // of static storage
  std::vector<std::pair<std::string_view, std::string_view>> headers;  // more of them, of static storage
};

// Takes a page that takes its time. It may be called whenever that is there, at once or later, on the
// loop's thread, and also when nobody waits for it any more.
using Reply = std::move_only_function<void(Page)>;
// Has a page made and given to its argument. Called once, soon, by whoever got it as an answer.
using LaterPage = std::move_only_function<void(Reply)>;

// The page, now or later, or events from now on until the client goes.
using Answer = std::variant<Page, std::unique_ptr<EventStream>, LaterPage>;

// Knows the answers. Called on the loop's thread, from inside the library: it must not publish.
class Site {
 public:
  virtual Answer answer(const Question& question) = 0;
  // An endpoint that is ending has nothing left to answer. It must not be destroyed from here.
  virtual void on_idle() = 0;

 protected:
  ~Site() = default;
};

inline constexpr std::string_view json_type = "application/json";
inline constexpr std::string_view msgpack_type = "application/msgpack";
inline constexpr std::string_view text_type = "text/plain; charset=utf-8";

}  // namespace ggufd::http
