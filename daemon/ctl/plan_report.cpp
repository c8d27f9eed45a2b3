#include "ctl/plan_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "ctl/human.h"
#include "ctl/page.h"
#include "ctl/table.h"

namespace ggufd::ctl {
namespace {

using answer::Plan;

constexpr std::size_t max_bar_columns = 80;

std::string bytes_or_unknown(const Nullable<std::uint64_t>& bytes) {
  return bytes.value ? human_bytes(*bytes.value) : "unknown";
}

std::string types_of(const Plan& plan) {
  return plan.kv_type_k == plan.kv_type_v ? plan.kv_type_k
                                          : fmt::format("{}/{}", plan.kv_type_k, plan.kv_type_v);
}

Cell fits_cell(const Plan& plan) {
  if (!plan.fits.value) return {"unknown"};
  return *plan.fits.value ? Cell{"yes", Colour::green} : Cell{"no", Colour::red};
}

// What is left of the available bytes, or how much they are short of.
std::string left_of(const Plan& plan) {
  if (!plan.available_bytes.value || !plan.total_bytes.value) return "unknown";
  const std::uint64_t available = *plan.available_bytes.value;
  const std::uint64_t total = *plan.total_bytes.value;
  return total <= available ? human_bytes(available - total) : "-" + human_bytes(total - available);
}

// A row with a cell for each plan; left out where nobody has something to say.
class Rows {
 public:
  explicit Rows(const std::vector<const Plan*>& plans) : plans_(plans) {}

  void add(const char* name, const std::function<Cell(const Plan&)>& cell) {
    std::vector<Cell> row{{name}};
    for (const Plan* plan : plans_) row.push_back(cell(*plan));
    rows_.push_back(std::move(row));
  }
  // Of the cache's parts.
  void add_kv(const char* name, const std::function<std::uint64_t(const answer::PlanKv&)>& number,
              const std::function<std::string(std::uint64_t)>& text, std::uint64_t usual = 0) {
    const auto of = [&](const Plan& plan) { return plan.kv.value ? number(*plan.kv.value) : usual; };
    if (std::ranges::all_of(plans_, [&](const Plan* plan) { return of(*plan) == usual; })) return;
    add(name, [&](const Plan& plan) { return Cell{text(of(plan)), Colour::dim}; });
  }
  const std::vector<std::vector<Cell>>& rows() const { return rows_; }

