// The one error type of the project: a code that programs may rely on and a sentence for people.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "protocol/enum_names.h"

namespace ggufd {

// The codes of `error` frames, then those that only an answer to a request carries (docs/protocol.md).
enum class ErrorCode : std::uint8_t {
  // A model's bring-up.
  bad_source,
  not_in_store,
  http_status,
  network,
  tls,
  disk_full,
  sha256_mismatch,
  size_mismatch,
  invalid_gguf,
  unsupported_gguf,
  out_of_memory_budget,
  map_failed,
  io,
  engine_not_found,
  engine_failed,
  engine_unhealthy,
  load_timeout,
  cancelled,
  internal,
  // A request.
  malformed_json,
  unknown_type,
  missing_field,
  bad_field,
  unknown_model,
  busy,
  bad_config,
  frame_too_large,
};

template <>
inline constexpr auto EnumNames<ErrorCode> = std::to_array<std::string_view>({
    "bad_source",
    "not_in_store",
    "http_status",
    "network",
    "tls",
    "disk_full",
    "sha256_mismatch",
    "size_mismatch",
    "invalid_gguf",
    "unsupported_gguf",
    "out_of_memory_budget",
    "map_failed",
    "io",
    "engine_not_found",
    "engine_failed",
    "engine_unhealthy",
    "load_timeout",
    "cancelled",
    "internal",
    "malformed_json",
    "unknown_type",
    "missing_field",
    "bad_field",
    "unknown_model",
    "busy",
    "bad_config",
    "frame_too_large",
});

struct Error {
  ErrorCode code = ErrorCode::internal;
  // What was being done, with what, why it failed and, where there is one, the remedy. One sentence or two.
  std::string message;

  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(ErrorCode code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}

// f(value) of a result that has a value, its error otherwise (std::expected::transform, which libstdc++ 12
// lacks).
template <class T, class F>
auto map_result(Result<T>&& result, F&& f) -> Result<std::remove_cvref_t<decltype(f(std::move(*result)))>> {
  if (!result) return std::unexpected(std::move(result.error()));
  return f(std::move(*result));
}

// The error of a failed system call: `what` names the call and its object, `error_number` is errno's value.
// ENOSPC and EDQUOT become disk_full, everything else `code`.
Error system_error(std::string_view what, int error_number, ErrorCode code = ErrorCode::io);

}  // namespace ggufd
