// What the tests of resolving share: a hub's answers, and one question.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "fetch/resolve.h"
#include "support.h"

namespace ggufd::fetch::test {

inline const std::string commit(40, 'c');
inline const std::string digest(64, 'd');

inline std::string lfs_fields(const std::string& revision = commit) {
  return "X-Repo-Commit: " + revision + "\r\nX-Linked-Size: 1234567\r\nX-Linked-Etag: \"" + digest +
         "\"\r\nETag: \"not-it\"\r\n";
}

// Answers as a HEAD's: no body.
inline std::string head_only(std::string_view status, const std::string& fields) {
  return head_of(status, "Content-Length: 7\r\n" + fields);
}

inline config::Source source_of(const std::string& text) {
  auto parsed = config::parse_source(text, config::process_environment());
  REQUIRE(parsed);
  return *parsed;
}

// One question and its answer.
struct Question {
  loop::Loop loop;
  CurlLoop curl{loop};
  config::FetchConfig settings{.stall_timeout_s = 5};
  HubSettings hub;
  bool ask_for_digest = true;
  std::unique_ptr<Resolve> resolve;
  std::optional<std::expected<RemoteFile, Failure>> answer;
  int answers = 0;

  explicit Question(std::string endpoint = "https://hub.invalid") { hub.endpoint = std::move(endpoint); }

  void start(const std::string& text) {
    resolve = std::make_unique<Resolve>(loop, curl, source_of(text), settings, hub, ask_for_digest,
                                        [this](std::expected<RemoteFile, Failure> result) {
                                          ++answers;
                                          answer = std::move(result);
                                          resolve.reset();
                                          // An answer without an event is none that the loop waits for.
                                          uv_stop(loop.raw());
                                        });
    CHECK_FALSE(answer);
  }
  const std::expected<RemoteFile, Failure>& ask(const std::string& text) {
    start(text);
    REQUIRE(run_until(loop, [this] { return answer.has_value(); }));
    CHECK(answers == 1);
    return *answer;
  }
  RemoteFile file(const std::string& text) {
    const auto& result = ask(text);
    if (!result) FAIL(result.error().error.message);
    return *result;
  }
  Failure failure(const std::string& text) {
    const auto& result = ask(text);
    REQUIRE_FALSE(result);
    return result.error();
  }
};

inline bool contains(const Failure& failure, std::string_view text) {
  return failure.error.message.find(text) != std::string::npos;
}

}  // namespace ggufd::fetch::test
