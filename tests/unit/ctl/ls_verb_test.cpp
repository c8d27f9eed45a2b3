#include <fcntl.h>
#include <simdjson.h>

#include "ctl/ls_report.h"
#include "store_scene.h"

namespace ggufd::ctl {

using namespace test;

namespace {

simdjson::dom::element parsed(simdjson::dom::parser& parser, const std::string& text) {
  simdjson::dom::element document;
  REQUIRE(parser.parse(text).get(document) == simdjson::SUCCESS);
  return document;
}

std::string text_at(const simdjson::dom::element& document, const char* pointer) {
  std::string_view text;
  REQUIRE(document.at_pointer(pointer).get(text) == simdjson::SUCCESS);
  return std::string(text);
}

}  // namespace

TEST_CASE("ls: a store that does not exist is an empty one") {
  const StoreScene scene;
  const Outcome text = scene.run({"ls"});
  CHECK(text.code == done);
  CHECK(text.out == "no models in " + scene.root + "\n");
  CHECK(scene.run({"ls", "--json"}).out ==
        "{\"models\":[],\"orphans\":[],\"partials\":[],\"quarantine\":[],\"problems\":[]}\n");
  CHECK_FALSE(exists(scene.root));
}

TEST_CASE("ls: the document has models, orphans, partials and quarantine") {
  const StoreScene scene;
  const auto weights = scene.add_blob("weights");
  scene.add_model("m", {weights});
  const auto lost = scene.add_blob("lost");
  {
    const auto partial = scene.store().open_partial(*store::sha256_of("x"));
  }
  auto bad = scene.store().open_partial(*store::sha256_of("y"));
  REQUIRE(bad);
  REQUIRE(scene.store().quarantine(std::move(*bad),
                                   {.url = "", .reason = "sha256_mismatch", .expected = "a", .actual = "b"}));
  const Outcome outcome = scene.run({"ls", "--json"});
  CHECK(outcome.code == done);
  simdjson::dom::parser parser;
  const auto document = parsed(parser, outcome.out);
  CHECK(text_at(document, "/models/0/name") == "m");
  CHECK(text_at(document, "/models/0/sha256") == weights.to_hex());
  CHECK(contains("stat-cached kernel-enforced", text_at(document, "/models/0/integrity")));
  CHECK(parse_timestamp(text_at(document, "/models/0/verified_at")).has_value());
  CHECK(text_at(document, "/models/0/path") == scene.store().blob_path(weights));
  CHECK(std::uint64_t(document.at_pointer("/models/0/size_bytes")) == 7);
  CHECK(document.at_pointer("/models/0/shards").error() != simdjson::SUCCESS);
  CHECK(text_at(document, "/orphans/0/sha256") == lost.to_hex());
  CHECK(text_at(document, "/partials/0/key") == hex_of("x"));
  CHECK(text_at(document, "/quarantine/0/expected") == "a");
}

TEST_CASE("ls: what is not verified, or not there, is not called verified") {
  const StoreScene scene;
  const auto weights = scene.add_blob("weights");
  scene.add_model("m", {weights});
  std::filesystem::remove(scene.store().blob_folder(weights) + "/verified.json");
  simdjson::dom::parser parser;
  auto document = parsed(parser, scene.run({"ls", "--json"}).out);
  CHECK(text_at(document, "/models/0/integrity") == "unverified");
  CHECK(document.at_pointer("/models/0/verified_at").is_null());
  std::filesystem::remove_all(scene.store().blob_folder(weights));
  document = parsed(parser, scene.run({"ls", "--json"}).out);
  CHECK(text_at(document, "/models/0/integrity") == "missing");
}

TEST_CASE("ls: a split model names its shards") {
  const StoreScene scene;
  const auto one = scene.add_blob("one");
  const auto two = scene.add_blob("two");
  scene.add_model("m", {one, two});
  simdjson::dom::parser parser;
  const auto document = parsed(parser, scene.run({"ls", "--json"}).out);
  CHECK(text_at(document, "/models/0/sha256") == one.to_hex());
  CHECK(text_at(document, "/models/0/shards/1") == two.to_hex());
  CHECK(std::uint64_t(document.at_pointer("/models/0/size_bytes")) == 6);
}

TEST_CASE("ls: the table says what people want to know, and nothing that steers a terminal") {
  const StoreScene scene;
  scene.add_model("m", {scene.add_blob("weights")});
  const auto key = *store::sha256_of("x");
  {
    const auto partial = scene.store().open_partial(key);
    scene.put(
        "models/blobs/sha256/" + key.to_hex().substr(0, 2) + "/.partial-" + key.to_hex() + "/journal.json",
        "{\"url\":\"https://h/\\u001b[31m\\nred\"}");
  }
  const Outcome outcome = scene.run({"ls"});
  CHECK(contains(outcome.out, "MODEL"));
  CHECK(contains(outcome.out, "7 B"));
  CHECK(contains(outcome.out, "Unfinished downloads"));
  CHECK_FALSE(contains(outcome.out, "Quarantine"));
  CHECK(contains(outcome.out, "https://h/ [31m red"));
  CHECK_FALSE(contains(outcome.out, "\x1b"));
}

TEST_CASE("ls: of a download what has arrived is told, and what is only reserved is not") {
  const StoreScene scene;
  const auto key = *store::sha256_of("x");
  {
    const auto partial = scene.store().open_partial(key);
    REQUIRE(partial);
    REQUIRE(::posix_fallocate(partial->fd(), 0, 3 << 20) == 0);
  }
  const auto partial_at = [&](const char* pointer) {
    simdjson::dom::parser parser;
    return std::uint64_t(parsed(parser, scene.run({"ls", "--json"}).out).at_pointer(pointer));
  };
  CHECK(partial_at("/partials/0/size_bytes") >= 3 << 20);
  CHECK(partial_at("/partials/0/arrived_bytes") == 0);
  const std::string folder = "models/blobs/sha256/" + key.to_hex().substr(0, 2) + "/.partial-" + key.to_hex();
  scene.put(folder + "/journal.json",
            R"({"schema_version":1,"url":"https://h/m","revision":"","size_bytes":3145728,)"
            R"("finished":[{"begin":0,"end":1000},{"begin":2000,"end":2024}]})");
  CHECK(partial_at("/partials/0/arrived_bytes") == 1024);
  CHECK(contains(scene.run({"ls"}).out, "1.0 KiB"));
}

TEST_CASE("ls: what cannot be read is said, and the rest is listed") {
  const StoreScene scene;
  scene.add_model("m", {scene.add_blob("weights")});
  scene.put("models/manifests/bad.json", "{");
  const Outcome outcome = scene.run({"ls"});
  CHECK(outcome.code == done);
  CHECK(contains(outcome.out, "stat-cached") != contains(outcome.out, "kernel-enforced"));
  CHECK(contains(outcome.err, "bad.json"));
}

TEST_CASE("ls: the store is where the configuration says, and a bad one is said") {
  const StoreScene scene;
  scene.add_model("m", {scene.add_blob("weights")});
  scene.put("config.json", "{\"models\":[],\"models_home\":\"" + scene.root + "\"}");
  const std::string config = scene / "config.json";
  const Variables home{{"HOME", scene / "."}};
  const Outcome found = run_ctl({"ls", "--config", config.c_str()}, {.variables = home});
  CHECK(contains(found.out, "7 B"));
  scene.put("config.json", "{");
  const Outcome broken = run_ctl({"ls", "--config", config.c_str()}, {.variables = home});
  CHECK(broken.code == done);
  CHECK(contains(broken.err, "models_home is not known"));
  CHECK(contains(broken.out, "no models in"));
}

}  // namespace ggufd::ctl
