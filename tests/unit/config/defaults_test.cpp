// What a file that says little means, and what every key of one that says all becomes.
#include "support.h"

using namespace ggufd::config;
using config_test::check_only_mistake;
using config_test::right;
using config_test::with_model;

TEST_SUITE_BEGIN("config");

TEST_CASE("an empty object is a configuration without models") {
  const Config config = right("{}");
  CHECK(config == Config{});
  CHECK(config.default_model.empty());
}

TEST_CASE("a model needs a name and a source only, and gets the documented defaults") {
  const Config config = right(with_model(""));
  REQUIRE(config.models.size() == 1);
  const ModelConfig& model = config.models[0];
  CHECK(model.name == "a");
  CHECK(model.sources == std::vector{Source{FileSource{.path = "/m/a.gguf"}}});
  CHECK(model.sha256.empty());
  CHECK_FALSE(model.size_bytes.has_value());
  CHECK(model.pin == Pin::required);
  CHECK(model.load == Load::boot);
  CHECK(model.n_ctx == 8192);
  CHECK(model.n_seq == 1);
  CHECK(model.kv_unified);
  CHECK(model.kv_type_k == CacheType::f16);
  CHECK(model.kv_type_v == CacheType::f16);
  CHECK(model.n_ubatch == 512);
  CHECK(model.engine == EngineChoice::automatic);
  CHECK(model.warm_up);
  CHECK_FALSE(model.mlock);
  CHECK(model.load_timeout_s == 600);
  CHECK(model.idle_unload_s == 0);
}

TEST_CASE("the daemon's own keys have the documented defaults") {
  const Config config = right("{}");
  CHECK(config.auto_pull);
  CHECK(config.memory_headroom_bytes == 536'870'912);
  CHECK(config.evict == Evict::never);
  CHECK_FALSE(config.drop_cache);
  CHECK(config.scrub_interval_h == 0);
  CHECK(config.fetch.connections == 8);
  CHECK(config.fetch.segment_bytes == 67'108'864);
  CHECK(config.fetch.retries == 8);
  CHECK(config.fetch.stall_timeout_s == 30);
  CHECK(config.fetch.bytes_per_second == 0);
  CHECK_FALSE(config.fetch.allow_plain_http);
  CHECK(config.llama_server.binary == "llama-server");
  CHECK(config.llama_server.startup_timeout_s == 60);
  CHECK(config.llama_server.restart_max == 3);
  CHECK(config.llama_server.min_stable_uptime_s == 30);
  CHECK(config.llama_server.backoff_initial_ms == 500);
  CHECK(config.llama_server.backoff_max_ms == 30'000);
  CHECK(config.llama_server.stop_grace_s == 5);
  CHECK(config.llama_server.health_interval_ms == 500);
  CHECK(config.admin.max_subscribers == 16'384);
  CHECK_FALSE(config.http.allow_remote);
  CHECK(config.log.level == LogLevel::info);
  CHECK(config.log.format == LogFormat::text);
}

TEST_CASE("every key of a model is read") {
  const Config config = right(R"({"models": [{
    "name": "m.1_x-Y", "source": ["https://h/a.gguf", "/a.gguf"], "pin": "first-use",
    "sha256": "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", "size_bytes": 2497280256,
    "load": "manual", "n_ctx": 0, "n_seq": 4, "kv_unified": false, "kv_type_k": "q8_0", "kv_type_v": "iq4_nl",
    "n_ubatch": 256, "engine": "llama-server", "warm_up": false, "mlock": true, "load_timeout_s": 10,
    "idle_unload_s": 20}]})");
  const ModelConfig expected{
      .name = "m.1_x-Y",
      .sources = {Source{UrlSource{.url = "https://h/a.gguf"}}, Source{FileSource{.path = "/a.gguf"}}},
      .sha256 = {std::string(config_test::digest)},
      .size_bytes = 2'497'280'256,
      .pin = Pin::first_use,
      .load = Load::manual,
      .n_ctx = 0,
      .n_seq = 4,
      .kv_unified = false,
      .kv_type_k = CacheType::q8_0,
      .kv_type_v = CacheType::iq4_nl,
      .n_ubatch = 256,
      .engine = EngineChoice::llama_server,
      .warm_up = false,
      .mlock = true,
      .load_timeout_s = 10,
      .idle_unload_s = 20};
  CHECK(config.models == std::vector{expected});
}

