// Bring-ups of what is on this machine already: a local file in place, a blob of the store.
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;
using enum PhaseKind;

TEST_CASE("a local file is hashed in place, mapped, and its engine started, in this order") {
  House house;
  const std::string bytes = small_gguf();
  const std::string path = house.file(bytes);
  Recorded load(house, in_place(path));
  REQUIRE(load.is_good());
  CHECK(load.story() == Story{checking_local, verify, mmap, kv_cache});
  CHECK(load.warnings.empty());
  CHECK(load.identified == digest_of(bytes));
  const LoadedModel& loaded = **load.end;
  CHECK(loaded.path == path);
  CHECK(loaded.size_bytes == bytes.size());
  CHECK(loaded.digest == digest_of(bytes));
  CHECK(loaded.mapped_bytes() == bytes.size());
  CHECK(std::string(reinterpret_cast<const char*>(loaded.mappings.front()->bytes().data()), 4) == "GGUF");
  CHECK(loaded.kv_bytes() == load.all<phase::KvCache>().front().bytes);
  CHECK(loaded.kv_bytes() > 0);
  CHECK(loaded.engine->capabilities().n_ctx == 256);
  CHECK(house.sockets() == std::vector<std::string>{".m.sock"});
  load.end.reset();
  CHECK(house.sockets().empty());
}

TEST_CASE("each phase tells its begin and its end") {
  House house;
  const std::string bytes = small_gguf();
  const std::string path = house.file(bytes);
  const Recorded load(house, in_place(path));
  CHECK(load.all<phase::CheckingLocal>() == std::vector{phase::CheckingLocal{path}});
  const std::uint64_t size = bytes.size();
  CHECK(load.all<phase::Verify>() ==
        std::vector{phase::Verify{path, 0, size}, phase::Verify{path, size, size}});
  CHECK(load.all<phase::Mmap>() == std::vector{phase::Mmap{path, 0, size, Integrity::hashed},
                                               phase::Mmap{path, size, size, Integrity::hashed}});
  const phase::KvCache cache = load.all<phase::KvCache>().front();
  CHECK(cache.n_ctx == 256);
  CHECK(cache.kv_type_k == "f16");
}

TEST_CASE("a file that was hashed once is not hashed again") {
  House house;
  const std::string path = house.file(small_gguf());
  settle(path);
  Recorded first(house, in_place(path));
  CHECK(first.story() == Story{checking_local, verify, mmap, kv_cache});
  first.end.reset();  // its engine listens at the same place
  const Recorded second(house, in_place(path));
  REQUIRE(second.is_good());
  CHECK(second.story() == Story{checking_local, mmap, kv_cache});
  CHECK(second.all<phase::Mmap>().front().integrity == Integrity::stat_cached);
  CHECK(second.identified == first.identified);
}

TEST_CASE("a file that changed since is hashed again") {
  House house;
  const std::string path = house.file(small_gguf(1));
  settle(path);
  Recorded(house, in_place(path)).end.reset();
  put(path, small_gguf(2));
  const Recorded second(house, in_place(path));
  CHECK(second.story() == Story{checking_local, verify, mmap, kv_cache});
  CHECK(second.identified == digest_of(small_gguf(2)));
}

TEST_CASE("a stamp that cannot be written is a warning, and the model is brought up") {
  House house;
  const std::string path = house.file(small_gguf());
  settle(path);
  Recorded load(house);
  {
    const FileSizeLimit limit(0);
    load.run(in_place(path));
  }
  CHECK(load.is_good());
  CHECK(load.warnings == std::vector<std::string>{"not_stamped"});
}

TEST_CASE("a local file with another digest is an error and stays as it is") {
  House house;
  const std::string path = house.file(small_gguf());
  settle(path);
  config::ModelConfig model = in_place(path);
  model.sha256 = {digest_of("another").to_hex()};
  for (int i = 0; i < 2; ++i) {  // hashed, then by its stamp
    const Recorded load(house, model);
    CHECK(load.error() == ErrorCode::sha256_mismatch);
    CHECK(load.message().find(path) != std::string::npos);
    CHECK_FALSE(load.identified);
    CHECK(get(path) == small_gguf());
  }
  CHECK(house.quarantined() == 0);
}

