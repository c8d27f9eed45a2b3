#include "ctl/removal_report.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "ctl/human.h"
#include "ctl/table.h"
#include "protocol/fields.h"

namespace ggufd::ctl {
namespace {

struct ItemDocument {
  store::RemovalKind kind = store::RemovalKind::leftover;
  std::string path;
  std::optional<std::string> name;
  std::optional<std::string> sha256;
  std::uint64_t size_bytes = 0;
  std::string why;
  bool removed = false;
  std::optional<std::string> error;

  static void fields(auto& self, auto&& f) {
    f("kind", self.kind, "manifest, links, blob, partial, leftover, quarantine");
    f("path", self.path, "the file or folder");
    f("name", self.name, "of a manifest, or links: the model");
    f("sha256", self.sha256, "of a blob: its digest");
    f("size_bytes", self.size_bytes, "its size");
    f("why", self.why, "why it goes");
    f("removed", self.removed, "whether it is gone");
    f("error", self.error, "why it is not");
  }
};

struct RemovalDocument {
  bool dry_run = false;
  std::vector<ItemDocument> items;
  std::vector<std::string> stays;
  std::uint64_t size_bytes = 0;
  std::uint64_t removed_bytes = 0;
  std::optional<std::string> error;

  static void fields(auto& self, auto&& f) {
    f("dry_run", self.dry_run, "nothing was to be removed");
    f("items", self.items, "what goes");
    f("stays", self.stays, "what stays, and why");
    f("size_bytes", self.size_bytes, "of all items");
    f("removed_bytes", self.removed_bytes, "of those that are gone");
    f("error", self.error, "why not all of it is gone");
  }
};

std::uint64_t removed_bytes(const store::RemovalPlan& plan, const RemovalOutcome& outcome) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    if (outcome.removed[i]) sum += plan.items[i].size_bytes;
  }
  return sum;
}

}  // namespace

std::string removal_text(const store::RemovalPlan& plan, const Terminal& terminal) {
  std::string text;
  if (!plan.items.empty()) {
    std::vector<std::vector<Cell>> rows;
    for (const store::Removal& item : plan.items) {
      rows.push_back({{std::string(name_of(item.kind))},
                      {human_bytes(item.size_bytes)},
                      {printable(item.path)},
                      {printable(item.why)}});
    }
    // Paths are what this is about: they are never cut, at most the lines wrap.
    text += table({{"WHAT", 0}, {"SIZE", 0, true}, {"PATH", 0}, {"WHY", 0}}, rows, 0, terminal.style);
    text += fmt::format("{} in all\n", human_bytes(plan.size_bytes()));
  }
  for (const std::string& sentence : plan.stays) text += printable(sentence) + "\n";
  return text;
}

std::string removal_json(const store::RemovalPlan& plan, const RemovalOutcome& outcome, bool is_dry_run,
                         const std::string& error) {
  RemovalDocument document{.dry_run = is_dry_run,
                           .items = {},
                           .stays = plan.stays,
                           .size_bytes = plan.size_bytes(),
                           .removed_bytes = removed_bytes(plan, outcome),
                           .error = {}};
  if (!error.empty()) document.error = error;
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    const store::Removal& item = plan.items[i];
    ItemDocument out{.kind = item.kind,
                     .path = item.path,
                     .name = {},
                     .sha256 = {},
                     .size_bytes = item.size_bytes,
                     .why = item.why,
                     .removed = outcome.removed[i],
                     .error = {}};
    if (!item.name.empty()) out.name = item.name;
    if (item.kind == store::RemovalKind::blob) out.sha256 = item.digest.to_hex();
    if (!outcome.errors[i].empty()) out.error = outcome.errors[i];
    document.items.push_back(std::move(out));
  }
  return to_json(document) + "\n";
}

std::string outcome_text(const store::RemovalPlan& plan, const RemovalOutcome& outcome) {
  const auto count = std::ranges::count(outcome.removed, true);
  return fmt::format("removed {} of {}, {}\n", count, plan.items.size(),
                     human_bytes(removed_bytes(plan, outcome)));
}

bool is_confirmed(Context& context, const store::RemovalPlan& plan) {
  if (isatty(STDIN_FILENO) == 0 || isatty(context.out.descriptor()) == 0) return true;
  if (context.options.json) context.err.write(removal_text(plan, context.terminal));
  context.err.write("Remove all this? [y/N] ");
  std::string answer;
  char byte = 0;
  for (;;) {
    const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0 || byte == '\n') break;
    if (answer.size() < 16) answer += byte;
  }
  return answer == "y" || answer == "Y" || answer == "yes";
}

}  // namespace ggufd::ctl
