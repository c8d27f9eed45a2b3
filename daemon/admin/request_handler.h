// Between the server, which reads requests, and those who know what they do.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "loop/stream.h"
#include "protocol/answer.h"
#include "protocol/request.h"

namespace ggufd::admin {

// So much is shown of a name that a client has sent.
inline constexpr std::size_t max_shown_bytes = 64;

// Where the answer to one request goes. Called once, or dropped where the client has gone.
class Reply {
 public:
  using Tell = std::move_only_function<void(const Result<AnswerBody>&)>;

  Reply(Tell tell, std::weak_ptr<const void> asker) : tell_(std::move(tell)), asker_(std::move(asker)) {}

  void operator()(const Result<AnswerBody>& answer) { std::exchange(tell_, nullptr)(answer); }
  // Not called yet.
  explicit operator bool() const { return static_cast<bool>(tell_); }
  // Gone with the client that has asked.
  const std::weak_ptr<const void>& asker() const { return asker_; }

 private:
  Tell tell_;
  std::weak_ptr<const void> asker_;
};

// Answers requests; the answer may come now or later.
class RequestHandler {
 public:
  virtual void handle(Request request, const loop::PeerCredentials& from, Reply reply) = 0;
  // Of the models that a client wants to hear of, one that there is not.
  virtual std::optional<std::string> unknown_model(const std::vector<std::string>& names) const = 0;

 protected:
  ~RequestHandler() = default;
};

}  // namespace ggufd::admin
