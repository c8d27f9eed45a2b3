// What rm and gc take out of the store: first a plan, to be shown; then its items one by one, each only where
// nobody uses it. Everything blocks.
//
// A blob's users hold a shared flock on its `data` (FoundBlob), a partial's writer an exclusive one on its
// `data.tmp`, who changes what a model's name stands for the model's lock. Removal takes the exclusive lock
// of each, without waiting; where it doesn't get it the item stays.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/enum_names.h"
#include "protocol/error.h"
#include "store/collection.h"

namespace ggufd::store {

enum class RemovalKind : std::uint8_t { manifest, links, blob, partial, leftover, quarantine };

struct Removal {
  RemovalKind kind = RemovalKind::leftover;
  std::string path;
  std::string name;  // of the model (manifest, links); else empty
  Digest digest;     // of the blob, or the partial's key
  std::uint64_t size_bytes = 0;
  std::string why;  // a clause: "no manifest names it"
};

struct RemovalPlan {
  std::vector<Removal> items;      // in the order in which they go
  std::vector<std::string> stays;  // sentences: what one may have expected to go, and why it does not
  std::uint64_t size_bytes() const;
};

// What `rm` takes: the model's manifest, its links, and its blobs that no other manifest names. Where the
// manifest cannot be read, its blobs are not known and stay, for gc. `not_in_store` where there is no such
// manifest.
Result<RemovalPlan> plan_model_removal(const BlobStore& store, std::string_view model);

// All of a plan of plan_model_removal() or nothing: the model and every blob are locked first, and who names
// the blobs is looked up again. `busy` where one is in use: nothing is removed then. `on_removed` is told of
// each item.
Result<void> remove_model(const BlobStore& store, std::string_view model, const RemovalPlan& plan,
                          const std::function<void(const Removal&)>& on_removed);

// What gc is to keep, and how old things must be.
struct GarbageRules {
  // Of the configuration: digests of models, names of models, keys of partials that a download would resume.
  std::set<Digest> wanted_blobs = {};
  std::set<std::string, std::less<>> wanted_models = {};
  std::function<bool(const ListedPartial&)> is_wanted_partial = {};
  // Why nothing is known of what the configuration wants, as a sentence; then blobs, links and partials that
  // are not old stay. Empty where it is known.
  std::string unknown_wants = {};
  enum class Quarantine : std::uint8_t { keep, old, all } quarantine = Quarantine::keep;
  Timestamp now = {};
};

inline constexpr std::int64_t day_ms = 86'400'000;
// A download that nobody took up again for so long is not worth its room, even where it could be resumed.
inline constexpr std::int64_t partial_age_max_ms = 7 * day_ms;
inline constexpr std::int64_t quarantine_age_max_ms = 30 * day_ms;
// Nobody takes longer than this between making a temporary file and giving it its name.
inline constexpr std::int64_t leftover_age_min_ms = day_ms / 24;

// Pure.
RemovalPlan plan_garbage(const Collection& collection, const GarbageRules& rules, const BlobStore& store);

// Removes one item of plan_garbage(). `busy` where it is in use, or a manifest has come to name it; success
// where it has gone already.
Result<void> remove_garbage(const BlobStore& store, const Removal& item);

}  // namespace ggufd::store

template <>
inline constexpr auto ggufd::EnumNames<ggufd::store::RemovalKind> =
    std::to_array<std::string_view>({"manifest", "links", "blob", "partial", "leftover", "quarantine"});
