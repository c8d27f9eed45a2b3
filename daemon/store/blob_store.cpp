#include "store/blob_store.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "store/json_file.h"
#include "store/verity.h"

namespace ggufd::store {
namespace {

// The stamp beside a blob, or why there is none to believe.
std::expected<VerifiedRecord, std::string> read_record(const Folder& folder) {
  const std::string path = folder.path_of(blob_record_name);
  const auto file = open_regular_at(folder.fd.get(), blob_record_name, O_RDONLY, 0, path);
  if (!file) return std::unexpected(file.error().message);
  if (!*file) return std::unexpected("it has no stamp");
  const int fd = (*file)->get();
  const auto status = stat_of(fd, path);
  if (!status) return std::unexpected(status.error().message);
  if (std::string distrust = distrust_of(*status, path); !distrust.empty())
    return std::unexpected(std::move(distrust));
  const auto text = read_all(fd, json_file_max_bytes, path);
  if (!text) return std::unexpected(text.error().message);
  auto record = parse_json_file<VerifiedRecord>(*text, path);
  if (!record) return std::unexpected(record.error().message);
  return std::move(*record);
}

// Sets what the stamp, where it may be believed, says of the open blob.
void apply_record(const Digest& digest, const Folder& folder, const struct stat& status, FoundBlob& blob) {
  blob.reason = folder.distrust.empty() ? distrust_of(status, blob.path) : folder.distrust;
  if (!blob.reason.empty()) return;
  const auto record = read_record(folder);
  if (!record) {
    blob.reason = record.error();
    return;
  }
  const Judgement judgement = judge(digest, *record, blob.stat, measure_verity(blob.fd.get()));
  blob.needs_hash = judgement.needs_hash;
  blob.integrity = judgement.integrity;
  blob.reason = judgement.reason;
  if (!judgement.needs_hash) blob.verified_at = record->verified_at;
}

// Marks the open blob as in use. False where it is being removed, or was, between the opening and the lock.
Result<bool> mark_in_use(int fd, const std::string& path) {
  // A file system without flock knows no users; then nobody can lock the blob for removal either.
  const auto locked = try_lock_shared(fd, path);
  if (locked && !*locked) return false;
  const auto status = stat_of(fd, path);
  if (!status) return std::unexpected(status.error());
  return status->st_nlink > 0;
}

Result<std::optional<FoundBlob>> open_blob(const Digest& digest, const Folder& folder) {
  FoundBlob blob;
  blob.path = folder.path_of(blob_data_name);
  auto data = open_regular_at(folder.fd.get(), blob_data_name, O_RDONLY, 0, blob.path);
  if (!data) return std::unexpected(data.error());
  if (!*data) return std::nullopt;
  blob.fd = std::move(**data);
  const auto is_in_use = mark_in_use(blob.fd.get(), blob.path);
  if (!is_in_use) return std::unexpected(is_in_use.error());
  if (!*is_in_use) return std::nullopt;
  const auto status = stat_of(blob.fd.get(), blob.path);
  if (!status) return std::unexpected(status.error());
  const auto stamp = stat_stamp(blob.fd.get(), blob.path);
  if (!stamp) return std::unexpected(stamp.error());
  blob.stat = *stamp;
  blob.size_bytes = stamp->size_bytes;
  apply_record(digest, folder, *status, blob);
  return blob;
}

// Writes the stamp of a blob whose bytes, behind `blob.fd`, are known to have this digest.
Result<void> write_record(const Digest& digest, const Folder& folder, FoundBlob& blob,
                          std::optional<std::string> source_url) {
  VerifiedRecord record{.sha256 = digest.to_hex(),
                        .size_bytes = blob.stat.size_bytes,
                        .verified_at = Timestamp::now(),
                        .verified_by = "ggufd",
                        .source_url = std::move(source_url),
                        .stat = blob.stat,
                        .fs_verity = measure_verity(blob.fd.get())};
  auto written =
      write_file_atomically_at(folder.fd.get(), folder.path, blob_record_name, to_json(record) + "\n", 0644);
  if (!written) return written;
  blob.needs_hash = false;
  blob.reason.clear();
  blob.integrity = record.fs_verity ? Integrity::kernel_enforced : Integrity::hashed;
  blob.verified_at = record.verified_at;
  return {};
}

// The partial's exclusive lock becomes the shared one of a blob in use before the file gets its name as a
// blob: at no moment is it nobody's. Writers of partials ask for the exclusive one, so they stay out.
Result<void> share_lock(int partial_fd, int data_fd, const std::string& path) {
  for (const int fd : {partial_fd, data_fd}) {
    const auto locked = try_lock_shared(fd, path);
    if (!locked) return std::unexpected(locked.error());
    if (!*locked) return fail(ErrorCode::busy, fmt::format("{} was taken over by another download", path));
  }
  return {};
}

}  // namespace

std::string BlobStore::blob_folder(const Digest& digest) const {
  const std::string hex = digest.to_hex();
  return join(root_, fmt::format("blobs/sha256/{}/{}", hex.substr(0, 2), hex));
}

std::string BlobStore::blob_path(const Digest& digest) const {
  return join(blob_folder(digest), blob_data_name);
}

std::string BlobStore::partial_folder(const Digest& key) const {
  return join(root_, fmt::format("blobs/sha256/{}/{}", key.to_hex().substr(0, 2), partial_folder_name(key)));
}

std::string BlobStore::manifest_path(std::string_view name) const {
  return join(root_, fmt::format("manifests/{}.json", name));
}

std::string BlobStore::quarantine_folder() const {
  return join(root_, "locks/quarantine");
}

Result<std::optional<FoundBlob>> BlobStore::find(const Digest& digest) const {
  const std::string hex = digest.to_hex();
  const auto folder = open_store_folder(root_, {"blobs", "sha256", hex.substr(0, 2), hex});
  if (!folder) return std::unexpected(folder.error());
  if (!*folder) return std::nullopt;
  return open_blob(digest, **folder);
}

// The order is what makes it crash-safe:
//   1. mode and bytes reach the disk under the partial's name;
//   2. the rename, which is one step, gives them their name; from here on `data` is complete, and without a
//   stamp it is
//      hashed once more before anybody uses it;
//   3. the folders are synced, the new name's first, so that a power cut leaves one name or the other, or
//   both;
//   4. commit() writes the stamp, which must come after the rename because that changes the ctime;
//   5. the journal and the partial's folder go.
// A `data` of that name that has no good stamp is replaced: these bytes are known to be right.
Result<Folder> BlobStore::publish(const Partial& partial, const Digest& digest) const {
  const std::string path = partial.data_path();
  if (::fchmod(partial.fd(), 0444) < 0) {
    return std::unexpected(system_error(fmt::format("setting the mode of {}", path), errno));
  }
  if (auto synced = sync_file(partial.fd(), path); !synced) return std::unexpected(synced.error());
  const std::string hex = digest.to_hex();
  auto folder = make_store_folder(root_, {"blobs", "sha256", hex.substr(0, 2), hex});
  if (!folder) return folder;
  const int from_fd = partial.folder_.fd.get();
  if (::renameat(from_fd, Partial::data_name.c_str(), folder->fd.get(), blob_data_name.c_str()) < 0) {
    const std::string to_path = folder->path_of(blob_data_name);
    return std::unexpected(system_error(fmt::format("moving {} to {}", path, to_path), errno));
  }
  if (auto synced = sync_folder(folder->fd.get(), folder->path); !synced)
    return std::unexpected(synced.error());
  if (auto synced = sync_folder(from_fd, partial.folder()); !synced) return std::unexpected(synced.error());
  return folder;
}

Result<FoundBlob> BlobStore::commit(Partial partial, const Digest& digest, std::uint64_t size_bytes,
                                    std::string_view url) const {
  const auto status = stat_of(partial.fd(), partial.data_path());
  if (!status) return std::unexpected(status.error());
  if (static_cast<std::uint64_t>(status->st_size) != size_bytes) {
    return fail(ErrorCode::size_mismatch, fmt::format("finishing {}: it has {} bytes, {} were expected",
                                                      partial.data_path(), status->st_size, size_bytes));
  }
  if (auto existing = find(digest); existing && *existing && !(*existing)->needs_hash) {
    static_cast<void>(std::move(partial).discard());  // what cannot be removed is untidy, no more
    return std::move(**existing);
  }
  auto data = reopen_read_only(partial.fd(), partial.data_path());
  if (!data) return std::unexpected(data.error());
  if (auto shared = share_lock(partial.fd(), data->get(), partial.data_path()); !shared)
    return std::unexpected(shared.error());
  const auto folder = publish(partial, digest);
  if (!folder) return std::unexpected(folder.error());
  // The descriptor that wrote is closed because the kernel seals no file that is open
  // for writing. The one that is returned was opened from it, so it is the same file.
  partial.data_.reset();
  enable_verity(data->get());
  FoundBlob blob;
  blob.fd = std::move(*data);
  blob.path = folder->path_of(blob_data_name);
  blob.size_bytes = size_bytes;
  const auto stamp = stat_stamp(blob.fd.get(), blob.path);
  if (!stamp) return std::unexpected(stamp.error());
  blob.stat = *stamp;
  blob.needs_hash = false;
  const auto source_url = url.empty() ? std::nullopt : std::optional<std::string>(url);
  if (auto written = write_record(digest, *folder, blob, source_url); !written)
    blob.reason = written.error().message;
  static_cast<void>(partial.remove_rest());
  static_cast<void>(partial.remove_folder());
  return blob;
}

Result<bool> BlobStore::write_stamp(const Digest& digest, FoundBlob& blob) const {
  const auto now = stat_stamp(blob.fd.get(), blob.path);
  if (!now) return std::unexpected(now.error());
  if (*now != blob.stat) return false;
  const std::string hex = digest.to_hex();
  const auto folder = make_store_folder(root_, {"blobs", "sha256", hex.substr(0, 2), hex});
  if (!folder) return std::unexpected(folder.error());
  const auto old = read_record(*folder);
  auto written = write_record(digest, *folder, blob, old ? old->source_url : std::nullopt);
  if (!written) return std::unexpected(written.error());
  return true;
}

Result<Folder> BlobStore::make_quarantine_folder() const {
  return make_store_folder(root_, {"locks", "quarantine"});
}

Result<std::string> BlobStore::quarantine(Partial partial, const QuarantineEvidence& evidence) const {
  const auto folder = make_quarantine_folder();
  if (!folder) return std::unexpected(folder.error());
  // The journal goes first: without it the bad bytes are not resumed, whatever happens next.
  if (auto removed = partial.remove_rest(); !removed) return std::unexpected(removed.error());
  auto path = move_to_quarantine(*folder, partial.folder_, Partial::data_name, partial.fd(), evidence,
                                 Timestamp::now());
  if (!path) return path;
  if (auto removed = partial.remove_folder(); !removed) return std::unexpected(removed.error());
  return path;
}

Result<std::string> BlobStore::quarantine_blob(const Digest& digest,
                                               const QuarantineEvidence& evidence) const {
  const std::string hex = digest.to_hex();
  const auto shard = open_store_folder(root_, {"blobs", "sha256", hex.substr(0, 2)});
  if (!shard) return std::unexpected(shard.error());
  const auto blob_folder = open_store_folder(root_, {"blobs", "sha256", hex.substr(0, 2), hex});
  if (!blob_folder) return std::unexpected(blob_folder.error());
  const auto not_there = [&] {
    return fail(ErrorCode::not_in_store, fmt::format("no blob {} in {}", hex, root_));
  };
  if (!*blob_folder || !*shard) return not_there();
  const Folder& from = **blob_folder;
  const auto data = open_regular_at(from.fd.get(), blob_data_name, O_RDONLY, 0, from.path_of(blob_data_name));
  if (!data) return std::unexpected(data.error());
  if (!*data) return not_there();
  QuarantineEvidence completed = evidence;
  if (const auto record = read_record(from); record && completed.url.empty()) {
    completed.url = record->source_url.value_or("");
  }
  // The stamp goes first: from then on nobody takes these bytes for good, even where the move below fails.
  if (auto removed = remove_file_at(from.fd.get(), blob_record_name, from.path_of(blob_record_name));
      !removed) {
    return std::unexpected(removed.error());
  }
  if (auto synced = sync_folder(from.fd.get(), from.path); !synced) return std::unexpected(synced.error());
  const auto folder = make_quarantine_folder();
  if (!folder) return std::unexpected(folder.error());
  auto path = move_to_quarantine(*folder, from, blob_data_name, (*data)->get(), completed, Timestamp::now());
  // The empty folder is only untidy: where it cannot be removed (another process stores the blob anew) it
  // stays.
  if (path) ::unlinkat((*shard)->fd.get(), hex.c_str(), AT_REMOVEDIR);
  return path;
}

}  // namespace ggufd::store
