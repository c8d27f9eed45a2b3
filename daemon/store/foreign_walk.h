// Goes through the folders of a foreign store (store/foreign_store.h), within bounds.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "protocol/error.h"
#include "store/foreign_store.h"

namespace ggufd::store {

class ForeignWalk {
 public:
  explicit ForeignWalk(ForeignListing& listing) : listing_(listing) {}

  // The names in a folder, sorted; empty, and a problem, where it cannot be listed or the bound is reached.
  std::vector<std::string> names(const std::string& folder);
  // Every file and link beneath `folder`, by its path relative to it. Links to folders are not entered.
  void files(const std::string& folder, const std::function<void(const std::string& relative)>& on_file);

  void problem(std::string sentence);

 private:
  void enter(const std::string& folder, const std::string& relative, int depth,
             const std::function<void(const std::string&)>& on_file);

  ForeignListing& listing_;
  std::size_t entries_ = 0;
};

// `bad_source` where the store's root is no folder.
Result<void> check_foreign_root(const std::string& root);

// The regular file's size; nothing where there is none. Links are not followed.
std::optional<std::uint64_t> regular_file_size(const std::string& path);

// Files of one title by their path.
void sort_by_title(ForeignListing& listing);

bool is_gguf_name(std::string_view name);

}  // namespace ggufd::store
