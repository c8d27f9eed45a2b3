#include "doctor/model_bytes.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "doctor/text.h"
#include "fetch/journal.h"
#include "memory/budget.h"
#include "store/manifest.h"

namespace ggufd::doctor {
namespace {

// What is known of a model's files together.
struct Bytes {
  std::size_t files = 0;
  std::size_t present = 0;
  std::uint64_t size_bytes = 0;
  std::optional<Integrity> integrity;    // the weakest
  std::optional<Timestamp> verified_at;  // the oldest
  std::string why_hashed;                // what the next load hashes before anything else; empty: nothing
};

// The digests that the model's name stands for: the configuration's, else those that the manifest pins.
Result<std::vector<store::Digest>> digests_of(const store::BlobStore& store,
                                              const config::ModelConfig& model) {
  std::vector<store::Digest> digests;
  for (const std::string& hex : model.sha256) {
    if (const auto digest = store::Digest::parse(hex)) digests.push_back(*digest);
  }
  if (!digests.empty()) return digests;
  const auto manifest = store::read_manifest(store.root(), model.name);
  if (!manifest) return std::unexpected(manifest.error());
  return *manifest ? store::blobs_of(**manifest) : digests;
}

Result<Bytes> look_at_blobs(const store::BlobStore& store, const std::vector<store::Digest>& digests) {
  Bytes bytes{.files = digests.size()};
  for (const store::Digest& digest : digests) {
    const auto found = store.find(digest);
    if (!found) return std::unexpected(found.error());
    if (!*found) continue;
    const store::FoundBlob& blob = **found;
    ++bytes.present;
    bytes.size_bytes += blob.size_bytes;
    if (blob.needs_hash) bytes.why_hashed = blob.reason;
    bytes.integrity = std::min(bytes.integrity.value_or(blob.integrity), blob.integrity);
    if (blob.verified_at) {
      const Timestamp oldest = bytes.verified_at.value_or(*blob.verified_at);
      bytes.verified_at = blob.verified_at->ms < oldest.ms ? *blob.verified_at : oldest;
    }
  }
  return bytes;
}

std::string verified_text(const Bytes& bytes, Timestamp now) {
  std::string text = fmt::format("{} in {}", memory::amount(bytes.size_bytes), count_of(bytes.files, "file"));
  if (bytes.integrity) text += fmt::format(", {}", name_of(*bytes.integrity));
  if (bytes.verified_at) text += ", verified " + ago(*bytes.verified_at, now);
  return text;
}

void judge_present(const config::ModelConfig& model, const Bytes& bytes, Timestamp now, Group& group) {
  if (model.size_bytes && *model.size_bytes != bytes.size_bytes) {
    group.fail(model.name,
               fmt::format("{} bytes are here, and size_bytes says {}", bytes.size_bytes, *model.size_bytes),
               "correct size_bytes, or sha256, in the configuration");
  } else if (!bytes.why_hashed.empty()) {
    group.warn(
        model.name,
        fmt::format("{}: hashed again at the next load: {}", verified_text(bytes, now), bytes.why_hashed),
        fmt::format("nothing has to be done; `ggufctl verify {}` does it now", model.name));
  } else {
    group.ok(model.name, verified_text(bytes, now));
  }
}

// What downloads that can go on have.
struct Begun {
  std::uint64_t arrived_bytes = 0;
  std::uint64_t reserved_bytes = 0;  // room on the disk into which nothing has come yet
};

Begun begun_downloads(const store::BlobStore& store, const std::vector<store::Digest>& digests) {
  constexpr std::uint64_t disk_block_bytes = 512;
  Begun begun;
  for (const store::Digest& digest : digests) {
    struct stat status{};
    const std::string folder = store.partial_folder(digest);
    const std::string path = store::join(folder, store::Partial::data_name);
    if (lstat(path.c_str(), &status) != 0) continue;
    const auto on_disk_bytes = static_cast<std::uint64_t>(status.st_blocks) * disk_block_bytes;
    const std::uint64_t arrived_bytes = fetch::arrived_bytes(folder);
    begun.arrived_bytes += arrived_bytes;
    begun.reserved_bytes += on_disk_bytes - std::min(on_disk_bytes, arrived_bytes);
  }
  return begun;
}

void judge_missing(const config::Config& config, const config::ModelConfig& model, const Bytes& bytes,
                   const Begun& begun, Group& group, ToFetch& to_fetch) {
  std::string found = bytes.present == 0
                          ? "not in the store"
                          : fmt::format("{} of {} files are in the store", bytes.present, bytes.files);
  if (!config.auto_pull) {
    return group.fail(model.name, found + ", and auto_pull is false",
                      fmt::format("run `ggufctl pull {0}`, or `ggufctl import` a copy", model.name));
  }
  ++to_fetch.models;
  if (model.size_bytes) {
    const std::uint64_t here = bytes.size_bytes + begun.arrived_bytes;
    const std::uint64_t missing = *model.size_bytes - std::min(*model.size_bytes, here);
    to_fetch.bytes += missing;
    to_fetch.reserved_bytes += std::min(missing, begun.reserved_bytes);
  } else {
    ++to_fetch.models_of_unknown_size;
  }
  if (begun.arrived_bytes > 0) found += fmt::format("; {} have arrived", memory::amount(begun.arrived_bytes));
  group.warn(model.name, found + "; it is fetched when it is loaded",
             fmt::format("`ggufctl pull {}` fetches it before it is needed", model.name));
}

// What the bytes of a local file are compared with; none of one that may be anything.
Result<std::vector<store::Digest>> local_digests_of(const store::BlobStore& store,
                                                    const config::ModelConfig& model) {
  if (model.sha256.empty() && model.pin != config::Pin::first_use) return std::vector<store::Digest>();
  return digests_of(store, model);
}

// The other shards of a local split model are the load's business: it names each one that is missing.
void check_local_file(const store::BlobStore& store, const config::ModelConfig& model,
                      const std::string& path, Timestamp now, Group& group) {
  const store::UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) {
    return group.fail(model.name, system_error("opening " + path, errno).message,
                      "correct the path in `source`, or its permissions");
  }
  const auto status = store::stat_of(file.get(), path);
  if (!status || !S_ISREG(status->st_mode))
    return group.fail(model.name, path + " is no regular file", "name a GGUF file in `source`");
  const auto size_bytes = static_cast<std::uint64_t>(status->st_size);
  const bool is_split = config::parse_shard_name(path.substr(path.rfind('/') + 1)).has_value();
  if (model.size_bytes && !is_split && *model.size_bytes != size_bytes) {
    return group.fail(
        model.name,
        fmt::format("{} has {} bytes, and size_bytes says {}", path, size_bytes, *model.size_bytes),
        "correct size_bytes, or look where the file is from");
  }
  const auto stamp = store.find_local_stamp(file.get(), path);
  if (!stamp) return group.fail(model.name, stamp.error().message, "make the store readable");
  if (!*stamp) {
    return group.warn(model.name, fmt::format("{}: hashed at the next load", path),
                      "nothing has to be done; a file that only its owner may write is hashed once");
  }
  const auto digests = local_digests_of(store, model);
  if (!digests) return group.fail(model.name, digests.error().message, "remove that manifest");
  if (!digests->empty() && digests->front() != (*stamp)->digest) {
    const bool is_configured = !model.sha256.empty();
    return group.fail(
        model.name,
        fmt::format("{} has the SHA-256 {}, and {} says {}", path, (*stamp)->digest.to_hex(),
                    is_configured ? "sha256" : "its manifest (pin first-use)", digests->front().to_hex()),
        is_configured ? "correct sha256, or replace the file"
                      : fmt::format("replace the file, or let `ggufctl rm {}` forget the pin", model.name));
  }
  group.ok(model.name, fmt::format("{}, {}, used in place, verified {}", path, memory::amount(size_bytes),
                                   ago((*stamp)->verified_at, now)));
}

}  // namespace

void check_model_bytes(const store::BlobStore& store, const config::Config& config,
                       const config::ModelConfig& model, Timestamp now, Group& group, ToFetch& to_fetch) {
  if (const auto* file = std::get_if<config::FileSource>(&model.sources.front().where)) {
    return check_local_file(store, model, file->path, now, group);
  }
  const auto digests = digests_of(store, model);
  if (!digests) {
    return group.fail(model.name, digests.error().message,
                      "remove that manifest; the next load writes it anew");
  }
  const auto bytes = look_at_blobs(store, *digests);
  if (!bytes) return group.fail(model.name, bytes.error().message, "make the store readable for this user");
  if (bytes->files > 0 && bytes->present == bytes->files) return judge_present(model, *bytes, now, group);
  judge_missing(config, model, *bytes, begun_downloads(store, *digests), group, to_fetch);
}

}  // namespace ggufd::doctor
