// Where other programs keep GGUF files on this machine, and what is there. Their stores are not ours and may
// hold anything: names are shown escaped, digests in names are claims, links are followed only inside one
// repository, and the number of entries that are looked at is bounded. Everything blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/error.h"
#include "store/digest.h"
#include "store/manifest.h"

namespace ggufd::store {

struct ForeignFile {
  std::string title;  // what people call it there: "org/repo/file.gguf", "llama3.2:3b"
  std::string
      file_name;     // what it is called as a file; of a store that has no such names, made up of the title
  std::string path;  // where its bytes are; no link
  std::uint64_t size_bytes = 0;
  std::optional<Digest> claimed;  // the digest that its name there says
  ManifestSource source;
};

struct ForeignListing {
  std::vector<ForeignFile> files;     // by title
  std::vector<std::string> problems;  // sentences: what looks like a model and can't be had; the first 100
};

// Entries that are looked at in one store.
inline constexpr std::size_t foreign_entries_max = 200'000;

// Errors: `bad_source` where the folder cannot be listed.

// Hugging Face's cache: models--<org>--<repo>/{blobs/<sha256>, refs/<name>, snapshots/<commit>/<path> ->
// ../../blobs/…} (https://huggingface.co/docs/huggingface_hub/guides/manage-cache). Of a file that is in
// several snapshots the one of refs/main counts, else that of the first in order.
Result<ForeignListing> list_hugging_face(const std::string& root);
// Ollama's models: manifests/<host>/<namespace>/<model>/<tag> with `layers`, blobs/sha256-<hex>
// (https://github.com/ollama/ollama, server/images.go).
Result<ForeignListing> list_ollama(const std::string& root);
// llama.cpp's cache: files in one folder, and beside them, since March 2026, Hugging Face's layout.
Result<ForeignListing> list_llama_cpp(const std::string& root);

}  // namespace ggufd::store
