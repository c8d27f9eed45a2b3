// Both directions of the wire, byte for byte: line -> struct and struct -> line.
#include <doctest/doctest.h>

#include "golden.h"

namespace ggufd {
namespace {

std::string without_newline(const fmt::memory_buffer& out) {
  REQUIRE(out.size() > 0);
  REQUIRE(out[out.size() - 1] == '\n');
  return {out.data(), out.size() - 1};
}

// Calls check(line, struct) for each pair; a file and a list of different lengths fail.
template <class T>
void for_each_pair(std::string_view name, const std::vector<T>& structs, auto&& check) {
  const auto lines = golden::lines(name);
  REQUIRE_MESSAGE(lines.size() == structs.size(), name, ".ndjson");
  for (std::size_t i = 0; i < lines.size(); ++i) {
    INFO(name << ".ndjson, line " << i + 1);
    check(lines[i], structs[i]);
  }
}

void check_events(std::string_view name, const std::vector<StatusEvent>& events) {
  for_each_pair(name, events, [](const std::string& line, const StatusEvent& event) {
    fmt::memory_buffer out;
    encode(event, out);
    CHECK(without_newline(out) == line);
    const auto frame = decode_frame(line);
    REQUIRE_MESSAGE(frame.has_value(), frame.error().message);
    REQUIRE(std::holds_alternative<StatusEvent>(*frame));
    CHECK(std::get<StatusEvent>(*frame) == event);
  });
}

TEST_CASE("golden: every status, both directions") {
  check_events("status", golden::status_events());
}

TEST_CASE("golden: every phase of a load, both directions") {
  check_events("loading", golden::loading_events());
}

TEST_CASE("golden: every phase of a restart, both directions") {
  check_events("restarting", golden::restarting_events());
}

TEST_CASE("golden: every error of a model, both directions") {
  check_events("errors", golden::error_events());
}

TEST_CASE("golden: every request, both directions") {
  for_each_pair("requests", golden::requests(), [](const std::string& line, const Request& request) {
    fmt::memory_buffer out;
    encode(request, out);
    CHECK(without_newline(out) == line);
    const auto decoded = decode_request(line);
    REQUIRE_MESSAGE(decoded.has_value(), decoded.error().error.message);
    CHECK(*decoded == request);
  });
}

TEST_CASE("golden: every answer, both directions") {
  for_each_pair("answers", golden::answers(), [](const std::string& line, const golden::Answer& answer) {
    fmt::memory_buffer out;
    encode_answer(answer.id, answer.body, out);
    CHECK(without_newline(out) == line);
    const auto frame = decode_frame(line);
    REQUIRE_MESSAGE(frame.has_value(), frame.error().message);
    REQUIRE(std::holds_alternative<AnswerFrame>(*frame));
    CHECK(std::get<AnswerFrame>(*frame).id == answer.id);
    std::visit(
        [&]<class T>(const T& expected) {
          const auto decoded = decode_answer<T>(std::get<AnswerFrame>(*frame));
          REQUIRE_MESSAGE(decoded.has_value(), decoded.error().message);
          CHECK(*decoded == expected);
        },
        answer.body);
  });
}

TEST_CASE("golden: every refusal, both directions") {
  for_each_pair("answer_errors", golden::refusals(),
                [](const std::string& line, const golden::Refusal& refusal) {
                  fmt::memory_buffer out;
                  encode_error(refusal.id, refusal.error, out);
                  CHECK(without_newline(out) == line);
                  const auto frame = decode_frame(line);
                  REQUIRE_MESSAGE(frame.has_value(), frame.error().message);
                  REQUIRE(std::holds_alternative<ErrorFrame>(*frame));
                  CHECK(std::get<ErrorFrame>(*frame).id == refusal.id);
                  CHECK(std::get<ErrorFrame>(*frame).error == refusal.error);
                });
}

TEST_CASE("golden: what is wrong with a line is answered in the golden words") {
  for (const auto& [line, number] : {std::pair("[]", 20), std::pair(R"({"id":"21","type":"pong"})", 21),
                                     std::pair(R"({"id":"22","type":"verify"})", 22),
                                     std::pair(R"({"id":"23","type":"load","wait":1})", 23)}) {
    const auto request = decode_request(line);
    REQUIRE_MESSAGE(!request.has_value(), line);
    fmt::memory_buffer out;
    encode_error(request.error().id, request.error().error, out);
    CHECK(without_newline(out) == golden::lines("answer_errors").at(static_cast<std::size_t>(number - 1)));
  }
}

}  // namespace
}  // namespace ggufd
