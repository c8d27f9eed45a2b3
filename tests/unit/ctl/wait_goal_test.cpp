#include "ctl/wait_goal.h"

#include <doctest/doctest.h>

#include "tests/unit/ctl/support.h"

namespace ggufd::ctl {

using namespace test;

TEST_CASE("wait: the named model's ready is success, another's is nothing") {
  WaitGoal goal("m");
  CHECK_FALSE(goal.apply(event(1, ready(), "other")).has_value());
  CHECK_FALSE(goal.apply(event(2, download(5))).has_value());
  CHECK_FALSE(goal.apply(event(3, status::Unloaded{.reason = UnloadReason::cancelled})).has_value());
  const auto end = goal.apply(event(4, ready()));
  REQUIRE(end.has_value());
  CHECK(end->has_value());
}

TEST_CASE("wait: the named model's error is the end, another's is not") {
  WaitGoal goal("m");
  CHECK_FALSE(goal.apply(event(1, failure("x"), "other")).has_value());
  const auto end = goal.apply(event(2, failure("no route")));
  REQUIRE(end.has_value());
  REQUIRE_FALSE(end->has_value());
  CHECK(end->error() == Error{ErrorCode::network, "no route"});
}

TEST_CASE("wait: a warning is no error") {
  WaitGoal goal("m");
  CHECK_FALSE(goal.apply(event(1, status::Warning{.code = "error", .message = "w"})).has_value());
}

TEST_CASE("wait: a stop of the daemon is the end, whenever it comes") {
  WaitGoal goal("m");
  CHECK_FALSE(goal.apply(status_of({model_status("m", ModelState::loading)}, 10)).has_value());
  const auto end = goal.apply(event(5, status::Draining{}, {}));
  REQUIRE(end.has_value());
  CHECK_FALSE(end->has_value());
}

TEST_CASE("wait: a model that is ready or in error ends it at once") {
  const auto ready_now = WaitGoal("m").apply(status_of({model_status("m", ModelState::ready)}));
  REQUIRE(ready_now.has_value());
  CHECK(ready_now->has_value());
  auto broken = model_status("m", ModelState::error);
  broken.availability.message.value = "gone";
  const auto end = WaitGoal("m").apply(status_of({broken}));
  REQUIRE(end.has_value());
  CHECK(end->error().message == "gone");
}

TEST_CASE("wait: events that are older than the answer say nothing") {
  WaitGoal goal("m");
  CHECK_FALSE(goal.apply(status_of({model_status("m", ModelState::loading)}, 10)).has_value());
  CHECK_FALSE(goal.apply(event(9, failure("of the load before"))).has_value());
  CHECK_FALSE(goal.apply(event(10, ready())).has_value());
  CHECK(goal.apply(event(11, ready())).has_value());
}

TEST_CASE("wait: without a name it is the default model's") {
  WaitGoal goal(std::nullopt);
  CHECK_FALSE(goal.apply(event(1, ready(), "b")).has_value());
  CHECK_FALSE(goal.is_known());
  auto status = status_of({model_status("a", ModelState::ready), model_status("b", ModelState::loading)}, 1);
  status.default_model = "b";
  CHECK_FALSE(goal.apply(status).has_value());
  CHECK(goal.is_known());
  CHECK(goal.model() == "b");
  CHECK(goal.apply(event(2, ready(), "b")).has_value());
}

TEST_CASE("wait: a model that is not there is not waited for") {
  const auto unknown = WaitGoal("x").apply(status_of({model_status("m", ModelState::loading)}));
  REQUIRE(unknown.has_value());
  CHECK(unknown->error().code == ErrorCode::unknown_model);
  const auto none = WaitGoal(std::nullopt).apply(status_of({}));
  REQUIRE(none.has_value());
  CHECK_FALSE(none->has_value());
}

}  // namespace ggufd::ctl
