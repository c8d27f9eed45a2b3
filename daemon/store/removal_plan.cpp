#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "store/removal.h"

namespace ggufd::store {
namespace {

std::uint64_t size_on_disk(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

bool is_there(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0;
}

std::string links_folder(const BlobStore& store, std::string_view model) {
  return join(store.root(), fmt::format("links/{}", model));
}

// What all manifests but one name. An error where one of them cannot be read.
Result<std::set<Digest>> named_by_others(const BlobStore& store, std::string_view model) {
  const auto names = manifest_names(store);
  if (!names) return std::unexpected(names.error());
  std::set<Digest> named;
  for (const std::string& name : *names) {
    if (name == model) continue;
    const auto manifest = read_manifest(store.root(), name);
    if (!manifest) return std::unexpected(manifest.error());
    if (!*manifest) continue;
    const auto blobs = blobs_of(**manifest);
    named.insert(blobs.begin(), blobs.end());
  }
  return named;
}

void plan_blobs(const BlobStore& store, std::string_view model, const Manifest& manifest, RemovalPlan& plan) {
  const auto named = named_by_others(store, model);
  if (!named) {
    plan.stays.push_back(
        fmt::format("its blobs stay, because another model may need them: {}", named.error().message));
    return;
  }
  const auto shards = blobs_of(manifest);
  for (const Digest& digest : std::set<Digest>(shards.begin(), shards.end())) {
    const std::string path = store.blob_path(digest);
    if (named->contains(digest)) {
      plan.stays.push_back(fmt::format("{} stays: another model needs it", path));
    } else if (is_there(path)) {
      plan.items.push_back({.kind = RemovalKind::blob,
                            .path = path,
                            .name = "",
                            .digest = digest,
                            .size_bytes = size_on_disk(path),
                            .why = "no other model needs it"});
    }
  }
}

bool is_old(Timestamp then, Timestamp now, std::int64_t age_ms) {
  return now.ms - then.ms > age_ms;
}

// One kind of garbage after the other.
class Garbage {
 public:
  Garbage(const Collection& collection, const GarbageRules& rules, const BlobStore& store)
      : collection_(collection), rules_(rules), store_(store) {}

  RemovalPlan plan() {
    plan_leftovers();
    plan_partials();
    plan_blobs();
    plan_links();
    plan_quarantine();
    return std::move(plan_);
  }

 private:
  void plan_leftovers();
  void plan_partials();
  void plan_blobs();
  void plan_links();
  void plan_quarantine();
  // Why no blob may go, as a sentence; empty where they may.
  std::string why_blobs_stay() const;

  const Collection& collection_;
  const GarbageRules& rules_;
  const BlobStore& store_;
  RemovalPlan plan_;
};

void Garbage::plan_leftovers() {
  for (const ListedLeftover& leftover : collection_.leftovers) {
    if (!is_old(leftover.modified_at, rules_.now, leftover_age_min_ms)) continue;
    plan_.items.push_back({.kind = RemovalKind::leftover,
                           .path = leftover.path,
                           .name = "",
                           .digest = {},
                           .size_bytes = leftover.size_bytes,
                           .why = leftover.what});
  }
}

void Garbage::plan_partials() {
  for (const ListedPartial& partial : collection_.partials) {
    if (partial.is_in_use) {
      plan_.stays.push_back(fmt::format("{} stays: it is being written", partial.path));
      continue;
    }
    const bool is_too_old = is_old(partial.modified_at, rules_.now, partial_age_max_ms);
    const bool is_wanted = !rules_.unknown_wants.empty() || rules_.wanted_blobs.contains(partial.key) ||
                           (rules_.is_wanted_partial && rules_.is_wanted_partial(partial));
    if (!is_too_old && is_wanted) continue;
    plan_.items.push_back({.kind = RemovalKind::partial,
                           .path = partial.path,
                           .name = "",
                           .digest = partial.key,
                           .size_bytes = partial.size_bytes,
                           .why = is_too_old ? "nobody went on with it for 7 days"
                                             : "no configured model would go on with it"});
  }
}

std::string Garbage::why_blobs_stay() const {
  if (!rules_.unknown_wants.empty()) return rules_.unknown_wants;
  if (!collection_.are_manifests_known) return "a manifest could not be read, and nobody knows what it names";
  return "";
}

void Garbage::plan_blobs() {
  const std::string why_all_stay = why_blobs_stay();
  if (!why_all_stay.empty()) plan_.stays.push_back(fmt::format("no blob goes: {}", why_all_stay));
  for (const ListedBlob& blob : collection_.orphans) {
    if (!why_all_stay.empty() || rules_.wanted_blobs.contains(blob.digest)) continue;
    if (blob.is_in_use) {
      plan_.stays.push_back(fmt::format("{} stays: it is in use", blob.path));
    } else {
      plan_.items.push_back({.kind = RemovalKind::blob,
                             .path = blob.path,
                             .name = "",
                             .digest = blob.digest,
                             .size_bytes = blob.size_bytes,
                             .why = "no model needs it"});
    }
  }
}

void Garbage::plan_links() {
  if (!rules_.unknown_wants.empty() || !collection_.are_manifests_known) return;
  for (const std::string& model : collection_.linked_models) {
    const bool has_manifest =
        std::ranges::find(collection_.models, model, &ListedModel::name) != collection_.models.end();
    if (has_manifest || rules_.wanted_models.contains(model)) continue;
    plan_.items.push_back({.kind = RemovalKind::links,
                           .path = links_folder(store_, model),
                           .name = model,
                           .digest = {},
                           .size_bytes = 0,
                           .why = "links of a model that is not there"});
  }
}

void Garbage::plan_quarantine() {
  if (rules_.quarantine == GarbageRules::Quarantine::keep) return;
  const bool takes_all = rules_.quarantine == GarbageRules::Quarantine::all;
  for (const ListedQuarantine& bad : collection_.quarantine) {
    if (!takes_all && !is_old(bad.put_away_at, rules_.now, quarantine_age_max_ms)) continue;
    plan_.items.push_back({.kind = RemovalKind::quarantine,
                           .path = bad.path,
                           .name = "",
                           .digest = {},
                           .size_bytes = bad.size_bytes,
                           .why = takes_all ? "quarantined" : "quarantined more than 30 days ago"});
  }
}

}  // namespace

std::uint64_t RemovalPlan::size_bytes() const {
  return std::accumulate(items.begin(), items.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const Removal& item) { return sum + item.size_bytes; });
}

Result<RemovalPlan> plan_model_removal(const BlobStore& store, std::string_view model) {
  const auto manifest = read_manifest(store.root(), model);
  if (!manifest && manifest.error().code == ErrorCode::bad_field) return std::unexpected(manifest.error());
  if (manifest && !*manifest)
    return fail(ErrorCode::not_in_store, fmt::format("no model {} in {}", model, store.root()));
  RemovalPlan plan;
  const std::string path = store.manifest_path(model);
  plan.items.push_back({.kind = RemovalKind::manifest,
                        .path = path,
                        .name = std::string(model),
                        .digest = {},
                        .size_bytes = size_on_disk(path),
                        .why = "its manifest"});
  if (is_there(links_folder(store, model))) {
    plan.items.push_back({.kind = RemovalKind::links,
                          .path = links_folder(store, model),
                          .name = std::string(model),
                          .digest = {},
                          .size_bytes = 0,
                          .why = "the real names of its shards"});
  }
  if (manifest) {
    plan_blobs(store, model, **manifest, plan);
  } else {
    plan.stays.push_back(
        fmt::format("its blobs are not known and stay until gc: {}", manifest.error().message));
  }
  return plan;
}

RemovalPlan plan_garbage(const Collection& collection, const GarbageRules& rules, const BlobStore& store) {
  return Garbage(collection, rules, store).plan();
}

}  // namespace ggufd::store