TEST_CASE("what is no model is an error that names the file, and nothing stays behind") {
  House house;
  struct Case {
    std::string bytes;
    ErrorCode code;
  };
  std::string cut = small_gguf();
  cut.resize(cut.size() / 2);
  for (const Case& each :
       {Case{"", ErrorCode::invalid_gguf}, Case{"no GGUF", ErrorCode::invalid_gguf},
        Case{std::string(100'000, 'x'), ErrorCode::invalid_gguf}, Case{cut, ErrorCode::invalid_gguf},
        Case{cut.substr(0, 100), ErrorCode::invalid_gguf}}) {
    const std::string path = house.file(each.bytes);
    const Recorded load(house, in_place(path));
    CHECK(load.error() == each.code);
    CHECK(load.message().find(path) != std::string::npos);
    CHECK(house.sockets().empty());
  }
}

TEST_CASE("a source that is not there, is a folder or a link to nothing is bad_source") {
  House house;
  std::filesystem::create_symlink(house.files + "/none", house.files + "/link");
  for (const std::string& path : {house.files + "/none", house.files, house.files + "/link"}) {
    const Recorded load(house, in_place(path));
    CHECK(load.error() == ErrorCode::bad_source);
    CHECK(load.story() == Story{checking_local});
  }
}

TEST_CASE("a source that is a link is loaded under its own name, as its file") {
  House house;
  const std::string link = house.files + "/link.gguf";
  std::filesystem::create_symlink(house.file(small_gguf(), "blob"), link);
  const Recorded load(house, in_place(link));
  REQUIRE(load.is_good());
  CHECK((*load.end)->path == link);
  CHECK(load.identified == digest_of(small_gguf()));
}

TEST_CASE("a size that is not the configured one is size_mismatch") {
  House house;
  config::ModelConfig model = in_place(house.file(small_gguf()));
  model.size_bytes = 1;
  const Recorded load(house, model);
  CHECK(load.error() == ErrorCode::size_mismatch);
  CHECK(load.story() == Story{checking_local});
}

TEST_CASE("an architecture that is not known has no KV cache, and says so") {
  House house;
  GgufBuilder builder;
  builder.add("general.architecture", "neverheardof").tensor("t", "f32", {64});
  const Recorded load(house, in_place(house.file(bytes_of(builder))));
  REQUIRE(load.is_good());
  CHECK(load.story() == Story{checking_local, verify, mmap});
  CHECK(load.warnings == std::vector<std::string>{"kv_unknown"});
  CHECK((*load.end)->kv_cache == nullptr);
}

TEST_CASE("the engine is the one that the configuration asks for") {
  House house;
  config::ModelConfig model = in_place(house.file(small_gguf()));
  SUBCASE("auto: resident, with a warning") {
    model.engine = config::EngineChoice::automatic;
    const Recorded load(house, model);
    CHECK(load.is_good());
    CHECK(load.warnings == std::vector<std::string>{"engine_resident"});
  }
  SUBCASE("llama-server") {
    model.engine = config::EngineChoice::llama_server;
    const Recorded load(house, model);
    CHECK(load.error() == ErrorCode::engine_not_found);
  }
  SUBCASE("a socket that cannot be bound") {
    put(house.runtime + "/.m.sock", "taken");
    const Recorded load(house, model);
    CHECK(load.error() == ErrorCode::io);
    CHECK(get(house.runtime + "/.m.sock") == "taken");
  }
}

TEST_CASE("a blob of the store is used by its stamp, or hashed once where the stamp does not hold") {
  House house;
  const std::string bytes = small_gguf();
  const store::Digest digest = house.put_blob(bytes);
  const config::ModelConfig model = from_url("http://127.0.0.1:1/none", bytes);
  Recorded first(house, model);
  REQUIRE(first.is_good());
  CHECK(first.story() == Story{checking_local, mmap, kv_cache});
  first.end.reset();
  std::filesystem::remove(house.store().blob_folder(digest) + "/verified.json");
  Recorded second(house, model);
  REQUIRE(second.is_good());
  CHECK(second.story() == Story{checking_local, verify, mmap, kv_cache});
  second.end.reset();
  const Recorded third(house, model);
  CHECK(third.story() == Story{checking_local, mmap, kv_cache});
}

TEST_CASE(
    "with auto_pull off nothing is fetched: not for a blob that is missing, nor for one that went bad") {
  House house;
  HttpServer server([](auto& exchange) { exchange.send(answer(small_gguf())); });
  house.services.config.auto_pull = false;
  const config::ModelConfig model = from_url(server.url("/m"), small_gguf());
  SUBCASE("missing") {
    const Recorded load(house, model);
    CHECK(load.error() == ErrorCode::not_in_store);
    CHECK(load.story() == Story{checking_local});
  }
  SUBCASE("bad") {
    const store::Digest digest = house.put_blob(small_gguf());
    spoil(house, digest);
    const Recorded load(house, model);
    CHECK(load.error() == ErrorCode::not_in_store);
    CHECK(load.story() == Story{checking_local, verify, quarantine, checking_local});
    CHECK(house.quarantined() == 1);
    CHECK_FALSE(house.is_in_store(digest));
  }
  CHECK(server.requests() == 0);
}

TEST_CASE("a blob that went bad is put away and fetched once more") {
  House house;
  HttpServer server([](auto& exchange) { exchange.send(answer(small_gguf())); });
  spoil(house, house.put_blob(small_gguf()));
  const Recorded load(house, from_url(server.url("/m"), small_gguf()));
  REQUIRE(load.is_good());
  CHECK(load.story() == Story{checking_local, verify, quarantine, download, verify, mmap, kv_cache});
  CHECK(house.quarantined() == 1);
  CHECK(server.requests() == 1);
}

TEST_CASE("a bad blob and bad bytes after it are the error: one fresh download, not two") {
  House house;
  HttpServer server([](auto& exchange) { exchange.send(answer(small_gguf(2))); });
  spoil(house, house.put_blob(small_gguf()));
  const Recorded load(house, from_url(server.url("/m"), small_gguf()));
  CHECK(load.error() == ErrorCode::sha256_mismatch);
  CHECK(load.story() == Story{checking_local, verify, quarantine, download, verify, quarantine});
  CHECK(house.quarantined() == 2);
  CHECK_FALSE(house.is_in_store(digest_of(small_gguf())));
}

TEST_CASE("a blob is used where the local file is not there, and its file named where that goes bad") {
  House house;
  config::ModelConfig model = in_place(house.files + "/none.gguf");
  model.sha256 = {house.put_blob(small_gguf()).to_hex()};
  {
    const Recorded load(house, model);
    CHECK(load.is_good());
  }
  spoil(house, digest_of(small_gguf()));
  const Recorded load(house, model);
  CHECK(load.error() == ErrorCode::bad_source);
  CHECK(load.story() == Story{checking_local, verify, quarantine, checking_local});
}

TEST_CASE("a file that becomes shorter under way is an error, not a crash") {
  for (const PhaseKind moment : {verify, mmap, kv_cache}) {
    CAPTURE(static_cast<int>(moment));
    House house;
    const std::string path = house.file(small_gguf());
    Recorded load(house);
    bool is_cut = false;
    load.at_call = [&] {
      if (is_cut || load.phases.empty() || kind_of(load.phases.back()) != moment) return;
      is_cut = true;
      std::filesystem::resize_file(path, 0);
    };
    load.run(in_place(path));
    CHECK(is_cut);
    if (moment == verify) CHECK(load.error() == ErrorCode::io);
    if (moment == mmap) CHECK(load.error() == ErrorCode::map_failed);
    if (moment == kv_cache) CHECK(load.is_good());  // nothing reads it any more
  }
}

TEST_CASE("a file that changes while it is hashed is an error") {
  House house;
  const std::string path = house.file(small_gguf(1));
  Recorded load(house);
  load.at_call = [&] {
    if (load.all<phase::Verify>().size() == 2 && get(path) == small_gguf(1)) put(path, small_gguf(2));
  };
  load.run(in_place(path));
  CHECK(load.error() == ErrorCode::io);
  CHECK(load.message().find("changed while it was hashed") != std::string::npos);
}

TEST_CASE("load_timeout_s runs from the mapping on") {
  House house;
  config::ModelConfig model = in_place(house.file(small_gguf()));
  model.load_timeout_s = 1;
  Recorded load(house);
  std::optional<BusyPool> pool;
  // The pool is busy for longer than that.
  loop::Timer release(house.loop, [&] { pool->release(); });
  load.at_call = [&] {
    if (pool || kind_of(load.phases.back()) != mmap) return;
    pool.emplace(house.loop);
    release.start_once(1'300);
  };
  load.run(model);
  CHECK(load.error() == ErrorCode::load_timeout);
  CHECK(house.sockets().empty());
}

}  // namespace
}  // namespace ggufd::model
