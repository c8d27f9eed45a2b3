#include "store/shard_links.h"

#include <algorithm>

#include "support.h"

namespace ggufd::store {
namespace {

using namespace test;

const std::string first = "w-00001-of-00002.gguf";
const std::string second = "w-00002-of-00002.gguf";

std::vector<std::string> names_at(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

TEST_CASE("links have the shards' names and lead to their blobs") {
  const Blobs blobs;
  const Digest one = blobs.add("one");
  const Digest two = blobs.add("two");
  const auto path = link_shards(blobs.store, "m", {{first, one}, {second, two}});
  REQUIRE(path);
  CHECK(*path == blobs.store.root() + "/links/m/" + first);
  CHECK(get(*path) == "one");
  CHECK(get(blobs.store.root() + "/links/m/" + second) == "two");
  CHECK(std::filesystem::read_symlink(*path).is_relative());
}

TEST_CASE("the store may be moved: its links lead along") {
  const Blobs blobs;
  REQUIRE(link_shards(blobs.store, "m", {{first, blobs.add("one")}}));
  std::filesystem::rename(blobs.store.root(), blobs.folder / "elsewhere");
  CHECK(get(blobs.folder / ("elsewhere/links/m/" + first)) == "one");
}

TEST_CASE("a right link stays, a wrong one is replaced, what else lies there goes") {
  const Blobs blobs;
  const Digest one = blobs.add("one");
  const Digest two = blobs.add("two");
  REQUIRE(link_shards(blobs.store, "m", {{first, one}, {second, one}}));
  const std::string folder = blobs.store.root() + "/links/m/";
  const auto inode_of = [](const std::string& path) {
    struct stat status{};
    REQUIRE(::lstat(path.c_str(), &status) == 0);
    return status.st_ino;
  };
  const auto before = inode_of(folder + first);
  std::filesystem::create_symlink("/nowhere", folder + "old.gguf");
  put(folder + "." + first + ".0123456789abcdef", "left by a crash");
  REQUIRE(link_shards(blobs.store, "m", {{first, one}, {second, two}}));
  CHECK(inode_of(folder + first) == before);
  CHECK(get(folder + second) == "two");
  CHECK(names_at(folder) == std::vector{first, second});
}

TEST_CASE("names that lead out of the folder, or are no names, are refused") {
  const Blobs blobs;
  const Digest one = blobs.add("one");
  const std::string nul("a\0b", 3);
  for (const std::string& name : {std::string("../x"), std::string("a/b"), std::string("."), std::string(""),
                                  std::string(".x"), nul, std::string(201, 'x')}) {
    const auto linked = link_shards(blobs.store, "m", {{name, one}});
    REQUIRE_FALSE(linked);
    CHECK(linked.error().code == ErrorCode::bad_field);
  }
  CHECK(link_shards(blobs.store, "../m", {{first, one}}).error().code == ErrorCode::bad_field);
  CHECK(link_shards(blobs.store, "m", {{first, one}, {first, one}}).error().code == ErrorCode::bad_field);
  CHECK(link_shards(blobs.store, "m", {}).error().code == ErrorCode::bad_field);
  CHECK_FALSE(exists(blobs.store.root() + "/links"));
}

TEST_CASE("a folder of links that is a link itself is refused") {
  const Blobs blobs;
  const Digest one = blobs.add("one");
  std::filesystem::create_directory(blobs.folder / "victim");
  put(blobs.folder / "victim/precious", "x");
  std::filesystem::create_directory(blobs.store.root() + "/links");
  std::filesystem::create_symlink(blobs.folder / "victim", blobs.store.root() + "/links/m");
  CHECK_FALSE(link_shards(blobs.store, "m", {{first, one}}));
  CHECK(names_at(blobs.folder / "victim") == std::vector<std::string>{"precious"});
}

}  // namespace
}  // namespace ggufd::store
