#include "ctl/ls_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <vector>

#include "ctl/human.h"
#include "ctl/table.h"

namespace ggufd::ctl {
namespace {

struct LsModel {
  std::string name;
  std::string sha256;
  std::optional<std::vector<std::string>> shards;
  std::uint64_t size_bytes = 0;
  std::string integrity;
  Nullable<Timestamp> verified_at;
  std::string path;

  static void fields(auto& self, auto&& f) {
    f("name", self.name, "the model's name");
    f("sha256", self.sha256, "of the file; of a split GGUF the first shard's");
    f("shards", self.shards, "of a split GGUF every shard's digest");
    f("size_bytes", self.size_bytes, "of all shards");
    f("integrity", self.integrity,
      "what holds without hashing: stat-cached, kernel-enforced, unverified, missing; in place: a local file "
      "that was pinned on first use");
    f("verified_at", self.verified_at, "of the last full hash");
    f("path", self.path, "the file; of a split GGUF the first");
  }
};

struct LsOrphan {
  std::string sha256;
  std::uint64_t size_bytes = 0;
  std::string path;
  bool in_use = false;

  static void fields(auto& self, auto&& f) {
    f("sha256", self.sha256, "the blob's digest");
    f("size_bytes", self.size_bytes, "its size");
    f("path", self.path, "the file");
    f("in_use", self.in_use, "a process has it open");
  }
};

struct LsPartial {
  std::string key;
  std::uint64_t arrived_bytes = 0;
  std::uint64_t size_bytes = 0;
  std::string path;
  std::optional<std::string> source_url;
  Timestamp modified_at;
  bool in_use = false;

  static void fields(auto& self, auto&& f) {
    f("key", self.key, "the digest that it will have, or that of the source's name");
    f("arrived_bytes", self.arrived_bytes, "what it goes on with, as its journal says");
    f("size_bytes", self.size_bytes, "on the disk, with what is only reserved");
    f("path", self.path, "the folder");
    f("source_url", self.source_url, "where it comes from");
    f("modified_at", self.modified_at, "when it last grew");
    f("in_use", self.in_use, "a process writes it");
  }
};

struct LsQuarantine {
  std::string path;
  std::uint64_t size_bytes = 0;
  std::optional<std::string> reason;
  std::optional<std::string> expected;
  std::optional<std::string> actual;
  std::optional<std::string> url;
  Timestamp when;

  static void fields(auto& self, auto&& f) {
    f("path", self.path, "the file");
    f("size_bytes", self.size_bytes, "its size");
    f("reason", self.reason, "what was wrong");
    f("expected", self.expected, "what it should have been");
    f("actual", self.actual, "what it was");
    f("url", self.url, "where it came from");
    f("when", self.when, "when it was put away");
  }
};

struct LsDocument {
  std::vector<LsModel> models;
  std::vector<LsOrphan> orphans;
  std::vector<LsPartial> partials;
  std::vector<LsQuarantine> quarantine;
  std::vector<std::string> problems;

