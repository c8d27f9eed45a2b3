// A model's bytes hashed again on request: what is good is stamped anew, what is not is put away or told.
#include "model/verify_job.h"

#include "store/manifest.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

Result<answer::Blob> verify(House& house, const config::ModelConfig& model, bool cancel = false) {
  std::optional<Result<answer::Blob>> end;
  VerifyJob job(house.loop, house.store(), model,
                [&](Result<answer::Blob> result) { end.emplace(std::move(result)); });
  if (cancel) job.cancel();
  REQUIRE(run_until(house.loop, [&] { return end.has_value(); }));
  return std::move(*end);
}

std::optional<Timestamp> verified_at(const House& house, const store::Digest& digest) {
  const auto blob = house.store().find(digest);
  REQUIRE(blob);
  REQUIRE(*blob);
  return (*blob)->verified_at;
}

TEST_CASE("a good blob is hashed although its stamp holds, and gets a new one") {
  House house;
  const std::string bytes = small_gguf();
  const store::Digest digest = house.put_blob(bytes);
  const auto before = verified_at(house, digest);
  REQUIRE(before);
  while (Timestamp::now() <= *before) continue;
  const auto result = verify(house, from_url("http://127.0.0.1/m.gguf", bytes));
  REQUIRE(result);
  CHECK(*result == answer::Blob{digest.to_hex(), bytes.size(), house.store().blob_path(digest)});
  CHECK(verified_at(house, digest) > before);
}

TEST_CASE("a blob with another digest is put into quarantine, and the error says where") {
  House house;
  const std::string bytes = small_gguf();
  const store::Digest digest = house.put_blob(bytes);
  spoil(house, digest);
  const auto result = verify(house, from_url("http://127.0.0.1/m.gguf", bytes));
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::sha256_mismatch);
  CHECK(result.error().message.find(house.store().quarantine_folder()) != std::string::npos);
  CHECK(house.quarantined() == 1);
  CHECK_FALSE(house.is_in_store(digest));
}

TEST_CASE("a model that is not in the store cannot be verified") {
  House house;
  const auto by_digest = verify(house, from_url("http://127.0.0.1/m.gguf", "never fetched"));
  REQUIRE_FALSE(by_digest);
  CHECK(by_digest.error().code == ErrorCode::not_in_store);
  config::ModelConfig unpinned = from_url("http://127.0.0.1/m.gguf", "");
  unpinned.sha256.clear();
  unpinned.pin = config::Pin::first_use;
  const auto by_manifest = verify(house, unpinned);
  REQUIRE_FALSE(by_manifest);
  CHECK(by_manifest.error().code == ErrorCode::not_in_store);
}

TEST_CASE("every shard is hashed, whatever the others are like") {
  House house;
  const SplitModel split = split_model();
  for (const std::string& file : split.files) house.put_blob(file);
  config::ModelConfig model = from_url("http://127.0.0.1/" + split.name(0), "");
  model.sha256 = split.digests();
  const auto good = verify(house, model);
  REQUIRE(good);
  CHECK(good->sha256 == model.sha256.front());
  CHECK(good->bytes == split.size_bytes());
  spoil(house, digest_of(split.files[0]));
  spoil(house, digest_of(split.files[2]));
  const auto bad = verify(house, model);
  REQUIRE_FALSE(bad);
  CHECK(bad.error().code == ErrorCode::sha256_mismatch);
  CHECK(bad.error().message.find(model.sha256[0]) != std::string::npos);
  CHECK(bad.error().message.find(model.sha256[2]) != std::string::npos);
  CHECK(house.quarantined() == 2);
  CHECK(house.is_in_store(digest_of(split.files[1])));
}

TEST_CASE("a local file with another digest is its owner's: it stays, and is the error") {
  House house;
  const std::string path = house.file(small_gguf(1));
  config::ModelConfig model = in_place(path);
  const auto unknown = verify(house, model);  // nobody says what it should be
  REQUIRE(unknown);
  CHECK(unknown->sha256 == digest_of(small_gguf(1)).to_hex());
  CHECK(unknown->path == path);
  model.sha256 = {digest_of(small_gguf(2)).to_hex()};
  const auto wrong = verify(house, model);
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().code == ErrorCode::sha256_mismatch);
  CHECK(get(path) == small_gguf(1));
  CHECK(house.quarantined() == 0);
}

TEST_CASE("a verify that is cancelled ends as that, and touches nothing") {
  House house;
  const std::string bytes = small_gguf();
  spoil(house, house.put_blob(bytes));
  const auto result = verify(house, from_url("http://127.0.0.1/m.gguf", bytes), true);
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::cancelled);
  CHECK(house.quarantined() == 0);
}

}  // namespace
}  // namespace ggufd::model