TEST_CASE("every other key is read") {
  const Config config = right(R"({"models": [{"name": "a", "source": "/a"}, {"name": "b", "source": "/b"}],
    "default_model": "b", "models_home": "~/models", "auto_pull": false, "memory_headroom_bytes": 0, "evict": "lru",
    "drop_cache": true, "scrub_interval_h": 24,
    "fetch": {"connections": 1, "segment_bytes": 1024, "retries": 0, "stall_timeout_s": 1, "bytes_per_second": 7,
              "allow_plain_http": true, "ca_file": "/ca.pem", "proxy": "socks5h://u:p@h:1080", "hf_token_file": "~/token",
              "hf_endpoint": "http://mirror.example/hf/"},
    "llama_server": {"binary": "/usr/bin/llama-server", "args": ["--jinja", "-fa", "on"], "gpu_layers": 99, "threads": 2,
                     "startup_timeout_s": 1, "restart_max": 0, "min_stable_uptime_s": 0, "backoff_initial_ms": 0,
                     "backoff_max_ms": 0, "stop_grace_s": 0, "health_interval_ms": 10},
    "admin": {"allow_uids": [0, 1000], "allow_gids": [4294967294], "max_subscribers": 1},
    "http": {"tcp": "0.0.0.0:8080", "allow_remote": true}, "log": {"level": "trace", "format": "json"}})");
  CHECK(config.default_model == "b");
  CHECK(config.models_home == "/home/kim/models");
  CHECK_FALSE(config.auto_pull);
  CHECK(config.memory_headroom_bytes == 0);
  CHECK(config.evict == Evict::lru);
  CHECK(config.drop_cache);
  CHECK(config.scrub_interval_h == 24);
  CHECK(config.fetch == FetchConfig{.connections = 1,
                                    .segment_bytes = 1024,
                                    .retries = 0,
                                    .stall_timeout_s = 1,
                                    .bytes_per_second = 7,
                                    .allow_plain_http = true,
                                    .ca_file = "/ca.pem",
                                    .proxy = "socks5h://u:p@h:1080",
                                    .hf_token_file = "/home/kim/token",
                                    .hf_endpoint = "http://mirror.example/hf"});
  CHECK(config.llama_server == LlamaServerConfig{.binary = "/usr/bin/llama-server",
                                                 .args = {"--jinja", "-fa", "on"},
                                                 .gpu_layers = 99,
                                                 .threads = 2,
                                                 .startup_timeout_s = 1,
                                                 .restart_max = 0,
                                                 .min_stable_uptime_s = 0,
                                                 .backoff_initial_ms = 0,
                                                 .backoff_max_ms = 0,
                                                 .stop_grace_s = 0,
                                                 .health_interval_ms = 10});
  CHECK(config.admin ==
        AdminConfig{.allow_uids = {0, 1000}, .allow_gids = {4'294'967'294}, .max_subscribers = 1});
  CHECK(config.http == HttpConfig{.tcp = "0.0.0.0:8080", .allow_remote = true});
  CHECK(config.log == LogConfig{.level = LogLevel::trace, .format = LogFormat::json});
}

TEST_CASE("the first model is the default where the file names none") {
  CHECK(
      right(R"({"models": [{"name": "x", "source": "/x"}, {"name": "y", "source": "/y"}]})").default_model ==
      "x");
}

TEST_CASE("size_bytes may be null, which means absent") {
  CHECK_FALSE(right(with_model(R"(, "size_bytes": null)")).models[0].size_bytes.has_value());
}

TEST_CASE("a digest is kept in lower case, alone or in a list") {
  const auto config = right(R"({"models": [{"name": "a", "source": "/a-00001-of-00002.gguf", "sha256": [
    "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"]}]})");
  REQUIRE(config.models[0].sha256.size() == 2);
  CHECK(config.models[0].sha256[0] == config_test::digest);
}

TEST_CASE("a path with ~ is a mistake where no home is known") {
  const auto nowhere = config_test::environment_of({{"HOME", "relative"}});
  const auto home = home_folder(nowhere, static_cast<uid_t>(0xFFFF'0001));
  REQUIRE_FALSE(home.has_value());
  CHECK(home.error().message.find("set HOME") != std::string::npos);
}

TEST_SUITE_END();
