// The golden lines of tests/golden and the structs that they stand for.
//
// Line n of a file and element n of its list belong together; the lines were written by hand from the
// protocol's description, not by the encoder. A change of either is a change of the wire.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/frame.h"

namespace ggufd::golden {

struct Answer {
  std::string id;
  AnswerBody body;
};

struct Refusal {
  std::string id;
  Error error;
};

// Lines of tests/golden/<name>.ndjson without their '\n'. A file that cannot be read ends the test.
std::vector<std::string> lines(std::string_view name);

// The whole file. `path` counts from the folder of golden lines.
std::string read_file(std::string_view path);

std::vector<StatusEvent> status_events();      // status.ndjson
std::vector<StatusEvent> loading_events();     // loading.ndjson
std::vector<StatusEvent> restarting_events();  // restarting.ndjson
std::vector<StatusEvent> error_events();       // errors.ndjson
std::vector<Request> requests();               // requests.ndjson
std::vector<Answer> answers();                 // answers.ndjson
std::vector<Refusal> refusals();               // answer_errors.ndjson

// A moment of 2026-05-18, in UTC.
constexpr Timestamp on_that_day(int hour, int minute, int second, int ms = 0) {
  constexpr std::int64_t midnight_s = 1'779'062'400;
  return {(midnight_s + hour * 3600 + minute * 60 + second) * 1000 + ms};
}

inline constexpr const char* digest = "7485fe6f11af29433bc51cab58009521f205840f5b4ae3a32fa7f92e8534fdf5";

}  // namespace ggufd::golden
