// Where things are: the runtime folder with its sockets, the configuration file, the store. Each is the first
// rule that is set; a place says which one that was.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/environment.h"
#include "protocol/error.h"

namespace ggufd::config {

// The command line's part; relative paths are relative to the working directory.
struct PlaceOptions {
  std::optional<std::string> runtime_dir = {};  // --runtime-dir
  std::optional<std::string> config = {};       // --config
  std::optional<std::string> store = {};        // --store
};

struct Place {
  std::string path;  // absolute, without "." and "..", without a slash at its end
  std::string rule;  // "--store", "models_home", "$MODELS_HOME", …: what named it
  friend bool operator==(const Place&, const Place&) = default;
};

// --runtime-dir, $GGUFD_RUNTIME_DIR, $RUNTIME_DIRECTORY (its first folder), $XDG_RUNTIME_DIR/ggufd,
// /tmp/ggufd-<uid>
Result<Place> find_runtime_folder(const PlaceOptions&, const Environment&, uid_t uid);
// --config, $GGUFD_CONFIG, ${XDG_CONFIG_HOME:-~/.config}/ggufd/config.json
Result<Place> find_config_file(const PlaceOptions&, const Environment&, uid_t uid);
// --store, models_home, $MODELS_HOME, ${XDG_DATA_HOME:-~/.local/share}/models
Result<Place> find_store_folder(const PlaceOptions&, const std::string& models_home, const Environment&,
                                uid_t uid);

// Bytes of a Unix socket's path, without the NUL at its end: sun_path has 108 (unix(7)).
inline constexpr std::size_t max_socket_path_bytes = 107;

// The files of a runtime folder. `io` where a socket's path would be too long for the kernel.
struct RuntimeFiles {
  std::string lock;          // ggufd.lock
  std::string admin_socket;  // admin.sock
  std::string infer_socket;  // infer.sock, the default model's
  std::string http_socket;   // http.sock
};
Result<RuntimeFiles> runtime_files(const std::string& folder);
// infer.<model>.sock
Result<std::string> model_socket(const std::string& folder, std::string_view model);

// The models whose names are too long for a socket in `folder`, as mistakes at /models/<i>/name.
std::vector<Mistake> check_model_sockets(const Config&, const std::string& folder);

struct FolderError {
  bool is_unsafe = false;  // somebody else could reach into it; false: a system call failed
  std::string message;
};

// Whether others than its owner may connect to sockets in a folder: they need the right to search it, and get
// no other.
enum class FolderAccess { owner, searched_by_all };

// Makes the folder, 0700 or 0711, and what is missing above it. One that is there is refused as unsafe where
// it is a symbolic link or no folder, where `uid` does not own it, or where group or others may write it. One
// that others may only read is set to its mode where it is empty, but for an admin.sock that waits for us, or
// has held our lock before; a folder that serves something else keeps its own.
std::expected<void, FolderError> prepare_runtime_folder(const std::string& path, uid_t uid,
                                                        FolderAccess access = FolderAccess::owner);

}  // namespace ggufd::config
