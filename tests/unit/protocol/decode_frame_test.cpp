// What a reader makes of frames of another, perhaps newer, daemon.
#include <doctest/doctest.h>

#include <string>

#include "protocol/frame.h"

namespace ggufd {
namespace {

using namespace std::string_literals;

std::string status_line(const std::string& rest) {
  return R"({"id":"admin","type":"status",)" + rest + "}";
}

Frame decoded(const std::string& line) {
  auto frame = decode_frame(line);
  REQUIRE_MESSAGE(frame.has_value(), line, ": ", frame.error().message);
  return *frame;
}

template <class T>
T decoded_status(const std::string& line) {
  const auto frame = decoded(line);
  REQUIRE_MESSAGE(std::holds_alternative<StatusEvent>(frame), line);
  const auto& status = std::get<StatusEvent>(frame).status;
  REQUIRE_MESSAGE(std::holds_alternative<T>(status), line);
  return std::get<T>(status);
}

void check_passed_over(const std::string& line) {
  CHECK_MESSAGE(std::holds_alternative<UnknownFrame>(decoded(line)), line);
}

void check_refused(const std::string& line, ErrorCode code) {
  const auto frame = decode_frame(line);
  REQUIRE_MESSAGE(!frame.has_value(), line);
  CHECK_MESSAGE(name_of(frame.error().code) == name_of(code), line);
}

TEST_CASE("frame: unknown types, statuses and phases are passed over") {
  check_passed_over(R"({"id":"admin","type":"telemetry","status":"ready"})");
  check_passed_over(status_line(R"("status":"hibernating","model":7)"));
  check_passed_over(status_line(R"("status":"loading_model","phase":"quantize","path":7)"));
  check_passed_over(status_line(R"("status":"restarting","phase":"quantize","reason":"reload")"));
}

TEST_CASE("frame: unknown keys are passed over, in the event and beside it") {
  const auto frame = decoded(
      R"({"v":3,"id":"admin","mood":{"a":[1]},"type":"status","status":"ready","load_ms":1,"tokens":1.5,)"
      R"("model":"a","seq":9,"ts":"2026-05-18T00:00:00.000Z","trace":null})");
  CHECK(std::get<StatusEvent>(frame) ==
        StatusEvent{status::Ready{.load_ms = 1}, "a", 9, Timestamp{1'779'062'400'000}});
}

TEST_CASE("frame: keys may come in any order") {
  const auto frame =
      decoded(R"({"ts":"2026-05-18T00:00:00.000Z","seq":9,"path":"/a","phase":"checking_local",)"
              R"("status":"loading_model","type":"status","id":"admin"})");
  CHECK(std::get<StatusEvent>(frame) ==
        StatusEvent{status::LoadingModel{phase::CheckingLocal{"/a"}}, {}, 9, Timestamp{1'779'062'400'000}});
}

TEST_CASE("frame: an unknown error code becomes internal, and its sentence keeps it") {
  const auto failed = decoded_status<status::Failed>(status_line(
      R"("status":"error","phase":"mmap","code":"gpu_lost","message":"the card is gone","retry_in_ms":5)"));
  CHECK(failed == status::Failed{PhaseKind::mmap, ErrorCode::internal, "gpu_lost: the card is gone", 5});
  const auto frame = decoded(R"({"id":"1","type":"error","code":"too_late","message":"it is over"})");
  CHECK(std::get<ErrorFrame>(frame).error == Error{ErrorCode::internal, "too_late: it is over"});
}

TEST_CASE("frame: an error in an unknown phase is still an error") {
  const auto failed = decoded_status<status::Failed>(
      status_line(R"("status":"error","phase":"quantize","code":"io","message":"no")"));
  CHECK(failed == status::Failed{.code = ErrorCode::io, .message = "no"});
}

TEST_CASE("frame: a warning's code is an open set") {
  CHECK(decoded_status<status::Warning>(status_line(R"("status":"warning","code":"new","message":"m")")) ==
        status::Warning{"new", "m"});
}

TEST_CASE("frame: null is absent where a field may be absent") {
  CHECK(decoded_status<status::Ready>(
            status_line(R"("status":"ready","load_ms":1,"warm_up_ms":null,"infer_socket":null)")) ==
        status::Ready{.load_ms = 1});
  CHECK(decoded_status<status::Restarting>(
            status_line(R"("status":"restarting","phase":null,"reason":"reload","attempt":null)")) ==
        status::Restarting{});
}

TEST_CASE("frame: an event that lacks what it must have is refused") {
  check_refused(R"({"type":"status","status":"draining"})", ErrorCode::missing_field);
  check_refused(R"({"id":"admin","status":"draining"})", ErrorCode::missing_field);
  check_refused(R"({"id":"admin","type":"status"})", ErrorCode::missing_field);
  check_refused(R"({"id":1,"type":"status","status":"draining"})", ErrorCode::bad_field);
  check_refused(status_line(R"("status":7)"), ErrorCode::bad_field);
  check_refused(status_line(R"("status":"ready")"), ErrorCode::missing_field);
  check_refused(status_line(R"("status":"loading_model")"), ErrorCode::missing_field);
  check_refused(status_line(R"("status":"loading_model","phase":7)"), ErrorCode::bad_field);
  check_refused(status_line(R"("status":"restarting","phase":"warm_up")"), ErrorCode::missing_field);
  check_refused(status_line(R"("status":"error","code":7,"message":"m")"), ErrorCode::bad_field);
  check_refused(status_line(R"("status":"error","code":"io")"), ErrorCode::missing_field);
  check_refused(status_line(R"("status":"draining","seq":-1)"), ErrorCode::bad_field);
  check_refused(status_line(R"("status":"draining","ts":"today")"), ErrorCode::bad_field);
  check_refused(R"({"id":"1","type":"error","message":"m"})", ErrorCode::missing_field);
  check_refused("not JSON", ErrorCode::malformed_json);
  check_refused("[]", ErrorCode::malformed_json);
}

TEST_CASE("frame: total_bytes of a download must be there, if only as null") {
  const std::string head = R"("status":"loading_model","phase":"download","downloaded_bytes":1,)";
  const std::string tail = R"("source_url":"u","bytes_per_second":0,"resumed_bytes":0,"connections":1)";
  check_refused(status_line(head + tail), ErrorCode::missing_field);
  const auto loading =
      decoded_status<status::LoadingModel>(status_line(head + R"("total_bytes":null,)" + tail));
  CHECK_FALSE(std::get<phase::Download>(loading.phase).total_bytes.value.has_value());
}

TEST_CASE("frame: an answer is kept whole and read by the one who asked") {
  const auto frame = decoded(R"({"id":"5","type":"response","seq":7,"new_key":[1,2]})");
  const auto& answer = std::get<AnswerFrame>(frame);
  CHECK(answer.id == "5");
  CHECK(decode_answer<answer::Subscribe>(answer).value().seq == 7);
  const auto wrong = decode_answer<answer::Ping>(answer);
  REQUIRE_FALSE(wrong.has_value());
  CHECK(wrong.error().code == ErrorCode::missing_field);
}

TEST_CASE("frame: a status answer with an unknown status, phase and backend is still an answer") {
  const auto frame = decoded(
      R"({"id":"5","type":"response","models":[{"name":"a","state":"loading","status":"hibernating",)"
      R"("phase":"quantize","availability":{"code":40,"name":"NEW","message":null},"health":"starting",)"
      R"("since":"2026-05-18T00:00:00.000Z","load_count":0,"memory":{"mapped":0,"kv":0},)"
      R"("engine":{"backend":"vllm","restarts":0,"restarts_left":3}}],"subscribers":1,"seq":7})");
  const auto status = decode_answer<answer::Status>(std::get<AnswerFrame>(frame));
  REQUIRE_MESSAGE(status.has_value(), status.error().message);
  REQUIRE(status->models.size() == 1);
  CHECK_FALSE(status->models[0].status.has_value());
  CHECK_FALSE(status->models[0].phase.has_value());
  CHECK_FALSE(status->models[0].engine.backend.has_value());
  CHECK(status->models[0].availability.code == 40);
}

}  // namespace
}  // namespace ggufd
