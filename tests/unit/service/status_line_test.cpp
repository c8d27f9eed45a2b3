#include "service/status_line.h"

#include <doctest/doctest.h>

#include <string>

namespace ggufd::service {
namespace {

using Change = StatusLine::Change;

StatusEvent of(const std::string& model, Status status) {
  return {.status = std::move(status), .model = model};
}
StatusEvent downloading(const std::string& model, std::uint64_t bytes, std::optional<std::uint64_t> total) {
  return of(model, status::LoadingModel{phase::Download{.downloaded_bytes = bytes, .total_bytes = {total}}});
}

TEST_CASE("phases are shown with how far they are, where that is known") {
  StatusLine line;
  const auto shown = [&](Status status) {
    line.observe(of("tiny", std::move(status)));
    return line.text(1);
  };
  CHECK(shown(status::LoadingModel{phase::CheckingLocal{"/a"}}) == "tiny: checking_local");
  CHECK(shown(status::LoadingModel{phase::Download{.downloaded_bytes = 43, .total_bytes = {}}}) ==
        "tiny: download");
  CHECK(shown(status::LoadingModel{phase::Download{.downloaded_bytes = 43, .total_bytes = {100}}}) ==
        "tiny: download 43 %");
  CHECK(shown(status::LoadingModel{phase::Verify{.verified_bytes = 999, .total_bytes = 1000}}) ==
        "tiny: verify 99 %");
  CHECK(shown(status::LoadingModel{phase::Mmap{.resident_bytes = 7, .total_bytes = 7}}) ==
        "tiny: mmap 100 %");
  CHECK(shown(status::LoadingModel{phase::KvCache{.bytes = 10}}) == "tiny: kv_cache");
  CHECK(shown(status::LoadingModel{phase::KvCache{.bytes = 10, .allocated_bytes = 5}}) ==
        "tiny: kv_cache 50 %");
  CHECK(shown(status::LoadingModel{phase::EngineStart{.loaded_percent = 12}}) == "tiny: engine_start 12 %");
  CHECK(shown(status::Restarting{}) == "tiny: restarting");
  CHECK(shown(status::Restarting{.phase = phase::WarmUp{}}) == "tiny: restarting, warm_up");
  CHECK(shown(status::Failed{.code = ErrorCode::tls, .message = "long"}) == "tiny: error tls");
  CHECK(shown(status::Ready{}) == "1 of 1 model ready");
  CHECK(shown(status::Unloading{}) == "tiny: unloading");
  CHECK(shown(status::Unloaded{}) == "0 of 1 model ready");
}

TEST_CASE("a file without bytes has no part of them") {
  StatusLine line;
  line.observe(downloading("tiny", 0, 0));
  CHECK(line.text(1) == "tiny: download");
}

TEST_CASE("of several models, one that loads is shown, then one that has failed, always the same") {
  StatusLine line;
  CHECK(line.text(0) == "no model is configured");
  CHECK(line.text(3) == "0 of 3 models ready");
  line.observe(downloading("b", 1, 2));
  line.observe(of("c", status::Failed{.code = ErrorCode::io}));
  CHECK(line.text(3) == "b: download 50 %, 0 of 3 models ready");
  line.observe(downloading("a", 1, 4));
  CHECK(line.text(3) == "a: download 25 %, 0 of 3 models ready");
  line.observe(of("a", status::Ready{}));
  line.observe(of("b", status::Ready{}));
  CHECK(line.text(3) == "c: error io, 2 of 3 models ready");
  CHECK(line.forget("c") == Change::status);
  CHECK(line.forget("c") == Change::none);
  CHECK(line.text(2) == "2 of 2 models ready");
}

TEST_CASE("what has changed: progress, or more") {
  StatusLine line;
  CHECK(line.observe(downloading("a", 0, 1000)) == Change::status);
  CHECK(line.observe(downloading("a", 1, 1000)) == Change::none);
  CHECK(line.observe(downloading("a", 10, 1000)) == Change::progress);
  CHECK(line.observe(of("a", status::Warning{"w", "take care"})) == Change::none);
  CHECK(line.observe(of("a", status::Capabilities{})) == Change::none);
  CHECK(line.observe({.status = status::Starting{}}) == Change::none);
  CHECK(line.observe(of("a", status::Ready{})) == Change::status);
}

TEST_CASE("a stop is all that is told once it has begun") {
  StatusLine line;
  line.observe(of("a", status::Ready{}));
  CHECK(line.observe({.status = status::Draining{}}) == Change::status);
  CHECK(line.observe(of("a", status::Unloading{UnloadReason::shutdown})) == Change::none);
  CHECK(line.text(1) == "draining");
}

}  // namespace
}  // namespace ggufd::service
