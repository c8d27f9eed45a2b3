#include "gguf/split.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ggufd::gguf {
namespace {

// A finding about shard `index`.
void add_shard_defect(Defects& defects, std::size_t index, std::string_view message) {
  defects.add(DefectCode::bad_split, fmt::format("shard {}", index + 1), 0, "shard {}: {}", index + 1,
              message);
}

void check_shard(const Header& shard, std::size_t index, std::size_t count, std::uint64_t tensors,
                 Defects& defects) {
  const auto split = split_of(shard);
  if (!split) {
    add_shard_defect(defects, index, split.error().message);
  } else if (!*split) {
    add_shard_defect(defects, index, "the file is not part of a split model");
  } else if (const Split& found = **split; found.no != index) {
    add_shard_defect(defects, index, fmt::format("the file is number {} of its model", found.no + 1));
  } else if (found.count != count) {
    add_shard_defect(defects, index, fmt::format("its model has {} files, not {}", found.count, count));
  } else if (found.tensors != tensors) {
    add_shard_defect(
        defects, index,
        fmt::format("split.tensors.count is {} where the files hold {} together", found.tensors, tensors));
  }
}

void find_shared_tensors(std::span<const Header> shards, Defects& defects) {
  std::vector<std::pair<std::string_view, std::size_t>> names;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    for (const Tensor& tensor : shards[i].tensors) names.emplace_back(tensor.name, i);
  }
  std::ranges::sort(names);
  for (std::size_t i = 1; i < names.size(); ++i) {
    if (names[i].first != names[i - 1].first || names[i].second == names[i - 1].second) continue;
    defects.add(DefectCode::duplicate_tensor, names[i].first, 0, "tensor {} is in shards {} and {}",
                printable(names[i].first), names[i - 1].second + 1, names[i].second + 1);
  }
}

}  // namespace

Result<std::optional<Split>> split_of(const Header& header) {
  const auto count = header.find<std::uint16_t>("split.count");
  if (!count) return std::unexpected(count.error());
  if (count->value_or(0) < 2) return std::optional<Split>();
  const auto no = header.get<std::uint16_t>("split.no");
  if (!no) return std::unexpected(no.error());
  const auto tensors = header.get<std::int32_t>("split.tensors.count");
  if (!tensors) return std::unexpected(tensors.error());
  if (*no >= **count) {
    return fail(ErrorCode::invalid_gguf, fmt::format("split.no is {} in a model of {} files", *no, **count));
  }
  if (*tensors < 0 || static_cast<std::uint64_t>(*tensors) < header.tensors.size()) {
    return fail(ErrorCode::invalid_gguf,
                fmt::format("split.tensors.count is {} where this file alone holds {} tensors", *tensors,
                            header.tensors.size()));
  }
  return Split{.no = *no, .count = **count, .tensors = static_cast<std::uint64_t>(*tensors)};
}

Result<std::vector<std::string>> shard_names(std::string_view first, std::uint16_t count) {
  const std::string ending = fmt::format("-{:05}-of-{:05}.gguf", 1, count);
  if (!first.ends_with(ending) || first.size() == ending.size()) {
    return fail(ErrorCode::bad_source,
                fmt::format("{} is not the name of the first file of a model of {} files; it "
                            "must end in {}",
                            first, count, ending));
  }
  const std::string_view prefix = first.substr(0, first.size() - ending.size());
  std::vector<std::string> names;
  names.reserve(count);
  for (unsigned no = 1; no <= count; ++no)
    names.push_back(fmt::format("{}-{:05}-of-{:05}.gguf", prefix, no, count));
  return names;
}

void check_shards(std::span<const Header> shards, Defects& defects) {
  std::uint64_t tensors = 0;
  for (const Header& shard : shards) tensors += shard.tensors.size();
  for (std::size_t i = 0; i < shards.size(); ++i) check_shard(shards[i], i, shards.size(), tensors, defects);
  find_shared_tensors(shards, defects);
}

}  // namespace ggufd::gguf
