// Bring-ups that fetch, from the server in this process.
#include <atomic>

#include "store/manifest.h"
#include "store/model_lock.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;
using enum PhaseKind;

TEST_CASE("a model that is not here is fetched into the store, once") {
  House house;
  const std::string bytes = small_gguf();
  HttpServer server([&](auto& exchange) { exchange.send(answer(bytes)); });
  const config::ModelConfig model = from_url(server.url("/m.gguf?token=secret"), bytes);
  Recorded first(house, model);
  REQUIRE(first.is_good());
  CHECK(first.story() == Story{checking_local, download, verify, mmap, kv_cache});
  CHECK(first.warnings.empty());
  CHECK(first.identified == digest_of(bytes));
  CHECK(first.all<phase::Download>().front().downloaded_bytes == 0);
  CHECK(first.all<phase::Download>().back().downloaded_bytes == bytes.size());
  CHECK(first.all<phase::Download>().back().source_url == server.url("/m.gguf"));
  CHECK(first.all<phase::Mmap>().front().path == house.store().blob_path(digest_of(bytes)));
  CHECK(get((*first.end)->path) == bytes);
  const auto manifest = store::read_manifest(house.store().root(), "m");
  REQUIRE(manifest);
  REQUIRE(*manifest);
  CHECK(store::blob_of(**manifest) == digest_of(bytes));
  CHECK((*manifest)->size_bytes == bytes.size());
  CHECK((*manifest)->source.filename == "m.gguf");
  CHECK_FALSE(std::filesystem::exists(house.store().partial_folder(digest_of(bytes))));
  first.end.reset();
  const Recorded second(house, model);
  REQUIRE(second.is_good());
  CHECK(second.story() == Story{checking_local, mmap, kv_cache});
  CHECK(server.requests() == 1);
}

TEST_CASE("bytes with another digest are put away, and a fresh download follows") {
  House house;
  const std::string good = small_gguf(1);
  const std::string bad = small_gguf(2);
  HttpServer server([&](auto& exchange) { exchange.send(answer(exchange.number == 0 ? bad : good)); });
  const Recorded load(house, from_url(server.url("/m"), good));
  REQUIRE(load.is_good());
  CHECK(load.story() ==
        Story{checking_local, download, verify, quarantine, download, verify, mmap, kv_cache});
  const phase::Quarantine evidence = load.all<phase::Quarantine>().front();
  CHECK(evidence.expected_sha256 == digest_of(good).to_hex());
  CHECK(evidence.actual_sha256 == digest_of(bad).to_hex());
  CHECK(get(evidence.quarantine_path) == bad);
  CHECK(load.identified == digest_of(good));
  CHECK(house.quarantined() == 1);
}

TEST_CASE("bytes that are wrong twice are an error, with both of them put away") {
  House house;
  HttpServer server([&](auto& exchange) { exchange.send(answer(small_gguf(2))); });
  const Recorded load(house, from_url(server.url("/m"), small_gguf(1)));
  CHECK(load.error() == ErrorCode::sha256_mismatch);
  CHECK(load.story() == Story{checking_local, download, verify, quarantine, download, verify, quarantine});
  CHECK(server.requests() == 2);
  CHECK(house.quarantined() == 2);
  CHECK_FALSE(load.identified);
  CHECK_FALSE(house.is_in_store(digest_of(small_gguf(2))));
}

TEST_CASE("a download that fails is the load's error, and lets go of everything") {
  House house;
  HttpServer server([&](auto& exchange) { exchange.send(answer("", "404 Not Found")); });
  const config::ModelConfig model = from_url(server.url("/m"), small_gguf());
  const Recorded load(house, model);
  CHECK(load.error() == ErrorCode::http_status);
  CHECK(load.story() == Story{checking_local, download});
  const auto lock = store::ModelLock::try_lock(house.store().root(), "m");
  REQUIRE(lock);
  CHECK(lock->has_value());
  CHECK(house.store().open_partial(digest_of(small_gguf())).has_value());
}

TEST_CASE("what is fetched and is no model is an error; it stays in the store, its digest is right") {
  House house;
  HttpServer server([&](auto& exchange) { exchange.send(answer("no GGUF")); });
  const config::ModelConfig model = from_url(server.url("/m"), "no GGUF");
  const Recorded load(house, model);
  CHECK(load.error() == ErrorCode::invalid_gguf);
  CHECK(house.is_in_store(digest_of("no GGUF")));
}

TEST_CASE("first-use takes the digest that comes, and requires it from then on") {
  House house;
  std::atomic<int> gets = 0;
  HttpServer server([&](auto& exchange) {
    const std::string whole = answer(small_gguf(gets == 0 ? 1 : 2));
    if (exchange.method == "HEAD") return exchange.send(whole.substr(0, whole.find("\r\n\r\n") + 4));
    ++gets;
    exchange.send(whole);
  });
  config::ModelConfig model = from_url(server.url("/m"), "");
  model.sha256.clear();
  model.pin = config::Pin::first_use;
  Recorded first(house, model);
  REQUIRE(first.is_good());
  CHECK(first.identified == digest_of(small_gguf(1)));
  first.end.reset();
  {
    Recorded second(house, model);
    REQUIRE(second.is_good());
    CHECK(second.story() == Story{checking_local, mmap, kv_cache});
  }
  std::filesystem::remove_all(house.store().blob_folder(digest_of(small_gguf(1))));
  const Recorded third(house, model);
  CHECK(third.error() == ErrorCode::sha256_mismatch);
}

