#include "ctl/status_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "ctl/human.h"
#include "ctl/table.h"

namespace ggufd::ctl {
namespace {

Colour colour_of(const answer::ModelStatus& model) {
  switch (model.state) {
    case ModelState::ready:
      return model.availability.message.value ? Colour::yellow : Colour::green;
    case ModelState::loading:
    case ModelState::warming_up:
      return Colour::cyan;
    case ModelState::error:
      return Colour::red;
    case ModelState::unloading:
    case ModelState::uninitialized:
      break;
  }
  return Colour::dim;
}

std::string state_of(const answer::ModelStatus& model) {
  const std::string state(name_of(model.state));
  const bool is_coming_up = model.state == ModelState::loading || model.state == ModelState::warming_up;
  return is_coming_up && model.phase ? fmt::format("{}: {}", state, name_of(*model.phase)) : state;
}

std::string engine_of(const answer::EngineStatus& engine) {
  if (!engine.backend) return "-";
  const std::string_view backend = name_of(*engine.backend);
  return engine.pid ? fmt::format("{} {}", backend, *engine.pid) : std::string(backend);
}

// A clock that was set back shows as no time.
std::string age_of(Timestamp since, Timestamp now) {
  return human_age(static_cast<std::uint64_t>(std::max<std::int64_t>(now.ms - since.ms, 0)) / 1000);
}

std::vector<Cell> row_of(const answer::ModelStatus& model, bool is_default, Timestamp now) {
  const std::uint64_t memory = model.memory.mapped + model.memory.kv;
  return {{printable(model.name) + (is_default ? " *" : ""), Colour::bold},
          {state_of(model), colour_of(model)},
          {model.bytes ? human_bytes(*model.bytes) : "-"},
          {memory > 0 ? human_bytes(memory) : "-"},
          {engine_of(model.engine)},
          {model.load_ms ? human_ms(*model.load_ms) : "-"},
          {age_of(model.since, now)}};
}

// "name: sentence", wrapped and indented.
void add_note(std::string& out, std::string_view name, std::string_view text, Colour colour,
              const Terminal& terminal) {
  const std::string note = fmt::format("{}: {}", name, printable(text));
  constexpr std::size_t indent = 2;
  const std::size_t columns =
      terminal.columns == 0 ? columns_of(note) + indent : std::max(terminal.columns, indent + 2);
  for (const std::string& line : wrapped(note, std::max<std::size_t>(columns - indent, 2))) {
    out += fmt::format("{:{}}{}\n", "", indent, painted(line, colour, terminal.style));
  }
}

void add_notes(std::string& out, const answer::ModelStatus& model, bool in_detail, const Terminal& terminal) {
  const std::string name = printable(model.name);
  if (const auto& message = model.availability.message.value) {
    add_note(out, name, *message, colour_of(model), terminal);
  }
  const answer::EngineStatus& engine = model.engine;
  if (engine.restarts > 0) {
    add_note(out, name,
             fmt::format("{} restart{}, {} left", engine.restarts, engine.restarts == 1 ? "" : "s",
                         engine.restarts_left),
             Colour::plain, terminal);
  }
  if (engine.last_exit && (in_detail || model.state != ModelState::ready)) {
    add_note(out, name, "its engine ended last: " + *engine.last_exit, Colour::plain, terminal);
  }
  if (!in_detail) return;
  if (model.sha256) add_note(out, name, "SHA-256 " + *model.sha256, Colour::plain, terminal);
  add_note(
      out, name,
      model.load_count == 1 ? std::string("loaded once") : fmt::format("loaded {} times", model.load_count),
      Colour::plain, terminal);
  std::string_view tail = engine.stderr_tail ? std::string_view(*engine.stderr_tail) : std::string_view();
  while (!tail.empty()) {
    const std::size_t end = tail.find('\n');
    if (end != 0) add_note(out, name, fmt::format("| {}", tail.substr(0, end)), Colour::dim, terminal);
    tail.remove_prefix(end == std::string_view::npos ? tail.size() : end + 1);
  }
}

}  // namespace

std::string status_report(const answer::Status& status, bool in_detail, Timestamp now,
                          const Terminal& terminal) {
  if (status.models.empty()) return "no model is configured\n";
  // Said where there is a choice.
  const auto marked = status.models.size() > 1 ? default_model_of(status) : std::nullopt;
  std::vector<std::vector<Cell>> rows;
  rows.reserve(status.models.size());
  for (const auto& model : status.models) rows.push_back(row_of(model, model.name == marked, now));
  std::string out = table({{"MODEL", 0},
                           {"STATE", 0},
                           {"SIZE", 4, true},
                           {"MEMORY", 3, true},
                           {"ENGINE", 2},
                           {"LOADED IN", 1, true},
                           {"SINCE", 5, true}},
                          rows, terminal.columns, terminal.style);
  for (const auto& model : status.models) add_notes(out, model, in_detail, terminal);
  return out;
}

}  // namespace ggufd::ctl
