#include "ctl/import_candidates.h"
#include "store/model_lock.h"
#include "store_scene.h"

namespace ggufd::ctl {

using namespace test;

namespace {

const std::string weights = gguf_of("weights");

void put_hub_file(const StoreScene& scene, const std::string& repository, const std::string& path,
                  const std::string& content, const std::string& blob) {
  const std::string folder = "hub/models--" + repository + "/";
  scene.put(folder + "blobs/" + blob, content);
  const std::filesystem::path link = scene / (folder + "snapshots/0123abcd/" + path);
  std::filesystem::create_directories(link.parent_path());
  std::filesystem::create_symlink(scene / (folder + "blobs/" + blob), link);
}

Outcome from_hub(const StoreScene& scene, std::vector<std::string> words = {}) {
  words.insert(words.begin(), {"import", "--from", "hf"});
  return scene.run(words, {{"HF_HUB_CACHE", scene / "hub"}});
}

}  // namespace

TEST_CASE("import: a file becomes a model of its own name") {
  const StoreScene scene;
  scene.put("my model.Q4_K.gguf", weights);
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"import", scene / "my model.Q4_K.gguf"},
        std::vector<std::string>{"import", "--from", scene / "my model.Q4_K.gguf"}}) {
    const Outcome outcome = scene.run(words);
    CHECK(outcome.code == done);
    CHECK(contains(outcome.out, fmt::format("my-model.Q4_K: {} B", weights.size())));
  }
  const auto manifest = store::read_manifest(scene.root, "my-model.Q4_K");
  REQUIRE(manifest);
  REQUIRE(*manifest);
  CHECK((*manifest)->blob == "sha256:" + hex_of(weights));
  CHECK((*manifest)->size_bytes == weights.size());
  CHECK((*manifest)->source == store::ManifestSource{"file", "", "", scene / "my model.Q4_K.gguf"});
  CHECK((*manifest)->produced_by.starts_with("ggufctl "));
  CHECK(StoreScene::get(scene.store().blob_path(*store::sha256_of(weights))) == weights);
}

TEST_CASE("import: a name that is asked for is taken; one that stands for something else is not replaced") {
  const StoreScene scene;
  scene.put("a.gguf", weights);
  scene.put("b.gguf", gguf_of("other"));
  CHECK(scene.run({"import", scene / "a.gguf", "--name", "m"}).code == done);
  CHECK(contains(scene.run({"import", scene / "a.gguf", "--name", "m", "--json"}).out, "\"was_there\":true"));
  const Outcome taken = scene.run({"import", scene / "b.gguf", "--name", "m"});
  CHECK(taken.code == failed);
  CHECK(contains(taken.err, "ggufctl rm m"));
  CHECK(store::read_manifest(scene.root, "m")->value().blob == "sha256:" + hex_of(weights));
  CHECK(scene.run({"import", scene / "b.gguf", "--name", "../m"}).code == usage);
  CHECK(scene.run({"import", scene / "a.gguf", scene / "b.gguf", "--name", "m"}).code == usage);
}

TEST_CASE("import: what is no GGUF, or not there, is an error and leaves nothing") {
  const StoreScene scene;
  scene.put("page.gguf", "<html>");
  const Outcome page = scene.run({"import", scene / "page.gguf"});
  CHECK(page.code == failed);
  CHECK(contains(page.err, "page.gguf: the file starts with \"<htm\""));
  CHECK_FALSE(exists(scene.root + "/blobs"));
  CHECK(contains(scene.run({"import", scene / "none.gguf"}).err, "none.gguf"));
  CHECK(scene.run({"import", scene / "none.gguf"}).code == failed);
  CHECK(scene.run({"import"}).code == usage);
}

TEST_CASE("import: a model that would not be loaded is refused before anything is copied") {
  const StoreScene scene;
  scene.put("cut.gguf", weights.substr(0, weights.size() - 20));
  scene.put("header.gguf", weights.substr(0, 20));
  for (const char* name : {"cut.gguf", "header.gguf"}) {
    CAPTURE(name);
    const Outcome outcome = scene.run({"import", scene / name});
    CHECK(outcome.code == failed);
    CHECK(contains(outcome.err, name));
    CHECK_FALSE(exists(scene.root + "/blobs"));
  }
  CHECK(contains(scene.run({"import", scene / "cut.gguf"}).err, "output.weight"));
}

