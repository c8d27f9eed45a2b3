// The promise of the whole room: nobody mends a file one mistake at a time.
#include <algorithm>

#include "support.h"

using namespace ggufd::config;

TEST_SUITE_BEGIN("config");

TEST_CASE("a file with twenty mistakes lists twenty") {
  const auto mistakes = config_test::mistakes_of(R"({
    "models": [
      {"name": "one", "source": "relative.gguf", "n_seq": 0, "load": "later", "kv_type_k": "f8", "n_cxt": 1},
      {"name": ".two", "source": "https://h/two.gguf", "mlock": "no"},
      {"name": "three", "source": "http://example.org/three.gguf", "sha256": "xyz", "n_ctx": 1, "n_ctx": 2},
      {"name": "one", "source": []}
    ],
    "default_model": "nine",
    "fetch": {"connections": 0, "proxy": "host"},
    "llama_server": {"args": ["--port", "1"], "backoff_initial_ms": 9, "backoff_max_ms": 8},
    "http": {"tcp": "0.0.0.0:80"},
    "log": {"levle": "info"}
  })");
  std::vector<std::string> pointers;
  for (const Mistake& mistake : mistakes) pointers.push_back(mistake.json_pointer);
  std::ranges::sort(pointers);
  const std::vector<std::string> expected{
      "/default_model",  "/fetch/connections",   "/fetch/proxy",
      "/http/tcp",       "/llama_server/args/0", "/llama_server/backoff_max_ms",
      "/log/levle",      "/models/0/kv_type_k",  "/models/0/load",
      "/models/0/n_cxt", "/models/0/n_seq",      "/models/0/source",
      "/models/1/mlock", "/models/1/name",       "/models/1/sha256",
      "/models/2/n_ctx", "/models/2/sha256",     "/models/2/source",
      "/models/3/name",  "/models/3/source"};
  CHECK(mistakes.size() == 20);
  CHECK(pointers == expected);
}

TEST_SUITE_END();
