#include "store/collection.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "store/flock_table.h"
#include "store/json_file.h"

namespace ggufd::store {
namespace {

constexpr std::string_view json_suffix = ".json";

// The only key of a journal that is of interest here.
struct JournalSource {
  std::optional<std::string> url;

  static void fields(auto& self, auto&& f) { f("url", self.url, "where the bytes come from"); }
};

Timestamp modified_at(const struct stat& status) {
  return {static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1000 + status.st_mtim.tv_nsec / 1'000'000};
}

// What it takes on the disk; a file whose length is only reserved has less than its size.
std::uint64_t bytes_on_disk(const struct stat& status) {
  constexpr std::uint64_t block_bytes = 512;  // whatever the file system's own blocks are: stat(2)
  return static_cast<std::uint64_t>(status.st_blocks) * block_bytes;
}

// Of what the name is, links not followed; nothing where it has gone meanwhile.
std::optional<struct stat> stat_in(const Folder& folder, const std::string& name) {
  struct stat status{};
  if (::fstatat(folder.fd.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) return std::nullopt;
  return status;
}

Result<std::string> small_file(const Folder& folder, const std::string& name) {
  const std::string path = folder.path_of(name);
  const auto file = open_regular_at(folder.fd.get(), name, O_RDONLY, 0, path);
  if (!file) return std::unexpected(file.error());
  if (!*file) return fail(ErrorCode::io, fmt::format("reading {}: there is none", path));
  return read_all((*file)->get(), json_file_max_bytes, path);
}

// Goes through the store once. Where a part cannot be read the others are listed all the same.
class Listing {
 public:
  explicit Listing(const BlobStore& store) : store_(store), flocks_(FlockTable::now()) {}

  Result<Collection> run() {
    if (auto listed = list_models(); !listed) return std::unexpected(listed.error());
    list_blobs();
    list_quarantine();
    list_links();
    list_stamps();
    return std::move(found_);
  }

 private:
  void problem(const Error& error) { found_.problems.push_back(error.message); }

  // The folder and its names; nothing, and a problem where there is one, where it cannot be listed.
  struct Opened {
    Folder folder;
    std::vector<std::string> names;
  };
  std::optional<Opened> open(std::initializer_list<std::string> parts) {
    return opened(open_store_folder(store_.root(), parts));
  }
  std::optional<Opened> opened(Result<std::optional<Folder>> folder) {
    if (!folder) problem(folder.error());
    if (!folder || !*folder) return std::nullopt;
    auto names = names_in(**folder);
    if (!names) {
      problem(names.error());
      return std::nullopt;
    }
    return Opened{std::move(**folder), std::move(*names)};
  }

  Result<void> list_models();
  void list_model(const std::string& name);
  void list_shard(const Digest& digest, bool is_first, ListedModel& model);
  void list_blobs();
  void list_blob(const Folder& shard, const std::string& name, const Digest& digest);
  void list_partial(const Folder& shard, const std::string& name, const Digest& key);
  void list_quarantine();
  void list_links();
  void list_stamps();
  void list_temporaries(const Opened& opened);
  void add_leftover(const Folder& folder, const std::string& name, const char* what);

  const BlobStore& store_;
  Collection found_;
  std::set<Digest> named_;  // by a manifest
  FlockTable flocks_;       // taken before we lock anything ourselves
};

void Listing::add_leftover(const Folder& folder, const std::string& name, const char* what) {
  const auto status = stat_in(folder, name);
  if (!status) return;
  found_.leftovers.push_back({.path = folder.path_of(name),
                              .size_bytes = bytes_on_disk(*status),
                              .what = what,
                              .modified_at = modified_at(*status)});
}

void Listing::list_temporaries(const Opened& opened) {
  for (const std::string& name : opened.names) {
    if (is_temporary_name(name)) add_leftover(opened.folder, name, "a temporary file");
  }
}

Result<void> Listing::list_models() {
  const auto names = manifest_names(store_);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) list_model(name);
  if (const auto manifests = open({"manifests"})) list_temporaries(*manifests);
  return {};
}

void Listing::list_model(const std::string& name) {
  const auto manifest = read_manifest(store_.root(), name);
  if (!manifest) {
    problem(manifest.error());
    found_.are_manifests_known = false;
    return;
  }
  if (!*manifest) return;  // removed meanwhile
  ListedModel model{.name = name, .shards = blobs_of(**manifest), .is_complete = true};
  model.path = store_.blob_path(model.shards.front());
  for (const Digest& digest : model.shards) {
    list_shard(digest, digest == model.shards.front(), model);
    named_.insert(digest);
  }
  if (!model.is_complete) model.size_bytes = (*manifest)->size_bytes;
  // The daemon fetches no local files: such a manifest of its own says what they must be, and no more.
  const ManifestSource& source = (*manifest)->source;
  model.is_in_place =
      !model.is_complete && source.registry == "file" && (*manifest)->produced_by.starts_with("ggufd ");
  if (model.is_in_place) model.path = source.filename;
  found_.models.push_back(std::move(model));
}

void Listing::list_shard(const Digest& digest, bool is_first, ListedModel& model) {
  const auto blob = store_.find(digest);
  if (!blob) problem(blob.error());
  if (!blob || !*blob) {
    model.is_complete = false;
    model.needs_hash = true;
    model.verified_at.reset();
    return;
  }
  const FoundBlob& found = **blob;
  model.size_bytes += found.size_bytes;
  if (found.needs_hash) model.needs_hash = true;
  // A comparison of stats is weaker than the kernel's word.
  if (is_first || found.integrity != Integrity::kernel_enforced) model.integrity = found.integrity;
  if (model.needs_hash) {
    model.verified_at.reset();
  } else if (is_first ||
             (found.verified_at && model.verified_at && *found.verified_at < *model.verified_at)) {
    model.verified_at = found.verified_at;
  }
}

void Listing::list_blobs() {
  const auto all = open({"blobs", "sha256"});
  if (!all) return;
  for (const std::string& prefix : all->names) {
    if (prefix.size() != 2 || prefix.find_first_not_of("0123456789abcdef") != std::string::npos) continue;
    const auto shard = opened(open_folder_in(all->folder, prefix));
    if (!shard) continue;
    for (const std::string& name : shard->names) {
      constexpr std::string_view partial_prefix = ".partial-";
      const bool is_partial = name.starts_with(partial_prefix);
      const auto hex = std::string_view(name).substr(is_partial ? partial_prefix.size() : 0);
      const auto digest = Digest::parse(hex);
      // Other programs' files, and digests that are not written as the layout says, are left alone.
      if (!digest || digest->to_hex() != hex || !hex.starts_with(prefix)) continue;
      if (is_partial) {
        list_partial(shard->folder, name, *digest);
      } else {
        list_blob(shard->folder, name, *digest);
      }
    }
  }
}

void Listing::list_blob(const Folder& shard, const std::string& name, const Digest& digest) {
  const auto blob = opened(open_folder_in(shard, name));
  if (!blob) return;
  list_temporaries(*blob);
  const auto data = stat_in(blob->folder, "data");
  if (!data) {
    add_leftover(shard, name, "a blob's folder without its data");
    return;
  }
  if (!S_ISREG(data->st_mode)) {
    found_.problems.push_back(fmt::format("{} is no regular file; remove it", blob->folder.path_of("data")));
    return;
  }
  if (named_.contains(digest)) return;
  found_.orphans.push_back({.digest = digest,
                            .size_bytes = static_cast<std::uint64_t>(data->st_size),
                            .path = blob->folder.path_of("data"),
                            .is_in_use = flocks_.has(data->st_ino)});
}

void Listing::list_partial(const Folder& shard, const std::string& name, const Digest& key) {
  const auto partial = opened(open_folder_in(shard, name));
  if (!partial) return;
  ListedPartial listed{.key = key, .path = partial->folder.path};
  if (const auto status = stat_of(partial->folder.fd.get(), partial->folder.path))
    listed.modified_at = modified_at(*status);
  for (const std::string& file : partial->names) {
    const auto status = stat_in(partial->folder, file);
    if (!status) continue;
    listed.size_bytes += bytes_on_disk(*status);
    listed.modified_at = std::max(listed.modified_at, modified_at(*status));
    if (file == Partial::data_name) listed.is_in_use = flocks_.has(status->st_ino);
    if (file != Partial::journal_name) continue;
    // A journal that cannot be read is the downloader's business: it begins anew then.
    const auto text = small_file(partial->folder, file);
    if (!text) continue;
    const auto journal = parse_json_file<JournalSource>(*text, partial->folder.path_of(file));
    if (journal) listed.source_url = journal->url.value_or("");
  }
  found_.partials.push_back(std::move(listed));
}

void Listing::list_quarantine() {
  const auto quarantine = open({"locks", "quarantine"});
  if (!quarantine) return;
  for (const std::string& name : quarantine->names) {
    constexpr std::string_view suffix = ".bin";
    const auto status = stat_in(quarantine->folder, name);
    if (!status) continue;
    const std::string base = name.substr(0, name.rfind('.'));
    if (name.ends_with(json_suffix) && !stat_in(quarantine->folder, base + ".bin"))
      add_leftover(quarantine->folder, name, "evidence of a file that was never put away");
    if (!name.ends_with(suffix)) continue;
    ListedQuarantine listed{.path = quarantine->folder.path_of(name),
                            .size_bytes = static_cast<std::uint64_t>(status->st_size),
                            .put_away_at = modified_at(*status)};
    const std::string json = base + std::string(json_suffix);
    const auto text = small_file(quarantine->folder, json);
    const auto record = text ? parse_json_file<QuarantineRecord>(*text, quarantine->folder.path_of(json))
                             : std::unexpected(text.error());
    if (record) {
      listed.record = *record;
      listed.put_away_at = record->when;
    }
    found_.quarantine.push_back(std::move(listed));
  }
}

void Listing::list_links() {
  const auto links = open({"links"});
  if (!links) return;
  for (const std::string& name : links->names) {
    if (!is_model_name(name)) continue;
    const auto folder = opened(open_folder_in(links->folder, name));
    if (!folder) continue;
    found_.linked_models.push_back(name);
    list_temporaries(*folder);
  }
}

void Listing::list_stamps() {
  if (const auto stamps = open({"stamps"})) list_temporaries(*stamps);
}

}  // namespace

Result<std::vector<std::string>> manifest_names(const BlobStore& store) {
  const auto folder = open_store_folder(store.root(), {"manifests"});
  if (!folder) return std::unexpected(folder.error());
  if (!*folder) return {};
  const auto files = names_in(**folder);
  if (!files) return std::unexpected(files.error());
  std::vector<std::string> names;
  for (const std::string& file : *files) {
    if (!file.ends_with(json_suffix)) continue;
    std::string name = file.substr(0, file.size() - json_suffix.size());
    if (is_model_name(name)) names.push_back(std::move(name));
  }
  // By name, not by file name: "a.json" comes behind "a-b.json".
  std::ranges::sort(names);
  return names;
}

Result<Collection> list_store(const BlobStore& store) {
  return Listing(store).run();
}

}  // namespace ggufd::store
