#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <string>

#include "config/foreign_stores.h"
#include "config/places.h"
#include "doctor/checks.h"
#include "doctor/group.h"
#include "doctor/text.h"
#include "memory/budget.h"
#include "store/blob_store.h"
#include "store/foreign_store.h"

namespace ggufd::doctor {
namespace {

Result<store::ForeignListing> list_foreign(std::string_view name, const std::string& folder) {
  if (name == "hf") return store::list_hugging_face(folder);
  if (name == "ollama") return store::list_ollama(folder);
  return store::list_llama_cpp(folder);
}

// A file there that would otherwise be fetched, and the model that it would be fetched for.
struct Wanted {
  const store::ForeignFile* file = nullptr;
  const config::ModelConfig* model = nullptr;
};

Wanted wanted_file(const store::ForeignListing& listing, const config::Config& config,
                   const store::BlobStore& store) {
  for (const store::ForeignFile& file : listing.files) {
    if (!file.claimed) continue;
    const std::string hex = file.claimed->to_hex();
    for (const config::ModelConfig& model : config.models) {
      if (std::ranges::find(model.sha256, hex) == model.sha256.end()) continue;
      const auto here = store.find(*file.claimed);
      if (!here || !*here) return {&file, &model};
    }
  }
  return {};
}

Wanted wanted_file(const store::ForeignListing& listing, const std::optional<config::Config>& config,
                   const Subject& subject) {
  if (!config) return {};
  const auto place =
      config::find_store_folder(subject.places, config->models_home, subject.environment, subject.uid);
  return place ? wanted_file(listing, *config, store::BlobStore(place->path)) : Wanted();
}

void check_foreign_store(const Subject& subject, std::string_view name,
                         const std::optional<config::Config>& config, Group& group) {
  const std::string folder = config::foreign_store_folder(name, subject.environment, subject.uid);
  struct stat status{};
  if (stat(folder.c_str(), &status) != 0) {
    const bool is_missing = errno == ENOENT || errno == ENOTDIR;
    return group.skip(std::string(name), folder + (is_missing ? " is not there" : " is not for this user"));
  }
  const auto listing = list_foreign(name, folder);
  if (!listing)
    return group.fail(std::string(name), listing.error().message,
                      "make it readable for this user, if it is to be imported from");
  const std::uint64_t bytes = std::accumulate(
      listing->files.begin(), listing->files.end(), std::uint64_t{0},
      [](std::uint64_t sum, const store::ForeignFile& file) { return sum + file.size_bytes; });
  const std::string found = fmt::format("{} in {}, {}", count_of(listing->files.size(), "GGUF file"), folder,
                                        memory::amount(bytes));
  if (const Wanted wanted = wanted_file(*listing, config, subject); wanted.file != nullptr) {
    return group.warn(
        std::string(name),
        fmt::format("{}; {} is what {} would be fetched for", found, wanted.file->title, wanted.model->name),
        fmt::format("`ggufctl import --from {}` takes it over without a download", name));
  }
  if (!listing->problems.empty()) {
    return group.warn(std::string(name), fmt::format("{}; {}", found, listing->problems.front()),
                      "repair it with the program that it belongs to");
  }
  group.ok(std::string(name),
           found + (listing->files.empty() ? "" : fmt::format("; `ggufctl import --from {}`", name)));
}

}  // namespace

void check_other_stores(const Subject& subject, const std::optional<config::Config>& config,
                        answer::Doctor& report) {
  Group group(report, "other stores");
  for (const std::string_view name : config::foreign_stores)
    check_foreign_store(subject, name, config, group);
}

}  // namespace ggufd::doctor
