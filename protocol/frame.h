// Events, requests and answers <-> one NDJSON line each (docs/protocol.md).
//
// Every encode appends one line with its '\n' to `out`; every decode takes one line without it. Keys come in
// the order id, type, status, phase, details, model, seq, ts. An event or an answer never exceeds
// max_frame_bytes; a request is as long as its asker made it, and refused where that is too long.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <variant>

#include "protocol/answer.h"
#include "protocol/error.h"
#include "protocol/request.h"
#include "protocol/status_event.h"

namespace ggufd {

inline constexpr std::size_t max_frame_bytes = std::size_t{64} * 1024;
inline constexpr std::size_t max_id_bytes = std::size_t{8} * 1024;

// Sentences are cut at `max_message_bytes`, so that an event always fits.
inline constexpr std::size_t max_message_bytes = std::size_t{8} * 1024;

void encode(const StatusEvent& event, fmt::memory_buffer& out);
void encode(const Request& request, fmt::memory_buffer& out);
// An answer to `status` that would exceed the limit tells less of each model (protocol/status_fit.h); another
// one, or where that is not enough, becomes the error `bad_field` that says so.
void encode_answer(std::string_view id, const AnswerBody& answer, fmt::memory_buffer& out);
void encode_error(std::string_view id, const Error& error, fmt::memory_buffer& out);

template <class... Args>
std::string encoded(const Args&... args) {
  fmt::memory_buffer out;
  encode(args..., out);
  return fmt::to_string(out);
}

// Why a line is no request, and the id to answer it with: "" where none could be read.
struct RequestError {
  std::string id;
  Error error;
};
std::expected<Request, RequestError> decode_request(std::string_view line);

// An answer whose shape only its asker knows: decode_answer reads it.
struct AnswerFrame {
  std::string id;
  std::string json;
};
struct ErrorFrame {
  std::string id;
  Error error;  // a code that is not known here is `internal`
};
// Well-formed, of a type, status or phase that is not known here. Readers pass over it.
struct UnknownFrame {};

using Frame = std::variant<StatusEvent, AnswerFrame, ErrorFrame, UnknownFrame>;
Result<Frame> decode_frame(std::string_view line);

// T: one of AnswerBody's alternatives.
template <class T>
Result<T> decode_answer(const AnswerFrame& frame);

}  // namespace ggufd
