// The configuration file: plain structs whose initial values are the defaults.
//
// Each struct lists its keys once, in fields(); the visitor gets key, member, description and config/rule.h's
// Rule. The list reads and checks the file (config/object_reader.h), names the nearest key for one that is
// unknown, and prints the tables of docs/configuration.md (config/reference.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/environment.h"
#include "config/rule.h"
#include "config/source.h"
#include "protocol/enum_names.h"

namespace ggufd::config {

enum class Load : std::uint8_t { boot, manual };
enum class Pin : std::uint8_t { required, first_use };
enum class EngineChoice : std::uint8_t { automatic, resident, llama_server };
enum class CacheType : std::uint8_t { f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0, q5_1 };
enum class Evict : std::uint8_t { never, lru };
enum class LogLevel : std::uint8_t { trace, debug, info, warn, error };
enum class LogFormat : std::uint8_t { text, json };

}  // namespace ggufd::config

namespace ggufd {

template <>
inline constexpr auto EnumNames<config::Load> = std::to_array<std::string_view>({"boot", "manual"});
template <>
inline constexpr auto EnumNames<config::Pin> = std::to_array<std::string_view>({"required", "first-use"});
template <>
inline constexpr auto EnumNames<config::EngineChoice> =
    std::to_array<std::string_view>({"auto", "resident", "llama-server"});
template <>
inline constexpr auto EnumNames<config::CacheType> =
    std::to_array<std::string_view>({"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"});
template <>
inline constexpr auto EnumNames<config::Evict> = std::to_array<std::string_view>({"never", "lru"});
template <>
inline constexpr auto EnumNames<config::LogLevel> =
    std::to_array<std::string_view>({"trace", "debug", "info", "warn", "error"});
template <>
inline constexpr auto EnumNames<config::LogFormat> = std::to_array<std::string_view>({"text", "json"});

}  // namespace ggufd

namespace ggufd::config {

inline constexpr std::size_t max_config_bytes = std::size_t{1} << 20;

// Ends of ranges that more than one key has. A pebibyte is beyond any machine, a year beyond any patience.
inline constexpr std::uint64_t one_pebibyte = std::uint64_t{1} << 50;
inline constexpr std::uint64_t one_day_s = 86'400;
inline constexpr std::uint64_t one_year_s = 365 * one_day_s;
inline constexpr std::uint64_t one_day_ms = one_day_s * 1000;
// (uid_t)-1 and (gid_t)-1 mean "nobody in particular" to system calls and are no identity.
inline constexpr std::uint64_t max_user_id = 0xFFFF'FFFE;

struct ModelConfig {
  std::string name = {};
  std::vector<Source> sources = {};  // mirrors of the same bytes, in order of preference; at least one
  // 64 hex digits in lower case, one a shard; empty where the file gives none.
  std::vector<std::string> sha256 = {};
  std::optional<std::uint64_t> size_bytes = {};
  Pin pin = Pin::required;
  Load load = Load::boot;
  std::uint32_t n_ctx = 8192;
  std::uint32_t n_seq = 1;
  bool kv_unified = true;
  CacheType kv_type_k = CacheType::f16;
  CacheType kv_type_v = CacheType::f16;
  std::uint32_t n_ubatch = 512;
  EngineChoice engine = EngineChoice::automatic;
  bool warm_up = true;
  bool mlock = false;
  std::uint32_t load_timeout_s = 600;
  std::uint32_t idle_unload_s = 0;

  static void fields(auto& self, auto&& f) {
    f("name", self.name, "1 to 64 of `A-Za-z0-9._-`, not starting with `.`; no two models share one",
      Rule{.text = TextKind::model_name, .required = true});
    f("source", self.sources,
      "`https://…`, `hf:<org>/<repo>/<path>[@<revision>]`, `file:///…` or an absolute path; a list names "
      "mirrors of the "
      "same bytes. `http://` to loopback only, unless `fetch.allow_plain_http`. A split GGUF names its first "
      "shard. A "
      "local file is used in place",
      Rule{.required = true, .one_or_many = true});
    f("sha256", self.sha256,
      "the digest that the bytes must have; for a split GGUF a list, one a shard. A network source needs it "
      "unless "
      "`pin` is `first-use`",
      Rule{.text = TextKind::sha256, .one_or_many = true, .default_note = "absent"});
    f("size_bytes", self.size_bytes, "the size that the file must have, all shards together",
      Rule{.min = 1, .max = one_pebibyte, .default_note = "absent"});
    f("pin", self.pin,
      "`required`: network sources need `sha256`. `first-use`: the first digest that is seen is recorded in "
      "the "
      "manifest and required from then on");
    f("load", self.load, "`boot`: brought up with the daemon. `manual`: on request");
    f("n_ctx", self.n_ctx, "context length in tokens; 0: the model's own", Rule{.max = 1U << 27});
    f("n_seq", self.n_seq, "sequences that share the context", Rule{.min = 1, .max = 256});
    f("kv_unified", self.kv_unified, "one KV buffer for all sequences instead of one each");
    f("kv_type_k", self.kv_type_k, "type of the K cache");
    f("kv_type_v", self.kv_type_v, "type of the V cache");
    f("n_ubatch", self.n_ubatch, "tokens that are computed at once", Rule{.min = 1, .max = 1U << 16});
    f("engine", self.engine,
      "`llama-server`: a supervised child. `resident`: mapped, prefaulted and its KV cache allocated by the "
      "daemon, no "
      "inference. `auto`: llama-server where its program is found, else resident");
    f("warm_up", self.warm_up, "run the model once before it is ready");
    f("mlock", self.mlock, "lock the weights in memory");
    f("load_timeout_s", self.load_timeout_s, "from `mmap` to `ready`; a download is not counted",
      Rule{.min = 1, .max = one_year_s});
    f("idle_unload_s", self.idle_unload_s, "unload after so long without use; 0: never",
      Rule{.max = one_year_s});
  }
  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

struct FetchConfig {
  std::uint32_t connections = 8;
  std::uint64_t segment_bytes = 67'108'864;
  std::uint32_t retries = 8;
  std::uint32_t stall_timeout_s = 30;
  std::uint64_t bytes_per_second = 0;
  bool allow_plain_http = false;
  std::string ca_file = {};
  std::string proxy = {};
  std::string hf_token_file = {};
  std::string hf_endpoint = {};

