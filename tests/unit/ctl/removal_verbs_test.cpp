#include "store_scene.h"

namespace ggufd::ctl {

using namespace test;

namespace {

std::string config_with(const std::string& model) {
  return "{\"models\":[" + model + "]}";
}

Outcome gc(const StoreScene& scene, std::vector<std::string> words = {}) {
  words.insert(words.begin(), {"gc", "--config", scene / "config.json"});
  return scene.run(words);
}

}  // namespace

TEST_CASE("rm: says each thing that goes with its size, then the sum, and does it") {
  const StoreScene scene;
  const auto weights = scene.add_blob(std::string(2048, 'w'));
  scene.add_model("m", {weights});
  const Outcome outcome = scene.run({"rm", "m"});
  CHECK(outcome.code == done);
  CHECK(contains(outcome.out, scene.store().blob_path(weights)));
  CHECK(contains(outcome.out, scene.store().manifest_path("m")));
  CHECK(contains(outcome.out, "2.0 KiB"));
  CHECK(contains(outcome.out, "KiB in all"));
  CHECK(contains(outcome.out, "removed 2 of 2"));
  CHECK_FALSE(exists(scene.store().blob_path(weights)));
  CHECK_FALSE(exists(scene.store().manifest_path("m")));
}

TEST_CASE("rm: a dry run says the same and does nothing") {
  const StoreScene scene;
  const auto weights = scene.add_blob("weights");
  scene.add_model("m", {weights});
  const Outcome text = scene.run({"rm", "m", "--dry-run"});
  CHECK(text.code == done);
  CHECK(contains(text.out, scene.store().blob_path(weights)));
  CHECK_FALSE(contains(text.out, "removed"));
  const Outcome json = scene.run({"rm", "m", "--dry-run", "--json"});
  CHECK(contains(json.out, "\"dry_run\":true"));
  CHECK(contains(json.out, "\"removed\":false"));
  CHECK(contains(json.out, "\"removed_bytes\":0"));
  CHECK(exists(scene.store().blob_path(weights)));
  CHECK(exists(scene.store().manifest_path("m")));
}

TEST_CASE("rm: a model that is in use stays whole, and that is a failure") {
  const StoreScene scene;
  const auto weights = scene.add_blob("weights");
  scene.add_model("m", {weights});
  const auto loaded = scene.store().find(weights);
  const Outcome outcome = scene.run({"rm", "m"});
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.err, "is in use; nothing was removed"));
  const Outcome json = scene.run({"rm", "m", "--json"});
  CHECK(json.code == failed);
  CHECK(contains(json.out, "\"removed\":false"));
  CHECK(contains(json.out, "\"removed_bytes\":0,\"error\":\""));
  CHECK(contains(json.out, "is in use; nothing was removed\"}\n"));
  CHECK(exists(scene.store().manifest_path("m")));
  CHECK(exists(scene.store().blob_path(weights)));
}

TEST_CASE("rm: a name that is no model's, or none at all") {
  const StoreScene scene;
  CHECK(scene.run({"rm", "nobody"}).code == failed);
  CHECK(contains(scene.run({"rm", "nobody"}).err, "no model nobody"));
  CHECK(scene.run({"rm", "../x"}).code == failed);
  CHECK(scene.run({"rm"}).code == usage);
}

TEST_CASE("gc: takes what neither a manifest nor the configuration wants") {
  const StoreScene scene;
  const auto lost = scene.add_blob("lost");
  const auto wanted = scene.add_blob("wanted");
  const auto named = scene.add_blob("named");
  scene.add_model("m", {named});
  scene.put("config.json", config_with("{\"name\":\"w\",\"source\":\"https://h/w.gguf\",\"sha256\":\"" +
                                       wanted.to_hex() + "\"}"));
  const Outcome outcome = gc(scene);
  CHECK(outcome.code == done);
  CHECK(contains(outcome.out, scene.store().blob_path(lost)));
  CHECK(contains(outcome.out, "removed 1 of 1, 4 B"));
  CHECK_FALSE(exists(scene.store().blob_path(lost)));
  CHECK(exists(scene.store().blob_path(wanted)));
  CHECK(exists(scene.store().blob_path(named)));
  CHECK(gc(scene).out == "nothing to remove\n");
}

