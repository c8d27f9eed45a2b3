// What the store remembers of a model that was fetched.
#include "model/keep.h"

#include "store/manifest.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

KeptModel kept(std::vector<store::Digest> digests = {digest_of("bytes")}) {
  return {.name = "m",
          .digests = std::move(digests),
          .size_bytes = 5,
          .source = from_url("http://127.0.0.1:1/dir/m.gguf?x=1", "").sources.front(),
          .revision = ""};
}

store::Manifest manifest_of(const House& house) {
  auto manifest = store::read_manifest(house.store().root(), "m");
  REQUIRE(manifest);
  REQUIRE(*manifest);
  return std::move(**manifest);
}

TEST_CASE("a manifest that says the same already is left alone") {
  const House house;
  REQUIRE(record_manifest(house.store(), kept()));
  const std::string before = get(house.store().manifest_path("m"));
  CHECK(before.find("dir/m.gguf") != std::string::npos);
  CHECK(before.find("x=1") == std::string::npos);
  CHECK(before.find("shards") == std::string::npos);
  put(house.store().manifest_path("m"), before + "\n");
  REQUIRE(record_manifest(house.store(), kept()));
  CHECK(get(house.store().manifest_path("m")) == before + "\n");
  REQUIRE(record_manifest(house.store(), kept({digest_of("other")})));
  CHECK(store::blob_of(manifest_of(house)) == digest_of("other"));
}

TEST_CASE("the manifest of a split model names all its blobs") {
  const House house;
  const std::vector digests{digest_of("a"), digest_of("b")};
  REQUIRE(record_manifest(house.store(), kept(digests)));
  const store::Manifest manifest = manifest_of(house);
  CHECK(store::blob_of(manifest) == digests[0]);
  CHECK(store::blobs_of(manifest) == digests);
  CHECK(manifest.size_bytes == 5);
}

TEST_CASE("the manifest of a Hugging Face model names repository, commit and file") {
  const House house;
  KeptModel model = kept();
  model.source = config::Source{
      config::HuggingFaceSource{.org = "o", .repo = "r", .path = "d/f.gguf", .revision = "v1"}};
  REQUIRE(record_manifest(house.store(), model));
  CHECK(manifest_of(house).source == store::ManifestSource{"huggingface.co", "o/r", "v1", "d/f.gguf"});
  model.size_bytes = 6;
  model.revision = "0123456789abcdef0123456789abcdef01234567";
  REQUIRE(record_manifest(house.store(), model));
  CHECK(manifest_of(house).source.revision == model.revision);
}

TEST_CASE("a split model's files get links with their names") {
  const House house;
  const SplitModel split = split_model(2);
  std::vector<ModelFile> files;
  for (std::size_t i = 0; i < 2; ++i) {
    files.push_back({.sources = from_url("http://127.0.0.1:1/" + split.name(i), "").sources,
                     .digest = house.put_blob(split.files[i])});
  }
  const auto path = link_files(house.store(), "m", files);
  REQUIRE(path);
  CHECK(path->ends_with("/" + split.name(0)));
  CHECK(get(*path) == split.files[0]);
  CHECK(get(store::join(store::parent_of(*path), split.name(1))) == split.files[1]);
}

}  // namespace
}  // namespace ggufd::model
