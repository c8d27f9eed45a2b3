#include "model/waiters.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

namespace ggufd::model {
namespace {

TEST_CASE("everyone who waits is told once") {
  Waiters<int> waiters;
  std::vector<int> told;
  for (int i = 0; i < 3; ++i) waiters.add([&](const Result<int>& outcome) { told.push_back(*outcome); });
  waiters.tell(7);
  CHECK(told == std::vector{7, 7, 7});
  waiters.tell(8);
  CHECK(told.size() == 3);
}

TEST_CASE("who begins to wait while others are told waits for the next outcome") {
  Waiters<int> waiters;
  std::vector<int> told;
  waiters.add([&](const Result<int>&) {
    waiters.add([&](const Result<int>& outcome) { told.push_back(*outcome); });
  });
  waiters.tell(1);
  CHECK(told.empty());
  waiters.tell(2);
  CHECK(told == std::vector{2});
}

TEST_CASE("nobody is nobody to wait") {
  Waiters<int> waiters;
  waiters.add({});
  CHECK(waiters.size() == 0);
  Waiter<int> nobody;
  nobody(1);
}

TEST_CASE("askers that have gone are forgotten, the others are not, however many come") {
  Waiters<int> waiters;
  const auto stays = std::make_shared<char>();
  int told = 0;
  for (int i = 0; i < 10'000; ++i) {
    const auto goes = std::make_shared<char>();
    waiters.add({[&](const Result<int>&) { ++told; }, i % 1000 == 0 ? stays : goes});
    REQUIRE(waiters.size() <= 128);
  }
  waiters.tell(1);
  CHECK(told >= 10);
}

}  // namespace
}  // namespace ggufd::model
