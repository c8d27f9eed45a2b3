// Frames as a reader gets them. Whatever the bytes are: what is read from them and written again is a line of
// at most max_frame_bytes that is read as the same and written as the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "protocol/frame.h"

namespace ggufd {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

std::string_view line_of(const fmt::memory_buffer& out) {
  require(out.size() > 0 && out.size() <= max_frame_bytes && out[out.size() - 1] == '\n');
  const std::string_view line(out.data(), out.size() - 1);
  require(line.find('\n') == std::string_view::npos);
  return line;
}

// Checks that write(read(line)) is that line again, `line` being one that was written.
void check_stable(std::string_view line, auto&& read, auto&& write) {
  const auto message = read(line);
  fmt::memory_buffer again;
  write(message, again);
  require(line_of(again) == line);
  require(read(line_of(again)) == message);
}

void check(const StatusEvent& event) {
  fmt::memory_buffer out;
  encode(event, out);
  check_stable(
      line_of(out),
      [](std::string_view line) {
        auto frame = decode_frame(line);
        require(frame && std::holds_alternative<StatusEvent>(*frame));
        return std::get<StatusEvent>(*frame);
      },
      [](const StatusEvent& read, fmt::memory_buffer& again) { encode(read, again); });
}

template <class T>
void check_answer(const AnswerFrame& frame) {
  const auto answer = decode_answer<T>(frame);
  if (!answer || frame.id.size() > max_id_bytes) return;
  fmt::memory_buffer out;
  encode_answer(frame.id, *answer, out);
  const auto written = decode_frame(line_of(out));
  require(written.has_value());
  if (std::holds_alternative<ErrorFrame>(*written)) return;  // it does not fit
  check_stable(
      line_of(out),
      [](std::string_view line) {
        auto read = decode_answer<T>(AnswerFrame{"", std::string(line)});
        require(read.has_value());
        return *read;
      },
      [&](const T& read, fmt::memory_buffer& again) { encode_answer(frame.id, read, again); });
}

void check(const AnswerFrame& frame) {
  check_answer<answer::Ping>(frame);
  check_answer<answer::Status>(frame);
  check_answer<answer::Subscribe>(frame);
  check_answer<answer::State>(frame);
  check_answer<answer::Blob>(frame);
  check_answer<answer::Done>(frame);
  check_answer<answer::Doctor>(frame);
  check_answer<answer::Plan>(frame);
}

void check(const ErrorFrame& frame) {
  if (frame.id.size() > max_id_bytes) return;
  fmt::memory_buffer out;
  encode_error(frame.id, frame.error, out);
  check_stable(
      line_of(out),
      [](std::string_view line) {
        auto read = decode_frame(line);
        require(read && std::holds_alternative<ErrorFrame>(*read));
        return std::get<ErrorFrame>(*read).error;
      },
      [&](const Error& read, fmt::memory_buffer& again) { encode_error(frame.id, read, again); });
}

void check(const UnknownFrame&) {}

}  // namespace
}  // namespace ggufd

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto frame = ggufd::decode_frame({reinterpret_cast<const char*>(data), size});
  if (frame) std::visit([](const auto& alternative) { ggufd::check(alternative); }, *frame);
  return 0;
}
