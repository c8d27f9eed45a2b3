// `inspect` of files, names and what is neither.
#include <sys/stat.h>

#include "inspect_support.h"
#include "store_scene.h"

namespace ggufd::ctl {

using namespace test;

TEST_CASE("inspect verb: a sound file is 0, a defective one 1 with the full report") {
  const StoreScene scene;
  scene.put("m.gguf", bytes_text(small_file()));
  const Outcome sound = scene.run({"inspect", scene / "m.gguf"});
  CHECK(sound.code == done);
  CHECK(contains(sound.out, "valid: no defect was found\n"));
  CHECK(sound.err.empty());
  scene.put("cut.gguf", bytes_text(small_file()).substr(0, 5000));
  const Outcome cut = scene.run({"inspect", scene / "cut.gguf"});
  CHECK(cut.code == failed);
  CHECK(contains(cut.out, "tensor_outside_file"));
  CHECK(contains(scene.run({"inspect", scene / "cut.gguf", "--json"}).out, "{\"valid\":false,"));
}

TEST_CASE("inspect verb: what can't be read is an error and never a wait") {
  const StoreScene scene;
  REQUIRE(mkfifo((scene / "pipe").c_str(), 0600) == 0);
  const auto error_of = [&](const std::string& name) {
    const Outcome outcome = scene.run({"inspect", scene / name});
    CHECK(outcome.code == failed);
    CHECK(outcome.out.empty());
    return outcome.err;
  };
  CHECK(contains(error_of("pipe"), "is a pipe"));
  CHECK(contains(error_of("."), "is a folder"));
  CHECK(contains(error_of("none.gguf"), "No such file"));
  CHECK(contains(scene.run({"inspect", "/dev/null"}).err, "is a device"));
}

TEST_CASE("inspect verb: of a file that ends at once, what was not read is not claimed") {
  const StoreScene scene;
  for (const std::string bytes : {"", "GGUF"}) {
    scene.put("short.gguf", bytes);
    const Outcome outcome = scene.run({"inspect", scene / "short.gguf", "--json"});
    CHECK(outcome.code == failed);
    CHECK(outcome.out.starts_with("{\"valid\":false,"));
    CHECK(contains(outcome.out, "\"version\":null,\"alignment\":null,"));
    CHECK(contains(outcome.out, fmt::format("\"file_bytes\":{},", bytes.size())));
    CHECK_FALSE(contains(outcome.out, "\"defects\":[]"));
    CHECK(scene.run({"plan", scene / "short.gguf"}).code == failed);
  }
}

TEST_CASE("inspect verb: a link is followed") {
  const StoreScene scene;
  scene.put("m.gguf", bytes_text(small_file()));
  std::filesystem::create_symlink(scene / "m.gguf", scene / "link.gguf");
  CHECK(scene.run({"inspect", scene / "link.gguf"}).code == done);
}

TEST_CASE("inspect verb: a header that is longer than the first read is read to its end") {
  const StoreScene scene;
  GgufBuilder file = small_file();
  file.add_strings("tokenizer.ggml.merges", std::vector<std::string>(40'000, "a pair"));
  scene.put("m.gguf", bytes_text(file));
  const Outcome outcome = scene.run({"inspect", scene / "m.gguf"});
  CHECK(outcome.code == done);
  CHECK(contains(outcome.out, "[40000 strings]"));
}

TEST_CASE("inspect verb: a model of the store by its name") {
  const StoreScene scene;
  scene.add_model("m", {scene.add_blob(bytes_text(small_file()))});
  const Outcome outcome = scene.run({"inspect", "m", "--json"});
  CHECK(outcome.code == done);
  CHECK(contains(outcome.out, "\"path\":\"" + scene.root + "/blobs/sha256/"));
}

TEST_CASE("inspect verb: a file goes before a model of that name") {
  const StoreScene scene;
  scene.add_model("m", {scene.add_blob(bytes_text(small_file()))});
  scene.put("m", "no model");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(scene / ".");
  const Outcome outcome = scene.run({"inspect", "m"});
  std::filesystem::current_path(before);
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.out, "bad_magic"));
}

TEST_CASE("inspect verb: a configured model that is a local file, and names that nobody knows") {
  const StoreScene scene;
  scene.put("m.gguf", bytes_text(small_file()));
  scene.put("config.json", R"({"models":[{"name":"local","source":")" + (scene / "m.gguf") + R"("}]})");
  const Outcome local = scene.run({"inspect", "local", "--config", scene / "config.json"});
  CHECK(local.code == done);
  CHECK(contains(local.out, scene / "m.gguf"));
  const Outcome unknown = scene.run({"inspect", "other", "--config", scene / "config.json"});
  CHECK(unknown.code == failed);
  CHECK(contains(unknown.err, "\"other\" is no file, no URL, no configured model (local)"));
}

TEST_CASE("inspect verb: URLs that no configuration would take") {
  const StoreScene scene;
  CHECK(contains(scene.run({"inspect", "ftp://h/m.gguf"}).err, "\"ftp://h/m.gguf\""));
  CHECK(contains(scene.run({"inspect", "http://example.invalid/m.gguf"}).err, "allow_plain_http"));
  CHECK(contains(scene.run({"inspect", "hf:org"}).err, "\"hf:org\""));
  scene.put("m.gguf", bytes_text(small_file()));
  CHECK(scene.run({"inspect", "file://" + (scene / "m.gguf")}).code == done);
}

TEST_CASE("inspect verb: shards beside the first are read, missing ones told") {
  const StoreScene scene;
  for (std::uint16_t i = 0; i < 2; ++i) {
    GgufBuilder file;
    if (i == 0) file.add("general.architecture", "tiny");
    file.add("split.no", i)
        .add("split.count", std::uint16_t{2})
        .add("split.tensors.count", std::int32_t{2})
        .tensor(i == 0 ? "a.weight" : "b.weight", "f16", {64});
    scene.put(i == 0 ? "m-00001-of-00002.gguf" : "m-00002-of-00002.gguf", bytes_text(file));
  }
  const std::string first = scene / "m-00001-of-00002.gguf";
  CHECK(contains(scene.run({"inspect", first, "--tensors"}).out, "b.weight"));
  CHECK(scene.run({"plan", first}).code != usage);
  std::filesystem::remove(scene / "m-00002-of-00002.gguf");
  CHECK(contains(scene.run({"inspect", first, "--json"}).out, "{\"valid\":false,"));
  const Outcome outcome = scene.run({"inspect", first});
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.out, "m-00002-of-00002.gguf: missing"));
  CHECK(contains(scene.run({"plan", first}).err, "missing"));
  std::filesystem::rename(first, scene / "alone.gguf");
  CHECK(contains(scene.run({"inspect", scene / "alone.gguf"}).out, "the other 1 of 2 files: missing"));
}

TEST_CASE("inspect verb: help ends with an example") {
  CHECK(contains(run_ctl({"inspect", "--help"}).out, "Examples:\n  ggufctl inspect "));
  CHECK(contains(run_ctl({"plan", "--help"}).out, "Examples:\n  ggufctl plan "));
  CHECK(run_ctl({"inspect"}).code == usage);
}

}  // namespace ggufd::ctl
