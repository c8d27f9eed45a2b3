#include "http/shared_page.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "loop/timer.h"

namespace ggufd::http {
namespace {

// Pages "1", "2", ... that are made when finish() says so.
struct Maker {
  loop::Loop loop;
  std::vector<Reply> begun;
  std::vector<std::string> told;
  int count = 0;

  SharedPage page(std::uint64_t kept_ms) {
    return {loop, [this](Reply reply) { begun.push_back(std::move(reply)); }, kept_ms};
  }
  void ask(SharedPage& page) {
    page.ask([this](const Page& made) { told.push_back(made.body); });
  }
  void finish() {
    auto replies = std::exchange(begun, {});
    REQUIRE(replies.size() == 1);
    replies.front()({.body = std::to_string(++count)});
  }
  void pass_ms(std::uint64_t ms) {
    loop::Timer timer(loop, [] {});
    timer.start_once(ms);
    loop.run();
  }
};

using Told = std::vector<std::string>;

}  // namespace

TEST_CASE("who asks while the page is made gets the same one") {
  Maker maker;
  SharedPage page = maker.page(0);
  maker.ask(page);
  maker.ask(page);
  maker.ask(page);
  CHECK(maker.told.empty());
  maker.finish();
  CHECK(maker.told == Told{"1", "1", "1"});
}

TEST_CASE("a page that is not kept is made anew") {
  Maker maker;
  SharedPage page = maker.page(0);
  for (int i = 0; i < 2; ++i) {
    maker.ask(page);
    maker.finish();
  }
  CHECK(maker.told == Told{"1", "2"});
}

TEST_CASE("a page that is kept is told again until its time is over") {
  Maker maker;
  SharedPage page = maker.page(30);
  maker.ask(page);
  maker.finish();
  maker.ask(page);
  CHECK(maker.begun.empty());
  CHECK(maker.told == Told{"1", "1"});
  maker.pass_ms(40);
  maker.ask(page);
  maker.finish();
  CHECK(maker.told == Told{"1", "1", "2"});
}

TEST_CASE("a page that is made at once is told at once") {
  loop::Loop loop;
  SharedPage page(loop, [](Reply reply) { reply({.body = "now"}); }, 0);
  std::string told;
  page.ask([&](const Page& made) { told = made.body; });
  CHECK(told == "now");
}

TEST_CASE("what is made for one that has gone is dropped") {
  Maker maker;
  {
    SharedPage page = maker.page(0);
    maker.ask(page);
  }
  maker.finish();
  CHECK(maker.told.empty());
}

}  // namespace ggufd::http
