// `plan` with and without a daemon.
#include <simdjson.h>

#include "inspect_support.h"
#include "store_scene.h"

namespace ggufd::ctl {

using namespace test;

namespace {

answer::Plan some_plan(std::uint32_t n_ctx, bool fits = true) {
  return {.architecture = "llama",
          .name = {"from the daemon"},
          .n_ctx = n_ctx,
          .kv_type_k = "f16",
          .kv_type_v = "f16",
          .weights_bytes = 1000,
          .kv_bytes = {2000},
          .kv = {answer::PlanKv{.attention_bytes = 2000, .cells = n_ctx, .streams = 1}},
          .compute_bytes = {3000},
          .total_bytes = {6000},
          .available_bytes = {fits ? 7000U : 5000U},
          .limits = {{"MemAvailable", 7000}},
          .fits = {fits},
          .largest_n_ctx = {n_ctx},
          .headroom_bytes = {},
          .held_bytes = {},
          .kv_unknown = {}};
}

// Answers each plan with the context length that it asks for.
FakeDaemon::Script planning(bool fits = true) {
  return [fits](Peer& peer) {
    while (const auto request = peer.read_request()) {
      const auto* plan = std::get_if<request::Plan>(&request->body);
      if (plan == nullptr) return;
      peer.answer(request->id, some_plan(plan->n_ctx.value_or(8192), fits));
    }
  };
}

FakeDaemon::Script refusing(ErrorCode code, const std::string& message) {
  return [=](Peer& peer) {
    while (const auto request = peer.read_request()) peer.refuse(request->id, code, message);
  };
}

std::uint64_t number_at(const std::string& json, const char* pointer) {
  simdjson::dom::parser parser;
  std::uint64_t number = 0;
  REQUIRE(parser.parse(json).at_pointer(pointer).get(number) == simdjson::SUCCESS);
  return number;
}

}  // namespace

TEST_CASE("plan verb: a model with a daemon there is the daemon's to plan") {
  const FakeDaemon daemon(planning());
  const Outcome json = run_ctl(daemon, {"plan", "m", "--json"});
  CHECK(json.code == done);
  CHECK(contains(json.out, "\"type\":\"response\""));
  CHECK(number_at(json.out, "/n_ctx") == 8192);
  const Outcome text = run_ctl(daemon, {"plan", "m"});
  CHECK(contains(text.out, "from the daemon"));
  CHECK(contains(text.out, "fits: 5.9 KiB of the 6.8 KiB that are available"));
}

TEST_CASE("plan verb: the flags are asked for as they are given") {
  const FakeDaemon daemon([](Peer& peer) {
    const auto request = peer.read_request();
    std::string line = encoded(*request);
    line.pop_back();
    peer.refuse(request->id, ErrorCode::busy, line.substr(line.find("\"type\"")));
  });
  CHECK(run_ctl(daemon, {"plan", "m", "--n-ctx", "4096", "--n-seq", "2", "--no-kv-unified", "--kv-type-k",
                         "q8_0", "--kv-type-v", "q4_0", "--n-ubatch", "64", "--swa-full"})
            .err ==
        "ggufctl: \"type\":\"plan\",\"model\":\"m\",\"n_ctx\":4096,\"n_seq\":2,\"kv_unified\":false,"
        "\"kv_type_k\":\"q8_0\",\"kv_type_v\":\"q4_0\",\"n_ubatch\":64,\"swa_full\":true}\n");
}

TEST_CASE("plan verb: several context lengths, by commas or by repetition") {
  const FakeDaemon daemon(planning());
  for (const std::vector<const char*>& arguments :
       {std::vector<const char*>{"plan", "--n-ctx", "1024,2048", "--n-ctx", "4096", "m", "--json"},
        std::vector<const char*>{"plan", "m", "--n-ctx", "1024", "--n-ctx=2048,4096", "--json"}}) {
    const Outcome outcome = run_ctl(daemon, arguments);
    CHECK(outcome.code == done);
    CHECK(number_at(outcome.out, "/n_ctx") == 1024);
    CHECK(number_at(outcome.out, "/others/0/n_ctx") == 2048);
    CHECK(number_at(outcome.out, "/others/1/n_ctx") == 4096);
  }
  CHECK_FALSE(contains(run_ctl(daemon, {"plan", "m", "--n-ctx", "1024", "--json"}).out, "others"));
}

TEST_CASE("plan verb: what does not fit is exit code 1") {
  const FakeDaemon daemon(planning(false));
  const Outcome outcome = run_ctl(daemon, {"plan", "m"});
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.out, "does not fit"));
}

TEST_CASE("plan verb: the daemon's errors") {
  const FakeDaemon refuses(refusing(ErrorCode::bad_field, "n_seq is too large"));
  const Outcome bad = run_ctl(refuses, {"plan", "m", "--json"});
  CHECK(bad.code == usage);
  CHECK(bad.err == "ggufctl: n_seq is too large\n");
  CHECK(contains(bad.out, "\"code\":\"bad_field\""));
}

