#include "protocol/frame.h"
#include "protocol/status_fit.h"
#include "protocol/utf8.h"

namespace ggufd {
namespace {

// What the free texts of one event may take, escapes counted; the rest of a line holds the keys, the numbers
// and the names.
constexpr std::size_t max_event_text_bytes = 60 * 1024;

// Passes the fields of an event on to a FieldWriter, its texts cut to the limits: one serves a whole event.
class EventFieldWriter {
 public:
  explicit EventFieldWriter(JsonWriter& json) : json_(json), write_(json) {}

  void operator()(std::string_view key, const auto& value, std::string_view doc) { write_(key, value, doc); }
  void operator()(std::string_view key, const std::string& value, std::string_view /*doc*/) {
    json_.key(key);
    text_left_bytes_ -= json_.value(utf8_prefix(value, max_message_bytes), text_left_bytes_);
  }
  void operator()(std::string_view key, const std::optional<std::string>& value, std::string_view doc) {
    if (value) (*this)(key, *value, doc);
  }

 private:
  JsonWriter& json_;
  FieldWriter write_;
  std::size_t text_left_bytes_ = max_event_text_bytes;
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

// Returns its bytes.
std::size_t write_answer(std::string_view id, const AnswerBody& answer, fmt::memory_buffer& out) {
  const std::size_t begin = out.size();
  write_line(out, id, "response", [&](JsonWriter& json) {
    std::visit([&](const auto& body) { body.fields(body, FieldWriter(json)); }, answer);
  });
  return out.size() - begin;
}

void write_phase(EventFieldWriter& write, const LoadPhase& phase) {
  write("phase", kind_of(phase), "");
  std::visit([&](const auto& details) { details.fields(details, write); }, phase);
}

void write_status(EventFieldWriter& write, const auto& status) {
  status.fields(status, write);
}

void write_status(EventFieldWriter& write, const status::LoadingModel& status) {
  write_phase(write, status.phase);
}

void write_status(EventFieldWriter& write, const status::Restarting& status) {
  status::Restarting rest = status;
  if (status.phase) {
    write_phase(write, *status.phase);
    // engine_start says the attempt itself; a key stands in a line once.
    if (kind_of(*status.phase) == PhaseKind::engine_start) rest.attempt.reset();
  }
  rest.fields(rest, write);
}

}  // namespace

void encode(const StatusEvent& event, fmt::memory_buffer& out) {
  write_line(out, "admin", "status", [&](JsonWriter& json) {
    EventFieldWriter write(json);
    write("status", kind_of(event.status), "");
    std::visit([&](const auto& status) { write_status(write, status); }, event.status);
    write("model", event.model, "");
    if (event.seq == 0) return;
    write("seq", event.seq, "");
    write("ts", event.ts, "");
  });
}

void encode(const Request& request, fmt::memory_buffer& out) {
  write_line(out, request.id, name_of(verb_of(request)), [&](JsonWriter& json) {
    std::visit([&](const auto& body) { body.fields(body, FieldWriter(json)); }, request.body);
  });
}

void encode_answer(std::string_view id, const AnswerBody& answer, fmt::memory_buffer& out) {
  const std::size_t begin = out.size();
  std::size_t bytes = write_answer(id, answer, out);
  if (bytes <= max_frame_bytes) return;
  out.resize(begin);
  if (const auto* status = std::get_if<answer::Status>(&answer)) {
    // Around the fields stand the id and the type, whatever the fields are.
    const std::size_t around_bytes = bytes - to_json(*status).size();
    bytes = write_answer(id, fitted(*status, max_frame_bytes - around_bytes), out);
    if (bytes <= max_frame_bytes) return;
    out.resize(begin);
  }
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
    // The id, which is repeated as it came, may take max_id_bytes six times over.
    json.value(error.message, max_message_bytes);
  });
}

}  // namespace ggufd
