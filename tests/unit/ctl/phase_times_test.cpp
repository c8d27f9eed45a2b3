#include "ctl/phase_times.h"

#include "tests/unit/ctl/support.h"

namespace ggufd::ctl {

using namespace test;

namespace {

Status loading(LoadPhase phase) {
  return status::LoadingModel{std::move(phase)};
}

// The sentences that the events lead to.
std::vector<std::string> sentences(PhaseTimes& times, const std::vector<StatusEvent>& events) {
  std::vector<std::string> all;
  for (const StatusEvent& e : events) {
    if (const auto summary = times.apply(e)) all.push_back(to_string(*summary));
  }
  return all;
}

using Sentences = std::vector<std::string>;

}  // namespace

TEST_CASE("phase times: each phase from its first event to what follows") {
  PhaseTimes times;
  CHECK(sentences(times, {event(1, status::Starting{}, {}), event(2, loading(phase::CheckingLocal{})),
                          event(3, download(0)), event(20, download(500)), event(123, download(1000)),
                          event(124, loading(phase::Verify{})), event(126, loading(phase::WarmUp{})),
                          event(127, status::Capabilities{}), event(130, ready())}) ==
        Sentences{"m ready in 1.5 s: checking_local 100 ms, download 12.1 s, verify 200 ms, warm_up 400 ms"});
}

TEST_CASE("phase times: what had begun before took longer") {
  PhaseTimes times;
  CHECK(sentences(times, {event(1, download(300)), event(4, loading(phase::Verify{})), event(5, ready())}) ==
        Sentences{"m ready in 1.5 s: download over 300 ms, verify 100 ms"});
}

TEST_CASE("phase times: a second load is seen from its begin") {
  PhaseTimes times;
  CHECK(sentences(times, {event(1, ready()), event(2, status::Unloaded{}), event(3, download(0)),
                          event(5, failure("x"))}) == Sentences{"m error after 200 ms: download 200 ms"});
}

TEST_CASE("phase times: a ready model that was never seen loading has none") {
  PhaseTimes times;
  CHECK(sentences(times, {event(1, ready()), event(2, ready())}).empty());
}

TEST_CASE("phase times: a phase that comes twice is one, with both times") {
  PhaseTimes times;
  CHECK(
      sentences(times, {event(1, status::Unloaded{}), event(2, download(0)),
                        event(4, loading(phase::Quarantine{})), event(5, download(0)), event(8, ready())}) ==
      Sentences{"m ready in 1.5 s: download 500 ms, quarantine 100 ms"});
}

TEST_CASE("phase times: back-off belongs to no phase") {
  PhaseTimes times;
  const auto restarting = [](std::optional<LoadPhase> phase) {
    return status::Restarting{.phase = std::move(phase), .reason = RestartReason::engine_exit};
  };
  CHECK(sentences(times, {event(1, ready()), event(2, restarting({})),
                          event(9, restarting(phase::EngineStart{})), event(11, ready())}) ==
        Sentences{"m ready in 1.5 s: engine_start 200 ms"});
}

TEST_CASE("phase times: what ends without being loaded") {
  for (const auto& [reason, words] :
       {std::pair{UnloadReason::request, "done in"}, std::pair{UnloadReason::cancelled, "cancelled after"},
        std::pair{UnloadReason::shutdown, "stopped after"}}) {
    PhaseTimes times;
    CHECK(sentences(times, {event(1, status::Starting{}, {}), event(2, download(0)),
                            event(4, status::Unloaded{.reason = reason})}) ==
          Sentences{fmt::format("m {} 200 ms: download 200 ms", words)});
  }
}

TEST_CASE("phase times: models do not mix, and a clock that was set back makes nothing long") {
  PhaseTimes times;
  CHECK(
      sentences(times, {event(1, status::Starting{}, {}), event(10, download(0), "a"),
                        event(10, download(0), "b"), event(12, failure("x"), "b"), event(3, ready(), "a")}) ==
      Sentences{"b error after 200 ms: download 200 ms", "a ready in 1.5 s: download 0 ms"});
}

TEST_CASE("phase times: behind a gap nothing is known from before") {
  PhaseTimes times;
  CHECK(sentences(times, {event(1, status::Starting{}, {}), event(2, download(0)),
                          event(0, status::Lagged{.missed = 3}, {}), event(5, download(9)),
                          event(7, ready())}) == Sentences{"m ready in 1.5 s: download over 200 ms"});
}

}  // namespace ggufd::ctl
