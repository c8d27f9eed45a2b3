// A page that takes a while to make: made once for everybody who asks meanwhile, and kept for some time, so
// that nobody can make the daemon work at it all the time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "http/answer.h"
#include "loop/loop.h"

namespace ggufd::http {

class SharedPage {
 public:
  // Begins to make it, and tells it once: at once or later, on the loop's thread.
  using Make = std::function<void(Reply)>;

  // `loop` outlives this. With `kept_ms` 0 who asks behind the end of a making gets a new one.
  SharedPage(loop::Loop& loop, Make make, std::uint64_t kept_ms)
      : loop_(loop), make_(std::move(make)), kept_ms_(kept_ms) {}

  void ask(Reply reply);

 private:
  void made(const Page& page);

  loop::Loop& loop_;
  const Make make_;
  const std::uint64_t kept_ms_;
  std::vector<Reply> waiting_;  // not empty while it is being made
  std::optional<Page> kept_;
  std::uint64_t made_at_ms_ = 0;                                  // of the loop's clock
  const std::shared_ptr<char> alive_ = std::make_shared<char>();  // for who makes it and may outlive us
};

}  // namespace ggufd::http
