// What the tests of the store share: a temporary folder of their own, files in it, a filled store.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "store/blob_store.h"

namespace ggufd::store::test {

// A folder under $TMPDIR, 0700, removed with all that is in it.
class TempFolder {
 public:
  TempFolder() : TempFolder(std::filesystem::temp_directory_path().string()) {}
  explicit TempFolder(const std::string& parent) {
    std::string form = parent + "/ggufd-store-XXXXXX";
    REQUIRE(::mkdtemp(form.data()) != nullptr);
    path_ = form;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline void put(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
  REQUIRE(std::filesystem::file_size(path) == content.size());
}

inline std::string get(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

inline bool exists(const std::string& path) {
  return std::filesystem::symlink_status(path).type() != std::filesystem::file_type::not_found;
}

inline unsigned mode_of(const std::string& path) {
  struct stat status{};
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status.st_mode & 07777U;
}

inline std::string read_fd(int fd) {
  const auto text = read_all(fd, 1 << 20, "the descriptor");
  REQUIRE(text);
  return *text;
}

inline Digest digest_of(const std::string& content) {
  const auto digest = sha256_of(content);
  REQUIRE(digest);
  return *digest;
}

inline Partial partial_with(const BlobStore& store, const Digest& key, const std::string& content) {
  auto partial = store.open_partial(key);
  REQUIRE(partial);
  REQUIRE(pwrite_all(partial->fd(), std::as_bytes(std::span(content)), 0, partial->data_path()));
  return std::move(*partial);
}

// A store with one committed blob.
struct FilledStore {
  TempFolder folder;
  BlobStore store{folder / "models"};
  std::string content = "the weights";
  Digest digest = digest_of(content);
  FoundBlob committed = commit();

  FoundBlob commit() {
    auto blob = store.commit(partial_with(store, digest, content), digest, content.size(),
                             "https://example.org/w.gguf");
    REQUIRE(blob);
    REQUIRE(blob->reason == "");
    return std::move(*blob);
  }
  FoundBlob found() const {
    auto blob = store.find(digest);
    REQUIRE(blob);
    REQUIRE(*blob);
    return std::move(**blob);
  }
  std::string record_path() const { return store.blob_folder(digest) + "/verified.json"; }
};

inline bool is_root() {
  return ::geteuid() == 0;
}

}  // namespace ggufd::store::test
