// Who gets memory, with a machine of 16 GiB, 12 of them available, and no headroom unless a test says so.
#include "model/admission.h"

#include <map>

#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;
using memory::test::gib;

// Models that are told to go and go when the test lets them.
struct Others final : Evictor {
  std::vector<Candidate> known;
  std::vector<std::string> evicted;
  std::map<std::string, std::shared_ptr<MemoryPromise>> promises;
  std::map<std::string, std::function<void()>> leaving;

  std::vector<Candidate> candidates() const override { return known; }
  void evict(const std::string& model, std::function<void()> on_done) override {
    evicted.push_back(model);
    std::erase_if(known, [&](const Candidate& one) { return one.model == model; });
    promises.at(model)->leaving();
    leaving[model] = std::move(on_done);
  }
  void gone(const std::string& model) {
    promises.erase(model);
    leaving.extract(model).mapped()();
  }
};

struct Gate {
  loop::Loop loop;
  memory::test::Machine machine;
  config::Config config;
  Admission admission{loop, config, machine.folders()};
  Others others;

  Gate() {
    config.memory_headroom_bytes = 0;
    admission.set_evictor(&others);
  }

  struct Asked {
    std::optional<Result<void>> told;
    loop::OperationPtr operation;
    bool is_admitted() const { return told && told->has_value(); }
    std::optional<ErrorCode> error() const {
      return told && !*told ? std::optional(told->error().code) : std::nullopt;
    }
  };
  std::unique_ptr<Asked> ask(const std::shared_ptr<MemoryPromise>& promise, const memory::Need& need) {
    auto asked = std::make_unique<Asked>();
    asked->operation = admission.ask(
        promise,
        {.need = need,
         .shortage = [](const memory::Need& wanted,
                        const memory::Room& room) { return to_string(wanted) + " of " + to_string(room); }},
        [to = asked.get()](Result<void> result) { to->told.emplace(std::move(result)); });
    return asked;
  }
  std::unique_ptr<Asked> decided(const std::shared_ptr<MemoryPromise>& promise, const memory::Need& need) {
    auto asked = ask(promise, need);
    REQUIRE(run_until(loop, [&] { return asked->told.has_value(); }));
    return asked;
  }
  // A model that is ready, was used then, and holds so much.
  void ready(const std::string& model, std::uint64_t last_used_ms, const memory::Need& need) {
    others.promises[model] = admission.promise(model);
    REQUIRE(decided(others.promises[model], need)->is_admitted());
    others.known.push_back({model, last_used_ms});
  }
};

memory::Need weights(std::uint64_t bytes) {
  return {.weights_bytes = bytes, .kv_bytes = {}, .compute_bytes = {}};
}
memory::Need cache(std::uint64_t bytes) {
  return {.weights_bytes = 0, .kv_bytes = bytes, .compute_bytes = {}};
}

TEST_CASE("what was promised to one is not there for the next, until it is given back") {
  Gate gate;
  auto a = gate.admission.promise("a");
  const auto b = gate.admission.promise("b");
  CHECK(gate.decided(a, weights(8 * gib))->is_admitted());
  const auto refused = gate.decided(b, weights(8 * gib));
  CHECK(refused->error() == ErrorCode::out_of_memory_budget);
  CHECK(refused->told->error().message ==
        "8.00 GiB: weights 8.00 GiB of 4.00 GiB left: MemAvailable 12.00 GiB, less 8.00 GiB that other "
        "models hold");
  CHECK(gate.decided(b, weights(4 * gib))->is_admitted());
  a.reset();
  CHECK(gate.decided(b, weights(12 * gib))->is_admitted());
}

TEST_CASE("two that ask at once are not promised the same bytes") {
  Gate gate;
  const auto a = gate.admission.promise("a");
  const auto b = gate.admission.promise("b");
  const auto first = gate.ask(a, cache(8 * gib));
  const auto second = gate.ask(b, cache(8 * gib));
  REQUIRE(run_until(gate.loop, [&] { return first->told && second->told; }));
  CHECK(first->is_admitted());
  CHECK(second->error() == ErrorCode::out_of_memory_budget);
}

TEST_CASE(
    "anonymous memory that is taken shows in the kernel's numbers and counts no more; files don't show") {
  Gate gate;
  const auto a = gate.admission.promise("a");
  REQUIRE(gate.decided(a, {.weights_bytes = gib, .kv_bytes = 6 * gib, .compute_bytes = gib})->is_admitted());
  const auto room = [&] {
    return gate.admission.room_for("b", *memory::read_limits(gate.machine.folders())).available_bytes();
  };
  CHECK(room() == 4 * gib);
  a->taken(2 * gib);
  CHECK(room() == 6 * gib);
  a->taken(100 * gib);
  CHECK(room() == 11 * gib);
  a->locked();
  CHECK(room() == 12 * gib);
}

