// What is known of a model's bytes before anything is fetched.
#include "model/local_copy.h"

#include "store/manifest.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

config::ModelConfig first_use() {
  config::ModelConfig model = from_url("http://127.0.0.1:1/dir/m.gguf?x=1", "");
  model.sha256.clear();
  model.pin = config::Pin::first_use;
  return model;
}

TEST_CASE("the configured digest is what is expected, and names the partial") {
  const House house;
  const auto expectation = expectation_of(house.store(), from_url("http://127.0.0.1:1/m", "bytes"));
  REQUIRE(expectation);
  CHECK(expectation->digest == digest_of("bytes"));
  CHECK(expectation->partial_key == digest_of("bytes"));
}

TEST_CASE("on first use nothing is expected, then what the manifest says") {
  const House house;
  const config::ModelConfig model = first_use();
  auto expectation = expectation_of(house.store(), model);
  REQUIRE(expectation);
  CHECK_FALSE(expectation->digest);
  CHECK(expectation->partial_key == *store::sha256_of("http://127.0.0.1:1/dir/m.gguf"));
  REQUIRE(record_manifest(house.store(), model, digest_of("bytes"), 5));
  expectation = expectation_of(house.store(), model);
  REQUIRE(expectation);
  CHECK(expectation->digest == digest_of("bytes"));
  CHECK(expectation->partial_key == digest_of("bytes"));
}

TEST_CASE("a manifest that is damaged is an error on first use, not a new first use") {
  const House house;
  REQUIRE(record_manifest(house.store(), first_use(), digest_of("bytes"), 5));
  put(house.store().manifest_path("m"), "{");
  const auto expectation = expectation_of(house.store(), first_use());
  REQUIRE_FALSE(expectation);
  CHECK(expectation.error().message.find(house.store().manifest_path("m")) != std::string::npos);
}

TEST_CASE("the path that is looked at is the file's, the blob's or the manifest's") {
  const House house;
  CHECK(path_to_check(house.store(), in_place("/a/m.gguf")) == "/a/m.gguf");
  CHECK(path_to_check(house.store(), from_url("http://127.0.0.1:1/m", "x")) ==
        house.store().blob_path(digest_of("x")));
  CHECK(path_to_check(house.store(), first_use()) == house.store().manifest_path("m"));
}

TEST_CASE("a network model that is not in the store is nowhere; looking makes no store") {
  const House house;
  const auto copy = find_local_copy(house.store(), from_url("http://127.0.0.1:1/m", "x"), digest_of("x"));
  REQUIRE(copy);
  CHECK_FALSE(*copy);
  CHECK_FALSE(std::filesystem::exists(house.store().root()));
  const auto unknown = find_local_copy(house.store(), first_use(), std::nullopt);
  REQUIRE(unknown);
  CHECK_FALSE(*unknown);
}

TEST_CASE("a blob is found with its digest, a local file without") {
  const House house;
  const store::Digest digest = house.put_blob("the weights");
  const auto blob = find_local_copy(house.store(), from_url("http://127.0.0.1:1/m", "the weights"), digest);
  REQUIRE(blob);
  REQUIRE(*blob);
  CHECK_FALSE((*blob)->is_in_place());
  CHECK_FALSE((*blob)->needs_hash);
  CHECK((*blob)->digest == digest);
  CHECK((*blob)->size_bytes == 11);
  const auto local = find_local_copy(house.store(), in_place(house.file("the weights")), std::nullopt);
  REQUIRE(local);
  REQUIRE(*local);
  CHECK((*local)->is_in_place());
  CHECK((*local)->needs_hash);
  CHECK_FALSE((*local)->digest);
  CHECK((*local)->before_hash.has_value());
}

TEST_CASE("a blob of another size than the configured one is size_mismatch") {
  const House house;
  const store::Digest digest = house.put_blob("the weights");
  config::ModelConfig model = from_url("http://127.0.0.1:1/m", "the weights");
  model.size_bytes = 12;
  const auto blob = find_local_copy(house.store(), model, digest);
  REQUIRE_FALSE(blob);
  CHECK(blob.error().code == ErrorCode::size_mismatch);
}

TEST_CASE("hashing in slices is hashing the whole") {
  const House house;
  const std::string bytes = ggufd::test::some_bytes((3 << 20) + 7);
  const std::string path = house.file(bytes);
  const auto file = store::open_file(path, O_RDONLY);
  REQUIRE(file);
  store::Sha256 hasher;
  const std::uint64_t half = bytes.size() / 2;
  REQUIRE(hash_slice(file->get(), 0, half, hasher, path));
  REQUIRE(hash_slice(file->get(), half, bytes.size() - half, hasher, path));
  CHECK(hasher.finish() == digest_of(bytes));
  const auto beyond = hash_slice(file->get(), half, bytes.size(), hasher, path);
  REQUIRE_FALSE(beyond);
  CHECK(beyond.error().code == ErrorCode::io);
}

TEST_CASE("a manifest that says the same already is left alone") {
  const House house;
  const config::ModelConfig model = first_use();
  REQUIRE(record_manifest(house.store(), model, digest_of("bytes"), 5));
  const std::string before = get(house.store().manifest_path("m"));
  CHECK(before.find("dir/m.gguf") != std::string::npos);
  CHECK(before.find("x=1") == std::string::npos);
  REQUIRE(record_manifest(house.store(), model, digest_of("bytes"), 5));
  CHECK(get(house.store().manifest_path("m")) == before);
  REQUIRE(record_manifest(house.store(), model, digest_of("other"), 5));
  CHECK(get(house.store().manifest_path("m")) != before);
}

TEST_CASE("the manifest of a Hugging Face model names repository, revision and file") {
  const House house;
  config::ModelConfig model = first_use();
  model.sources = {config::Source{
      config::HuggingFaceSource{.org = "o", .repo = "r", .path = "d/f.gguf", .revision = "v1"}}};
  REQUIRE(record_manifest(house.store(), model, digest_of("bytes"), 5));
  const auto manifest = store::read_manifest(house.store().root(), "m");
  REQUIRE(manifest);
  REQUIRE(*manifest);
  CHECK((*manifest)->source == store::ManifestSource{"huggingface.co", "o/r", "v1", "d/f.gguf"});
}

}  // namespace
}  // namespace ggufd::model
