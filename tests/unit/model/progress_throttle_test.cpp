// Which reports of a phase are published.
#include "model/progress_throttle.h"

#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

struct Throttled {
  loop::Loop loop;
  std::vector<LoadPhase> published;
  std::vector<std::uint64_t> times_ms;
  ProgressThrottle throttle{loop, [this](const LoadPhase& phase) {
                              published.push_back(phase);
                              times_ms.push_back(loop.now_ms());
                            }};

  static LoadPhase verify(std::uint64_t bytes) { return phase::Verify{"p", bytes, 1'000'000}; }
  std::uint64_t last_bytes() const { return std::get<phase::Verify>(published.back()).verified_bytes; }
};

TEST_CASE("the first report of a phase is published at once, the last before the next phase") {
  Throttled t;
  t.throttle.report(phase::CheckingLocal{"p"});
  CHECK(t.published.size() == 1);
  t.throttle.report(Throttled::verify(0));
  CHECK(t.published.size() == 2);
  for (std::uint64_t i = 1; i <= 5; ++i) t.throttle.report(Throttled::verify(i));
  CHECK(t.published.size() == 2);
  CHECK(t.throttle.phase() == PhaseKind::verify);
  t.throttle.report(phase::Mmap{});
  REQUIRE(t.published.size() == 4);
  CHECK(t.published[2] == Throttled::verify(5));
  CHECK(kind_of(t.published[3]) == PhaseKind::mmap);
}

TEST_CASE("the last report is published at the end of the phases, once") {
  Throttled t;
  t.throttle.report(Throttled::verify(0));
  t.throttle.report(Throttled::verify(1));
  t.throttle.end();
  CHECK(t.published.size() == 2);
  CHECK(t.last_bytes() == 1);
  CHECK_FALSE(t.throttle.phase());
  t.throttle.end();
  t.loop.run();
  CHECK(t.published.size() == 2);
}

TEST_CASE("what was held back comes by itself when its time has come") {
  Throttled t;
  t.throttle.report(Throttled::verify(0));
  t.throttle.report(Throttled::verify(1));
  t.throttle.report(Throttled::verify(2));
  t.loop.run();
  REQUIRE(t.published.size() == 2);
  CHECK(t.last_bytes() == 2);
  CHECK(t.times_ms[1] - t.times_ms[0] >= ProgressThrottle::interval_ms);
  t.loop.run();
  CHECK(t.published.size() == 2);
}

TEST_CASE("what was held back is dropped on request, and nothing comes later") {
  Throttled t;
  t.throttle.report(Throttled::verify(0));
  t.throttle.report(Throttled::verify(1));
  t.throttle.drop();
  CHECK_FALSE(t.throttle.phase());
  t.loop.run();
  CHECK(t.published.size() == 1);
  // The phase may begin anew.
  t.throttle.report(Throttled::verify(0));
  CHECK(t.published.size() == 2);
}

TEST_CASE("however many come, at most ten are published in any second, and never an old one") {
  Throttled t;
  std::uint64_t bytes = 0;
  loop::Timer reports(t.loop, [&] {
    for (int i = 0; i < 10; ++i) t.throttle.report(Throttled::verify(bytes++));
  });
  reports.start_repeating(1);
  REQUIRE(run_until(t.loop, [&] { return !t.times_ms.empty() && t.loop.now_ms() - t.times_ms[0] > 2'200; }));
  reports.stop();
  t.throttle.end();
  CHECK(t.last_bytes() == bytes - 1);
  for (std::size_t i = 0; i < t.times_ms.size(); ++i) {
    std::size_t in_the_second = 0;
    while (i + in_the_second < t.times_ms.size() && t.times_ms[i + in_the_second] < t.times_ms[i] + 1'000) {
      ++in_the_second;
    }
    CHECK(in_the_second <= 10);
    if (i > 0) CHECK(t.published[i - 1] != t.published[i]);
  }
  CHECK(std::ranges::is_sorted(
      t.published, {}, [](const LoadPhase& phase) { return std::get<phase::Verify>(phase).verified_bytes; }));
  CHECK(t.published.size() > 3);
}

}  // namespace
}  // namespace ggufd::model
