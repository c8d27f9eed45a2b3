// One mistake each: what it is called, and where.
#include <algorithm>

#include "support.h"

using namespace ggufd::config;
using config_test::check_only_mistake;
using config_test::digest;
using config_test::mistakes_of;
using config_test::right;
using config_test::with_model;

TEST_SUITE_BEGIN("config");

TEST_CASE("an unknown key names the nearest known one of its object") {
  check_only_mistake(R"({"modles": []})", "/modles", "did you mean \"models\"?");
  check_only_mistake(with_model(R"(, "nctx": 1)"), "/models/0/nctx", "did you mean \"n_ctx\"?");
  check_only_mistake(R"({"fetch": {"conections": 3}})", "/fetch/conections", "did you mean \"connections\"?");
  check_only_mistake(R"({"Auto-Pull": true})", "/Auto-Pull", "did you mean \"auto_pull\"?");
}

TEST_CASE("an unknown key that is like no other lists what there is") {
  check_only_mistake(R"({"log": {"colour_of_the_sky": 1}})", "/log/colour_of_the_sky",
                     "known here: level, format");
}

TEST_CASE("a key of another object is unknown here") {
  check_only_mistake(R"({"connections": 3})", "/connections", "not known");
}

TEST_CASE("a JSON pointer escapes ~ and /") {
  check_only_mistake(R"({"log": {"a/b~c": 1}})", "/log/a~1b~0c", "not known");
}

TEST_CASE("a key that stands twice in an object is a mistake, however it is escaped") {
  check_only_mistake(R"({"auto_pull": true, "auto_pull": true})", "/auto_pull", "twice");
  check_only_mistake(R"({"auto_pull": true, "auto\u005fpull": true})", "/auto_pull", "twice");
  check_only_mistake(with_model(R"(, "name": "b")"), "/models/0/name", "twice");
}

TEST_CASE("missing required keys are named") {
  check_only_mistake(R"({"models": [{"source": "/a"}]})", "/models/0/name", "the key \"name\" is missing");
  check_only_mistake(R"({"models": [{"name": "a"}]})", "/models/0/source", "the key \"source\" is missing");
}

TEST_CASE("a value of another type says what is expected and what stands there") {
  check_only_mistake("[]", "", "must be an object, not a list");
  check_only_mistake("7", "", "must be an object, not 7");
  check_only_mistake(R"({"models": {}})", "/models", "must be a list, not an object");
  check_only_mistake(R"({"models": [1]})", "/models/0", "must be an object, not 1");
  check_only_mistake(R"({"fetch": null})", "/fetch", "must be an object, not null");
  check_only_mistake(R"({"auto_pull": "yes"})", "/auto_pull",
                     "must be true or false, not the string \"yes\"");
  check_only_mistake(R"({"models_home": 3})", "/models_home", "must be a string, not 3");
  check_only_mistake(with_model(R"(, "n_ctx": "8192")"), "/models/0/n_ctx", "must be an integer from 0 to");
  check_only_mistake(with_model(R"(, "n_ctx": 8192.5)"), "/models/0/n_ctx", "not 8192.5");
  check_only_mistake(with_model(R"(, "n_ctx": null)"), "/models/0/n_ctx", "not null");
  check_only_mistake(R"({"admin": {"allow_uids": 1000}})", "/admin/allow_uids", "must be a list");
  check_only_mistake(R"({"admin": {"allow_uids": [1, "kim"]}})", "/admin/allow_uids/1", "must be an integer");
  check_only_mistake(R"({"models": [{"name": "a", "source": 1}]})", "/models/0/source",
                     "a string or a list of strings");
  check_only_mistake(R"({"models": [{"name": "a", "source": ["/a", 1]}]})", "/models/0/source/1",
                     "must be a string");
}