TEST_CASE("import: shards that do not belong together are refused") {
  const StoreScene scene;
  scene.put("w-00001-of-00002.gguf", shard_of(0));
  scene.put("w-00002-of-00002.gguf", shard_of(0));
  const Outcome outcome = scene.run({"import", scene / "w-00001-of-00002.gguf"});
  CHECK(outcome.code == failed);
  CHECK_FALSE(exists(scene.root + "/blobs"));
}

TEST_CASE("import: all shards become one model, whichever of them is named") {
  const StoreScene scene;
  const std::string one = shard_of(0);
  const std::string two = shard_of(1);
  scene.put("w-00001-of-00002.gguf", one);
  scene.put("w-00002-of-00002.gguf", two);
  const Outcome outcome = scene.run({"import", scene / "w-00002-of-00002.gguf"});
  CHECK(outcome.code == done);
  CHECK(contains(outcome.out, fmt::format("w: {} B in 2 files, imported", one.size() + two.size())));
  const auto manifest = store::read_manifest(scene.root, "w");
  REQUIRE(*manifest);
  CHECK((*manifest)->shards == std::vector<std::string>{"sha256:" + hex_of(one), "sha256:" + hex_of(two)});
  CHECK((*manifest)->size_bytes == one.size() + two.size());
  CHECK(StoreScene::get(scene.root + "/links/w/w-00002-of-00002.gguf") == two);
  std::filesystem::remove(scene / "w-00001-of-00002.gguf");
  const Outcome partly = scene.run({"import", scene / "w-00002-of-00002.gguf", "--name", "x"});
  CHECK(partly.code == failed);
  CHECK(contains(partly.err, "w-00001-of-00002.gguf"));
}

TEST_CASE("import: a cache is listed with names, sizes and claimed digests") {
  const StoreScene scene;
  put_hub_file(scene, "org--repo", "w.gguf", weights, hex_of(weights));
  put_hub_file(scene, "org--repo", "s-00001-of-00002.gguf", weights, "0001");
  const Outcome text = from_hub(scene, {"--list"});
  CHECK(text.code == done);
  CHECK(contains(text.out, "org/repo/w.gguf"));
  CHECK(contains(text.out, fmt::format("{} B", weights.size())));
  CHECK(contains(text.err, "only 1 of 2 shards are there"));
  const Outcome json = from_hub(scene, {"--list", "--json"});
  CHECK(contains(
      json.out,
      fmt::format(R"({{"found":[{{"title":"org/repo/w.gguf","name":"w","size_bytes":{},)", weights.size())));
  CHECK(contains(json.out, "\"claimed_sha256\":\"" + hex_of(weights) + "\""));
  CHECK_FALSE(exists(scene.root));
}

TEST_CASE("import: of a cache comes what is named, by its title or by its name") {
  const StoreScene scene;
  put_hub_file(scene, "org--repo", "a.gguf", gguf_of("a"), hex_of(gguf_of("a")));
  put_hub_file(scene, "org--repo", "b.gguf", gguf_of("b"), hex_of(gguf_of("b")));
  put_hub_file(scene, "org--repo", "c.gguf", gguf_of("c"), hex_of(gguf_of("c")));
  const Outcome unnamed = from_hub(scene);
  CHECK(unnamed.code == usage);
  CHECK(contains(unnamed.out, "org/repo/b.gguf"));
  CHECK(from_hub(scene, {"nobody"}).code == failed);
  CHECK(from_hub(scene, {"a", "org/repo/b.gguf"}).code == done);
  CHECK(exists(scene.store().manifest_path("a")));
  CHECK(exists(scene.store().manifest_path("b")));
  CHECK_FALSE(exists(scene.store().manifest_path("c")));
  CHECK(store::read_manifest(scene.root, "a")->value().source ==
        store::ManifestSource{"huggingface.co", "org/repo", "0123abcd", "a.gguf"});
  CHECK(from_hub(scene, {"--all"}).code == done);
  CHECK(exists(scene.store().manifest_path("c")));
}

TEST_CASE("import: a digest in a name that the bytes do not have is an error, and nothing is kept") {
  const StoreScene scene;
  put_hub_file(scene, "org--repo", "w.gguf", weights, hex_of("another"));
  const Outcome outcome = from_hub(scene);
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.err, "should have the SHA-256 " + hex_of("another")));
  CHECK_FALSE(exists(scene.store().manifest_path("w")));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(scene.root)) {
    CHECK_MESSAGE(!contains(entry.path().string(), "data"), entry.path().string());
  }
}

