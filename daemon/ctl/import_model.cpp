#include "ctl/import_model.h"

#include <fmt/core.h>

#include <utility>

#include "ctl/model_headers.h"
#include "store/blob_import.h"
#include "store/manifest.h"
#include "store/model_lock.h"
#include "store/shard_links.h"

namespace ggufd::ctl {
namespace {

// The blobs stay open until the manifest names them: nobody takes them for garbage meanwhile.
struct Files {
  std::vector<store::ImportedBlob> blobs;
  std::vector<store::Digest> digests;
  std::uint64_t size_bytes = 0;
};

// What no load would take is refused before gigabytes are copied.
Result<void> check_candidate(const ImportCandidate& candidate) {
  std::vector<std::string> paths;
  for (const store::ForeignFile& file : candidate.files) paths.push_back(file.path);
  return check_model(paths);
}

Result<Files> import_files(const store::BlobStore& store, const ImportCandidate& candidate,
                           const OnImportProgress& on_progress) {
  Files files;
  std::uint64_t left_bytes = candidate.size_bytes();
  for (const store::ForeignFile& file : candidate.files) {
    const std::uint64_t before = candidate.size_bytes() - left_bytes;
    auto blob = store::import_blob(store, file.path, file.claimed, left_bytes, [&](std::uint64_t done_bytes) {
      return on_progress(before + done_bytes);
    });
    if (!blob) return std::unexpected(blob.error());
    left_bytes -= file.size_bytes;
    on_progress(candidate.size_bytes() - left_bytes);
    files.size_bytes += blob->blob.size_bytes;
    files.digests.push_back(blob->digest);
    files.blobs.push_back(std::move(*blob));
  }
  return files;
}

store::Manifest manifest_of(const ImportCandidate& candidate, const std::string& name, const Files& files) {
  store::Manifest manifest{.name = name,
                           .blob = "sha256:" + files.digests.front().to_hex(),
                           .size_bytes = files.size_bytes,
                           .source = candidate.files.front().source,
                           .produced_by = fmt::format("ggufctl {}", GGUFD_VERSION),
                           .produced_at = to_string(Timestamp::now())};
  if (files.digests.size() > 1) {
    auto& shards = manifest.shards.emplace();
    for (const store::Digest& digest : files.digests) shards.push_back("sha256:" + digest.to_hex());
  }
  return manifest;
}

// What the name stands for now; empty where it is free.
Result<std::vector<store::Digest>> shards_of(const store::BlobStore& store, const std::string& name) {
  const auto manifest = store::read_manifest(store.root(), name);
  if (!manifest) return std::unexpected(manifest.error());
  if (!*manifest) return {};
  return store::blobs_of(**manifest);
}

std::unexpected<Error> name_is_taken(const std::string& name) {
  return fail(ErrorCode::bad_field,
              fmt::format("the store has another model called {}; choose a --name, or `ggufctl rm {}` first",
                          name, name));
}

// A name whose digests are known beforehand to be others is refused before gigabytes are copied.
bool is_surely_other(const std::vector<store::Digest>& present, const ImportCandidate& candidate) {
  if (present.empty()) return false;
  if (present.size() != candidate.files.size()) return true;
  for (std::size_t i = 0; i < present.size(); ++i) {
    const auto& claimed = candidate.files[i].claimed;
    if (claimed && *claimed != present[i]) return true;
  }
  return false;
}

Result<void> link_files(const store::BlobStore& store, const ImportCandidate& candidate,
                        const std::string& name, const Files& files) {
  if (files.digests.size() < 2) return {};
  std::vector<store::ShardLink> links;
  for (std::size_t i = 0; i < files.digests.size(); ++i)
    links.push_back({candidate.files[i].file_name, files.digests[i]});
  const auto linked = store::link_shards(store, name, links);
  if (!linked) return std::unexpected(linked.error());
  return {};
}

}  // namespace

Result<ImportedModel> import_model(const store::BlobStore& store, const ImportCandidate& candidate,
                                   const std::string& name, const OnImportProgress& on_progress) {
  const auto lock = store::ModelLock::try_lock(store.root(), name);
  if (!lock) return std::unexpected(lock.error());
  if (!*lock)
    return fail(ErrorCode::busy, fmt::format("another program is fetching or changing the model {}", name));
  const auto present = shards_of(store, name);
  if (!present) return std::unexpected(present.error());
  if (is_surely_other(*present, candidate)) return name_is_taken(name);
  if (auto sound = check_candidate(candidate); !sound) return std::unexpected(sound.error());
  const auto files = import_files(store, candidate, on_progress);
  if (!files) return std::unexpected(files.error());
  if (!present->empty() && *present != files->digests) return name_is_taken(name);
  if (auto linked = link_files(store, candidate, name, *files); !linked)
    return std::unexpected(linked.error());
  if (present->empty()) {
    if (auto written = store::write_manifest(store.root(), manifest_of(candidate, name, *files)); !written)
      return std::unexpected(written.error());
  }
  bool was_there = !present->empty();
  for (const store::ImportedBlob& blob : files->blobs) was_there = was_there && blob.was_there;
  return ImportedModel{.name = name,
                       .shards = files->digests,
                       .size_bytes = files->size_bytes,
                       .path = files->blobs.front().blob.path,
                       .was_there = was_there};
}

}  // namespace ggufd::ctl