TEST_CASE("numbers outside their range say the range") {
  const auto check = [](std::string_view text, std::string_view pointer, std::string_view range) {
    check_only_mistake(text, pointer, fmt::format("must be an integer from {}, not", range));
  };
  check(with_model(R"(, "n_seq": 0)"), "/models/0/n_seq", "1 to 256");
  check(with_model(R"(, "n_seq": 257)"), "/models/0/n_seq", "1 to 256");
  check(with_model(R"(, "n_ctx": -1)"), "/models/0/n_ctx", "0 to 134217728");
  check(with_model(R"(, "n_ubatch": 0)"), "/models/0/n_ubatch", "1 to 65536");
  check(with_model(R"(, "size_bytes": 0)"), "/models/0/size_bytes", "1 to 1125899906842624");
  check(with_model(R"(, "load_timeout_s": 0)"), "/models/0/load_timeout_s", "1 to 31536000");
  check(with_model(R"(, "idle_unload_s": 18446744073709551615)"), "/models/0/idle_unload_s", "0 to 31536000");
  check(R"({"memory_headroom_bytes": -1})", "/memory_headroom_bytes", "0 to 1125899906842624");
  check(R"({"scrub_interval_h": 9000})", "/scrub_interval_h", "0 to 8760");
  check(R"({"fetch": {"connections": 0}})", "/fetch/connections", "1 to 64");
  check(R"({"fetch": {"connections": 65}})", "/fetch/connections", "1 to 64");
  check(R"({"fetch": {"segment_bytes": 0}})", "/fetch/segment_bytes", "1024 to 1099511627776");
  check(R"({"fetch": {"retries": 1001}})", "/fetch/retries", "0 to 1000");
  check(R"({"fetch": {"stall_timeout_s": 0}})", "/fetch/stall_timeout_s", "1 to 86400");
  check(R"({"llama_server": {"health_interval_ms": 0}})", "/llama_server/health_interval_ms", "10 to 60000");
  check(R"({"llama_server": {"stop_grace_s": 3601}})", "/llama_server/stop_grace_s", "0 to 3600");
  check(R"({"admin": {"max_subscribers": 0}})", "/admin/max_subscribers", "1 to 1048576");
  check(R"({"admin": {"allow_uids": [4294967295]}})", "/admin/allow_uids/0", "0 to 4294967294");
  check(R"({"admin": {"allow_gids": [-1]}})", "/admin/allow_gids/0", "0 to 4294967294");
}

TEST_CASE("the ends of a range belong to it") {
  right(with_model(R"(, "n_seq": 1)"));
  right(with_model(R"(, "n_seq": 256)"));
  right(R"({"fetch": {"connections": 64}})");
}

TEST_CASE("a bad enumerator lists the allowed ones") {
  check_only_mistake(with_model(R"(, "load": "always")"), "/models/0/load",
                     "must be one of boot, manual, not the string \"always\"");
  check_only_mistake(with_model(R"(, "pin": "first_use")"), "/models/0/pin", "required, first-use");
  check_only_mistake(with_model(R"(, "engine": "vllm")"), "/models/0/engine", "auto, resident, llama-server");
  check_only_mistake(with_model(R"(, "kv_type_k": "q4_K")"), "/models/0/kv_type_k",
                     "f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0, q5_1");
  check_only_mistake(with_model(R"(, "kv_type_v": 16)"), "/models/0/kv_type_v", "one of f32");
  check_only_mistake(R"({"evict": "always"})", "/evict", "never, lru");
  check_only_mistake(R"({"log": {"level": "warning"}})", "/log/level", "trace, debug, info, warn, error");
  check_only_mistake(R"({"log": {"format": "xml"}})", "/log/format", "text, json");
}

TEST_CASE("model names are 1 to 64 of A-Za-z0-9._-, not starting with a dot") {
  const auto named = [](std::string_view name) {
    return fmt::format(R"({{"models": [{{"name": "{}", "source": "/a"}}]}})", name);
  };
  right(named("A"));
  right(named("a-b_c.9"));
  right(named(std::string(64, 'x')));
  for (const std::string& name :
       {std::string(), std::string(".hidden"), std::string(".."), std::string("a/b"), std::string("a b"),
        std::string("é"), std::string(65, 'x'), std::string("a\\u0000")}) {
    check_only_mistake(named(name), "/models/0/name", "1 to 64 of A-Za-z0-9._-");
  }
}

TEST_CASE("two models must not share a name") {
  check_only_mistake(R"({"models": [{"name": "a", "source": "/1"}, {"name": "b", "source": "/2"},
                         {"name": "a", "source": "/3"}]})",
                     "/models/2/name", "the name of /models/0 already");
}

TEST_CASE("default_model must name a model, and the nearest one is suggested") {
  check_only_mistake(R"({"models": [{"name": "qwen3-4b", "source": "/1"}], "default_model": "qwen3-4B"})",
                     "/default_model", "did you mean \"qwen3-4b\"?");
  check_only_mistake(R"({"default_model": "a"})", "/default_model", "\"a\" is none");
  check_only_mistake(R"({"default_model": ""})", "/default_model", "1 to 64");
}