TEST_CASE("import: one model that fails does not keep the others from coming") {
  const StoreScene scene;
  put_hub_file(scene, "org--repo", "bad.gguf", "<html>", "0001");
  put_hub_file(scene, "org--repo", "good.gguf", weights, "0002");
  const Outcome outcome = from_hub(scene, {"--all", "--json"});
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.out, "{\"imported\":[{\"name\":\"good\",\"sha256\":\"" + hex_of(weights) + "\""));
  CHECK(contains(outcome.out, "\"problems\":[\""));
}

TEST_CASE("import: a file that is not there does not keep the others from coming") {
  const StoreScene scene;
  scene.put("good.gguf", weights);
  const Outcome outcome =
      scene.run({"import", scene / "none.gguf", scene / "good.gguf", scene / "no-either.gguf", "--json"});
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.out, "{\"imported\":[{\"name\":\"good\",\"sha256\":\"" + hex_of(weights) + "\""));
  CHECK(contains(outcome.out, "\"problems\":[\"opening " + (scene / "none.gguf")));
  CHECK(contains(outcome.err, "none.gguf"));
  CHECK(contains(outcome.err, "no-either.gguf"));
  CHECK(exists(scene.store().manifest_path("good")));
  CHECK(scene.run({"import", scene / "none.gguf", "--name", "n"}).code == failed);
  CHECK(scene.run({"import", scene / "none.gguf", scene / "good.gguf", "--name", "n"}).code == usage);
  CHECK(scene.run({"import", scene / "none.gguf", scene / "good.gguf", "--list"}).code == failed);
}

TEST_CASE("import: Ollama's and llama.cpp's stores are found by their variables and in the home") {
  const StoreScene scene;
  const std::string manifest =
      "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:" +
      hex_of(weights) + "\"}]}";
  for (const std::string folder : {"elsewhere", ".ollama/models"}) {
    scene.put(folder + "/manifests/registry.ollama.ai/library/llama3.2/3b", manifest);
    scene.put(folder + "/blobs/sha256-" + hex_of(weights), weights);
  }
  CHECK(contains(scene.run({"import", "--from", "ollama", "--list"}).out, "llama3.2:3b"));
  CHECK(scene.run({"import", "--from", "ollama", "llama3.2:3b"}, {{"OLLAMA_MODELS", scene / "elsewhere"}})
            .code == done);
  CHECK(store::read_manifest(scene.root, "llama3.2-3b")->value().source.registry == "ollama");
  scene.put(".cache/llama.cpp/org_repo_w.gguf", gguf_of("cached"));
  CHECK(scene.run({"import", "--from", "llama.cpp"}).code == done);
  CHECK(exists(scene.store().manifest_path("org_repo_w")));
  const Outcome none = scene.run({"import", "--from", "hf"});
  CHECK(none.code == failed);
  CHECK(contains(none.err, ".cache/huggingface/hub"));
}

TEST_CASE("import: while somebody works on that name it is busy") {
  const StoreScene scene;
  scene.put("w.gguf", weights);
  const auto lock = store::ModelLock::try_lock(scene.root, "w");
  const Outcome outcome = scene.run({"import", scene / "w.gguf"});
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.err, "another program"));
  CHECK_FALSE(exists(scene.store().manifest_path("w")));
}

TEST_CASE("import: a claimed digest that is not the name's is refused before anything is copied") {
  const StoreScene scene;
  scene.add_model("w", {scene.add_blob("other")});
  put_hub_file(scene, "org--repo", "w.gguf", weights, hex_of(weights));
  CHECK(contains(from_hub(scene).err, "another model called w"));
  CHECK_FALSE(exists(scene.store().blob_path(*store::sha256_of(weights))));
}

TEST_CASE("import: names from outside are shown without what steers a terminal, and made fit for the store") {
  const StoreScene scene;
  put_hub_file(scene, "org--repo", "a\x1b[31m\nb.gguf", weights, "0001");
  const Outcome outcome = from_hub(scene, {"--list"});
  CHECK_FALSE(contains(outcome.out, "\x1b"));
  CHECK(contains(outcome.out, "org/repo/a [31m b.gguf"));
  CHECK(suggested_name("a\x1b[31m\nb.gguf") == "a--31m-b");
  CHECK(suggested_name("...gguf") == "model");
  CHECK(suggested_name("..x.gguf") == "x");
  CHECK(suggested_name("w-00001-of-00003.gguf") == "w");
  CHECK(suggested_name(std::string(100, 'x')) == std::string(64, 'x'));
}

}  // namespace ggufd::ctl
