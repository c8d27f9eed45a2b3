// manifests/<name>.json: which blob a model's name stands for, and where it came from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/error.h"
#include "protocol/fields.h"
#include "store/digest.h"

namespace ggufd::store {

struct ManifestSource {
  std::string registry;
  std::string repo;
  std::string revision;
  std::string filename;

  static void fields(auto& self, auto&& f) {
    f("registry", self.registry, "the host, or \"file\" for a local one");
    f("repo", self.repo, "the repository there; empty where there is no such thing");
    f("revision", self.revision, "the commit that it was taken at; empty where there is no such thing");
    f("filename", self.filename, "the file's path in the repository");
  }
  friend bool operator==(const ManifestSource&, const ManifestSource&) = default;
};

struct Manifest {
  std::uint32_t schema_version = 1;
  std::string name;
  std::string format = "gguf";
  std::string blob;  // "sha256:<hex>"; of a split GGUF the first shard
  // Of a split GGUF all shards in their order, "sha256:<hex>" each; absent for a single file.
  std::optional<std::vector<std::string>> shards = {};
  std::uint64_t size_bytes = 0;
  std::optional<std::string> license = {};
  ManifestSource source;
  std::string produced_by;
  std::string produced_at;  // RFC 3339, UTC; other tools may write it without the milliseconds

  static void fields(auto& self, auto&& f) {
    f("schema_version", self.schema_version, "1");
    f("name", self.name, "the model's name, that of the file without .json");
    f("format", self.format, "gguf");
    f("blob", self.blob, "sha256: and 64 hex digits; of a split GGUF the first shard");
    f("shards", self.shards, "of a split GGUF every shard's blob, in order");
    f("size_bytes", self.size_bytes, "the size, of all shards together");
    f("license", self.license, "the license, as the source names it");
    f("source", self.source, "where it came from");
    f("produced_by", self.produced_by, "the program that wrote this");
    f("produced_at", self.produced_at, "when, RFC 3339");
  }
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

// A model's name is also a file's: 1 to 64 of A-Za-z0-9._- and no dot in front.
bool is_model_name(std::string_view name);

// The manifest's blob, where it is well-formed; read_manifest() returns no other.
std::optional<Digest> blob_of(const Manifest& manifest);
// The blobs of all its shards, in order; one for a single file. Empty where one is malformed.
std::vector<Digest> blobs_of(const Manifest& manifest);

// Nothing where there is none. An error, `io`, that names the file and what is wrong in it, where it is no
// manifest of this model: not JSON, a field missing or of another type, a schema or format that we do not
// know, a malformed digest, another name inside. `bad_field` for a name that is none.
Result<std::optional<Manifest>> read_manifest(const std::string& store_root, std::string_view name);

// Writes manifests/<name>.json, at once or not at all. What read_manifest() would refuse is refused here:
// `bad_field`.
Result<void> write_manifest(const std::string& store_root, const Manifest& manifest);

}  // namespace ggufd::store