TEST_CASE("digests are 64 hex digits") {
  const auto with_digest = [](std::string_view value) {
    return with_model(fmt::format(R"(, "sha256": {})", value));
  };
  right(with_digest(fmt::format("\"{}\"", digest)));
  right(with_digest(fmt::format("[\"{}\"]", digest)));
  check_only_mistake(with_digest("\"abc\""), "/models/0/sha256", "64 hex digits, not 3");
  check_only_mistake(with_digest("\"\""), "/models/0/sha256", "64 hex digits, not 0");
  check_only_mistake(with_digest(fmt::format("\"{}g\"", digest.substr(1))), "/models/0/sha256", "has others");
  check_only_mistake(with_digest(fmt::format("\"sha256:{}\"", digest)), "/models/0/sha256",
                     "without \"sha256:\"");
  check_only_mistake(with_digest(fmt::format("[\"{}\", \"x\"]", digest)), "/models/0/sha256/1", "has others");
  check_only_mistake(with_digest("[]"), "/models/0/sha256", "empty list");
  check_only_mistake(with_digest("null"), "/models/0/sha256", "a string or a list of strings");
}

TEST_CASE("paths are absolute or begin with ~/") {
  check_only_mistake(R"({"models_home": "models"})", "/models_home", "absolute path");
  check_only_mistake(R"({"models_home": "~kim/models"})", "/models_home", "absolute path");
  check_only_mistake(R"({"models_home": "/a\u0000b"})", "/models_home", "control characters");
  check_only_mistake(R"({"fetch": {"ca_file": "ca.pem"}})", "/fetch/ca_file", "absolute path");
  check_only_mistake(R"({"fetch": {"hf_token_file": "/etc/"}})", "/fetch/hf_token_file", "is a folder");
  check_only_mistake(R"({"llama_server": {"binary": "./llama-server"}})", "/llama_server/binary",
                     "absolute path");
  check_only_mistake(R"({"llama_server": {"binary": ""}})", "/llama_server/binary", "must name a program");
  CHECK(right(R"({"llama_server": {"binary": "~/bin/llama-server"}})").llama_server.binary ==
        "/home/kim/bin/llama-server");
}

TEST_CASE("a proxy is a URL of a known scheme, with a host and no path") {
  const auto with_proxy = [](std::string_view url) {
    return fmt::format(R"({{"fetch": {{"proxy": "{}"}}}})", url);
  };
  right(with_proxy(""));
  right(with_proxy("http://proxy.example:3128"));
  right(with_proxy("socks5://[::1]:1080/"));
  check_only_mistake(with_proxy("proxy:3128"), "/fetch/proxy", "must begin with one of http://, https://");
  check_only_mistake(with_proxy("ftp://proxy"), "/fetch/proxy", "must begin with one of");
  check_only_mistake(with_proxy("http://proxy/path"), "/fetch/proxy", "no path");
  check_only_mistake(with_proxy("http://proxy:99999"), "/fetch/proxy", "port");
  check_only_mistake(with_proxy("http://pro xy"), "/fetch/proxy", "without spaces");
}

TEST_CASE("the Hugging Face endpoint is an https URL, plain only to loopback or where that is allowed") {
  const auto with_endpoint = [](std::string_view url) {
    return fmt::format(R"({{"fetch": {{"hf_endpoint": "{}"}}}})", url);
  };
  CHECK(right(with_endpoint("https://hf.example/")).fetch.hf_endpoint == "https://hf.example");
  right(with_endpoint("http://127.0.0.1:8000"));
  check_only_mistake(with_endpoint("http://hf.example"), "/fetch/hf_endpoint", "allow_plain_http");
  check_only_mistake(with_endpoint("ftp://hf.example"), "/fetch/hf_endpoint", "must be an https:// URL");
  check_only_mistake(with_endpoint("hf.example"), "/fetch/hf_endpoint", "must be a URL");
  check_only_mistake(with_endpoint("https://u:p@hf.example"), "/fetch/hf_endpoint", "password");
  check_only_mistake(with_endpoint("https://hf.example/?a=b"), "/fetch/hf_endpoint", "query");
}

