#include "http/shared_page.h"

#include <utility>

namespace ggufd::http {

void SharedPage::ask(Reply reply) {
  if (kept_ && loop_.now_ms() - made_at_ms_ < kept_ms_) return reply(*kept_);
  waiting_.push_back(std::move(reply));
  if (waiting_.size() > 1) return;
  kept_.reset();
  make_([this, alive = std::weak_ptr(alive_)](const Page& page) {
    if (!alive.expired()) made(page);
  });
}

void SharedPage::made(const Page& page) {
  made_at_ms_ = loop_.now_ms();
  if (kept_ms_ > 0) kept_ = page;
  for (Reply& reply : std::exchange(waiting_, {})) reply(page);
}

}  // namespace ggufd::http