TEST_CASE("what a model has taken itself is there for it when it asks again") {
  Gate gate;
  const auto a = gate.admission.promise("a");
  REQUIRE(gate.decided(a, cache(8 * gib))->is_admitted());
  a->taken(6 * gib);
  // The kernel's number would have fallen by 6; this machine's does not, so that 18 are there.
  CHECK(gate.decided(a, cache(18 * gib))->is_admitted());
  CHECK(gate.decided(a, cache(25 * gib))->error() == ErrorCode::out_of_memory_budget);
}

TEST_CASE("the headroom is kept, as the configuration has it now") {
  Gate gate;
  const auto a = gate.admission.promise("a");
  gate.config.memory_headroom_bytes = 2 * gib;
  CHECK(gate.decided(a, weights(10 * gib))->is_admitted());
  CHECK(gate.decided(a, weights(10 * gib + 1))->error() == ErrorCode::out_of_memory_budget);
  gate.config.memory_headroom_bytes = 0;
  CHECK(gate.decided(a, weights(12 * gib))->is_admitted());
}

TEST_CASE("a machine that does not tell its memory admits all") {
  Gate gate;
  std::filesystem::remove(gate.machine.file("proc/meminfo"));
  CHECK(gate.decided(gate.admission.promise("a"), weights(100 * gib))->is_admitted());
}

TEST_CASE("nobody is evicted unless the configuration says so") {
  Gate gate;
  gate.ready("old", 1, weights(8 * gib));
  CHECK(gate.decided(gate.admission.promise("a"), weights(8 * gib))->error() ==
        ErrorCode::out_of_memory_budget);
  CHECK(gate.others.evicted.empty());
}

TEST_CASE("those who were not used for longest make room, and no more of them than needed") {
  Gate gate;
  gate.config.evict = config::Evict::lru;
  gate.ready("new", 30, weights(2 * gib));
  gate.ready("old", 10, weights(2 * gib));
  gate.ready("middle", 20, weights(2 * gib));
  const auto a = gate.admission.promise("a");
  const auto asked = gate.ask(a, weights(9 * gib));
  REQUIRE(run_until(gate.loop, [&] { return gate.others.leaving.size() == 2; }));
  CHECK(gate.others.evicted == std::vector<std::string>{"old", "middle"});
  gate.others.gone("old");
  gate.others.gone("middle");
  REQUIRE(run_until(gate.loop, [&] { return asked->told.has_value(); }));
  CHECK(asked->is_admitted());
}

TEST_CASE("nobody goes in vain") {
  Gate gate;
  gate.config.evict = config::Evict::lru;
  gate.ready("old", 10, weights(2 * gib));
  CHECK(gate.decided(gate.admission.promise("a"), weights(13 * gib))->error() ==
        ErrorCode::out_of_memory_budget);
  CHECK(gate.others.evicted.empty());
}

TEST_CASE("memory that is being given back is waited for") {
  Gate gate;
  auto a = gate.admission.promise("a");
  REQUIRE(gate.decided(a, weights(8 * gib))->is_admitted());
  a->leaving();
  const auto b = gate.admission.promise("b");
  const auto asked = gate.ask(b, weights(8 * gib));
  const auto behind = gate.ask(gate.admission.promise("c"), weights(1));
  bool is_turned = false;
  loop::Timer turn(gate.loop, [&] { is_turned = true; });
  turn.start_once(50);
  REQUIRE(run_until(gate.loop, [&] { return is_turned; }));
  CHECK_FALSE(asked->told);
  a.reset();
  REQUIRE(run_until(gate.loop, [&] { return asked->told && behind->told; }));
  CHECK(asked->is_admitted());
  CHECK(behind->is_admitted());
}

TEST_CASE("who no longer wants it is told so, or nothing, and holds nobody up") {
  Gate gate;
  auto a = gate.admission.promise("a");
  REQUIRE(gate.decided(a, weights(8 * gib))->is_admitted());
  a->leaving();
  const auto waits = gate.ask(gate.admission.promise("b"), weights(8 * gib));
  const auto next = gate.ask(gate.admission.promise("c"), weights(gib));
  SUBCASE("cancelled") {
    waits->operation->cancel();
    CHECK_FALSE(waits->told);
    REQUIRE(run_until(gate.loop, [&] { return next->told.has_value(); }));
    CHECK(waits->error() == ErrorCode::cancelled);
  }
  SUBCASE("destroyed") {
    waits->operation.reset();
    REQUIRE(run_until(gate.loop, [&] { return next->told.has_value(); }));
    CHECK_FALSE(waits->told);
  }
  CHECK(next->is_admitted());
}

}  // namespace
}  // namespace ggufd::model
