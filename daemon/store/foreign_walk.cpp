#include "store/foreign_walk.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "store/file.h"

namespace ggufd::store {
namespace {

constexpr int depth_max = 12;
constexpr std::size_t problems_max = 100;

}  // namespace

void ForeignWalk::problem(std::string sentence) {
  if (listing_.problems.size() < problems_max) listing_.problems.push_back(std::move(sentence));
}

std::vector<std::string> ForeignWalk::names(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code failure;
  std::filesystem::directory_iterator entry(folder, failure);
  const std::filesystem::directory_iterator end;
  while (!failure && entry != end) {
    if (++entries_ > foreign_entries_max) {
      problem(
          fmt::format("{}: more than {} entries; the rest was not looked at", folder, foreign_entries_max));
      break;
    }
    names.push_back(entry->path().filename().string());
    entry.increment(failure);
  }
  if (failure) problem(fmt::format("listing {}: {}", folder, failure.message()));
  std::ranges::sort(names);
  return names;
}

void ForeignWalk::files(const std::string& folder, const std::function<void(const std::string&)>& on_file) {
  enter(folder, "", 0, on_file);
}

void ForeignWalk::enter(const std::string& folder, const std::string& relative, int depth,
                        const std::function<void(const std::string&)>& on_file) {
  for (const std::string& name : names(folder)) {
    const std::string path = join(folder, name);
    const std::string inner = relative.empty() ? name : join(relative, name);
    struct stat status{};
    if (::lstat(path.c_str(), &status) < 0) continue;  // removed meanwhile
    if (!S_ISDIR(status.st_mode)) {
      on_file(inner);
    } else if (depth < depth_max) {
      enter(path, inner, depth + 1, on_file);
    } else {
      problem(fmt::format("{} lies too deep; it was not looked at", path));
    }
  }
}

Result<void> check_foreign_root(const std::string& root) {
  struct stat status{};
  if (::stat(root.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return {};
  return fail(ErrorCode::bad_source, fmt::format("there is no folder {}", root));
}

std::optional<std::uint64_t> regular_file_size(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) < 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return static_cast<std::uint64_t>(status.st_size);
}

void sort_by_title(ForeignListing& listing) {
  std::ranges::sort(listing.files, [](const ForeignFile& a, const ForeignFile& b) {
    return std::tie(a.title, a.path) < std::tie(b.title, b.path);
  });
}

bool is_gguf_name(std::string_view name) {
  return name.size() > 5 && name.ends_with(".gguf");
}

}  // namespace ggufd::store