TEST_CASE("gc: with a configuration that cannot be read no blob goes, and it says why") {
  const StoreScene scene;
  const auto lost = scene.add_blob("lost");
  for (const std::string content : {"{", "{\"modls\":[]}"}) {
    scene.put("config.json", content);
    const Outcome outcome = gc(scene);
    CHECK(contains(outcome.out, "no blob goes: the configuration"));
    CHECK(exists(scene.store().blob_path(lost)));
  }
  std::filesystem::remove(scene / "config.json");
  CHECK(contains(gc(scene, {"--json"}).out, "\"stays\":[\"no blob goes: the configuration"));
  CHECK(exists(scene.store().blob_path(lost)));
}

TEST_CASE("gc: without any configuration the manifests decide") {
  const StoreScene scene;
  const auto lost = scene.add_blob("lost");
  CHECK(scene.run({"gc", "--yes"}).code == done);
  CHECK_FALSE(exists(scene.store().blob_path(lost)));
}

TEST_CASE("gc: a partial that a configured source would resume stays, also of a mirror, a shard, a hub") {
  const StoreScene scene;
  scene.put(
      "config.json",
      config_with(
          "{\"name\":\"a\",\"pin\":\"first-use\",\"source\":[\"https://h/a.gguf?key=1\",\"https://mirror/"
          "a.gguf\"]},"
          "{\"name\":\"s\",\"pin\":\"first-use\",\"source\":\"https://h/s-00001-of-00002.gguf\"},"
          "{\"name\":\"f\",\"pin\":\"first-use\",\"source\":\"hf:org/repo/q/w.gguf\"}"));
  const auto partial_of = [&](const std::string& url) {
    const auto key = *store::sha256_of("partial of " + url);
    const auto partial = scene.store().open_partial(key);
    REQUIRE(partial);
    REQUIRE(store::pwrite_all(partial->fd(), std::as_bytes(std::span("x", 1)), 0, "data.tmp"));
    std::ofstream(partial->journal_path()) << "{\"url\":\"" << url << "\"}";
    return scene.store().partial_folder(key);
  };
  const std::vector<std::string> wanted{
      partial_of("https://h/a.gguf"), partial_of("https://mirror/a.gguf"),
      partial_of("https://h/s-00002-of-00002.gguf"),
      partial_of("https://huggingface.co/org/repo/resolve/0123abcd/q/w.gguf")};
  const std::vector<std::string> lost{
      partial_of("https://h/b.gguf"), partial_of("https://h/s-00002-of-00003.gguf"),
      partial_of("https://huggingface.co/org/other/resolve/0123abcd/q/w.gguf"), partial_of("")};
  CHECK(gc(scene).code == done);
  for (const std::string& path : wanted) CHECK_MESSAGE(exists(path), path);
  for (const std::string& path : lost) CHECK_MESSAGE(!exists(path), path);
}

TEST_CASE("gc: quarantined files go only when they are named") {
  const StoreScene scene;
  auto bad = scene.store().open_partial(*store::sha256_of("y"));
  const auto path = scene.store().quarantine(
      std::move(*bad), {.url = "", .reason = "sha256_mismatch", .expected = "a", .actual = "b"});
  REQUIRE(path);
  CHECK(scene.run({"gc"}).out == "nothing to remove\n");
  CHECK(scene.run({"gc", "--quarantine"}).out == "nothing to remove\n");
  CHECK(scene.run({"gc", "--all"}).code == usage);
  CHECK(contains(scene.run({"gc", "--quarantine", "--all"}).out, *path));
  CHECK_FALSE(exists(*path));
}

TEST_CASE("gc: a dry run, as text and as a document, does nothing") {
  const StoreScene scene;
  const auto lost = scene.add_blob("lost");
  CHECK(contains(scene.run({"gc", "--dry-run"}).out, "4 B in all"));
  const Outcome json = scene.run({"gc", "--dry-run", "--json"});
  CHECK(contains(json.out, "{\"dry_run\":true,\"items\":[{\"kind\":\"blob\",\"path\":\"" +
                               scene.store().blob_path(lost) + "\",\"sha256\":\"" + lost.to_hex() +
                               "\",\"size_bytes\":4,\"why\":\"no model needs it\",\"removed\":false}]"));
  CHECK(exists(scene.store().blob_path(lost)));
  CHECK(contains(scene.run({"gc", "--json"}).out, "\"removed_bytes\":4"));
}

TEST_CASE("gc: what is in use is said and left, which is no failure") {
  const StoreScene scene;
  const auto used = scene.add_blob("used");
  const auto mine = scene.store().find(used);
  const Outcome outcome = scene.run({"gc"});
  CHECK(outcome.code == done);
  CHECK(contains(outcome.out, "stays: it is in use"));
  CHECK(exists(scene.store().blob_path(used)));
}

}  // namespace ggufd::ctl
