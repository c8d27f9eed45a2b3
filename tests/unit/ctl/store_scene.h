// A store, a home and a configuration for the verbs that need no daemon.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "store/blob_store.h"
#include "store/manifest.h"
#include "support.h"
#include "tests/support/gguf_builder.h"

namespace ggufd::ctl::test {

// A folder under $TMPDIR, removed with all that is in it.
class StoreScene {
 public:
  StoreScene() {
    std::string form = std::filesystem::temp_directory_path().string() + "/ggufd-ctl-XXXXXX";
    REQUIRE(::mkdtemp(form.data()) != nullptr);
    // As the verbs name it: $TMPDIR may be a link.
    folder_ = std::filesystem::canonical(form).string();
    root = folder_ + "/models";
  }
  ~StoreScene() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  StoreScene(const StoreScene&) = delete;
  StoreScene& operator=(const StoreScene&) = delete;

  std::string operator/(const std::string& name) const { return folder_ + "/" + name; }

  // Runs a verb against the store, with a home of its own.
  Outcome run(std::vector<std::string> words, Variables variables = {}) const {
    words.insert(words.end(), {"--store", root});
    std::vector<const char*> arguments;
    for (const std::string& word : words) arguments.push_back(word.c_str());
    variables.emplace("HOME", folder_);
    return run_ctl(arguments, {.variables = std::move(variables)});
  }

  void put(const std::string& name, const std::string& content) const {
    const std::filesystem::path path = folder_ + "/" + name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
  }
  static std::string get(const std::string& path) {
    std::ostringstream content;
    content << std::ifstream(path, std::ios::binary).rdbuf();
    return content.str();
  }

  store::BlobStore store() const { return store::BlobStore(root); }
  store::Digest add_blob(const std::string& content) const {
    const auto digest = store::sha256_of(content);
    auto partial = store().open_partial(*digest);
    REQUIRE(partial);
    REQUIRE(store::pwrite_all(partial->fd(), std::as_bytes(std::span(content)), 0, "data.tmp"));
    REQUIRE(store().commit(std::move(*partial), *digest, content.size(), ""));
    return *digest;
  }
  void add_model(const std::string& name, const std::vector<store::Digest>& shards) const {
    store::Manifest manifest{.name = name,
                             .blob = "sha256:" + shards.front().to_hex(),
                             .size_bytes = 1,
                             .source = {"file", "", "", "/w.gguf"},
                             .produced_by = "a test",
                             .produced_at = "2026-05-18T00:00:00Z"};
    if (shards.size() > 1) {
      auto& texts = manifest.shards.emplace();
      for (const auto& digest : shards) texts.push_back("sha256:" + digest.to_hex());
    }
    REQUIRE(store::write_manifest(root, manifest));
  }

  std::string root;

 private:
  std::string folder_;
};

inline std::string text_of(const ggufd::test::GgufBuilder& file) {
  const auto bytes = file.build();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The bytes of a small sound GGUF, others for every name.
inline std::string gguf_of(const std::string& name) {
  ggufd::test::GgufBuilder file;
  file.add("general.architecture", "tiny").add("general.name", name).tensor("output.weight", "f32", {4});
  return text_of(file);
}

// Of a model of two files, number `no`.
inline std::string shard_of(std::uint16_t no) {
  ggufd::test::GgufBuilder file;
  file.add("general.architecture", "tiny")
      .add("split.no", no)
      .add("split.count", std::uint16_t{2})
      .add("split.tensors.count", std::int32_t{2})
      .tensor(no == 0 ? "token_embd.weight" : "output.weight", "f32", {4});
  return text_of(file);
}

inline std::string hex_of(const std::string& content) {
  return store::sha256_of(content)->to_hex();
}

inline bool exists(const std::string& path) {
  return std::filesystem::symlink_status(path).type() != std::filesystem::file_type::not_found;
}

}  // namespace ggufd::ctl::test
