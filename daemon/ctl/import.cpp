#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "ctl/configured.h"
#include "ctl/elapsed.h"
#include "ctl/human.h"
#include "ctl/import_candidates.h"
#include "ctl/import_model.h"
#include "ctl/import_progress.h"
#include "ctl/import_report.h"
#include "ctl/verb.h"

namespace ggufd::ctl {
namespace {

class ImportVerb final : public Verb {
 public:
  const char* name() const override { return "import"; }
  const char* summary() const override { return "copy models of this machine into the store"; }
  const char* example() const override {
    return "ggufctl import --from ollama --list\n"
           "ggufctl import ~/Downloads/qwen3-4b-q4_k_m.gguf --name qwen3-4b";
  }
  const char* exit_codes() const override {
    return "0  all that was asked for is in the store\n"
           "1  something could not be imported, or there is no such model";
  }
  void bind(Parameters& parameters) override {
    parameters.positionals("FILE|MODEL", words_, "GGUF files; with --from a cache, the models wanted of it");
    parameters.text("--from", from_, "a cache, of Hugging Face, Ollama or llama.cpp; or a file",
                    "hf|ollama|llama.cpp|FILE");
    parameters.text("--name", name_, "the name that it gets in the store", "NAME");
    parameters.flag("--list", is_list_, "say what could be imported, and do nothing");
    parameters.flag("--all", takes_all_, "with --from a cache: everything in it");
  }

  int run(Context& context) override {
    if (const std::string mistake = check(); !mistake.empty()) {
      context.complain(mistake);
      return usage;
    }
    auto found = find(context);
    if (!found) {
      context.complain(found.error().message);
      return failed;
    }
    if (is_list_) return list(context, *found, is_of_cache() || found->problems.empty() ? done : failed);
    if (is_of_cache()) {
      if (words_.empty() && !takes_all_ && found->models.size() != 1) {
        context.complain("name what is wanted, or --all; this is there:");
        return list(context, *found, usage);
      }
      if (const auto unknown = select(*found)) {
        context.complain(
            fmt::format("there is no model {}, or it is not whole; --list shows what there is", *unknown));
        return failed;
      }
    }
    const std::size_t asked_for = found->models.size() + (is_of_cache() ? 0 : found->problems.size());
    if (name_ && asked_for != 1) {
      context.complain("--name goes with one model");
      return usage;
    }
    return import(context, *found);
  }

 private:
  bool is_of_cache() const { return from_ && is_origin(*from_); }

  // What is wrong with the command line; empty where nothing is.
  std::string check() const {
    const bool is_cache = is_of_cache();
    if (!from_ && words_.empty()) return "import takes a FILE, or --from and one of hf, ollama, llama.cpp";
    if (from_ && !is_cache && !words_.empty())
      return "--from names a file already; name the others without it";
    if (takes_all_ && (!is_cache || !words_.empty()))
      return "--all goes with --from hf, ollama or llama.cpp alone";
    if (name_ && !store::is_model_name(*name_))
      return fmt::format("\"{}\" is no model name: 1 to 64 of A-Z a-z 0-9 . _ - and no dot in front", *name_);
    return "";
  }

  Result<ImportCandidates> find(const Context& context) const {
    if (is_of_cache()) return candidates_of(*from_, context);
    ImportCandidates found;
    for (const std::string& file : from_ ? std::vector{*from_} : words_) {
      std::error_code failure;
      const auto path = std::filesystem::absolute(file, failure);
      auto candidate = candidate_of_file(failure ? file : path.lexically_normal().string());
      // The others are imported all the same.
      if (candidate) {
        found.models.push_back(std::move(*candidate));
      } else {
        found.problems.push_back(candidate.error().message);
      }
    }
    return found;
  }

  // Keeps what the words name, by title or by suggested name; the first word that names nothing.
  std::optional<std::string> select(ImportCandidates& found) const {
    if (words_.empty()) return std::nullopt;
    std::vector<ImportCandidate> wanted;
    for (const std::string& word : words_) {
      const auto is_meant = [&](const ImportCandidate& model) {
        return model.title == word || model.name == word;
      };
      const auto model = std::ranges::find_if(found.models, is_meant);
      if (model == found.models.end()) return word;
      wanted.push_back(*model);
    }
    found.models = std::move(wanted);
    return std::nullopt;
  }

  static int list(Context& context, const ImportCandidates& found, int code) {
    if (context.options.json) {
      context.out.write(candidates_json(found));
    } else {
      context.out.write(candidates_text(found, context.terminal));
      for (const std::string& problem : found.problems) context.complain(problem);
    }
    return code;
  }

  int import(Context& context, const ImportCandidates& found) const {
    const auto store = open_store(context, read_configured(context));
    if (!store) {
      context.complain(store.error().message);
      return failed;
    }
    std::vector<ImportedModel> imported;
    // What is not whole in a cache was not asked for; a file was.
    std::vector<std::string> problems = is_of_cache() ? std::vector<std::string>() : found.problems;
    for (const std::string& problem : problems) context.complain(problem);
    for (const ImportCandidate& candidate : found.models) {
      const auto begun_at = std::chrono::steady_clock::now();
      const auto model = import_one(context, *store, candidate);
      if (!model) {
        problems.push_back(model.error().message);
        context.complain(model.error().message);
        continue;
      }
      if (!context.options.json) context.out.write(imported_text(*model, elapsed_ms(begun_at)));
      imported.push_back(*model);
    }
    if (context.options.json) context.out.write(imported_json(imported, problems));
    return problems.empty() ? done : failed;
  }

  Result<ImportedModel> import_one(Context& context, const store::BlobStore& store,
                                   const ImportCandidate& candidate) const {
    const std::string name = name_.value_or(candidate.name);
    ImportProgress progress(context, name, candidate.size_bytes());
    return import_model(store, candidate, name, [&](std::uint64_t done_bytes) {
      progress.show(done_bytes);
      return true;
    });
  }

  std::vector<std::string> words_;
  std::optional<std::string> from_;
  std::optional<std::string> name_;
  bool is_list_ = false;
  bool takes_all_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_import() {
  return std::make_unique<ImportVerb>();
}

}  // namespace ggufd::ctl
