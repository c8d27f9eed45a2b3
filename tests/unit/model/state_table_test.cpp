// The table of the state machine: it is the one that docs/architecture.md prints, and what the model does.
#include "model/state_table.h"

#include <cstdlib>
#include <fstream>

#include "model/model.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

constexpr std::array states{ModelState::uninitialized, ModelState::loading,   ModelState::warming_up,
                            ModelState::ready,         ModelState::unloading, ModelState::error};

Event event_at(std::size_t index) {
  return static_cast<Event>(index);
}

std::string cell(ModelState from, Event event) {
  const Transition step = transition(from, event);
  if (step.action == Action::impossible) return "";
  const std::string_view action = action_names[static_cast<std::size_t>(step.action)];
  return step.to == from ? std::string(action) : fmt::format("{} → `{}`", action, name_of(step.to));
}

std::string printed_table() {
  std::string text = "\n| |";
  for (const ModelState state : states) text += fmt::format(" `{}` |", name_of(state));
  text += "\n|---|";
  for (std::size_t i = 0; i < states.size(); ++i) text += "---|";
  for (std::size_t i = 0; i < event_names.size(); ++i) {
    text += fmt::format("\n| {} |", event_names[i]);
    for (const ModelState state : states) text += fmt::format(" {} |", cell(state, event_at(i)));
  }
  return text + "\n";
}

TEST_CASE("docs/architecture.md prints the table") {
  const std::string path = std::string(GGUFD_SOURCE_DIR) + "/docs/architecture.md";
  const std::string page = get(path);
  const std::string_view begin_mark = "<!-- state table -->";
  const auto begin = page.find(begin_mark);
  REQUIRE(begin != std::string::npos);
  const auto end = page.find("<!-- end -->", begin);
  REQUIRE(end != std::string::npos);
  const std::string wanted =
      page.substr(0, begin) + std::string(begin_mark) + printed_table() + page.substr(end);
  if (std::getenv("UPDATE_DOCS") != nullptr) {
    put(path, wanted);
    return;
  }
  const bool same = page == wanted;  // not within the check, which would print both
  CHECK_MESSAGE(same,
                "the state table in docs/architecture.md differs from the code; run with UPDATE_DOCS=1");
}

TEST_CASE("an impossible event changes nothing, and an action leads where it says") {
  for (const ModelState state : states) {
    for (std::size_t i = 0; i < event_names.size(); ++i) {
      const Transition step = transition(state, event_at(i));
      CAPTURE(name_of(state));
      CAPTURE(event_names[i]);
      switch (step.action) {
        case Action::impossible:
        case Action::nothing:
        case Action::join:
        case Action::refuse_busy:
        case Action::give_back_late:
        case Action::stop_retrying:
        case Action::stage:
          CHECK(step.to == state);
          break;
        case Action::go_on:
          CHECK(step.to == ModelState::warming_up);
          break;
        case Action::begin_load:
        case Action::wait_for_engine:
        case Action::start_over:
          CHECK(step.to == ModelState::loading);
          break;
        case Action::cancel_load:
        case Action::give_back:
          CHECK(step.to == ModelState::unloading);
          break;
        case Action::become_ready:
          CHECK(step.to == ModelState::ready);
          break;
        case Action::fail:
        case Action::break_down:
          CHECK(step.to == ModelState::error);
          break;
        case Action::finish_unload:
        case Action::forget_error:
          CHECK(step.to == ModelState::uninitialized);
          break;
      }
    }
  }
}

// A model that can be brought into each state.
struct Subject {
  House house;
  HttpServer silent{[](auto& exchange) { exchange.wait_for_close(); }};
  std::unique_ptr<Model> model;
  int told = 0;

