#include <fcntl.h>
#include <fmt/core.h>
#include <stdlib.h>

#include <algorithm>
#include <memory>
#include <set>

#include "store/file.h"
#include "store/foreign_store.h"
#include "store/foreign_walk.h"

namespace ggufd::store {
namespace {

struct Repository {
  std::string name;    // "org/repo"
  std::string folder;  // its real path
};

std::optional<std::string> real_path_of(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), &::free);
  if (!real) return std::nullopt;
  return std::string(real.get());
}

// "models--org--repo" -> "org/repo"; neither part may hold "--" (the hub's rule for names).
std::optional<std::string> repository_name(std::string_view folder) {
  constexpr std::string_view prefix = "models--";
  if (!folder.starts_with(prefix) || folder.size() == prefix.size()) return std::nullopt;
  folder.remove_prefix(prefix.size());
  const std::size_t gap = folder.find("--");
  if (gap == std::string_view::npos) return std::string(folder);
  return fmt::format("{}/{}", folder.substr(0, gap), folder.substr(gap + 2));
}

// The commit that refs/main names; empty where there is none.
std::string main_commit(const Repository& repository) {
  constexpr std::size_t commit_max_bytes = 256;
  const auto file = open_regular(repository.folder + "/refs/main", O_RDONLY);
  if (!file || !*file) return "";
  auto text = read_all((*file)->get(), commit_max_bytes, "refs/main");
  if (!text) return "";
  text->erase(text->find_last_not_of(" \r\n") + 1);
  return *text;
}

class HuggingFace {
 public:
  explicit HuggingFace(ForeignListing& listing) : listing_(listing), walk_(listing) {}

  void list(const std::string& root) {
    for (const std::string& name : walk_.names(root)) {
      const auto repository = repository_name(name);
      if (!repository) continue;
      if (const auto folder = real_path_of(join(root, name))) list_repository({*repository, *folder});
    }
  }

 private:
  void list_repository(const Repository& repository) {
    const std::string snapshots = repository.folder + "/snapshots";
    if (!check_foreign_root(snapshots)) return;
    auto commits = walk_.names(snapshots);
    const std::string main = main_commit(repository);
    const auto first = std::ranges::find(commits, main);
    if (first != commits.end()) std::rotate(commits.begin(), first, first + 1);
    std::set<std::string> seen;
    for (const std::string& commit : commits) {
      walk_.files(join(snapshots, commit), [&](const std::string& path) {
        if (is_gguf_name(path) && seen.insert(path).second) add(repository, commit, path);
      });
    }
  }

  void add(const Repository& repository, const std::string& commit, const std::string& path) {
    const std::string entry = fmt::format("{}/snapshots/{}/{}", repository.folder, commit, path);
    const auto real = real_path_of(entry);
    if (!real) {
      walk_.problem(fmt::format("{}: its bytes are not there", entry));
      return;
    }
    const std::string blobs = repository.folder + "/blobs/";
    const bool is_blob = real->starts_with(blobs);
    if (!is_blob && *real != entry) {
      walk_.problem(fmt::format("{}: leads out of its repository, to {}", entry, *real));
      return;
    }
    const auto size_bytes = regular_file_size(*real);
    if (!size_bytes) return;
    listing_.files.push_back(
        {.title = fmt::format("{}/{}", repository.name, path),
         .file_name = path.substr(path.rfind('/') + 1),
         .path = *real,
         .size_bytes = *size_bytes,
         .claimed = is_blob ? Digest::parse(std::string_view(*real).substr(blobs.size())) : std::nullopt,
         .source = {"huggingface.co", repository.name, commit, path}});
  }

  ForeignListing& listing_;
  ForeignWalk walk_;
};

}  // namespace

Result<ForeignListing> list_hugging_face(const std::string& root) {
  if (auto checked = check_foreign_root(root); !checked) return std::unexpected(checked.error());
  ForeignListing listing;
  HuggingFace(listing).list(root);
  sort_by_title(listing);
  return listing;
}

Result<ForeignListing> list_llama_cpp(const std::string& root) {
  auto listing = list_hugging_face(root);
  if (!listing) return listing;
  ForeignWalk walk(*listing);
  for (const std::string& name : walk.names(root)) {
    const std::string path = join(root, name);
    const auto size_bytes = is_gguf_name(name) ? regular_file_size(path) : std::nullopt;
    if (!size_bytes) continue;
    listing->files.push_back({.title = name,
                              .file_name = name,
                              .path = path,
                              .size_bytes = *size_bytes,
                              .claimed = std::nullopt,
                              .source = {"llama.cpp", "", "", name}});
  }
  sort_by_title(*listing);
  return listing;
}

}  // namespace ggufd::store
