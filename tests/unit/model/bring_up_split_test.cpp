// Bring-ups of models in several files: fetched, found in the store, or used in place.
#include "store/manifest.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;
using enum PhaseKind;

// Serves a split model's files, each in one answer.
struct SplitServer {
  SplitModel split = split_model();
  std::optional<std::size_t> missing;  // the file that it does not have
  HttpServer server{[this](auto& exchange) {
    for (std::size_t i = 0; i < split.files.size(); ++i) {
      if (exchange.path != "/" + split.name(i) || missing == i) continue;
      const std::string whole = answer(split.files[i]);
      return exchange.send(exchange.method == "HEAD" ? whole.substr(0, whole.find("\r\n\r\n") + 4) : whole);
    }
    exchange.send(answer("", "404 Not Found"));
  }};

  config::ModelConfig model() const {
    config::ModelConfig config = from_url(server.url("/" + split.name(0)), "");
    config.sha256 = split.digests();
    return config;
  }
};

void check_loaded(const Recorded& load, const SplitModel& split) {
  REQUIRE(load.is_good());
  const LoadedModel& loaded = **load.end;
  CHECK(loaded.size_bytes == split.size_bytes());
  CHECK(loaded.mapped_bytes() == split.size_bytes());
  REQUIRE(loaded.mappings.size() == split.files.size());
  for (std::size_t i = 0; i < split.files.size(); ++i) {
    const auto bytes = loaded.mappings[i]->bytes();
    CHECK(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) == split.files[i]);
    // An engine finds the others by the name of the first.
    CHECK(get(store::join(store::parent_of(loaded.path), split.name(i))) == split.files[i]);
  }
  CHECK(loaded.digest == digest_of(split.files[0]));
  CHECK(loaded.kv_bytes() > 0);
  CHECK(load.identified == digest_of(split.files[0]));
  CHECK(load.identified_bytes == split.size_bytes());
  CHECK(load.all<phase::Mmap>().back().resident_bytes == split.size_bytes());
  CHECK(load.all<phase::Mmap>().back().total_bytes == split.size_bytes());
}

void check_progress(const Recorded& load, const SplitModel& split) {
  std::uint64_t before = 0;
  for (const auto& download : load.all<phase::Download>()) {
    CHECK(download.downloaded_bytes >= before);
    before = download.downloaded_bytes;
  }
  CHECK(before == split.size_bytes());
  CHECK(load.all<phase::Download>().back().total_bytes.value == split.size_bytes());
}

TEST_CASE("a split model is fetched file by file, with one progress, and its files get their names") {
  House house;
  const SplitServer source;
  Recorded load(house, source.model());
  check_loaded(load, source.split);
  check_progress(load, source.split);
  CHECK(load.story() == Story{checking_local, download, verify, mmap, kv_cache});
  CHECK(load.warnings.empty());
  CHECK(load.all<phase::Verify>().size() == 1);
  CHECK(load.all<phase::Verify>().back().total_bytes == source.split.size_bytes());
  CHECK(load.all<phase::Mmap>().back().integrity == Integrity::hashed);
  for (const std::string& file : source.split.files) CHECK(house.is_in_store(digest_of(file)));
  const auto manifest = store::read_manifest(house.store().root(), "m");
  REQUIRE(manifest);
  REQUIRE(*manifest);
  CHECK(store::blobs_of(**manifest).size() == 3);
  CHECK((*manifest)->size_bytes == source.split.size_bytes());
  CHECK((*manifest)->source.filename == source.split.name(0));
  load.end.reset();
  Recorded again(house, source.model());
  check_loaded(again, source.split);
  CHECK(again.story() == Story{checking_local, mmap, kv_cache});
  CHECK(again.all<phase::Mmap>().back().integrity == Integrity::stat_cached);
}

TEST_CASE("what is here of a split model is not fetched again") {
  House house;
  const SplitServer source;
  house.put_blob(source.split.files[1]);
  const Recorded load(house, source.model());
  check_loaded(load, source.split);
  check_progress(load, source.split);
  CHECK(load.all<phase::Download>().front().downloaded_bytes == source.split.files[1].size());
  CHECK(load.all<phase::Download>().back().resumed_bytes == source.split.files[1].size());
}

TEST_CASE("on first use the digests that come are recorded, and required from then on") {
  House house;
  SplitServer source;
  config::ModelConfig model = source.model();
  model.sha256.clear();
  model.pin = config::Pin::first_use;
  Recorded first(house, model);
  check_loaded(first, source.split);
  first.end.reset();
  {
    Recorded second(house, model);
    check_loaded(second, source.split);
    CHECK(second.story() == Story{checking_local, mmap, kv_cache});
  }
  std::filesystem::remove_all(house.store().blob_folder(digest_of(source.split.files[2])));
  std::string& last = source.split.files[2];
  last.back() = static_cast<char>(last.back() + 1);
  const Recorded third(house, model);
  CHECK(third.error() == ErrorCode::sha256_mismatch);
}

