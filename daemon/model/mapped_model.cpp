#include "model/mapped_model.h"

#include <fmt/core.h>

#include <utility>

#include "gguf/embedding.h"
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

// Fills `model`, the mappings first: what is wrong may come of a page that could not be read.
Result<void> map_and_read(const Copies& copies, const gguf::MemorySettings& settings, MappedModel& model) {
  std::vector<gguf::Header> headers;
  std::uint64_t other_shards_bytes = 0;
  for (const auto& copy : copies) {
    auto region = map_copy(*copy);
    if (!region) return std::unexpected(region.error());
    model.mappings.push_back(std::make_shared<MemoryRegion>(std::move(*region)));
    auto stamp = store::stat_stamp(copy->fd(), copy->path);
    if (!stamp) return std::unexpected(stamp.error());
    model.stamps.push_back(*stamp);
    auto header = gguf::read_model(model.mappings.back()->bytes(), copy->size_bytes);
    if (!header) return std::unexpected(with_path(copy->path, header.error()));
    if (!headers.empty()) other_shards_bytes += header->tensor_bytes();
    headers.push_back(std::move(*header));
  }
  const std::string& path = copies.front()->path;
  if (auto checked = check_set(headers, path); !checked) return checked;
  model.planner.emplace(headers.front(), other_shards_bytes);
  auto plan = model.planner->plan(settings);
  if (!plan) return std::unexpected(with_path(path, plan.error()));
  model.plan = std::move(*plan);
  model.is_embedding_model = gguf::is_embedding_model(headers.front());
  // The headers' views end here: from now on nothing reads the mappings but what brings them into memory.
  return {};
}

}  // namespace

Result<MappedModel> map_model(const Copies& copies, const gguf::MemorySettings& settings) {
  MappedModel model;
  const auto read = map_and_read(copies, settings, model);
  for (std::size_t i = 0; i < model.mappings.size(); ++i) {
    if (!model.mappings[i]->has_failed()) continue;
    return fail(ErrorCode::map_failed,
                fmt::format("{} became shorter while its header was read, or its disk fails; "
                            "load it again when it is complete",
                            copies[i]->path));
  }
  if (!read) return std::unexpected(read.error());
  return model;
}

std::uint64_t total_bytes(const Copies& copies) {
  return sum_of_sizes(copies, [](const LocalCopy& copy) { return copy.size_bytes; });
}

std::uint64_t total_bytes(const Mappings& mappings) {
  return sum_of_sizes(mappings, [](const MemoryRegion& region) { return region.size_bytes(); });
}

}  // namespace ggufd::model
