#include <fmt/core.h>
#include <simdjson.h>

#include <utility>

#include "protocol/field_reader.h"
#include "protocol/frame.h"
#include "protocol/utf8.h"

namespace ggufd {
namespace {

using simdjson::SUCCESS;

// The whole line is parsed and checked here, UTF-8 and nesting depth included, before anything is read from
// it (which is why this is simdjson's DOM and not its On-Demand front end: that one checks only what is
// visited).
Result<simdjson::dom::object> parse_object(simdjson::dom::parser& parser, std::string_view line) {
  simdjson::dom::element root;
  if (const auto error = parser.parse(line.data(), line.size()).get(root)) {
    return fail(ErrorCode::malformed_json,
                fmt::format("the line is not JSON: {}", simdjson::error_message(error)));
  }
  simdjson::dom::object object;
  if (root.get(object) != SUCCESS)
    return fail(ErrorCode::malformed_json, "the line is JSON, but not an object");
  return object;
}

// Documents are small: one parser a thread serves them all, and its buffers are reused.
simdjson::dom::parser& thread_parser() {
  thread_local simdjson::dom::parser parser;
  return parser;
}

Result<std::string_view> read_string(simdjson::dom::object object, std::string_view key) {
  simdjson::dom::element element;
  if (object.at_key(key).get(element) != SUCCESS) {
    return fail(ErrorCode::missing_field, fmt::format("the field \"{}\" is missing", key));
  }
  std::string_view text;
  if (element.get(text) != SUCCESS) {
    return fail(ErrorCode::bad_field, fmt::format("the field \"{}\" must be a string", key));
  }
  return text;
}

template <class T>
Result<T> read_fields(simdjson::dom::object object) {
  T message;
  FieldReader reader(object);
  T::fields(message, reader);
  if (reader.error()) return std::unexpected(*reader.error());
  return message;
}

// Reads alternative number `kind` of a variant.
template <class Variant, std::size_t I = 0>
Result<Variant> read_alternative(std::size_t kind, simdjson::dom::object object) {
  if constexpr (I == std::variant_size_v<Variant>) {
    std::unreachable();
  } else {
    if (kind != I) return read_alternative<Variant, I + 1>(kind, object);
    return map_result(read_fields<std::variant_alternative_t<I, Variant>>(object),
                      [](auto&& message) { return Variant(std::in_place_index<I>, std::move(message)); });
  }
}

// What the fields' types cannot say.
std::optional<Error> check(const request::Pull& pull) {
  if (pull.model) return std::nullopt;
  if (!pull.source)
    return Error{ErrorCode::missing_field, "the field \"model\" is missing, or \"source\" and \"name\""};
  if (!pull.name)
    return Error{ErrorCode::missing_field, "the field \"name\" is missing: it goes with \"source\""};
  return std::nullopt;
}
std::optional<Error> check(const auto&) {
  return std::nullopt;
}

Result<RequestBody> read_body(simdjson::dom::object object) {
  const auto type = read_string(object, "type");
  if (!type) return std::unexpected(type.error());
  const auto verb = from_name<Verb>(*type);
  if (!verb) {
    return fail(ErrorCode::unknown_type,
                fmt::format("\"{}\" is not a request; the requests are {}", utf8_prefix(*type, 64),
                            fmt::join(EnumNames<Verb>, ", ")));
  }
  auto body = read_alternative<RequestBody>(static_cast<std::size_t>(*verb), object);
  if (!body) return body;
  if (auto error = std::visit([](const auto& alternative) { return check(alternative); }, *body)) {
    return std::unexpected(std::move(*error));
  }
  return body;
}

}  // namespace

std::expected<Request, RequestError> decode_request(std::string_view line) {
  const auto object = parse_object(thread_parser(), line);
  if (!object) return std::unexpected(RequestError{"", object.error()});
  const auto id = read_string(*object, "id");
  const bool usable = id && id->size() <= max_id_bytes;
  std::string answer_id(usable ? *id : "");
  auto body = read_body(*object);
  if (!body) return std::unexpected(RequestError{std::move(answer_id), std::move(body.error())});
  if (!id) return std::unexpected(RequestError{"", id.error()});
  if (!usable) {
    return std::unexpected(RequestError{
        "",
        {ErrorCode::bad_field, fmt::format("the field \"id\" must have at most {} bytes", max_id_bytes)}});
  }
  return Request{std::move(answer_id), std::move(*body)};
}

namespace {

// Nothing where the phase is not known here.
Result<std::optional<LoadPhase>> read_phase(simdjson::dom::object object) {
  const auto name = read_string(object, "phase");
  if (!name) return std::unexpected(name.error());
  const auto kind = from_name<PhaseKind>(*name);
  if (!kind) return std::optional<LoadPhase>();
  return map_result(read_alternative<LoadPhase>(static_cast<std::size_t>(*kind), object),
                    [](LoadPhase&& phase) { return std::optional(std::move(phase)); });
}

Result<std::optional<Status>> read_loading(simdjson::dom::object object) {
  return map_result(read_phase(object), [](std::optional<LoadPhase>&& phase) {
    return phase ? std::optional<Status>(status::LoadingModel{std::move(*phase)}) : std::nullopt;
  });
}

Result<std::optional<Status>> read_restarting(simdjson::dom::object object) {
  auto restarting = read_fields<status::Restarting>(object);
  if (!restarting) return std::unexpected(restarting.error());
  simdjson::dom::element name;
  if (object.at_key("phase").get(name) != SUCCESS || name.is_null()) {
    return std::optional<Status>(std::move(*restarting));
  }
  auto phase = read_phase(object);
  if (!phase) return std::unexpected(phase.error());
  if (!*phase) return std::optional<Status>();
  restarting->phase = std::move(*phase);
  // The engine's start tells the attempt in its own field (see encode).
  if (kind_of(*restarting->phase) == PhaseKind::engine_start) restarting->attempt.reset();
  return std::optional<Status>(std::move(*restarting));
}

// Errors of a newer daemon: its code may not be known here, its sentence is still worth reading.
struct AnyFailure {
  std::optional<PhaseKind> phase;
  std::string code;
  std::string message;
  std::optional<std::uint64_t> retry_in_ms;

