// Which files a model is made of, and which digests they must have.
#include "model/model_files.h"

#include "model/keep.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

config::ModelConfig model_of(std::vector<config::Source> sources) {
  return {.name = "m", .sources = std::move(sources), .pin = config::Pin::first_use};
}
config::Source url(const std::string& text) {
  return {config::UrlSource{.url = text}};
}
config::Source hub(const std::string& path) {
  return {config::HuggingFaceSource{.org = "o", .repo = "r", .path = path}};
}
config::Source file(const std::string& path) {
  return {config::FileSource{path}};
}

TEST_CASE("a name without a number is one file, with all its mirrors") {
  const House house;
  config::ModelConfig model = model_of({url("https://a.org/m.gguf?x=1"), hub("d/m.gguf")});
  model.sha256 = {digest_of("bytes").to_hex()};
  const auto files = model_files(house.store(), model);
  REQUIRE(files);
  REQUIRE(files->size() == 1);
  CHECK(files->front().sources == model.sources);
  CHECK(files->front().digest == digest_of("bytes"));
  CHECK(files->front().name() == "m.gguf");
}

TEST_CASE("the first of several stands for all of them, at every mirror") {
  const House house;
  config::ModelConfig model =
      model_of({url("https://a.org/d/m-00001-of-00003.gguf?t=-00001-of-00003.gguf"),
                hub("00001/m-00001-of-00003.gguf"), file("/a?b/m-00001-of-00003.gguf")});
  const SplitModel split{.files = {"a", "b", "c"}};
  model.sha256 = split.digests();
  const auto files = model_files(house.store(), model);
  REQUIRE(files);
  REQUIRE(files->size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    const ModelFile& each = (*files)[i];
    CHECK(each.name() == split.name(i));
    CHECK(each.digest == digest_of(split.files[i]));
    CHECK(each.sources[0] == url("https://a.org/d/" + split.name(i) + "?t=-00001-of-00003.gguf"));
    CHECK(each.sources[1] == hub("00001/" + split.name(i)));
    CHECK(each.sources[2] == file("/a?b/" + split.name(i)));
    CHECK(each.network_sources() == std::vector{each.sources[0], each.sources[1]});
  }
}

TEST_CASE("one of one is one file") {
  const House house;
  const auto files = model_files(house.store(), model_of({file("/m-00001-of-00001.gguf")}));
  REQUIRE(files);
  CHECK(files->size() == 1);
  CHECK(files->front().name() == "m-00001-of-00001.gguf");
}

TEST_CASE("mirrors that stand for other files are bad_source") {
  const House house;
  for (const auto& sources :
       {std::vector{url("https://a.org/m-00002-of-00003.gguf")},
        std::vector{url("https://a.org/m-00001-of-00003.gguf"), hub("m-00001-of-00002.gguf")},
        std::vector{url("https://a.org/m-00001-of-00003.gguf"), hub("m.gguf")}}) {
    const auto files = model_files(house.store(), model_of(sources));
    REQUIRE_FALSE(files);
    CHECK(files.error().code == ErrorCode::bad_source);
  }
}

TEST_CASE("a digest is missing for a file: bad_source") {
  const House house;
  config::ModelConfig model = model_of({url("https://a.org/m-00001-of-00002.gguf")});
  model.sha256 = {digest_of("a").to_hex()};
  const auto files = model_files(house.store(), model);
  REQUIRE_FALSE(files);
  CHECK(files.error().code == ErrorCode::bad_source);
}

TEST_CASE("on first use no digest is expected, then those of the manifest") {
  const House house;
  const config::ModelConfig model = model_of({url("https://a.org/m-00001-of-00002.gguf")});
  auto files = model_files(house.store(), model);
  REQUIRE(files);
  CHECK_FALSE((*files)[0].digest);
  CHECK_FALSE((*files)[1].digest);
  REQUIRE(record_manifest(house.store(), {.name = "m",
                                          .digests = {digest_of("a"), digest_of("b")},
                                          .size_bytes = 2,
                                          .source = model.sources.front(),
                                          .revision = ""}));
  files = model_files(house.store(), model);
  REQUIRE(files);
  CHECK((*files)[0].digest == digest_of("a"));
  CHECK((*files)[1].digest == digest_of("b"));

  const auto others = model_files(house.store(), model_of({url("https://a.org/m-00001-of-00003.gguf")}));
  REQUIRE_FALSE(others);
  CHECK(others.error().code == ErrorCode::sha256_mismatch);
  const auto local = model_files(house.store(), model_of({file("/m-00001-of-00002.gguf")}));
  REQUIRE(local);
  CHECK((*local)[1].digest == digest_of("b"));
  config::ModelConfig not_pinned = model_of({file("/m.gguf")});
  not_pinned.pin = config::Pin::required;
  const auto anything = model_files(house.store(), not_pinned);
  REQUIRE(anything);
  CHECK_FALSE(anything->front().digest);
}

TEST_CASE("a manifest that is damaged is an error on first use, not a new first use") {
  const House house;
  std::filesystem::create_directories(house.store().root() + "/manifests");
  put(house.store().manifest_path("m"), "{");
  const auto files = model_files(house.store(), model_of({url("https://a.org/m.gguf")}));
  REQUIRE_FALSE(files);
  CHECK(files.error().message.find(house.store().manifest_path("m")) != std::string::npos);
}

}  // namespace
}  // namespace ggufd::model
