#include "protocol/status_fit.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/fields.h"
#include "protocol/utf8.h"

namespace ggufd {
namespace {

// A sentence that is cut further says nothing any more.
constexpr std::size_t shortest_sentence_bytes = 160;
constexpr std::size_t shortest_tail_bytes = 64;

// What one model's texts may take, before they are escaped.
struct TextLimits {
  std::size_t tail_bytes = 0;
  std::size_t sentence_bytes = 0;
};

void cut_sentence(std::optional<std::string>& text, std::size_t max_bytes) {
  constexpr std::string_view ellipsis = "…";
  if (!text || text->size() <= max_bytes) return;
  *text = std::string(utf8_prefix(*text, max_bytes - ellipsis.size())).append(ellipsis);
}

// The end of it, from a line's start where one begins there.
void cut_tail(std::optional<std::string>& tail, std::size_t max_bytes) {
  if (!tail || tail->size() <= max_bytes) return;
  std::size_t begin = tail->size() - max_bytes;
  const std::size_t line_end = tail->find('\n', begin - 1);
  if (line_end < tail->size() - 1) {
    begin = line_end + 1;
  } else {
    while (begin < tail->size() && utf8_sequence_length(std::string_view(*tail).substr(begin)) == 0) ++begin;
  }
  tail->erase(0, begin);
}

void cut_texts(answer::Status& status, TextLimits limits) {
  for (answer::ModelStatus& model : status.models) {
    cut_tail(model.engine.stderr_tail, limits.tail_bytes);
    cut_sentence(model.engine.last_exit, limits.sentence_bytes);
    cut_sentence(model.availability.message.value, limits.sentence_bytes);
  }
}

void drop_extras(answer::Status& status) {
  for (answer::ModelStatus& model : status.models) {
    model.load_ms.reset();
    model.warm_up_ms.reset();
    model.bytes.reset();
    model.sha256.reset();
    model.engine.backend.reset();
    model.engine.last_exit.reset();
    model.engine.stderr_tail.reset();
  }
}

}  // namespace

answer::Status fitted(answer::Status status, std::size_t max_bytes) {
  const auto fits = [&] { return to_json(status).size() <= max_bytes; };
  // Each pass is a quarter shorter, so that what is left over is small and the passes are few.
  for (std::size_t bytes = 8192; !fits() && bytes >= shortest_tail_bytes; bytes = bytes * 3 / 4) {
    cut_texts(status, {bytes, std::max(bytes, shortest_sentence_bytes)});
  }
  if (!fits()) {
    for (answer::ModelStatus& model : status.models) model.engine.stderr_tail.reset();
  }
  if (!fits()) drop_extras(status);
  if (!fits()) {
    for (answer::ModelStatus& model : status.models) cut_sentence(model.availability.message.value, 48);
  }
  if (!fits()) {
    for (answer::ModelStatus& model : status.models) model.availability.message.value.reset();
  }
  return status;
}

}  // namespace ggufd