TEST_CASE("a source that serves no GGUF is refused at once where no digest would find it out") {
  House house;
  HttpServer server([](auto& exchange) {
    const std::string whole = answer("<html>not here</html>" + std::string(200'000, 'x'));
    exchange.send(exchange.method == "HEAD" ? whole.substr(0, whole.find("\r\n\r\n") + 4) : whole);
  });
  config::ModelConfig model = from_url(server.url("/m"), "");
  model.sha256.clear();
  model.pin = config::Pin::first_use;
  const Recorded load(house, model);
  CHECK(load.error() == ErrorCode::invalid_gguf);
  CHECK(load.story() == Story{checking_local, download});
  CHECK(house.quarantined() == 0);
}

TEST_CASE("a model that needs more memory than the machine has is refused before its bulk comes") {
  House house;
  // 2^27 tokens of 16 KiB each: 2 TiB.
  const std::string bytes = bytes_of(llama_model({.target_bytes = 16U << 20U, .n_layers = 32}));
  HttpServer server([&](auto& exchange) {
    const std::string whole = answer(bytes);
    exchange.send(std::string_view(whole).substr(0, whole.size() / 2));
    exchange.wait_for_close();
  });
  config::ModelConfig model = from_url(server.url("/m"), bytes);
  model.n_ctx = 1U << 27U;
  model.kv_type_k = config::CacheType::f32;
  model.kv_type_v = config::CacheType::f32;
  const Recorded load(house, model);
  CHECK(load.error() == ErrorCode::out_of_memory_budget);
  CHECK(load.message().find("MemTotal") != std::string::npos);
  CHECK(load.story() == Story{checking_local, download});
}

// Somebody else who fetches the model: holds its lock and its partial.
struct Other {
  const House& house;
  std::string bytes = small_gguf();
  store::Digest key;
  std::optional<store::ModelLock> lock = std::move(*store::ModelLock::try_lock(house.store().root(), "m"));
  std::optional<store::Partial> partial = std::move(*house.store().open_partial(key));

  Other(const House& in, const store::Digest& partial_key) : house(in), key(partial_key) {}
  // It brings the blob.
  void finish() {
    REQUIRE(store::pwrite_all(partial->fd(), std::as_bytes(std::span(bytes)), 0, ""));
    REQUIRE(
        house.store().commit(std::move(*partial), digest_of(bytes), bytes.size(), "https://example.org/m"));
    partial.reset();
    lock.reset();
  }
};

// Lets the load look at what the other one holds, some times.
void let_it_wait(House& house) {
  bool is_over = false;
  loop::Timer end(house.loop, [&] { is_over = true; });
  end.start_once(600);
  REQUIRE(run_until(house.loop, [&] { return is_over; }));
}

TEST_CASE("while somebody else fetches the same, a load waits, and uses what that one brings") {
  House house;
  HttpServer server([&](auto& exchange) { exchange.send(answer(small_gguf())); });
  const config::ModelConfig model = from_url(server.url("/m"), small_gguf());
  const store::Digest key = digest_of(small_gguf());
  Other other(house, key);
  Recorded load(house);
  load.start(model);
  let_it_wait(house);
  CHECK(load.ends == 0);
  other.finish();
  load.wait();
  REQUIRE(load.is_good());
  CHECK(load.story() == Story{checking_local, download, verify, mmap, kv_cache});
  CHECK(server.requests() == 0);
  CHECK_FALSE(std::filesystem::exists(house.store().partial_folder(key)));
}

TEST_CASE("where the other one gives up, the load fetches") {
  House house;
  HttpServer server([&](auto& exchange) { exchange.send(answer(small_gguf())); });
  std::optional<Other> other;
  other.emplace(house, digest_of(small_gguf()));
  Recorded load(house);
  load.start(from_url(server.url("/m"), small_gguf()));
  let_it_wait(house);
  other.reset();
  load.wait();
  CHECK(load.is_good());
  CHECK(server.requests() == 1);
}

TEST_CASE("a load that waits for somebody else is cancelled, or destroyed, at once") {
  House house;
  const Other other(house, digest_of(small_gguf()));
  Recorded load(house);
  load.start(from_url("http://127.0.0.1:1/m", small_gguf()));
  let_it_wait(house);
  SUBCASE("cancelled") {
    load.bring_up->cancel();
    load.wait();
    CHECK(load.error() == ErrorCode::cancelled);
  }
  SUBCASE("destroyed") {
    load.bring_up.reset();
    house.loop.run();
    CHECK(load.ends == 0);
  }
}

TEST_CASE("two models of the same bytes are one download") {
  House house;
  HttpServer server([&](auto& exchange) { exchange.send(answer(small_gguf())); });
  config::ModelConfig model = from_url(server.url("/m"), small_gguf());
  Recorded first(house);
  first.start(model);
  model.name = "n";
  Recorded second(house);
  second.start(model);
  first.wait();
  second.wait();
  CHECK(first.is_good());
  CHECK(second.is_good());
  CHECK(server.requests() == 1);
}

}  // namespace
}  // namespace ggufd::model
