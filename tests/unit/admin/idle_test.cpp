// What subscribers cost that have nothing to do.
#include <malloc.h>

#include "admin/server.h"
#include "support.h"

namespace ggufd::admin {
namespace {

using namespace test;

TEST_CASE(
    "a thousand idle subscribers cost less than 2 KiB each, and the loop sleeps until something comes") {
  constexpr std::size_t count = 1000;
  House house;
  house.log.publish("b", status::Capabilities{});
  house.log.publish("b", status::Ready{});
  std::vector<std::unique_ptr<Peer>> peers;
  peers.reserve(count);
  for (std::size_t i = 0; i < count; ++i) peers.push_back(std::make_unique<Peer>(house.path()));
  const std::size_t before = mallinfo2().uordblks;
  house.turns();
  REQUIRE(house.until([&] { return house.server->subscribers() == count; }));
  house.turns();
  for (const auto& peer : peers) peer->receive(1);
  const std::size_t after = mallinfo2().uordblks;
  // Of which the peers' own received byte is a part too small to be allocated.
  // A sanitizer's allocator tells another story.
  if (!is_sanitized) CHECK((after - before) / count < 2048);
  // Nothing to do and nothing that will be due: the loop would wait for ever.
  CHECK_FALSE(house.has_running_timer());
  CHECK(uv_backend_timeout(house.loop.raw()) == -1);
  // One event is one write to each.
  house.log.publish("b", warning());
  house.turns(2);
  for (const auto& peer : peers) {
    peer->receive();
    REQUIRE(peer->line_count() == 3);
  }
  CHECK(uv_backend_timeout(house.loop.raw()) == -1);
}

}  // namespace
}  // namespace ggufd::admin
