#include "http/event_metrics.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace ggufd::http {
namespace {

using std::chrono::milliseconds;

// Events of the model "m", each so many milliseconds behind the one before.
class Story {
 public:
  void tell(Status status, int after_ms = 0) {
    now_ += milliseconds(after_ms);
    metrics_.observe({.status = std::move(status), .model = "m"}, now_);
  }
  void forget() { metrics_.forget("m"); }
  void of_daemon(Status status) { metrics_.observe({.status = std::move(status)}, now_); }

  std::string text() const {
    Exposition out;
    metrics_.write(out);
    return out.text();
  }
  // The value of the sample whose name and labels are these; "" where there is none.
  std::string value(const std::string& sample) const {
    const std::string text = "\n" + this->text();
    const auto begin = text.find("\n" + sample + " ");
    if (begin == std::string::npos) return "";
    const auto from = begin + sample.size() + 2;
    return text.substr(from, text.find('\n', from) - from);
  }

 private:
  EventMetrics metrics_;
  EventMetrics::Moment now_;
};

Status download(std::uint64_t bytes) {
  return status::LoadingModel{phase::Download{.downloaded_bytes = bytes}};
}
Status verify(std::uint64_t bytes) {
  return status::LoadingModel{phase::Verify{.verified_bytes = bytes}};
}
Status map(std::uint64_t bytes) {
  return status::LoadingModel{phase::Mmap{.resident_bytes = bytes}};
}

}  // namespace

TEST_CASE("a phase lasts from its first event to the first that is not of it") {
  Story story;
  story.tell(download(0));
  story.tell(download(5), 1000);
  CHECK(story.value("ggufd_phase_seconds_count{phase=\"download\"}").empty());
  story.tell(verify(0), 500);
  CHECK(story.value("ggufd_phase_seconds_sum{phase=\"download\"}") == "1.5");
  story.tell(status::Warning{"x", "y"}, 100);
  story.tell(status::Capabilities{}, 100);
  story.tell(status::Ready{}, 50);
  CHECK(story.value("ggufd_phase_seconds_sum{phase=\"verify\"}") == "0.25");
  CHECK(story.value("ggufd_phase_seconds_count{phase=\"verify\"}") == "1");
}

TEST_CASE(
    "bytes count that came while we looked; those that were there before and those of a fresh begin do not") {
  Story story;
  story.tell(download(100));  // resumed
  story.tell(download(140));
  story.tell(download(10));  // begun anew
  story.tell(download(15));
  story.tell(verify(0));
  story.tell(verify(15));
  story.tell(map(5));
  story.tell(map(15));
  CHECK(story.value("ggufd_fetched_bytes_total") == "45");
  CHECK(story.value("ggufd_verified_bytes_total") == "15");
  CHECK(story.value("ggufd_prefaulted_bytes_total") == "10");
}

TEST_CASE("a restart counts once, however much is told of it") {
  Story story;
  const auto restarting = [](std::optional<LoadPhase> phase) {
    return status::Restarting{.phase = std::move(phase), .reason = RestartReason::engine_exit};
  };
  const std::string name = "ggufd_restarts_total{model=\"m\",reason=\"engine_exit\"}";
  story.tell(status::Ready{});
  story.tell(restarting(std::nullopt));
  story.tell(restarting(phase::EngineStart{}));
  story.tell(restarting(phase::WarmUp{}));
  CHECK(story.value(name) == "1");
  story.tell(restarting(std::nullopt));  // it has failed again
  story.tell(restarting(phase::EngineStart{}));
  CHECK(story.value(name) == "2");
  story.tell(status::Ready{});
  story.tell(restarting(phase::EngineStart{}));
  CHECK(story.value(name) == "3");
}

TEST_CASE("a reload counts once, when what was loaded is given up for the new") {
  Story story;
  const auto restarting = [](std::optional<LoadPhase> phase) {
    return status::Restarting{.phase = std::move(phase), .reason = RestartReason::reload};
  };
  const std::string name = "ggufd_restarts_total{model=\"m\",reason=\"reload\"}";
  story.tell(status::Ready{});
  story.tell(restarting(phase::CheckingLocal{}));
  story.tell(restarting(phase::Download{}));
  story.tell(status::Ready{});  // the new bytes could not be had
  CHECK(story.value(name).empty());
  story.tell(restarting(phase::CheckingLocal{}));
  story.tell(restarting(std::nullopt));
  story.tell(restarting(phase::Mmap{}));
  story.tell(restarting(phase::KvCache{}));
  story.tell(status::Ready{});
  CHECK(story.value(name) == "1");
  story.tell(status::Failed{.code = ErrorCode::engine_failed});
  story.tell(restarting(phase::CheckingLocal{}));
  story.tell(restarting(phase::Mmap{}));
  CHECK(story.value(name) == "2");
}

TEST_CASE("a model that is forgotten has no series; what was counted of all together stays") {
  Story story;
  story.tell(download(0));
  story.tell(download(7));
  story.tell(status::Restarting{.reason = RestartReason::engine_exit});
  story.tell(status::Warning{"a", "b"});
  story.tell(status::Failed{.code = ErrorCode::network});
  story.of_daemon(status::Warning{"a", "b"});
  story.forget();
  CHECK(story.text().find("model=\"m\"") == std::string::npos);
  CHECK(story.value("ggufd_warnings_total{model=\"\"}") == "1");
  CHECK(story.value("ggufd_fetched_bytes_total") == "7");
  story.tell(status::Warning{"a", "b"});
  CHECK(story.value("ggufd_warnings_total{model=\"m\"}") == "1");
}

TEST_CASE("errors count by model and code, warnings by model") {
  Story story;
  story.tell(status::Failed{.code = ErrorCode::network});
  story.tell(status::Failed{.code = ErrorCode::network});
  story.tell(status::Warning{"a", "b"});
  story.of_daemon(status::Warning{"a", "b"});
  CHECK(story.value("ggufd_errors_total{model=\"m\",code=\"network\"}") == "2");
  CHECK(story.value("ggufd_warnings_total{model=\"m\"}") == "1");
  CHECK(story.value("ggufd_warnings_total{model=\"\"}") == "1");
}

}  // namespace ggufd::http
