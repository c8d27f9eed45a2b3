#include "model/keep.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "config/address.h"
#include "protocol/fields.h"
#include "store/manifest.h"
#include "store/shard_links.h"

namespace ggufd::model {
namespace {

store::ManifestSource manifest_source(const config::Source& source, const std::string& revision) {
  if (const auto* hub = std::get_if<config::HuggingFaceSource>(&source.where)) {
    return {"huggingface.co", hub->org + "/" + hub->repo, revision.empty() ? hub->revision : revision,
            hub->path};
  }
  if (const auto* file = std::get_if<config::FileSource>(&source.where)) return {"file", "", "", file->path};
  const std::string shown = config::to_string(source);
  const auto parts = config::split_url(shown);
  if (!parts) return {"", "", revision, shown};
  std::string_view path = parts->rest;
  path.remove_prefix(std::min<std::size_t>(path.find_first_not_of('/'), path.size()));
  return {std::string(parts->authority), "", revision, std::string(path)};
}

}  // namespace

KeptModel kept_in_place(const std::string& name, const Copies& copies) {
  KeptModel kept{.name = name,
                 .digests = {},
                 .size_bytes = total_bytes(copies),
                 .source = {config::FileSource{copies.front()->path}},
                 .revision = ""};
  for (const auto& copy : copies) kept.digests.push_back(*copy->digest);
  return kept;
}

Result<void> record_manifest(const store::BlobStore& store, const KeptModel& model) {
  const auto present = store::read_manifest(store.root(), model.name);
  if (present && *present && store::blobs_of(**present) == model.digests &&
      (*present)->size_bytes == model.size_bytes) {
    return {};
  }
  std::vector<std::string> blobs;
  for (const store::Digest& digest : model.digests) blobs.push_back("sha256:" + digest.to_hex());
  store::Manifest manifest{.name = model.name,
                           .blob = blobs.front(),
                           .size_bytes = model.size_bytes,
                           .source = manifest_source(model.source, model.revision),
                           .produced_by = "ggufd " GGUFD_VERSION,
                           .produced_at = to_string(Timestamp::now())};
  if (blobs.size() > 1) manifest.shards = std::move(blobs);
  return store::write_manifest(store.root(), manifest);
}

Result<std::string> link_files(const store::BlobStore& store, const std::string& model,
                               const std::vector<ModelFile>& files) {
  std::vector<store::ShardLink> links;
  links.reserve(files.size());
  for (const ModelFile& file : files) links.push_back({file.name(), *file.digest});
  return store::link_shards(store, model, links);
}

}  // namespace ggufd::model
