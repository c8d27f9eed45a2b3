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
#include <vector>

#include "store/blob_store.h"
#include "store/manifest.h"

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

// The model `name`, whose blobs are those.
inline Manifest manifest_for(const std::string& name, const std::vector<Digest>& shards) {
  Manifest manifest{.name = name,
                    .blob = "sha256:" + shards.front().to_hex(),
                    .size_bytes = 1,
                    .source = {"file", "", "", "/w.gguf"},
                    .produced_by = "a test",
                    .produced_at = "2026-05-18T00:00:00Z"};
  if (shards.size() > 1) {
    auto& texts = manifest.shards.emplace();
    for (const Digest& digest : shards) texts.push_back("sha256:" + digest.to_hex());
  }
  return manifest;
}

// A store with some blobs, none of them in use.
struct Blobs {
  TempFolder folder;
  BlobStore store{folder / "models"};

  Digest add(const std::string& content) const {
    const Digest digest = digest_of(content);
    REQUIRE(store.commit(partial_with(store, digest, content), digest, content.size(), ""));
    return digest;
  }
  void name(const std::string& model, const std::vector<Digest>& shards) const {
    REQUIRE(write_manifest(store.root(), manifest_for(model, shards)));
  }
};

// Makes what lies at `path` as old as that.
inline void set_age(const std::string& path, std::int64_t age_ms) {
  const std::int64_t ms = Timestamp::now().ms - age_ms;
  const struct timespec then{ms / 1000, 0};
  const struct timespec times[2] = {then, then};
  REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
}

inline bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

inline bool is_root() {
  return ::geteuid() == 0;
}

}  // namespace ggufd::store::test
