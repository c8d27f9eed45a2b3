#include "model/local_copy.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "config/address.h"
#include "store/manifest.h"

namespace ggufd::model {
namespace {

constexpr std::size_t read_bytes = std::size_t{1} << 20;

const std::string* in_place_path(const config::ModelConfig& model) {
  const auto* file = std::get_if<config::FileSource>(&model.sources.front().where);
  return file == nullptr ? nullptr : &file->path;
}

Result<void> check_size(const config::ModelConfig& model, const std::string& path, std::uint64_t size_bytes) {
  if (!model.size_bytes || *model.size_bytes == size_bytes) return {};
  return fail(ErrorCode::size_mismatch,
              fmt::format("{} has {} bytes and size_bytes says {}; correct the one that is wrong", path,
                          size_bytes, *model.size_bytes));
}

Result<LocalCopy> open_in_place(const store::BlobStore& store, const std::string& path) {
  auto file = store::open_regular(path, O_RDONLY);
  if (!file) return fail(ErrorCode::bad_source, file.error().message);
  if (!*file)
    return fail(ErrorCode::bad_source, fmt::format("there is no file {}; check the model's source", path));
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

store::ManifestSource manifest_source(const config::Source& source) {
  if (const auto* hub = std::get_if<config::HuggingFaceSource>(&source.where)) {
    return {"huggingface.co", hub->org + "/" + hub->repo, hub->revision, hub->path};
  }
  if (const auto* file = std::get_if<config::FileSource>(&source.where)) return {"file", "", "", file->path};
  const std::string shown = config::to_string(source);
  const auto parts = config::split_url(shown);
  if (!parts) return {"", "", "", shown};
  std::string_view path = parts->rest;
  path.remove_prefix(std::min<std::size_t>(path.find_first_not_of('/'), path.size()));
  return {std::string(parts->authority), "", "", std::string(path)};
}

}  // namespace

Result<Expectation> expectation_of(const store::BlobStore& store, const config::ModelConfig& model) {
  Expectation expectation;
  if (!model.sha256.empty()) {
    expectation.digest = store::Digest::parse(model.sha256.front());
  } else if (model.pin == config::Pin::first_use) {
    const auto manifest = store::read_manifest(store.root(), model.name);
    if (!manifest) return std::unexpected(manifest.error());
    if (*manifest) expectation.digest = store::blob_of(**manifest);
  }
  if (expectation.digest) {
    expectation.partial_key = *expectation.digest;
    return expectation;
  }
  const auto key = store::sha256_of(config::to_string(model.sources.front()));
  if (!key) return std::unexpected(key.error());
  expectation.partial_key = *key;
  return expectation;
}

std::string path_to_check(const store::BlobStore& store, const config::ModelConfig& model) {
  if (const std::string* path = in_place_path(model)) return *path;
  const auto digest = model.sha256.empty() ? std::nullopt : store::Digest::parse(model.sha256.front());
  return digest ? store.blob_path(*digest) : store.manifest_path(model.name);
}

Result<std::optional<LocalCopy>> find_local_copy(const store::BlobStore& store,
                                                 const config::ModelConfig& model,
                                                 const std::optional<store::Digest>& expected) {
  std::optional<LocalCopy> copy;
  if (const std::string* path = in_place_path(model)) {
    auto opened = open_in_place(store, *path);
    if (!opened) return std::unexpected(opened.error());
    copy = std::move(*opened);
  } else if (expected) {
    auto blob = store.find(*expected);
    if (!blob) return std::unexpected(blob.error());
    if (!*blob) return std::optional<LocalCopy>();
    copy = local_copy_of(std::move(**blob), *expected);
  } else {
    return std::optional<LocalCopy>();
  }
  if (auto checked = check_size(model, copy->path, copy->size_bytes); !checked) {
    return std::unexpected(checked.error());
  }
  return copy;
}

LocalCopy local_copy_of(store::FoundBlob blob, const store::Digest& digest) {
  LocalCopy copy{.path = blob.path,
                 .size_bytes = blob.size_bytes,
                 .needs_hash = blob.needs_hash,
                 .integrity = blob.integrity};
  if (!blob.needs_hash) copy.digest = digest;
  copy.blob = std::make_shared<store::FoundBlob>(std::move(blob));
  return copy;
}

Result<void> hash_slice(int fd, std::uint64_t offset, std::uint64_t length, store::Sha256& hasher,
                        const std::string& path) {
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(read_bytes);
#ifdef POSIX_FADV_SEQUENTIAL
  posix_fadvise(fd, static_cast<off_t>(offset), static_cast<off_t>(length), POSIX_FADV_SEQUENTIAL);
#endif
  while (length > 0) {
    const std::span<std::byte> piece(buffer.get(), std::min<std::uint64_t>(read_bytes, length));
    const auto read = store::pread_all(fd, piece, offset, path);
    if (!read) return std::unexpected(read.error());
    if (*read < piece.size()) {
      return fail(ErrorCode::io, fmt::format("{} became shorter while it was hashed", path));
    }
    hasher.update(piece);
    offset += *read;
    length -= *read;
  }
  return {};
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

Result<void> record_manifest(const store::BlobStore& store, const config::ModelConfig& model,
                             const store::Digest& digest, std::uint64_t size_bytes) {
  const std::string blob = "sha256:" + digest.to_hex();
  const auto present = store::read_manifest(store.root(), model.name);
  if (present && *present && (*present)->blob == blob && (*present)->size_bytes == size_bytes) return {};
  return store::write_manifest(store.root(), {.name = model.name,
                                              .blob = blob,
                                              .size_bytes = size_bytes,
                                              .source = manifest_source(model.sources.front()),
                                              .produced_by = "ggufd " GGUFD_VERSION,
                                              .produced_at = to_string(Timestamp::now())});
}

}  // namespace ggufd::model