TEST_CASE("plan verb: what the daemon does not have is planned here") {
  const StoreScene scene;
  scene.add_model("m", {scene.add_blob(bytes_text(llama_model()))});
  for (const ErrorCode code : {ErrorCode::unknown_model, ErrorCode::not_in_store, ErrorCode::unknown_type}) {
    const FakeDaemon daemon(refusing(code, "no"));
    const Outcome outcome = run_ctl(daemon, {"plan", "m", "--json", "--store", scene.root.c_str()},
                                    {.variables = {{"HOME", "/"}}});
    CHECK(outcome.code == done);
    CHECK(contains(outcome.out, "\"architecture\":\"llama\""));
    CHECK(contains(outcome.err, "what its models hold") == (code == ErrorCode::not_in_store));
  }
}

TEST_CASE("plan verb: a file is planned here, from the configuration's defaults") {
  const StoreScene scene;
  scene.put("m.gguf", bytes_text(llama_model({.n_ctx = 4096, .n_layers = 2, .n_embd = 64})));
  const Outcome outcome = scene.run({"plan", scene / "m.gguf", "--json"});
  CHECK(outcome.code == done);
  CHECK(number_at(outcome.out, "/n_ctx") == 8192);
  CHECK(number_at(outcome.out, "/n_ubatch") == 512);
  CHECK(number_at(outcome.out, "/headroom_bytes") == 536'870'912);
  CHECK(number_at(scene.run({"plan", scene / "m.gguf", "--n-ctx", "0", "--json"}).out, "/n_ctx") == 4096);
  const std::string text = scene.run({"plan", scene / "m.gguf", "--n-ctx", "256,512"}).out;
  CHECK(contains(text, "256 f16"));
  CHECK(contains(text, "512 f16"));
  CHECK(contains(text, "256 q8_0"));
  CHECK(contains(text, "MemAvailable"));
  CHECK(contains(text, "\nfits: "));
}

TEST_CASE("plan verb: a configured model's own settings hold, and flags go before them") {
  const StoreScene scene;
  scene.put("m.gguf", bytes_text(llama_model()));
  scene.put("config.json", R"({"memory_headroom_bytes":1,"models":[{"name":"local","n_ctx":1024,"n_seq":2,)"
                           R"("kv_unified":false,"kv_type_k":"q8_0","source":")" +
                               (scene / "m.gguf") + R"("}]})");
  const auto plan = [&](std::vector<std::string> more) {
    std::vector<std::string> words{"plan",          "local",      "--json", "--config", scene / "config.json",
                                   "--runtime-dir", scene / "run"};
    words.insert(words.end(), more.begin(), more.end());
    return scene.run(words).out;
  };
  const std::string own = plan({});
  CHECK(number_at(own, "/n_ctx") == 1024);
  CHECK(number_at(own, "/kv/streams") == 2);
  CHECK(number_at(own, "/headroom_bytes") == 1);
  CHECK(contains(own, "\"kv_type_k\":\"q8_0\",\"kv_type_v\":\"f16\""));
  const std::string other = plan({"--n-ctx", "512", "--kv-unified", "--kv-type-k", "f32"});
  CHECK(number_at(other, "/n_ctx") == 512);
  CHECK(number_at(other, "/kv/streams") == 1);
  CHECK(contains(other, "\"kv_type_k\":\"f32\""));
}

TEST_CASE("plan verb: an unknown architecture is exit code 0, with a word") {
  const StoreScene scene;
  scene.put("m.gguf", bytes_text(small_file()));
  const Outcome outcome = scene.run({"plan", scene / "m.gguf"});
  CHECK(outcome.code == done);
  CHECK(contains(outcome.out, "the KV cache is unknown: "));
  CHECK(contains(outcome.out, "whether it fits can't be known"));
  CHECK(contains(scene.run({"plan", scene / "m.gguf", "--json"}).out, "\"kv_bytes\":null"));
}

TEST_CASE("plan verb: a defective file is an error") {
  const StoreScene scene;
  scene.put("m.gguf", bytes_text(llama_model().version(1)));
  const Outcome outcome = scene.run({"plan", scene / "m.gguf"});
  CHECK(outcome.code == failed);
  CHECK(outcome.out.empty());
  CHECK(contains(outcome.err, scene / "m.gguf"));
}

TEST_CASE("plan verb: mistakes of the command line") {
  const StoreScene scene;
  scene.put("m.gguf", bytes_text(llama_model()));
  const std::string file = scene / "m.gguf";
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"plan"},
                                             {"plan", file, "--n-ctx", "-1"},
                                             {"plan", file, "--n-ctx", "4k"},
                                             {"plan", file, "--n-ctx", "4294967296"},
                                             {"plan", file, "--n-seq", "0"},
                                             {"plan", file, "--n-seq", "257"},
                                             {"plan", file, "--kv-type-k", "q2_K"},
                                             {"plan", file, "--kv-unified", "--no-kv-unified"}}) {
    CAPTURE(words.back());
    const Outcome outcome = scene.run(words);
    CHECK(outcome.code == usage);
    CHECK_FALSE(outcome.err.empty());
  }
}

}  // namespace ggufd::ctl
