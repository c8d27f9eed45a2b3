#include "ctl/import_report.h"

#include <fmt/core.h>

#include "ctl/human.h"
#include "ctl/table.h"
#include "protocol/fields.h"

namespace ggufd::ctl {
namespace {

struct FoundFile {
  std::string path;
  std::uint64_t size_bytes = 0;
  std::optional<std::string> claimed_sha256;

  static void fields(auto& self, auto&& f) {
    f("path", self.path, "where its bytes are");
    f("size_bytes", self.size_bytes, "its size");
    f("claimed_sha256", self.claimed_sha256, "the digest that its name there says");
  }
};

struct FoundModel {
  std::string title;
  std::string name;
  std::uint64_t size_bytes = 0;
  std::vector<FoundFile> files;

  static void fields(auto& self, auto&& f) {
    f("title", self.title, "what it is called there");
    f("name", self.name, "the name that it would get");
    f("size_bytes", self.size_bytes, "of all files");
    f("files", self.files, "its files, in order");
  }
};

struct FoundDocument {
  std::vector<FoundModel> found;
  std::vector<std::string> problems;

  static void fields(auto& self, auto&& f) {
    f("found", self.found, "what can be imported");
    f("problems", self.problems, "what looks like a model and can't be had");
  }
};

struct ImportedItem {
  std::string name;
  std::string sha256;
  std::optional<std::vector<std::string>> shards;
  std::uint64_t size_bytes = 0;
  std::string path;
  bool was_there = false;

  static void fields(auto& self, auto&& f) {
    f("name", self.name, "the model's name in the store");
    f("sha256", self.sha256, "of the file; of a split GGUF the first shard's");
    f("shards", self.shards, "of a split GGUF every shard's digest");
    f("size_bytes", self.size_bytes, "of all shards");
    f("path", self.path, "the file; of a split GGUF the first");
    f("was_there", self.was_there, "the store had it already");
  }
};

struct ImportedDocument {
  std::vector<ImportedItem> imported;
  std::vector<std::string> problems;

  static void fields(auto& self, auto&& f) {
    f("imported", self.imported, "what is in the store now");
    f("problems", self.problems, "what could not be imported, and why");
  }
};

}  // namespace

std::string candidates_json(const ImportCandidates& found) {
  FoundDocument document{.found = {}, .problems = found.problems};
  for (const ImportCandidate& model : found.models) {
    FoundModel out{.title = model.title, .name = model.name, .size_bytes = model.size_bytes(), .files = {}};
    for (const store::ForeignFile& file : model.files) {
      FoundFile each{.path = file.path, .size_bytes = file.size_bytes, .claimed_sha256 = {}};
      if (file.claimed) each.claimed_sha256 = file.claimed->to_hex();
      out.files.push_back(std::move(each));
    }
    document.found.push_back(std::move(out));
  }
  return to_json(document) + "\n";
}

std::string candidates_text(const ImportCandidates& found, const Terminal& terminal) {
  if (found.models.empty()) return "nothing to import\n";
  std::vector<std::vector<Cell>> rows;
  for (const ImportCandidate& model : found.models) {
    rows.push_back({{printable(model.title)},
                    {human_bytes(model.size_bytes())},
                    {fmt::format("{}", model.files.size())},
                    {model.name}});
  }
  return table({{"MODEL", 0}, {"SIZE", 0, true}, {"FILES", 1, true}, {"NAME", 0}}, rows, terminal.columns,
               terminal.style);
}

std::string imported_json(const std::vector<ImportedModel>& models,
                          const std::vector<std::string>& problems) {
  ImportedDocument document{.imported = {}, .problems = problems};
  for (const ImportedModel& model : models) {
    ImportedItem out{.name = model.name,
                     .sha256 = model.shards.front().to_hex(),
                     .shards = {},
                     .size_bytes = model.size_bytes,
                     .path = model.path,
                     .was_there = model.was_there};
    if (model.shards.size() > 1) {
      auto& shards = out.shards.emplace();
      for (const store::Digest& digest : model.shards) shards.push_back(digest.to_hex());
    }
    document.imported.push_back(std::move(out));
  }
  return to_json(document) + "\n";
}

std::string imported_text(const ImportedModel& model, std::uint64_t took_ms) {
  const std::string files = model.shards.size() > 1 ? fmt::format(" in {} files", model.shards.size()) : "";
  const std::string how = model.was_there ? "was there already" : "imported in " + human_ms(took_ms);
  return fmt::format("{}: {}{}, {}, {}\n", model.name, human_bytes(model.size_bytes), files, how,
                     printable(model.path));
}

}  // namespace ggufd::ctl
