#include "protocol/frame.h"
#include "protocol/utf8.h"

namespace ggufd {
namespace {

// Passes fields on to a FieldWriter, sentences cut to the limit.
class EventFieldWriter {
 public:
  explicit EventFieldWriter(JsonWriter& json) : write_(json) {}

  void operator()(std::string_view key, const auto& value, std::string_view doc) { write_(key, value, doc); }
  void operator()(std::string_view key, const std::string& value, std::string_view doc) {
    write_(key, utf8_prefix(value, max_message_bytes), doc);
  }

 private:
  FieldWriter write_;
};

// A line: `{`, the id and the type, whatever `write_rest` adds, `}` and the newline.
void write_line(fmt::memory_buffer& out, std::string_view id, std::string_view type, auto&& write_rest) {
  JsonWriter json(out);
  json.begin_object();
  json.key("id");
  json.value(id);
  json.key("type");
  json.value(type);
  write_rest(json);
  json.end_object();
  out.push_back('\n');
}

void write_phase_name(JsonWriter& json, PhaseKind kind) {
  json.key("phase");
  json.value(name_of(kind));
}

void write_phase(JsonWriter& json, const LoadPhase& phase) {
  write_phase_name(json, kind_of(phase));
  std::visit([&](const auto& details) { details.fields(details, EventFieldWriter(json)); }, phase);
}

void write_status(JsonWriter& json, const auto& status) {
  status.fields(status, EventFieldWriter(json));
}

void write_status(JsonWriter& json, const status::LoadingModel& status) {
  write_phase(json, status.phase);
}

void write_status(JsonWriter& json, const status::Restarting& status) {
  status::Restarting rest = status;
  if (status.phase) {
    write_phase(json, *status.phase);
    // engine_start says the attempt itself; a key stands in a line once.
    if (kind_of(*status.phase) == PhaseKind::engine_start) rest.attempt.reset();
  }
  rest.fields(rest, EventFieldWriter(json));
}

}  // namespace

void encode(const StatusEvent& event, fmt::memory_buffer& out) {
  write_line(out, "admin", "status", [&](JsonWriter& json) {
    json.key("status");
    json.value(name_of(kind_of(event.status)));
    std::visit([&](const auto& status) { write_status(json, status); }, event.status);
    if (event.model) {
      json.key("model");
      json.value(*event.model);
    }
    if (event.seq == 0) return;
    json.key("seq");
    json.value(event.seq);
    json.key("ts");
    write_value(json, event.ts);
  });
}

void encode(const Request& request, fmt::memory_buffer& out) {
  write_line(out, request.id, name_of(verb_of(request)), [&](JsonWriter& json) {
    std::visit([&](const auto& body) { body.fields(body, FieldWriter(json)); }, request.body);
  });
}

void encode_answer(std::string_view id, const AnswerBody& answer, fmt::memory_buffer& out) {
  const std::size_t begin = out.size();
  write_line(out, id, "response", [&](JsonWriter& json) {
    std::visit([&](const auto& body) { body.fields(body, FieldWriter(json)); }, answer);
  });
  const std::size_t bytes = out.size() - begin;
  if (bytes <= max_frame_bytes) return;
  out.resize(begin);
  encode_error(id,
               {ErrorCode::bad_field,
                fmt::format("the answer has {} bytes and a frame holds {}; ask for one model at a time",
                            bytes, max_frame_bytes)},
               out);
}

void encode_error(std::string_view id, const Error& error, fmt::memory_buffer& out) {
  write_line(out, id, "error", [&](JsonWriter& json) {
    json.key("code");
    json.value(name_of(error.code));
    json.key("message");
    json.value(utf8_prefix(error.message, max_message_bytes));
  });
}

}  // namespace ggufd