  static void fields(auto& self, auto&& f) {
    f("connections", self.connections, "connections for one file", Rule{.min = 1, .max = 64});
    f("segment_bytes", self.segment_bytes, "size of the range that one request asks for",
      Rule{.min = 1024, .max = std::uint64_t{1} << 40});
    f("retries", self.retries, "failures in a row without a new byte before giving up", Rule{.max = 1000});
    f("stall_timeout_s", self.stall_timeout_s, "a connection that brings nothing for so long has failed",
      Rule{.min = 1, .max = one_day_s});
    f("bytes_per_second", self.bytes_per_second, "limit of all downloads together; 0: none",
      Rule{.max = one_pebibyte});
    f("allow_plain_http", self.allow_plain_http, "allow `http://` to hosts other than loopback");
    f("ca_file", self.ca_file,
      "PEM file of the certificate authorities to trust, instead of the system's; empty: these",
      Rule{.text = TextKind::file, .may_be_empty = true});
    f("proxy", self.proxy,
      "`http://`, `https://`, `socks4://`, `socks4a://`, `socks5://` or `socks5h://` and "
      "host:port; empty: what the environment says",
      Rule{.text = TextKind::proxy_url, .may_be_empty = true});
    f("hf_token_file", self.hf_token_file, "file that holds the Hugging Face access token; empty: none",
      Rule{.text = TextKind::file, .may_be_empty = true});
    f("hf_endpoint", self.hf_endpoint,
      "base URL that `hf:` sources are resolved against; empty: https://huggingface.co",
      Rule{.text = TextKind::https_url, .may_be_empty = true});
  }
  friend bool operator==(const FetchConfig&, const FetchConfig&) = default;
};

struct LlamaServerConfig {
  std::string binary = "llama-server";
  std::vector<std::string> args = {};
  std::uint32_t gpu_layers = 0;
  std::uint32_t threads = 0;
  std::uint32_t startup_timeout_s = 60;
  std::uint32_t restart_max = 3;
  std::uint32_t min_stable_uptime_s = 30;
  std::uint32_t backoff_initial_ms = 500;
  std::uint32_t backoff_max_ms = 30'000;
  std::uint32_t stop_grace_s = 5;
  std::uint32_t health_interval_ms = 500;