  static void fields(auto& self, auto&& f) {
    f("phase", self.phase, "");
    f("code", self.code, "");
    f("message", self.message, "");
    f("retry_in_ms", self.retry_in_ms, "");
  }
};

Error error_from(std::string_view code, std::string_view message) {
  if (const auto known = from_name<ErrorCode>(code)) return {*known, std::string(message)};
  return {ErrorCode::internal, fmt::format("{}: {}", code, message)};
}

Result<std::optional<Status>> read_failed(simdjson::dom::object object) {
  return map_result(read_fields<AnyFailure>(object), [](AnyFailure&& failure) {
    Error error = error_from(failure.code, failure.message);
    return std::optional<Status>(
        status::Failed{failure.phase, error.code, std::move(error.message), failure.retry_in_ms});
  });
}

Result<std::optional<Status>> read_status(simdjson::dom::object object) {
  const auto name = read_string(object, "status");
  if (!name) return std::unexpected(name.error());
  const auto kind = from_name<StatusKind>(*name);
  if (!kind) return std::optional<Status>();
  switch (*kind) {
    case StatusKind::loading_model:
      return read_loading(object);
    case StatusKind::restarting:
      return read_restarting(object);
    case StatusKind::error:
      return read_failed(object);
    default:
      return map_result(read_alternative<Status>(static_cast<std::size_t>(*kind), object),
                        [](Status&& status) { return std::optional(std::move(status)); });
  }
}

struct EventStamp {
  std::optional<std::string> model;
  std::optional<std::uint64_t> seq;
  std::optional<Timestamp> ts;

  static void fields(auto& self, auto&& f) {
    f("model", self.model, "");
    f("seq", self.seq, "");
    f("ts", self.ts, "");
  }
};

Result<Frame> read_event(simdjson::dom::object object) {
  auto status = read_status(object);
  if (!status) return std::unexpected(status.error());
  if (!*status) return UnknownFrame{};
  auto stamp = read_fields<EventStamp>(object);
  if (!stamp) return std::unexpected(stamp.error());
  return StatusEvent{std::move(**status), std::move(stamp->model), stamp->seq.value_or(0),
                     stamp->ts.value_or(Timestamp{})};
}

Result<Frame> read_error(std::string_view id, simdjson::dom::object object) {
  const auto code = read_string(object, "code");
  if (!code) return std::unexpected(code.error());
  const auto message = read_string(object, "message");
  if (!message) return std::unexpected(message.error());
  return ErrorFrame{std::string(id), error_from(*code, *message)};
}

}  // namespace

Result<Frame> decode_frame(std::string_view line) {
  const auto object = parse_object(thread_parser(), line);
  if (!object) return std::unexpected(object.error());
  const auto id = read_string(*object, "id");
  if (!id) return std::unexpected(id.error());
  const auto type = read_string(*object, "type");
  if (!type) return std::unexpected(type.error());
  if (*type == "status") return read_event(*object);
  if (*type == "response") return AnswerFrame{std::string(*id), std::string(line)};
  if (*type == "error") return read_error(*id, *object);
  return UnknownFrame{};
}

template <class T>
Result<T> decode_answer(const AnswerFrame& frame) {
  const auto object = parse_object(thread_parser(), frame.json);
  if (!object) return std::unexpected(object.error());
  return read_fields<T>(*object);
}

template Result<answer::Ping> decode_answer(const AnswerFrame&);
template Result<answer::Status> decode_answer(const AnswerFrame&);
template Result<answer::Subscribe> decode_answer(const AnswerFrame&);
template Result<answer::State> decode_answer(const AnswerFrame&);
template Result<answer::Blob> decode_answer(const AnswerFrame&);
template Result<answer::Done> decode_answer(const AnswerFrame&);
template Result<answer::Doctor> decode_answer(const AnswerFrame&);
template Result<answer::Plan> decode_answer(const AnswerFrame&);

}  // namespace ggufd