TEST_CASE("one file of a split model is missing at the source: its error, and what came before is kept") {
  House house;
  SplitServer source;
  source.missing = 2;
  Recorded load(house, source.model());
  CHECK(load.error() == ErrorCode::http_status);
  CHECK(load.story() == Story{checking_local, download});
  CHECK(house.is_in_store(digest_of(source.split.files[0])));
  CHECK(house.is_in_store(digest_of(source.split.files[1])));
  source.missing.reset();
  Recorded again(house, source.model());
  check_loaded(again, source.split);
  CHECK(again.all<phase::Download>().front().downloaded_bytes ==
        source.split.files[0].size() + source.split.files[1].size());
}

TEST_CASE("the size of a split model is that of all its files") {
  House house;
  const SplitServer source;
  config::ModelConfig model = source.model();
  model.size_bytes = source.split.size_bytes();
  SUBCASE("right") {
    const Recorded load(house, model);
    check_loaded(load, source.split);
    CHECK(load.all<phase::Download>().front().total_bytes.value == source.split.size_bytes());
  }
  SUBCASE("wrong") {
    *model.size_bytes += 1;
    const Recorded load(house, model);
    CHECK(load.error() == ErrorCode::size_mismatch);
    CHECK(load.story() == Story{checking_local, download});
  }
}

TEST_CASE("a split model's files are used in place by the name of the first") {
  House house;
  const SplitModel split = split_model();
  for (std::size_t i = 0; i < split.files.size(); ++i) house.file(split.files[i], split.name(i));
  config::ModelConfig model = in_place(house.files + "/" + split.name(0));
  SUBCASE("without digests") {}
  SUBCASE("with digests") {
    model.sha256 = split.digests();
  }
  const Recorded load(house, model);
  check_loaded(load, split);
  CHECK((*load.end)->path == house.files + "/" + split.name(0));
  CHECK(load.story() == Story{checking_local, verify, mmap, kv_cache});
  std::uint64_t before = 0;
  for (const auto& verify : load.all<phase::Verify>()) {
    CHECK(verify.verified_bytes >= before);
    CHECK(verify.total_bytes == split.size_bytes());
    before = verify.verified_bytes;
  }
  CHECK(before == split.size_bytes());
  CHECK_FALSE(std::filesystem::exists(house.store().root() + "/links"));
}

TEST_CASE("one local file of a split model has another digest, or is not there") {
  House house;
  const SplitModel split = split_model();
  for (std::size_t i = 0; i < split.files.size(); ++i) house.file(split.files[i], split.name(i));
  config::ModelConfig model = in_place(house.files + "/" + split.name(0));
  model.sha256 = split.digests();
  SUBCASE("another digest") {
    model.sha256[1] = digest_of("another").to_hex();
    const Recorded load(house, model);
    CHECK(load.error() == ErrorCode::sha256_mismatch);
    CHECK(load.message().find(split.name(1)) != std::string::npos);
  }
  SUBCASE("not there") {
    std::filesystem::remove(house.files + "/" + split.name(2));
    const Recorded load(house, model);
    CHECK(load.error() == ErrorCode::bad_source);
    CHECK(load.message().find(split.name(2)) != std::string::npos);
  }
}

TEST_CASE("files that do not belong together are no model") {
  House house;
  SplitModel split = split_model();
  SUBCASE("two in the wrong order") {
    std::swap(split.files[1], split.files[2]);
  }
  SUBCASE("one of another model") {
    split.files[1] = split_model(3, 5).files[1];
  }
  SUBCASE("one that is no GGUF") {
    split.files[1] = "no GGUF";
  }
  for (std::size_t i = 0; i < split.files.size(); ++i) house.file(split.files[i], split.name(i));
  const Recorded load(house, in_place(house.files + "/" + split.name(0)));
  CHECK(load.error() == ErrorCode::invalid_gguf);
}

TEST_CASE("one file of several under a name of its own is no model") {
  House house;
  const Recorded load(house, in_place(house.file(split_model().files[0])));
  CHECK(load.error() == ErrorCode::invalid_gguf);
}

TEST_CASE("a blob of a split model that went bad is put away, and that one fetched once more") {
  House house;
  const SplitServer source;
  for (const std::string& file : source.split.files) house.put_blob(file);
  spoil(house, digest_of(source.split.files[1]));
  const Recorded load(house, source.model());
  check_loaded(load, source.split);
  CHECK(load.story() == Story{checking_local, verify, quarantine, download, verify, mmap, kv_cache});
  CHECK(house.quarantined() == 1);
  CHECK(source.server.requests() == 1);
}

}  // namespace
}  // namespace ggufd::model
