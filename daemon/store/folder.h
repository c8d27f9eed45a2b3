// A folder inside the store, reached from the store's root one part at a time without following a symbolic
// link, so that no name below the root can lead out of it. (The root itself may be a link: its owner chose
// it.)
#pragma once

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "store/file.h"

namespace ggufd::store {

struct Folder {
  UniqueFd fd;
  std::string path;
  // Why what lies in here may have been changed by another user, as a clause ("/x may be written by its
  // group"); empty where this folder and every one above it, up to the root, belong to us or root and nobody
  // else may write them.
  std::string distrust;

  std::string path_of(const std::string& name) const { return join(path, name); }
};

// Nothing where a part does not exist; an error where one is a link or no folder.
Result<std::optional<Folder>> open_store_folder(const std::string& root,
                                                std::initializer_list<std::string> parts);
// Makes what is missing, 0755 less the umask, and syncs the parents.
Result<Folder> make_store_folder(const std::string& root, std::initializer_list<std::string> parts);
// A folder directly in an open one; nothing where there is none, an error where it is a link or no folder.
Result<std::optional<Folder>> open_folder_in(const Folder& folder, const std::string& name);

// More than this in one folder is no store of models.
inline constexpr std::size_t names_in_folder_max = 1'000'000;

// What is in the folder, sorted, without "." and "..". An error where there is more than names_in_folder_max.
Result<std::vector<std::string>> names_in(const Folder& folder);

}  // namespace ggufd::store