  static void fields(auto& self, auto&& f) {
    f("models", self.models, "by name");
    f("orphans", self.orphans, "blobs that no manifest names");
    f("partials", self.partials, "unfinished downloads");
    f("quarantine", self.quarantine, "bad files that were put away");
    f("problems", self.problems, "what is there and could not be read");
  }
};

std::string integrity_of(const store::ListedModel& model) {
  if (model.is_in_place) return "in place";
  if (!model.is_complete) return "missing";
  return model.needs_hash ? "unverified" : std::string(name_of(model.integrity));
}

std::vector<std::string> hexes(const std::vector<store::Digest>& digests) {
  std::vector<std::string> texts;
  texts.reserve(digests.size());
  for (const store::Digest& digest : digests) texts.push_back(digest.to_hex());
  return texts;
}

LsModel document_of(const store::ListedModel& model) {
  LsModel out{.name = model.name,
              .sha256 = model.shards.front().to_hex(),
              .shards = {},
              .size_bytes = model.size_bytes,
              .integrity = integrity_of(model),
              .verified_at = {model.verified_at},
              .path = model.path};
  if (model.shards.size() > 1) out.shards = hexes(model.shards);
  return out;
}

LsQuarantine document_of(const store::ListedQuarantine& bad) {
  LsQuarantine out{.path = bad.path, .size_bytes = bad.size_bytes, .when = bad.put_away_at};
  if (!bad.record) return out;
  out.reason = bad.record->reason;
  out.expected = bad.record->expected;
  out.actual = bad.record->actual;
  out.url = bad.record->url;
  return out;
}

std::string ago(Timestamp then, Timestamp now) {
  const std::int64_t seconds = std::max<std::int64_t>(now.ms - then.ms, 0) / 1000;
  return human_age(static_cast<std::uint64_t>(seconds)) + " ago";
}

using Rows = std::vector<std::vector<Cell>>;

// A part of the text: its title, then its table; nothing where it has no rows.
std::string section(const char* title, const std::vector<Column>& columns, const Rows& rows,
                    const Terminal& terminal) {
  if (rows.empty()) return "";
  const std::string head = *title == '\0' ? "" : fmt::format("\n{}\n", title);
  return head + table(columns, rows, terminal.columns, terminal.style);
}

std::string models_section(const store::Collection& collection, Timestamp now, const Terminal& terminal) {
  Rows rows;
  for (const store::ListedModel& model : collection.models) {
    const std::string integrity = integrity_of(model);
    const Colour colour = model.is_in_place    ? Colour::green
                          : !model.is_complete ? Colour::red
                          : model.needs_hash   ? Colour::yellow
                                               : Colour::green;
    rows.push_back({{model.name},
                    {human_bytes(model.size_bytes)},
                    {integrity, colour},
                    {model.verified_at ? ago(*model.verified_at, now) : "-"},
                    {model.shards.size() > 1 ? fmt::format("{}", model.shards.size()) : "1"},
                    {printable(model.path)}});
  }
  return section(
      "",
      {{"MODEL", 0}, {"SIZE", 0, true}, {"INTEGRITY", 0}, {"VERIFIED", 3}, {"FILES", 2, true}, {"PATH", 1}},
      rows, terminal);
}

std::string orphans_section(const store::Collection& collection, const Terminal& terminal) {
  Rows rows;
  for (const store::ListedBlob& blob : collection.orphans)
    rows.push_back(
        {{human_bytes(blob.size_bytes)}, {blob.is_in_use ? "in use" : "-"}, {printable(blob.path)}});
  return section("Blobs that no model names", {{"SIZE", 0, true}, {"STATE", 1}, {"PATH", 0}}, rows, terminal);
}

std::string partials_section(const store::Collection& collection, const ArrivedBytes& arrived_bytes,
                             Timestamp now, const Terminal& terminal) {
  Rows rows;
  for (const store::ListedPartial& partial : collection.partials) {
    rows.push_back({{human_bytes(arrived_bytes(partial.path))},
                    {human_bytes(partial.size_bytes)},
                    {partial.is_in_use ? "being written" : ago(partial.modified_at, now)},
                    {partial.source_url.empty() ? "-" : printable(partial.source_url)},
                    {printable(partial.path)}});
  }
  return section("Unfinished downloads",
                 {{"ARRIVED", 0, true}, {"ON DISK", 2, true}, {"CHANGED", 0}, {"FROM", 0}, {"PATH", 1}}, rows,
                 terminal);
}

std::string quarantine_section(const store::Collection& collection, Timestamp now, const Terminal& terminal) {
  Rows rows;
  for (const store::ListedQuarantine& bad : collection.quarantine) {
    rows.push_back({{human_bytes(bad.size_bytes)},
                    {ago(bad.put_away_at, now)},
                    {bad.record ? printable(bad.record->reason) : "unknown"},
                    {printable(bad.path)}});
  }
  return section("Quarantine", {{"SIZE", 0, true}, {"SINCE", 1}, {"REASON", 0}, {"PATH", 0}}, rows, terminal);
}

}  // namespace

std::string ls_json(const store::Collection& collection, const ArrivedBytes& arrived_bytes) {
  LsDocument document;
  for (const auto& model : collection.models) document.models.push_back(document_of(model));
  for (const auto& blob : collection.orphans)
    document.orphans.push_back({blob.digest.to_hex(), blob.size_bytes, blob.path, blob.is_in_use});
  for (const auto& partial : collection.partials) {
    LsPartial out{.key = partial.key.to_hex(),
                  .arrived_bytes = arrived_bytes(partial.path),
                  .size_bytes = partial.size_bytes,
                  .path = partial.path,
                  .source_url = {},
                  .modified_at = partial.modified_at,
                  .in_use = partial.is_in_use};
    if (!partial.source_url.empty()) out.source_url = partial.source_url;
    document.partials.push_back(std::move(out));
  }
  for (const auto& bad : collection.quarantine) document.quarantine.push_back(document_of(bad));
  document.problems = collection.problems;
  return to_json(document) + "\n";
}

std::string ls_text(const store::Collection& collection, const ArrivedBytes& arrived_bytes,
                    const std::string& root, Timestamp now, const Terminal& terminal) {
  std::string text = models_section(collection, now, terminal);
  if (collection.models.empty()) text = fmt::format("no models in {}\n", printable(root));
  text += orphans_section(collection, terminal);
  text += partials_section(collection, arrived_bytes, now, terminal);
  text += quarantine_section(collection, now, terminal);
  return text;
}

}  // namespace ggufd::ctl
