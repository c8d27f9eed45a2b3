#include "model/mapped_model.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "gguf/split.h"
#include "gguf/validate.h"
#include "store/file.h"

namespace ggufd::model {
namespace {

Result<MemoryRegion> map_copy(const LocalCopy& copy) {
  const std::string& path = copy.path;
  if (copy.size_bytes == 0)
    return fail(ErrorCode::invalid_gguf, fmt::format("{} is empty; check the model's source", path));
  auto region = map_file(copy.fd(), copy.size_bytes, path);
  if (!region) return region;
  // What is mapped beyond a file's end cannot be read without a signal.
  const auto now = store::stat_of(copy.fd(), path);
  if (!now) return std::unexpected(now.error());
  if (static_cast<std::uint64_t>(now->st_size) >= copy.size_bytes) return region;
  return fail(ErrorCode::map_failed,
              fmt::format("{} had {} bytes and has become shorter; load it again when it is complete", path,
                          copy.size_bytes));
}

Error with_path(const std::string& path, const Error& error) {
  return {error.code, fmt::format("{}: {}", path, error.message)};
}

// What the files must be to each other. A file that stands alone must not be one of several.
Result<void> check_set(const std::vector<gguf::Header>& headers, const std::string& path) {
  const auto split = gguf::split_of(headers.front());
  if (headers.size() == 1 && split && !*split) return {};
  gguf::Defects defects;
  gguf::check_shards(headers, defects);
  if (defects.empty()) return {};
  return std::unexpected(with_path(path, gguf::to_error(defects)));
}

template <class Pointers>
std::uint64_t sum_of_sizes(const Pointers& all, auto size_of) {
  std::uint64_t sum = 0;
  for (const auto& one : all) sum += size_of(*one);
  return sum;
}

}  // namespace

Result<MappedModel> map_model(const Copies& copies, const gguf::MemorySettings& settings) {
  MappedModel model;
  std::vector<gguf::Header> headers;
  std::uint64_t other_shards_bytes = 0;
  for (const auto& copy : copies) {
    auto region = map_copy(*copy);
    if (!region) return std::unexpected(region.error());
    auto header = gguf::read_model(region->bytes(), copy->size_bytes);
    if (!header) return std::unexpected(with_path(copy->path, header.error()));
    if (!headers.empty()) other_shards_bytes += header->tensor_bytes();
    headers.push_back(std::move(*header));
    model.mappings.push_back(std::make_shared<MemoryRegion>(std::move(*region)));
  }
  const std::string& path = copies.front()->path;
  if (auto checked = check_set(headers, path); !checked) return std::unexpected(checked.error());
  auto plan = gguf::plan_memory(headers.front(), settings, other_shards_bytes);
  if (!plan) return std::unexpected(with_path(path, plan.error()));
  // The headers' views end here: from now on only the prefaulting, which survives a file that becomes
  // shorter, reads the mappings.
  model.architecture = headers.front().architecture();
  model.plan = std::move(*plan);
  return model;
}

std::uint64_t total_bytes(const Copies& copies) {
  return sum_of_sizes(copies, [](const LocalCopy& copy) { return copy.size_bytes; });
}

std::uint64_t total_bytes(const Mappings& mappings) {
  return sum_of_sizes(mappings, [](const MemoryRegion& region) { return region.size_bytes(); });
}

Result<void> populate_for_reading(const Mappings& mappings, std::uint64_t offset, std::uint64_t length) {
  for (const auto& mapping : mappings) {
    const std::uint64_t size = mapping->size_bytes();
    if (offset < size && length > 0) {
      const std::uint64_t here = std::min(length, size - offset);
      if (auto done = populate_for_reading(*mapping, offset, here); !done) return done;
      offset += here;
      length -= here;
    }
    offset -= std::min(offset, size);
  }
  return {};
}

}  // namespace ggufd::model