 private:
  const std::vector<const Plan*>& plans_;
  std::vector<std::vector<Cell>> rows_;
};

std::vector<std::vector<Cell>> rows_of(const std::vector<const Plan*>& plans) {
  const auto number = [](std::uint64_t value) { return fmt::format("{}", value); };
  Rows rows(plans);
  rows.add("weights", [](const Plan& plan) { return Cell{human_bytes(plan.weights_bytes)}; });
  rows.add("KV cache", [](const Plan& plan) { return Cell{bytes_or_unknown(plan.kv_bytes)}; });
  rows.add_kv("  cells", [](const answer::PlanKv& kv) { return kv.cells; }, number);
  rows.add_kv("  cells, window", [](const answer::PlanKv& kv) { return kv.swa_cells; }, number);
  rows.add_kv("  streams", [](const answer::PlanKv& kv) { return kv.streams; }, number, 1);
  rows.add_kv("  state", [](const answer::PlanKv& kv) { return kv.recurrent_bytes; }, human_bytes);
  rows.add("compute, at least", [](const Plan& plan) { return Cell{bytes_or_unknown(plan.compute_bytes)}; });
  rows.add("total", [](const Plan& plan) { return Cell{bytes_or_unknown(plan.total_bytes), Colour::bold}; });
  rows.add("available", [](const Plan& plan) { return Cell{bytes_or_unknown(plan.available_bytes)}; });
  rows.add("left", [](const Plan& plan) { return Cell{left_of(plan)}; });
  rows.add("fits", fits_cell);
  return rows.rows();
}

std::string model_line(const Plan& plan) {
  std::string text = plan.architecture.empty() ? "unknown architecture" : printable(plan.architecture);
  if (plan.name.value) text += ", " + printable(*plan.name.value);
  const char* cache = plan.kv_unified ? "sharing one cache" : "with a cache each";
  text += plan.n_seq == 1 ? ", 1 sequence" : fmt::format(", {} sequences {}", plan.n_seq, cache);
  return text + fmt::format(", batches of {}", plan.n_ubatch);
}

void add_table(Page& page, const PlanReport& report, const Terminal& terminal) {
  std::vector<const Plan*> plans{&report.plan};
  std::vector<std::string> titles{"n_ctx"};
  // Columns that there is no room for: the small cache types go first, then the last context lengths.
  std::vector<int> importance{0, 0};
  const auto add = [&](const Plan& plan, int rank) {
    plans.push_back(&plan);
    importance.push_back(rank);
  };
  int rank = 1000;
  for (const Plan& plan : report.others) add(plan, rank--);
  rank = 100;
  for (const Plan& plan : report.smaller) add(plan, rank--);
  for (const Plan* plan : plans) titles.push_back(fmt::format("{} {}", plan->n_ctx, types_of(*plan)));
  std::vector<Column> columns;
  for (std::size_t i = 0; i < titles.size(); ++i)
    columns.push_back({titles[i].c_str(), importance[i], i > 0});
  page.blank();
  // As wide as a terminal, where it is none: the columns are too many to be all shown.
  const std::string lines = table(columns, rows_of(plans), page.columns(), terminal.style);
  page.append(lines);
}

void add_bar(Page& page, const Plan& plan) {
  const Style& style = page.style();
  page.blank();
  page.painted_line(0, plan_bar(plan, std::min(page.columns(), max_bar_columns), style));
  std::string legend = fmt::format("{} weights", style.utf8 ? "█" : "#");
  if (plan.kv_bytes.value) legend += fmt::format("  {} KV cache", style.utf8 ? "▓" : "=");
  if (plan.compute_bytes.value) legend += fmt::format("  {} compute", style.utf8 ? "░" : "-");
  const bool is_short = plan.fits.value && !*plan.fits.value;
  legend += is_short ? fmt::format("  {} end of what is available", style.utf8 ? "┃" : "|")
                     : fmt::format("  {} left", style.utf8 ? "·" : ".");
  page.wrapped(0, legend);
}

void add_limits(Page& page, const Plan& plan) {
  if (plan.limits.empty()) return;
  std::vector<std::vector<Cell>> rows;
  for (const answer::MemoryLimit& limit : plan.limits)
    rows.push_back({{printable(limit.name)}, {human_bytes(limit.bytes)}});
  if (const std::uint64_t headroom = plan.headroom_bytes.value_or(0); headroom > 0)
    rows.push_back({{"less the headroom"}, {human_bytes(headroom)}});
  if (const std::uint64_t held = plan.held_bytes.value_or(0); held > 0)
    rows.push_back({{"less what other models hold"}, {human_bytes(held)}});
  page.blank();
  page.append(table({{"LIMIT", 0}, {"LEAVES", 0, true}}, rows, page.columns(), page.style()));
}

// "n_ctx 4096 with a cache of f16, 8192 with q8_0"; empty where nothing is known to fit.
std::string what_would_fit(const PlanReport& report) {
  std::string text;
  std::uint32_t largest = 0;
  const auto add = [&](const Plan& plan) {
    const std::uint32_t n_ctx = plan.largest_n_ctx.value.value_or(0);
    if (n_ctx <= largest) return;
    text += text.empty() ? fmt::format("n_ctx {} with a cache of {}", n_ctx, types_of(plan))
                         : fmt::format(", {} with {}", n_ctx, types_of(plan));
    largest = n_ctx;
  };
  add(report.plan);
  for (const Plan& plan : report.smaller) add(plan);
  return text;
}

void add_verdict(Page& page, const PlanReport& report) {
  const Plan& plan = report.plan;
  page.blank();
  if (plan.kv_unknown)
    page.wrapped(0, "the KV cache is unknown: " + printable(*plan.kv_unknown), Colour::yellow);
  if (!plan.fits.value) {
    const bool is_memory_known = plan.available_bytes.value.has_value();
    page.wrapped(0,
                 is_memory_known ? "whether it fits can't be known: only a part of what it takes is"
                                 : "whether it fits can't be known: the machine does not tell its memory",
                 Colour::yellow);
    return;
  }
  const std::string available = human_bytes(plan.available_bytes.value.value_or(0));
  const std::string total =
      plan.total_bytes.value ? human_bytes(*plan.total_bytes.value) : "what is known of it alone is more,";
  if (*plan.fits.value) {
    std::string text = fmt::format("fits: {} of the {} that are available", total, available);
    const std::uint32_t largest = plan.largest_n_ctx.value.value_or(0);
    if (largest > plan.n_ctx) text += fmt::format("; up to n_ctx {} would", largest);
    return page.wrapped(0, text, Colour::green);
  }
  page.wrapped(0, fmt::format("does not fit: {} where {} are available", total, available), Colour::red);
  const std::string smaller = what_would_fit(report);
  if (!smaller.empty()) return page.wrapped(0, "what would fit: " + smaller);
  if (plan.largest_n_ctx.value)
    page.wrapped(0, "not even the shortest context would fit: free memory, or choose a smaller model");
}

}  // namespace

std::string plan_json(std::string document, const std::vector<Plan>& others) {
  if (others.empty()) return document + "\n";
  document.pop_back();
  document += ",\"others\":[";
  for (const Plan& plan : others) document += to_json(plan) + ",";
  document.back() = ']';
  return document + "}\n";
}

std::string plan_text(const PlanReport& report, const Terminal& terminal) {
  Page page(terminal);
  page.line(0, printable(report.title), Colour::bold);
  page.wrapped(0, model_line(report.plan));
  add_table(page, report, terminal);
  add_bar(page, report.plan);
  add_limits(page, report.plan);
  add_verdict(page, report);
  return page.text();
}

}  // namespace ggufd::ctl
