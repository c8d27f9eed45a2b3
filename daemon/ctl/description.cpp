#include "ctl/description.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "ctl/human.h"

namespace ggufd::ctl {
namespace {

// A bar shorter than this says less than its percentage.
constexpr std::size_t min_bar_columns = 8;
constexpr std::size_t max_bar_columns = 32;

// A total of 0 bytes is done from the start.
double part_of(std::uint64_t bytes, std::uint64_t total_bytes) {
  if (total_bytes == 0) return 1;
  return std::min(static_cast<double>(bytes) / static_cast<double>(total_bytes), 1.0);
}

void describe_phase(const phase::CheckingLocal& phase, Description& d) {
  d.details = {printable(phase.path)};
}

void describe_phase(const phase::Download& phase, Description& d) {
  if (const auto total = phase.total_bytes.value) {
    d.fraction = part_of(phase.downloaded_bytes, *total);
    d.details = {human_part(phase.downloaded_bytes, *total)};
  } else {
    d.details = {human_bytes(phase.downloaded_bytes)};
  }
  d.details.push_back(human_bytes(phase.bytes_per_second) + "/s");
  if (phase.eta_s) d.details.push_back(human_clock(*phase.eta_s) + " left");
  if (phase.resumed_bytes > 0) d.details.push_back(human_bytes(phase.resumed_bytes) + " resumed");
  d.details.push_back("from " + printable(phase.source_url));
}

void describe_phase(const phase::Verify& phase, Description& d) {
  d.fraction = part_of(phase.verified_bytes, phase.total_bytes);
  d.details = {human_part(phase.verified_bytes, phase.total_bytes)};
}

void describe_phase(const phase::Quarantine& phase, Description& d) {
  d.colour = Colour::red;
  d.details = {
      "kept at " + printable(phase.quarantine_path),
      fmt::format("SHA-256 is {}, not {}", printable(phase.actual_sha256), printable(phase.expected_sha256))};
}

void describe_phase(const phase::Mmap& phase, Description& d) {
  d.fraction = part_of(phase.resident_bytes, phase.total_bytes);
  d.details = {human_part(phase.resident_bytes, phase.total_bytes), std::string(name_of(phase.integrity))};
}

void describe_phase(const phase::KvCache& phase, Description& d) {
  if (phase.allocated_bytes) d.fraction = part_of(*phase.allocated_bytes, phase.bytes);
  d.details = {human_bytes(phase.bytes), fmt::format("{} tokens", phase.n_ctx),
               fmt::format("{}/{}", printable(phase.kv_type_k), printable(phase.kv_type_v))};
}

void describe_phase(const phase::EngineStart& phase, Description& d) {
  d.details = {std::string(name_of(phase.backend)), fmt::format("process {}", phase.pid)};
  if (phase.attempt > 1) d.details.push_back(fmt::format("attempt {}", phase.attempt));
}

template <PhaseKind kind>
void describe_phase(const phase::Plain<kind>&, Description&) {}

void describe_status(const status::Starting& status, Description& d) {
  d.details = {"ggufd " + printable(status.version), fmt::format("process {}", status.pid)};
}

void describe_status(const status::LoadingModel& status, Description& d) {
  d.label = name_of(kind_of(status.phase));
  d.colour = Colour::cyan;
  std::visit([&](const auto& phase) { describe_phase(phase, d); }, status.phase);
}

void describe_status(const status::Capabilities& status, Description& d) {
  d.details = {std::string(name_of(status.backend)), std::string(name_of(status.accelerator)),
               fmt::format("{} tokens", status.n_ctx)};
  if (status.gpu_layers > 0) d.details.push_back(fmt::format("{} layers on the GPU", status.gpu_layers));
  if (status.device_name) d.details.push_back(printable(*status.device_name));
}

void describe_status(const status::Ready& status, Description& d) {
  d.colour = Colour::green;
  d.details = {"loaded in " + human_ms(status.load_ms)};
  if (status.warm_up_ms) d.details.push_back("warm-up " + human_ms(*status.warm_up_ms));
  if (status.infer_socket) d.details.push_back(printable(*status.infer_socket));
}

void describe_status(const status::Restarting& status, Description& d) {
  if (status.phase) std::visit([&](const auto& phase) { describe_phase(phase, d); }, *status.phase);
  d.colour = Colour::yellow;
  std::vector<std::string> first{std::string(name_of(status.reason))};
  if (status.phase) first.emplace_back(name_of(kind_of(*status.phase)));
  d.details.insert(d.details.begin(), first.begin(), first.end());
  if (status.attempt) d.details.push_back(fmt::format("attempt {}", *status.attempt));
  if (status.restarts_left) d.details.push_back(fmt::format("{} restarts left", *status.restarts_left));
}

void describe_status(const status::Unloading& status, Description& d) {
  d.details = {std::string(name_of(status.reason))};
}

void describe_status(const status::Unloaded& status, Description& d) {
  d.colour = Colour::dim;
  d.details = {std::string(name_of(status.reason))};
}

void describe_status(const status::Failed& status, Description& d) {
  d.colour = Colour::red;
  d.details = {fmt::format("{} ({})", printable(status.message), name_of(status.code))};
  if (status.phase) d.details.push_back(fmt::format("during {}", name_of(*status.phase)));
  if (status.retry_in_ms) d.details.push_back("again in " + human_ms(*status.retry_in_ms));
}

void describe_status(const status::Warning& status, Description& d) {
  d.colour = Colour::yellow;
  d.details = {fmt::format("{} ({})", printable(status.message), printable(status.code))};
}

void describe_status(const status::Draining&, Description& d) {
  d.colour = Colour::yellow;
}

void describe_status(const status::Lagged& status, Description& d) {
  d.colour = Colour::yellow;
  d.details = {fmt::format("{} events were missed", status.missed)};
}

// Rounded down: 100 % means that it is done.
std::string percentage(double fraction) {
  return fmt::format("{:3.0f}%", std::floor(fraction * 100));
}

// The parts of a live line in the order in which they stand.
struct Layout {
  bool has_label = true;
  std::size_t bar_columns = 0;
  std::size_t detail_count = 0;
};

constexpr std::size_t gap_columns = 2;

std::size_t columns_for(const Description& d, std::size_t subject_columns, const Layout& layout) {
  std::size_t columns = subject_columns;
  if (layout.has_label) columns += gap_columns + columns_of(d.label);
  if (layout.bar_columns > 0) columns += gap_columns + layout.bar_columns;
  if (d.fraction) columns += gap_columns + columns_of(percentage(*d.fraction));
  for (std::size_t i = 0; i < layout.detail_count; ++i) columns += gap_columns + columns_of(d.details[i]);
  return columns;
}

// A lone sentence is shown cut rather than left out.
Layout layout_for(const Description& d, std::size_t subject_columns, std::size_t columns) {
  const auto fits = [&](const Layout& l) { return columns_for(d, subject_columns, l) <= columns; };
  Layout layout{.bar_columns = d.fraction ? min_bar_columns : 0, .detail_count = d.details.size()};
  const std::size_t kept_details = !d.fraction && !d.details.empty() ? 1 : 0;
  while (!fits(layout) && layout.detail_count > kept_details) --layout.detail_count;
  if (!fits(layout)) layout.bar_columns = 0;
  if (!fits(layout) && d.fraction) layout.has_label = false;
  if (layout.bar_columns > 0) {
    const std::size_t spare = columns - columns_for(d, subject_columns, layout);
    layout.bar_columns = std::min(layout.bar_columns + spare, max_bar_columns);
  }
  return layout;
}

}  // namespace

Description describe(const StatusEvent& event) {
  Description d{.subject = printable(event.model.value_or("ggufd")),
                .label = std::string(name_of(kind_of(event.status))),
                .fraction = {},
                .details = {}};
  std::visit([&](const auto& status) { describe_status(status, d); }, event.status);
  return d;
}

std::string bar(double fraction, std::size_t columns, const Style& style) {
  constexpr std::array<const char*, 8> eighths{" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const std::size_t inner = std::max<std::size_t>(columns, 3) - 2;
  const double filled = std::clamp(fraction, 0.0, 1.0) * static_cast<double>(inner);
  const auto full = static_cast<std::size_t>(filled);
  std::string out = style.utf8 ? "▕" : "[";
  for (std::size_t i = 0; i < full; ++i) out += style.utf8 ? "█" : "=";
  if (full < inner) {
    const auto eighth = static_cast<std::size_t>((filled - static_cast<double>(full)) * 8);
    out += style.utf8 ? eighths.at(eighth) : (full > 0 ? ">" : " ");
    out.append(inner - full - 1, ' ');
  }
  return out += style.utf8 ? "▏" : "]";
}

std::string live_line(const Description& d, std::size_t subject_columns, std::size_t columns,
                      const Style& style) {
  const std::size_t own_columns = columns_of(d.subject);
  subject_columns = std::max(subject_columns, own_columns);
  // Alignment is the first thing to give up.
  if (subject_columns + gap_columns + columns_of(d.label) > columns) subject_columns = own_columns;
  const Layout layout = layout_for(d, subject_columns, columns);

  std::string line;
  std::size_t left = columns;
  const auto add = [&](std::string_view text, Colour colour) {
    const std::string shown = cut(text, left, style.ellipsis());
    left -= columns_of(shown);
    line += painted(shown, colour, style);
  };
  const auto gap = [&] { add(std::string(std::min(gap_columns, left), ' '), Colour::plain); };
  // A subject that is too long leaves room for what matters.
  const std::size_t reserved = d.fraction ? gap_columns + 4 : 0;
  const std::size_t room = columns > reserved ? columns - reserved : columns;
  add(cut(d.subject, room, style.ellipsis()), Colour::bold);
  if (own_columns < subject_columns) add(std::string(subject_columns - own_columns, ' '), Colour::plain);
  if (layout.has_label) gap(), add(d.label, d.colour);
  if (d.fraction && layout.bar_columns > 0) gap(), add(bar(*d.fraction, layout.bar_columns, style), d.colour);
  if (d.fraction) gap(), add(percentage(*d.fraction), Colour::plain);
  for (std::size_t i = 0; i < layout.detail_count; ++i) gap(), add(d.details[i], Colour::plain);
  return line;
}

std::string plain_line(const Description& d) {
  std::string line = fmt::format("{}: {}", d.subject, d.label);
  if (d.fraction) line += fmt::format(" {:.0f}%", std::floor(*d.fraction * 100));
  const char* separator = d.fraction ? ", " : ": ";
  for (const std::string& detail : d.details) {
    line += separator;
    line += detail;
    separator = ", ";
  }
  return line;
}

}  // namespace ggufd::ctl
