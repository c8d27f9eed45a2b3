// The GGUF header(s) of a model, read for `inspect` and `plan`: from files, or fetched without the rest.
// Blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "ctl/context.h"
#include "ctl/model_place.h"
#include "gguf/memory_plan.h"
#include "gguf/reader.h"
#include "protocol/error.h"

namespace ggufd::ctl {

// A header that does not end within so many bytes is not read: no sound model has one as long.
inline constexpr std::uint64_t max_header_bytes = std::uint64_t{256} << 20;

struct FileHeader {
  std::string path;                         // or the URL, without its query; not yet fit to be shown
  std::optional<std::uint64_t> file_bytes;  // nothing where the server does not tell
  std::vector<std::byte> bytes;             // the report's views point into them
  gguf::Report report;

  FileHeader() = default;
  FileHeader(FileHeader&&) = default;  // the bytes stay where they are
  FileHeader& operator=(FileHeader&&) = default;
};

// A model's files, the first shard first.
struct ModelHeaders {
  std::vector<FileHeader> files;     // never empty
  std::vector<std::string> missing;  // shards that were looked for and are not there
  gguf::Defects set_defects;         // of the shards as a set; looked for where none is missing

  // All files are there, and none of them or their set has a defect.
  bool is_sound() const;
  const gguf::Header& first() const { return files.front().report.header; }
  bool is_split() const { return files.size() + missing.size() > 1; }
};

// The header of a regular file. `io` or `bad_source` where it is none (never waits for a pipe) or cannot be
// read, `invalid_gguf` where the header has no end within max_header_bytes.
Result<FileHeader> read_file_header(const std::string& path);

// The same of a source's file. Asks the network; errors are fetch::FetchHeader's.
Result<FileHeader> fetch_file_header(const Context& context, const config::FetchConfig& settings,
                                     const std::vector<config::Source>& sources);

// All files of the model: the shards too, that lie beside the first one or that the place names.
Result<ModelHeaders> read_headers(const Context& context, const config::FetchConfig& settings,
                                  const ModelPlace& place);

// Whether these files, all of a model and the first shard first, have sound headers and the bytes that those
// name: what a load would refuse is an error.
Result<void> check_model(const std::vector<std::string>& paths);

// For planning. The error of headers that are not sound, or not all there.
Result<gguf::MemoryPlanner> planner_of(const ModelHeaders& headers);

}  // namespace ggufd::ctl
