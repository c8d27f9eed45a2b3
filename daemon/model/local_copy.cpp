#include "model/local_copy.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

namespace ggufd::model {
namespace {

const std::string* path_of(const config::Source& source) {
  const auto* file = std::get_if<config::FileSource>(&source.where);
  return file == nullptr ? nullptr : &file->path;
}

// What a source's path leads to, where that is no file.
std::string_view kind_of_file(mode_t mode) {
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return S_ISCHR(mode) || S_ISBLK(mode) ? "a device" : "no regular file";
}

// Where a source's path really leads, over symbolic links; a download cache may hold nothing else. Nothing
// where there is no such name.
Result<std::optional<std::string>> resolve_source(const std::string& path) {
  struct stat status{};
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  if (!real) {
    const int error_number = errno;
    const bool is_link = ::lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode);
    if (error_number == ENOENT && !is_link) return std::nullopt;
    const Error error = system_error(fmt::format("looking for {}", path), error_number);
    if (error_number == ENOENT || error_number == ELOOP) {
      return fail(ErrorCode::bad_source,
                  fmt::format("{} is a symbolic link that leads {}; put its file back, or name another", path,
                              error_number == ELOOP ? "back to itself" : "to nothing"));
    }
    return fail(ErrorCode::bad_source, fmt::format("{}; check the model's source", error.message));
  }
  std::string found = real.get();
  if (::stat(real.get(), &status) != 0 || S_ISREG(status.st_mode)) return found;
  if (S_ISDIR(status.st_mode))
    return fail(ErrorCode::bad_source, fmt::format("{} is a folder; name the GGUF in it", path));
  return fail(ErrorCode::bad_source,
              fmt::format("{} is {}; name a GGUF file", path, kind_of_file(status.st_mode)));
}

// Nothing where there is no file of that name. The copy keeps the name of the source, by which a split
// model's shards find each other.
Result<std::optional<LocalCopy>> open_in_place(const store::BlobStore& store, const std::string& path) {
  const auto real = resolve_source(path);
  if (!real) return std::unexpected(real.error());
  if (!*real) return std::nullopt;
  auto file = store::open_regular(**real, O_RDONLY);
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
// the network. An error where one can't be used, or all of them have not the size that is configured.
Result<FoundCopies> find_in_place(const store::BlobStore& store, const config::ModelConfig& model,
                                  const std::vector<ModelFile>& files, std::size_t mirror) {
  FoundCopies copies(files.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::string* path = path_of(files[i].sources[mirror]);
    if (path == nullptr) break;
    auto opened = open_in_place(store, *path);
    if (!opened) return std::unexpected(opened.error());
    copies[i] = std::move(*opened);
    if (!copies[i]) break;
  }
  if (!are_all_here(copies)) return copies;
  std::uint64_t size_bytes = 0;
  for (const auto& copy : copies) size_bytes += copy->size_bytes;
  auto checked = check_size(model, copies.front()->path, copies.size(), size_bytes);
  if (!checked) return std::unexpected(checked.error());
  return copies;
}

// The same of several mirrors; what is wrong with one is kept for the case that no other is any better.
class MirrorsInPlace {
 public:
  MirrorsInPlace(const store::BlobStore& store, const config::ModelConfig& model,
                 const std::vector<ModelFile>& files)
      : store_(store), model_(model), files_(files) {}

  // Nothing where that mirror has not all of the files.
  std::optional<FoundCopies> look_at(std::size_t mirror) {
    auto copies = find_in_place(store_, model_, files_, mirror);
    if (copies && are_all_here(*copies)) return std::move(*copies);
    if (!copies && !first_error_) first_error_ = copies.error();
    if (copies && mirror == 0) preferred_ = std::move(*copies);
    return std::nullopt;
  }

  // Of a model that is of this machine only.
  Error error() const {
    if (first_error_) return *first_error_;
    const auto missing =
        std::ranges::find_if(preferred_, [](const auto& copy) { return !copy; }) - preferred_.begin();
    const ModelFile& file = files_[static_cast<std::size_t>(missing)];
    return {ErrorCode::bad_source, fmt::format("there is no file {}; check the model's source",
                                               config::to_string(file.sources.front()))};
  }
  // Where the network has the files: what is passed over.
  void warn() const {
    if (first_error_) spdlog::warn("{}: passed over: {}", model_.name, first_error_->message);
  }

 private:
  const store::BlobStore& store_;
  const config::ModelConfig& model_;
  const std::vector<ModelFile>& files_;
  FoundCopies preferred_;
  std::optional<Error> first_error_;
};

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

}  // namespace

std::string path_to_check(const store::BlobStore& store, const config::ModelConfig& model) {
  if (const std::string* path = path_of(model.sources.front())) return *path;
  const auto digest = model.sha256.empty() ? std::nullopt : store::Digest::parse(model.sha256.front());
  return digest ? store.blob_path(*digest) : store.manifest_path(model.name);
}

Result<FoundCopies> find_local_copies(const store::BlobStore& store, const config::ModelConfig& model,
                                      const std::vector<ModelFile>& files) {
  MirrorsInPlace in_place(store, model, files);
  if (auto preferred = in_place.look_at(0)) return std::move(*preferred);
  auto blobs = find_blobs(store, files);
  if (!blobs || are_all_here(*blobs)) return blobs;
  const auto& sources = files.front().sources;
  for (std::size_t mirror = 1; mirror < sources.size(); ++mirror) {
    if (auto copies = in_place.look_at(mirror)) return std::move(*copies);
  }
  if (std::ranges::none_of(sources, &config::Source::is_network)) return std::unexpected(in_place.error());
  in_place.warn();
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

Result<void> check_size(const config::ModelConfig& model, const std::string& path, std::size_t files,
                        std::uint64_t size_bytes) {
  if (!model.size_bytes || *model.size_bytes == size_bytes) return {};
  const std::string have = files == 1 ? fmt::format("{} has {} bytes", path, size_bytes)
                                      : fmt::format("the {} files of {}, from {} on, have {} bytes together",
                                                    files, model.name, path, size_bytes);
  return fail(
      ErrorCode::size_mismatch,
      fmt::format("{} and size_bytes says {}; correct the one that is wrong", have, *model.size_bytes));
}

std::string wrong_local_file(const config::ModelConfig& model, const std::string& path,
                             const store::Digest& actual, const store::Digest& expected) {
  const std::string what =
      fmt::format("{} has the SHA-256 {} and should have {}", path, actual.to_hex(), expected.to_hex());
  if (!is_pinned_on_first_use(model)) {
    return what + "; the file is left as it is: replace it, or correct the model's sha256";
  }
  return fmt::format(
      "{}, which was pinned on first use; the file is left as it is: put the old one back or, where the new "
      "one is right, `ggufctl rm {}` forgets the pin",
      what, model.name);
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
