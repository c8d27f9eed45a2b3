#include "store/manifest.h"

#include "store/model_lock.h"
#include "support.h"

namespace ggufd::store {
namespace {

using namespace test;

const std::string hex(64, 'c');

Manifest example() {
  return {.name = "qwen3-4b",
          .blob = "sha256:" + hex,
          .size_bytes = 2'497'280'256,
          .license = "apache-2.0",
          .source = {.registry = "huggingface.co",
                     .repo = "Qwen/Qwen3-4B-GGUF",
                     .revision = "0123abcd",
                     .filename = "w.gguf"},
          .produced_by = "ggufd 0.1.0",
          .produced_at = "2026-05-18T00:00:00.000Z"};
}

TEST_CASE("a manifest is written as the layout says and read back") {
  TempFolder folder;
  const std::string root = folder / "models";
  REQUIRE(write_manifest(root, example()));
  const std::string path = root + "/manifests/qwen3-4b.json";
  CHECK(get(path) ==
        "{\"schema_version\":1,\"name\":\"qwen3-4b\",\"format\":\"gguf\",\"blob\":\"sha256:" + hex +
            "\",\"size_bytes\":2497280256,\"license\":\"apache-2.0\",\"source\":{\"registry\":\"huggingface."
            "co\","
            "\"repo\":\"Qwen/Qwen3-4B-GGUF\",\"revision\":\"0123abcd\",\"filename\":\"w.gguf\"},"
            "\"produced_by\":\"ggufd 0.1.0\",\"produced_at\":\"2026-05-18T00:00:00.000Z\"}\n");
  CHECK(mode_of(path) == 0644);
  const auto read = read_manifest(root, "qwen3-4b");
  REQUIRE(read);
  CHECK(*read == example());
  CHECK(blob_of(**read) == Digest::parse(hex));
}

TEST_CASE("a split model's manifest lists its shards in order") {
  TempFolder folder;
  Manifest manifest = example();
  const std::string second(64, 'd');
  manifest.shards = {"sha256:" + hex, "sha256:" + second};
  REQUIRE(write_manifest(folder.path(), manifest));
  CHECK(contains(get(folder / "manifests/qwen3-4b.json"),
                 "\"shards\":[\"sha256:" + hex + "\",\"sha256:" + second + "\"]"));
  const auto read = read_manifest(folder.path(), "qwen3-4b");
  REQUIRE(read);
  CHECK(*read == manifest);
  CHECK(blobs_of(**read) == std::vector{*Digest::parse(hex), *Digest::parse(second)});
  CHECK(blobs_of(example()) == std::vector{*Digest::parse(hex)});
}

TEST_CASE("shards that are none, or that the blob does not begin, are refused") {
  TempFolder folder;
  const std::vector<std::vector<std::string>> bad{
      {}, {"sha256:" + hex, hex}, {"sha256:" + std::string(64, 'd')}, {"sha256:" + hex, "sha256:../x"}};
  for (const auto& shards : bad) {
    Manifest manifest = example();
    manifest.shards = shards;
    const auto written = write_manifest(folder.path(), manifest);
    REQUIRE_FALSE(written);
    CHECK(written.error().code == ErrorCode::bad_field);
  }
  CHECK(blobs_of({.blob = "sha256:x", .shards = {}}).empty());
}

TEST_CASE("a manifest without a license, from another tool, with more keys, is read") {
  TempFolder folder;
  Manifest manifest = example();
  manifest.license.reset();
  REQUIRE(write_manifest(folder.path(), manifest));
  const std::string path = folder / "manifests/qwen3-4b.json";
  CHECK(get(path).find("license") == std::string::npos);
  std::string text = get(path);
  text.erase(text.find(".000Z"), 4);
  text.insert(text.rfind('}'), ",\"more\":{\"x\":[1]}");
  put(path, text);
  const auto read = read_manifest(folder.path(), "qwen3-4b");
  REQUIRE(read);
  CHECK((*read)->produced_at == "2026-05-18T00:00:00Z");
}

TEST_CASE("no manifest is nothing, in a store or in none") {
  TempFolder folder;
  CHECK_FALSE(read_manifest(folder / "models", "qwen3-4b")->has_value());
  REQUIRE(write_manifest(folder / "models", example()));
  CHECK_FALSE(read_manifest(folder / "models", "another")->has_value());
}

TEST_CASE("a malformed manifest is an error that names the file and the mistake") {
  TempFolder folder;
  REQUIRE(write_manifest(folder.path(), example()));
  const std::string path = folder / "manifests/qwen3-4b.json";
  const std::string good = get(path);
  const auto message_with = [&](const std::string& content) {
    put(path, content);
    const auto read = read_manifest(folder.path(), "qwen3-4b");
    REQUIRE_FALSE(read);
    CHECK(read.error().code == ErrorCode::io);
    CHECK(read.error().message.find(path) != std::string::npos);
    return read.error().message;
  };
  const auto message_without = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return message_with(text);
  };
  CHECK(contains(message_with(""), "not a JSON object"));
  CHECK(contains(message_with(good.substr(0, 99)), "not a JSON object"));
  CHECK(contains(message_with(std::string("\xFF").append(good)), "not a JSON object"));
  CHECK(contains(message_with(std::string(100'000, '[')), "not a JSON object"));
  CHECK(contains(message_with(std::string(2 << 20, ' ')), "bytes, more than"));
  CHECK(
      contains(message_without("\"size_bytes\":2497280256", "\"size_bytes\":-1"), "\"size_bytes\" must be"));
  CHECK(contains(message_without("\"size_bytes\":2497280256", "\"x\":1"), "\"size_bytes\" is missing"));
  CHECK(contains(message_without("\"revision\":", "\"x\":"), "\"revision\" is missing"));
  CHECK(contains(message_without("\"schema_version\":1", "\"schema_version\":2"),
                 "schema_version 2 is not known"));
  CHECK(contains(message_without("\"gguf\"", "\"safetensors\""), "format \"safetensors\" is not known"));
  CHECK(contains(message_without("\"qwen3-4b\"", "\"other\""), "for the model \"other\""));
  CHECK(contains(message_without("sha256:c", "sha256:/"), "64 hex digits"));
  CHECK(contains(message_without("sha256:c", "c"), "64 hex digits"));
  CHECK(contains(message_without("2026-05-18T00:00:00.000Z", "yesterday"), "produced_at \"yesterday\""));
  CHECK(contains(message_without("2026-05-18T", "2026-13-18T"), "is no moment"));
  CHECK(contains(message_without("00.000Z", "00 or so"), "is no moment"));
}

TEST_CASE("a manifest that is a symbolic link is refused") {
  TempFolder folder;
  REQUIRE(write_manifest(folder.path(), example()));
  const std::string path = folder / "manifests/qwen3-4b.json";
  std::filesystem::rename(path, folder / "elsewhere");
  std::filesystem::create_symlink(folder / "elsewhere", path);
  CHECK_FALSE(read_manifest(folder.path(), "qwen3-4b"));
}

TEST_CASE("a name that is no file's name is refused everywhere") {
  TempFolder folder;
  for (const std::string& name :
       {std::string(), std::string("../x"), std::string("a/b"), std::string(".x"), std::string("a b"),
        std::string(65, 'a'), std::string("a\0b", 3), std::string("\xC3\xA4")}) {
    CAPTURE(name);
    CHECK_FALSE(is_model_name(name));
    const auto read = read_manifest(folder.path(), name);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == ErrorCode::bad_field);
    Manifest manifest = example();
    manifest.name = name;
    CHECK_FALSE(write_manifest(folder.path(), manifest));
    const auto lock = ModelLock::try_lock(folder.path(), name);
    REQUIRE_FALSE(lock);
    CHECK(lock.error().code == ErrorCode::bad_field);
  }
  CHECK(std::filesystem::is_empty(folder.path()));
  CHECK(is_model_name(std::string(64, 'a')));
  CHECK(is_model_name("Qwen3-4B_Q4.K-M"));
}

TEST_CASE("what would not be read is not written") {
  TempFolder folder;
  Manifest manifest = example();
  manifest.blob = hex;
  const auto written = write_manifest(folder.path(), manifest);
  REQUIRE_FALSE(written);
  CHECK(written.error().code == ErrorCode::bad_field);
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a model's lock has one holder; the file stays") {
  TempFolder folder;
  const std::string path = folder / "locks/qwen3-4b.lock";
  {
    auto first = ModelLock::try_lock(folder.path(), "qwen3-4b");
    REQUIRE(first);
    REQUIRE(*first);
    CHECK(mode_of(path) == 0600);
    CHECK_FALSE(ModelLock::try_lock(folder.path(), "qwen3-4b")->has_value());
    CHECK(ModelLock::try_lock(folder.path(), "another")->has_value());
    const ModelLock moved = std::move(**first);
    first->reset();
    CHECK_FALSE(ModelLock::try_lock(folder.path(), "qwen3-4b")->has_value());
  }
  CHECK(exists(path));
  CHECK(ModelLock::try_lock(folder.path(), "qwen3-4b")->has_value());
}

TEST_CASE("a lock that is a symbolic link is refused") {
  TempFolder folder;
  std::filesystem::create_directory(folder / "locks");
  std::filesystem::create_symlink(folder / "victim", folder / "locks/qwen3-4b.lock");
  CHECK_FALSE(ModelLock::try_lock(folder.path(), "qwen3-4b"));
  CHECK_FALSE(exists(folder / "victim"));
}

}  // namespace
}  // namespace ggufd::store