TEST_CASE("http.tcp is an address and a port, remote only where that is allowed") {
  const auto with_tcp = [](std::string_view tcp) {
    return fmt::format(R"({{"http": {{"tcp": "{}"}}}})", tcp);
  };
  for (const char* tcp : {"", "127.0.0.1:8080", "localhost:0", "[::1]:65535", "127.9.9.9:1"})
    right(with_tcp(tcp));
  check_only_mistake(with_tcp("0.0.0.0:80"), "/http/tcp", "allow_remote");
  check_only_mistake(with_tcp("[::]:80"), "/http/tcp", "allow_remote");
  check_only_mistake(with_tcp("127.0.0.1"), "/http/tcp", "must have a port");
  check_only_mistake(with_tcp("127.0.0.1:"), "/http/tcp", "port from 0 to 65535");
  check_only_mistake(with_tcp("127.0.0.1:65536"), "/http/tcp", "port from 0 to 65535");
  check_only_mistake(with_tcp("127.0.0.1:+80"), "/http/tcp", "port from 0 to 65535");
  check_only_mistake(with_tcp(":8080"), "/http/tcp", "must name a host");
  check_only_mistake(with_tcp("::1:80"), "/http/tcp", "brackets");
  check_only_mistake(with_tcp("[::1:80"), "/http/tcp", "bracket");
  check_only_mistake(with_tcp("[::1]80"), "/http/tcp", "after the bracket");
  check_only_mistake(with_tcp("[localhost]:80"), "/http/tcp", "IPv6 address in brackets");
  check_only_mistake(with_tcp("example.org:80"), "/http/tcp", "IP address or localhost");
  check_only_mistake(with_tcp("127.evil.example:80"), "/http/tcp", "IP address or localhost");
}

TEST_CASE("the longest back-off is not below the first") {
  check_only_mistake(R"({"llama_server": {"backoff_initial_ms": 500, "backoff_max_ms": 499}})",
                     "/llama_server/backoff_max_ms", "at least backoff_initial_ms (500)");
}

TEST_CASE("separate sequences need a token each") {
  check_only_mistake(with_model(R"(, "n_ctx": 3, "n_seq": 4, "kv_unified": false)"), "/models/0/n_ctx",
                     "at least n_seq (4)");
  right(with_model(R"(, "n_ctx": 3, "n_seq": 4)"));
  right(with_model(R"(, "n_ctx": 0, "n_seq": 4, "kv_unified": false)"));
}

TEST_CASE("arguments that ggufd sets itself are refused in every spelling") {
  const auto with_argument = [](std::string_view argument) {
    return fmt::format(R"({{"llama_server": {{"args": ["--jinja", "{}"]}}}})", argument);
  };
  for (const char* argument : {"-m",
                               "--model",
                               "--host",
                               "--port",
                               "-c",
                               "--ctx-size",
                               "--ctx_size",
                               "--ctx-size=4096",
                               "-np",
                               "--parallel",
                               "-ngl",
                               "--gpu-layers",
                               "--n-gpu-layers",
                               "-ctk",
                               "-ctv",
                               "--cache-type-k",
                               "--cache-type-v",
                               "--mmap",
                               "--no-mmap",
                               "--mlock",
                               "--load-mode",
                               "-t",
                               "--threads",
                               "-hf",
                               "--hf-repo",
                               "-mu",
                               "--model-url",
                               "-ub",
                               "--ubatch-size",
                               "--kv-unified",
                               "--no-warmup",
                               "--api-prefix",
                               "--ssl-key-file",
                               "--help",
                               "--version",
                               "-cl",
                               "--cache-list",
                               "--embd-gemma-default",
                               "--fim-qwen-1.5b-default",
                               "--fim-qwen-7b-spec",
                               "--gpt-oss-20b-default",
                               "--gpt_oss_120b_default",
                               "--vision-gemma-4b-default",
                               "--tts-oute-default"}) {
    check_only_mistake(with_argument(argument), "/llama_server/args/1", "must not hold");
  }
  check_only_mistake(with_argument("-c"), "/llama_server/args/1", "set models[].n_ctx");
  check_only_mistake(with_argument("--gpt-oss-20b-default"), "/llama_server/args/1", "a model and settings");
  for (const char* argument :
       {"", "-fa", "on", "--chat-template", "m", "--modelish", "-tb", "--threads-batch", "-cb",
        "--spec-default", "--embd-normalize", "--spec-draft-model"}) {
    right(with_argument(argument));
  }
}

TEST_CASE("a mistake as a line escapes control characters") {
  const auto mistakes = mistakes_of("{\"a\\nb\": 1}");
  REQUIRE(mistakes.size() == 1);
  CHECK(mistakes[0].json_pointer == "/a\nb");
  CHECK(to_string(mistakes[0]).starts_with("/a\\x0ab: the key \"a\\x0ab\" is not known"));
  CHECK(to_string(Mistake{"", "is wrong"}) == "the file: is wrong");
}

TEST_CASE("a key as long as the file is named in a short sentence") {
  const auto mistakes = mistakes_of(fmt::format("{{\"{}\": 1}}", std::string(500'000, 'k')));
  REQUIRE(mistakes.size() == 1);
  CHECK(mistakes[0].message.size() < 500);
}

TEST_SUITE_END();
