#include "gguf/split.h"

#include <doctest/doctest.h>

#include <vector>

#include "gguf/validate.h"
#include "tests/support/gguf_builder.h"

namespace ggufd::test {
namespace {

using gguf::DefectCode;

GgufBuilder shard(std::uint16_t no, std::uint16_t count, std::int32_t tensors, std::string_view tensor) {
  GgufBuilder file;
  if (no == 0) file.add("general.architecture", "test");
  file.add("split.no", no).add("split.count", count).add("split.tensors.count", tensors);
  file.tensor(tensor, "f32", {8});
  return file;
}

// What check_shards says of these files.
std::vector<gguf::Defect> findings(const std::vector<GgufBuilder>& files) {
  std::vector<std::vector<std::byte>> bytes;
  for (const GgufBuilder& file : files) bytes.push_back(file.build());
  std::vector<gguf::Header> headers;
  for (const auto& each : bytes) headers.push_back(gguf::read(each, each.size()).header);
  gguf::Defects defects;
  gguf::check_shards(headers, defects);
  return defects.list();
}

}  // namespace

TEST_CASE("a file knows its place in a split model") {
  const auto bytes = shard(1, 3, 9, "t").build();
  const auto report = gguf::inspect(bytes, bytes.size());
  CHECK(report.sound());
  CHECK(gguf::split_of(report.header).value() == gguf::Split{.no = 1, .count = 3, .tensors = 9});
}

TEST_CASE("a count of 0 or 1 is no split") {
  for (const std::uint16_t count : {std::uint16_t{0}, std::uint16_t{1}}) {
    const auto bytes = GgufBuilder().add("general.architecture", "test").add("split.count", count).build();
    const auto report = gguf::inspect(bytes, bytes.size());
    CHECK(report.sound());
    CHECK(gguf::split_of(report.header).value() == std::nullopt);
  }
}

TEST_CASE("shards in order with all their tensors are sound") {
  CHECK(findings({shard(0, 2, 2, "a"), shard(1, 2, 2, "b")}).empty());
}

TEST_CASE("each way in which shards do not belong together is named") {
  const auto swapped = findings({shard(1, 2, 2, "a"), shard(0, 2, 2, "b")});
  REQUIRE(swapped.size() == 2);
  CHECK(swapped[0].where == "shard 1");
  CHECK(swapped[0].code == DefectCode::bad_split);
  CHECK(findings({shard(0, 3, 2, "a"), shard(1, 2, 2, "b")}).size() == 1);
  CHECK(findings({shard(0, 2, 5, "a"), shard(1, 2, 2, "b")}).size() == 1);
  const auto twice = findings({shard(0, 2, 2, "a"), shard(1, 2, 2, "a")});
  REQUIRE(twice.size() == 1);
  CHECK(twice[0].code == DefectCode::duplicate_tensor);
  CHECK(findings({shard(0, 2, 2, "a"), GgufBuilder().add("general.name", "x").tensor("b", "f32", {8})})
            .size() == 1);
}

TEST_CASE("the first file's name tells the others") {
  const auto names = gguf::shard_names("dir/m-00001-of-00003.gguf", 3);
  REQUIRE(names.has_value());
  CHECK(*names == std::vector<std::string>{"dir/m-00001-of-00003.gguf", "dir/m-00002-of-00003.gguf",
                                           "dir/m-00003-of-00003.gguf"});
  CHECK(gguf::shard_names("m-00002-of-00003.gguf", 3).error().code == ErrorCode::bad_source);
  CHECK(!gguf::shard_names("m-00001-of-00004.gguf", 3).has_value());
  CHECK(!gguf::shard_names("-00001-of-00003.gguf", 3).has_value());
}

}  // namespace ggufd::test
