#include "model/local_copy.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace ggufd::model {
namespace {

const std::string* path_of(const config::Source& source) {
  const auto* file = std::get_if<config::FileSource>(&source.where);
  return file == nullptr ? nullptr : &file->path;
}

// Nothing where there is no file of that name.
Result<std::optional<LocalCopy>> open_in_place(const store::BlobStore& store, const std::string& path) {
  auto file = store::open_regular(path, O_RDONLY);
  if (!file) return fail(ErrorCode::bad_source, file.error().message);
  if (!*file) return std::nullopt;
  LocalCopy copy{.file = std::move(**file), .path = path};
  const auto stat = store::stat_of(copy.fd(), path);
  if (!stat) return std::unexpected(stat.error());
  copy.size_bytes = static_cast<std::uint64_t>(stat->st_size);
  const auto stamp = store.find_local_stamp(copy.fd(), path);
  if (!stamp) return std::unexpected(stamp.error());
  if (*stamp) {
    copy.needs_hash = false;
    copy.integrity = Integrity::stat_cached;
    copy.digest = (*stamp)->digest;
    return copy;
  }
  auto before = store::before_hash(copy.fd(), path);
  if (!before) return std::unexpected(before.error());
  copy.before_hash = std::move(*before);
  return copy;
}

using FoundCopies = std::vector<std::optional<LocalCopy>>;

bool are_all_here(const FoundCopies& copies) {
  return std::ranges::all_of(copies, [](const auto& copy) { return copy.has_value(); });
}

// The local files that mirror number `mirror` names, up to the first that is not there. None where it is of
// the network.
Result<FoundCopies> find_in_place(const store::BlobStore& store, const std::vector<ModelFile>& files,
                                  std::size_t mirror) {
  FoundCopies copies(files.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::string* path = path_of(files[i].sources[mirror]);
    if (path == nullptr) break;
    auto opened = open_in_place(store, *path);
    if (!opened) return std::unexpected(opened.error());
    copies[i] = std::move(*opened);
    if (!copies[i]) break;
  }
  return copies;
}

Result<FoundCopies> find_blobs(const store::BlobStore& store, const std::vector<ModelFile>& files) {
  FoundCopies copies(files.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (!files[i].digest) continue;
    auto blob = store.find(*files[i].digest);
    if (!blob) return std::unexpected(blob.error());
    if (!*blob) continue;
    copies[i] = local_copy_of(std::make_shared<store::FoundBlob>(std::move(**blob)), *files[i].digest);
  }
  return copies;
}

// Of a model that is of this machine only.
Error not_there(const std::vector<ModelFile>& files, const FoundCopies& copies) {
  const auto missing = std::ranges::find_if(copies, [](const auto& copy) { return !copy; }) - copies.begin();
  return {ErrorCode::bad_source,
          fmt::format("there is no file {}; check the model's source",
                      config::to_string(files[static_cast<std::size_t>(missing)].sources.front()))};
}

}  // namespace

std::string path_to_check(const store::BlobStore& store, const config::ModelConfig& model) {
  if (const std::string* path = path_of(model.sources.front())) return *path;
  const auto digest = model.sha256.empty() ? std::nullopt : store::Digest::parse(model.sha256.front());
  return digest ? store.blob_path(*digest) : store.manifest_path(model.name);
}

Result<FoundCopies> find_local_copies(const store::BlobStore& store, const std::vector<ModelFile>& files) {
  auto preferred = find_in_place(store, files, 0);
  if (!preferred || are_all_here(*preferred)) return preferred;
  auto blobs = find_blobs(store, files);
  if (!blobs || are_all_here(*blobs)) return blobs;
  const auto& sources = files.front().sources;
  for (std::size_t mirror = 1; mirror < sources.size(); ++mirror) {
    auto copies = find_in_place(store, files, mirror);
    if (!copies || are_all_here(*copies)) return copies;
  }
  if (std::ranges::none_of(sources, &config::Source::is_network)) {
    return std::unexpected(not_there(files, *preferred));
  }
  return blobs;
}

LocalCopy local_copy_of(std::shared_ptr<store::FoundBlob> blob, const store::Digest& digest) {
  LocalCopy copy{.path = blob->path,
                 .size_bytes = blob->size_bytes,
                 .needs_hash = blob->needs_hash,
                 .integrity = blob->integrity};
  if (!blob->needs_hash) copy.digest = digest;
  copy.blob = std::move(blob);
  return copy;
}

Result<void> check_size(const config::ModelConfig& model, const std::string& path, std::uint64_t size_bytes) {
  if (!model.size_bytes || *model.size_bytes == size_bytes) return {};
  return fail(ErrorCode::size_mismatch,
              fmt::format("{} has {} bytes and size_bytes says {}; correct the one that is wrong", path,
                          size_bytes, *model.size_bytes));
}

Result<void> record_hash(const store::BlobStore& store, LocalCopy& copy, const store::Digest& digest) {
  const auto now = store::stat_stamp(copy.fd(), copy.path);
  if (!now) return std::unexpected(now.error());
  const store::StatStamp& before = copy.is_in_place() ? copy.before_hash->stat : copy.blob->stat;
  if (const std::string changed = store::first_difference(before, *now); !changed.empty()) {
    return fail(ErrorCode::io,
                fmt::format("{} changed while it was hashed (its {} did); load it again when it is "
                            "complete",
                            copy.path, changed));
  }
  // No stamp may be possible (somebody else could write the file): then the next start hashes again.
  const auto recorded = copy.is_in_place()
                            ? store.write_local_stamp(copy.fd(), copy.path, digest, *copy.before_hash)
                            : store.write_stamp(digest, *copy.blob);
  if (!recorded)
    copy.not_stamped =
        fmt::format("{} is good and will be hashed again: {}", copy.path, recorded.error().message);
  copy.digest = digest;
  copy.needs_hash = false;
  copy.integrity = Integrity::hashed;
  return {};
}

}  // namespace ggufd::model
