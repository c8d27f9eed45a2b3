// No line is longer than a reader takes, whatever it has to say; and it stays a line that can be read.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "protocol/frame.h"

namespace ggufd {
namespace {

const std::string long_path = "/" + std::string(4095, '\x01');  // PATH_MAX, each byte six as JSON
const std::string long_text(1'000'000, '\x02');

std::string checked(const fmt::memory_buffer& out) {
  CHECK(out.size() <= max_frame_bytes);
  REQUIRE(out.size() > 0);
  CHECK(std::count(out.begin(), out.end(), '\n') == 1);
  REQUIRE(out[out.size() - 1] == '\n');
  return {out.data(), out.size() - 1};
}

// The event as a reader gets it.
StatusEvent through_the_wire(const Status& status, std::string model = std::string(64, 'm')) {
  fmt::memory_buffer out;
  encode(StatusEvent{status, std::move(model), UINT64_MAX, Timestamp{1}}, out);
  const auto frame = decode_frame(checked(out));
  REQUIRE_MESSAGE(frame.has_value(), frame.error().message);
  return std::get<StatusEvent>(*frame);
}

TEST_CASE("limit: the longest paths pass whole, even of control characters") {
  const phase::Quarantine quarantine{long_path, std::string(64, 'a'), std::string(64, 'b'), long_path};
  const status::Restarting restarting{quarantine, RestartReason::engine_unresponsive, UINT32_MAX, UINT32_MAX};
  CHECK(through_the_wire(restarting).status == Status(restarting));
  for (const LoadPhase& phase :
       {LoadPhase(phase::CheckingLocal{long_path}), LoadPhase(quarantine),
        LoadPhase(phase::Verify{long_path, UINT64_MAX, UINT64_MAX}),
        LoadPhase(phase::Mmap{long_path, UINT64_MAX, UINT64_MAX, Integrity::kernel_enforced})}) {
    const Status status = status::LoadingModel{phase};
    CHECK(through_the_wire(status).status == status);
  }
  const Status ready = status::Ready{UINT64_MAX, UINT64_MAX, long_path};
  CHECK(through_the_wire(ready).status == ready);
}

TEST_CASE("limit: a path that is not UTF-8 passes with replacement characters") {
  const Status status = status::LoadingModel{phase::CheckingLocal{std::string(4096, '\xFF')}};
  const auto event = through_the_wire(status);
  std::string expected;
  for (int i = 0; i < 4096; ++i) expected += "\uFFFD";
  CHECK(std::get<phase::CheckingLocal>(*phase_of(event)).path == expected);
}

TEST_CASE("limit: sentences are cut at their limit, between characters") {
  std::string umlauts;
  while (umlauts.size() < 1'000'000) umlauts += "ü";
  const auto event = through_the_wire(status::Failed{.code = ErrorCode::io, .message = "x" + umlauts});
  const auto& message = std::get<status::Failed>(event.status).message;
  CHECK(message == "x" + umlauts.substr(0, max_message_bytes - 2));
  const auto raw = through_the_wire(status::Failed{.code = ErrorCode::io, .message = long_text});
  CHECK(std::get<status::Failed>(raw.status).message == long_text.substr(0, max_message_bytes));
}

TEST_CASE("limit: every text of an event at its worst") {
  const std::string& t = long_text;
  const Status worst[] = {
      status::Starting{t, INT64_MIN},
      status::LoadingModel{phase::CheckingLocal{t}},
      status::LoadingModel{phase::Download{UINT64_MAX, {UINT64_MAX}, t, UINT64_MAX, UINT64_MAX, 1, 1}},
      status::LoadingModel{phase::Quarantine{t, t, t, t}},
      status::LoadingModel{phase::KvCache{1, 1, t, t}},
      status::Capabilities{.device_name = t, .vram_total_bytes = UINT64_MAX},
      status::Ready{.infer_socket = t},
      status::Failed{PhaseKind::checking_local, ErrorCode::out_of_memory_budget, t, UINT64_MAX},
      status::Warning{t, t},
  };
  for (const auto& status : worst) {
    INFO(name_of(kind_of(status)));
    CHECK(kind_of(through_the_wire(status, t).status) == kind_of(status));
  }
}

TEST_CASE("limit: an error's sentence is cut, its id is not") {
  for (const auto& id : {std::string(), std::string(max_id_bytes, '\x01'), std::string(max_id_bytes, 'x')}) {
    for (const auto& message : {long_text, std::string(1'000'000, 'x'), std::string(1'000'000, '\xFF')}) {
      fmt::memory_buffer out;
      encode_error(id, {ErrorCode::out_of_memory_budget, message}, out);
      const auto frame = decode_frame(checked(out));
      REQUIRE_MESSAGE(frame.has_value(), frame.error().message);
      CHECK(std::get<ErrorFrame>(*frame).id == id);
      CHECK(std::get<ErrorFrame>(*frame).error.message.size() > 1000);
    }
  }
}

answer::Status status_of_models(std::size_t count, const std::string& tail) {
  answer::Status status;
  for (std::size_t i = 0; i < count; ++i) {
    answer::ModelStatus model{.name = "model-" + std::to_string(i)};
    model.availability = {0, "NONE", {}};
    model.sha256 = std::string(64, 'a');
    model.engine.stderr_tail = tail;
    status.models.push_back(model);
  }
  return status;
}

void check_answer_too_long(std::string_view id, const AnswerBody& body) {
  fmt::memory_buffer out;
  encode_answer(id, body, out);
  const auto frame = decode_frame(checked(out));
  REQUIRE_MESSAGE(frame.has_value(), frame.error().message);
  REQUIRE(std::holds_alternative<ErrorFrame>(*frame));
  CHECK(std::get<ErrorFrame>(*frame).id == id);
  CHECK(std::get<ErrorFrame>(*frame).error.code == ErrorCode::bad_field);
}

TEST_CASE("limit: an answer that does not fit becomes an error that says so") {
  check_answer_too_long("1", status_of_models(400, ""));
  check_answer_too_long(std::string(max_id_bytes, '\x01'), status_of_models(200, ""));
  check_answer_too_long(std::string(max_id_bytes, '\x01'), answer::Blob{"a", 1, long_path});
}

TEST_CASE("limit: an answer that fits passes, and what stood in the buffer stays") {
  const auto status = status_of_models(100, "the last words");
  fmt::memory_buffer out;
  encode_error("0", {ErrorCode::busy, "b"}, out);
  const std::size_t begin = out.size();
  encode_answer("1", status, out);
  CHECK(out.size() - begin <= max_frame_bytes);
  const auto frame = decode_frame({out.data() + begin, out.size() - begin - 1});
  REQUIRE(frame.has_value());
  CHECK(decode_answer<answer::Status>(std::get<AnswerFrame>(*frame)).value() == status);
  encode_answer("2", answer::Blob{"a", 1, std::string(max_frame_bytes, 'p')}, out);
  CHECK(std::string_view(out.data(), begin).starts_with(R"({"id":"0","type":"error","code":"busy")"));
  CHECK(std::count(out.begin(), out.end(), '\n') == 3);
}

}  // namespace
}  // namespace ggufd