  static void fields(auto& self, auto&& f) {
    f("binary", self.binary, "a name that `$PATH` is searched for, or an absolute path",
      Rule{.text = TextKind::program});
    f("args", self.args, "further arguments; the flags that ggufd sets itself are refused",
      Rule{.text = TextKind::llama_argument, .may_be_empty = true});
    f("gpu_layers", self.gpu_layers, "layers to put on the accelerator", Rule{.max = 1'000'000});
    f("threads", self.threads, "threads that compute; 0: llama-server's choice", Rule{.max = 4096});
    f("startup_timeout_s", self.startup_timeout_s, "from its start to its first healthy answer",
      Rule{.min = 1, .max = one_day_s});
    f("restart_max", self.restart_max, "restarts before the model is given up", Rule{.max = 1000});
    f("min_stable_uptime_s", self.min_stable_uptime_s, "an uptime that gives restarts and back-off back",
      Rule{.max = one_day_s});
    f("backoff_initial_ms", self.backoff_initial_ms,
      "wait before the first restart; doubled for each further one", Rule{.max = one_day_ms});
    f("backoff_max_ms", self.backoff_max_ms, "longest wait before a restart; not below `backoff_initial_ms`",
      Rule{.max = one_day_ms});
    f("stop_grace_s", self.stop_grace_s, "from SIGTERM to SIGKILL", Rule{.max = 3600});
    f("health_interval_ms", self.health_interval_ms, "how often its health is asked while it starts",
      Rule{.min = 10, .max = 60'000});
  }
  friend bool operator==(const LlamaServerConfig&, const LlamaServerConfig&) = default;
};

struct AdminConfig {
  std::vector<std::uint32_t> allow_uids = {};
  std::vector<std::uint32_t> allow_gids = {};
  std::uint32_t max_subscribers = 16'384;

  static void fields(auto& self, auto&& f) {
    f("allow_uids", self.allow_uids, "users that are served besides the daemon's own and root",
      Rule{.max = max_user_id});
    f("allow_gids", self.allow_gids, "groups that are served", Rule{.max = max_user_id});
    f("max_subscribers", self.max_subscribers, "connections to the admin socket at a time",
      Rule{.min = 1, .max = 1U << 20});
  }
  friend bool operator==(const AdminConfig&, const AdminConfig&) = default;
};

struct HttpConfig {
  std::string tcp = {};
  bool allow_remote = false;

  static void fields(auto& self, auto&& f) {
    f("tcp", self.tcp, "`host:port` to listen on besides the socket, `[address]:port` for IPv6; empty: none",
      Rule{.text = TextKind::listen_address, .may_be_empty = true});
    f("allow_remote", self.allow_remote,
      "allow `tcp` to be another address than loopback; nothing asks who connects");
  }
  friend bool operator==(const HttpConfig&, const HttpConfig&) = default;
};

struct LogConfig {
  LogLevel level = LogLevel::info;
  LogFormat format = LogFormat::text;

  static void fields(auto& self, auto&& f) {
    f("level", self.level, "the least that is logged");
    f("format", self.format, "`text` for people, `json` for one object a line");
  }
  friend bool operator==(const LogConfig&, const LogConfig&) = default;
};

struct Config {
  std::vector<ModelConfig> models = {};
  // After reading: the first model's name where the file names none; "" without models.
  std::string default_model = {};
  std::string models_home = {};  // "" where the file gives none: config/places.h says what holds then
  bool auto_pull = true;
  std::uint64_t memory_headroom_bytes = 536'870'912;
  Evict evict = Evict::never;
  bool drop_cache = false;
  std::uint32_t scrub_interval_h = 0;
  FetchConfig fetch = {};
  LlamaServerConfig llama_server = {};
  AdminConfig admin = {};
  HttpConfig http = {};
  LogConfig log = {};

  static void fields(auto& self, auto&& f) {
    f("models", self.models, "the models, each an object");
    f("default_model", self.default_model,
      "the name of the model that `infer.sock` and requests without a model mean",
      Rule{.text = TextKind::model_name, .default_note = "the first model"});
    f("models_home", self.models_home, "the store's folder; `--store` goes before it",
      Rule{.text = TextKind::folder,
           .may_be_empty = true,
           .default_note = "`$MODELS_HOME`, else `${XDG_DATA_HOME:-~/.local/share}/models`"});
    f("auto_pull", self.auto_pull,
      "fetch a model that is not in the store; false: it is the error `not_in_store`");
    f("memory_headroom_bytes", self.memory_headroom_bytes, "memory that a plan must leave free",
      Rule{.max = one_pebibyte});
    f("evict", self.evict, "`lru`: unload the model that was used longest ago where memory is short");
    f("drop_cache", self.drop_cache, "drop a model's pages from the page cache when it is unloaded");
    f("scrub_interval_h", self.scrub_interval_h, "hash every blob again so often; 0: never",
      Rule{.max = 8760});
    f("fetch", self.fetch, "downloads");
    f("llama_server", self.llama_server, "the supervised engine");
    f("admin", self.admin, "the admin socket");
    f("http", self.http, "the HTTP endpoints");
    f("log", self.log, "what is written to stderr");
  }
  friend bool operator==(const Config&, const Config&) = default;
};

// One mistake of a file: where (RFC 6901; "" is the whole document) and a sentence that says what is wrong
// and what would be right.
struct Mistake {
  std::string json_pointer = {};
  std::string message = {};
  friend bool operator==(const Mistake&, const Mistake&) = default;
};
// One line for people: "/models/0/n_seq: must be …". Control characters are escaped.
std::string to_string(const Mistake&);

// What a caller has to say of a configuration beside. It is asked of what could be read of one that has
// mistakes, too: a model whose name is a mistake has none there.
using FurtherCheck = std::function<std::vector<Mistake>(const Config&)>;

// Every mistake of the text. A text that is not JSON has one: nothing further can be said about it. "~/" in
// paths is the home folder that `environment` names.
std::expected<Config, std::vector<Mistake>> parse_config(
    std::string_view text, const Environment& environment = process_environment(),
    const FurtherCheck& further_check = {});

// The same for a regular file of at most max_config_bytes; a file that is missing or cannot be read is a
// mistake too.
std::expected<Config, std::vector<Mistake>> load_config(
    const std::string& path, const Environment& environment = process_environment(),
    const FurtherCheck& further_check = {});

}  // namespace ggufd::config
