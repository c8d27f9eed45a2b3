// `pin: "first-use"` of local files: what they were when they were loaded first is what they must be.
#include "model/staging.h"
#include "model/verify_job.h"
#include "store/manifest.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

config::ModelConfig pinned_in_place(const std::string& path) {
  config::ModelConfig model = in_place(path);
  model.pin = config::Pin::first_use;
  return model;
}

std::vector<store::Digest> pinned(const House& house) {
  const auto manifest = store::read_manifest(house.store().root(), "m");
  REQUIRE(manifest);
  return *manifest ? store::blobs_of(**manifest) : std::vector<store::Digest>();
}

bool names_the_remedy(const std::string& sentence) {
  return sentence.find("`ggufctl rm m` forgets the pin") != std::string::npos;
}

TEST_CASE("first use: a local file that was exchanged is refused, until the pin is forgotten") {
  House house;
  const std::string path = house.file(small_gguf(1));
  CHECK(Recorded(house, pinned_in_place(path)).is_good());
  CHECK(pinned(house) == std::vector{digest_of(small_gguf(1))});
  CHECK_FALSE(house.is_in_store(digest_of(small_gguf(1))));
  CHECK(Recorded(house, pinned_in_place(path)).is_good());

  house.file(small_gguf(2));
  const Recorded exchanged(house, pinned_in_place(path));
  CHECK(exchanged.error() == ErrorCode::sha256_mismatch);
  CHECK(exchanged.message().find(digest_of(small_gguf(1)).to_hex()) != std::string::npos);
  CHECK(names_the_remedy(exchanged.message()));
  CHECK(get(path) == small_gguf(2));

  std::filesystem::remove(house.store().manifest_path("m"));
  CHECK(Recorded(house, pinned_in_place(path)).is_good());
  CHECK(pinned(house) == std::vector{digest_of(small_gguf(2))});
}

TEST_CASE("first use: every shard of a local split model is pinned") {
  House house;
  const SplitModel split = split_model(2);
  for (std::size_t i = 0; i < 2; ++i) house.file(split.files[i], split.name(i));
  const config::ModelConfig model = pinned_in_place(house.files + "/" + split.name(0));
  CHECK(Recorded(house, model).is_good());
  CHECK(pinned(house) == std::vector{digest_of(split.files[0]), digest_of(split.files[1])});
  std::string other = split.files[1];
  other.back() = static_cast<char>(other.back() + 1);
  house.file(other, split.name(1));
  CHECK(Recorded(house, model).error() == ErrorCode::sha256_mismatch);
}

TEST_CASE("first use: what is no model is not pinned, nor what needs no pin") {
  House house;
  CHECK(Recorded(house, pinned_in_place(house.file("no GGUF"))).error() == ErrorCode::invalid_gguf);
  CHECK(pinned(house).empty());
  CHECK(Recorded(house, in_place(house.file(small_gguf()))).is_good());
  CHECK(pinned(house).empty());
  config::ModelConfig configured = pinned_in_place(house.file(small_gguf()));
  configured.sha256 = {digest_of(small_gguf()).to_hex()};
  CHECK(Recorded(house, configured).is_good());
  CHECK(pinned(house).empty());
}

TEST_CASE("first use: a verify and the staging of a reload know the pin, and set none") {
  House house;
  const config::ModelConfig model = pinned_in_place(house.file(small_gguf(1)));
  const auto verify = [&] {
    std::optional<Result<answer::Blob>> end;
    const VerifyJob job(house.loop, house.store(), model,
                        [&](Result<answer::Blob> result) { end.emplace(std::move(result)); });
    REQUIRE(run_until(house.loop, [&] { return end.has_value(); }));
    return std::move(*end);
  };
  const auto stage = [&] {
    std::optional<Result<answer::Blob>> end;
    const Staging staging(house.services, model, false,
                          {.on_phase = [](const LoadPhase&) {},
                           .on_warning = [](const std::string&, const std::string&) {},
                           .on_done = [&](Result<answer::Blob> result) { end.emplace(std::move(result)); }});
    REQUIRE(run_until(house.loop, [&] { return end.has_value(); }));
    return std::move(*end);
  };
  CHECK(verify());
  CHECK(stage());
  CHECK(pinned(house).empty());
  CHECK(Recorded(house, model).is_good());
  house.file(small_gguf(2));
  for (const auto& wrong : {verify(), stage()}) {
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().code == ErrorCode::sha256_mismatch);
    CHECK(names_the_remedy(wrong.error().message));
  }
}

}  // namespace
}  // namespace ggufd::model