  Model::Waiter waiter() {
    return [this](const Result<ModelState>&) { ++told; };
  }
  void until(ModelState state) {
    REQUIRE(run_until(house.loop, [&] { return model->state() == state; }));
  }
  void bring_into(ModelState state) {
    const bool is_to_hang = state == ModelState::loading || state == ModelState::unloading;
    const std::string bytes = state == ModelState::error ? std::string("no GGUF") : small_gguf();
    model = std::make_unique<Model>(
        house.services, is_to_hang ? from_url(silent.url("/m"), bytes) : in_place(house.file(bytes)), true);
    if (state == ModelState::uninitialized) return;
    model->load({});
    if (state == ModelState::unloading) {
      // A load that is being ended is in that state until its steps have heard of it.
      REQUIRE(run_until(house.loop, [&] { return silent.requests() == 1; }));
      model->unload(UnloadReason::request, {});
    }
    until(state);
  }
};

TEST_CASE("the model does in each state what the table says of what is asked for") {
  for (const ModelState state : {ModelState::uninitialized, ModelState::loading, ModelState::ready,
                                 ModelState::unloading, ModelState::error}) {
    for (const Event event : {Event::load, Event::unload, Event::cancel}) {
      CAPTURE(name_of(state));
      CAPTURE(event_names[static_cast<std::size_t>(event)]);
      Subject subject;
      subject.bring_into(state);
      if (event == Event::load) subject.model->load(subject.waiter());
      if (event == Event::unload) subject.model->unload(UnloadReason::request, subject.waiter());
      if (event == Event::cancel) subject.model->cancel(subject.waiter());
      CHECK(subject.model->state() == transition(state, event).to);
      // Nobody waits for ever, but for a load that never ends.
      if (subject.model->state() != ModelState::loading) {
        CHECK(run_until(subject.house.loop, [&] { return subject.told == 1; }));
      }
    }
  }
}

// A model whose source is out of reach, until it is not.
struct Unreachable {
  House house;
  std::optional<HttpServer> server;
  std::unique_ptr<Model> model;

  Unreachable() {
    house.services.retry = {.first_ms = 5, .last_ms = 20};
    server.emplace([this](auto& exchange) {
      if (!is_back) return exchange.close();
      exchange.send(answer(small_gguf()));
    });
    model = std::make_unique<Model>(house.services, from_url(server->url("/m"), small_gguf()), true);
  }
  void until_failed() {
    REQUIRE(run_until(house.loop, [&] { return model->state() == ModelState::error; }));
  }
  std::vector<std::uint64_t> retries() const {
    std::vector<std::uint64_t> times;
    for (const auto& event : house.log.events) {
      const auto* failed = std::get_if<status::Failed>(&event.status);
      if (failed != nullptr) times.push_back(failed->retry_in_ms.value_or(0));
    }
    return times;
  }

  std::atomic<bool> is_back = false;
};

TEST_CASE("an error that passes is tried again by itself, after twice as long each time, until it works") {
  Unreachable away;
  away.model->load({});
  REQUIRE(run_until(away.house.loop, [&] { return away.retries().size() == 4; }));
  CHECK(away.retries() == std::vector<std::uint64_t>{5, 10, 20, 20});
  CHECK(away.model->status().health == Health::starting);  // it has not given up
  away.is_back = true;
  CHECK(run_until(away.house.loop, [&] { return away.model->state() == ModelState::ready; }));
}

TEST_CASE("what ends the wish for the model ends its retries") {
  Unreachable away;
  away.house.services.retry = {.first_ms = 3'600'000, .last_ms = 3'600'000};
  away.model->load({});
  away.until_failed();
  SUBCASE("unload") {
    away.model->unload(UnloadReason::request, {});
    CHECK(away.model->state() == ModelState::uninitialized);
  }
  SUBCASE("cancel, which leaves the error and says that it stays") {
    away.model->cancel({});
    CHECK(away.model->state() == ModelState::error);
    CHECK(away.model->status().health == Health::unhealthy);
    CHECK(away.retries() == std::vector<std::uint64_t>{3'600'000, 0});
  }
  away.house.loop.run();  // no timer is left that would keep it
}

TEST_CASE("what does not pass is not tried again") {
  Subject subject;
  subject.bring_into(ModelState::error);
  CHECK_FALSE(std::get<status::Failed>(subject.house.log.events.back().status).retry_in_ms);
  CHECK(subject.model->status().health == Health::unhealthy);
  subject.house.loop.run();
}

}  // namespace
}  // namespace ggufd::model
