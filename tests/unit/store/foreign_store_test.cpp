#include "store/foreign_store.h"

#include "support.h"

namespace ggufd::store {
namespace {

using namespace test;

const std::string hex(64, 'a');
const std::string other_hex(64, 'b');

void put_in(const std::string& path, const std::string& content) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  put(path, content);
}

void link_in(const std::string& path, const std::string& target) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::filesystem::create_symlink(target, path);
}

std::vector<std::string> titles_of(const ForeignListing& listing) {
  std::vector<std::string> titles;
  for (const ForeignFile& file : listing.files) titles.push_back(file.title);
  return titles;
}

struct Hub {
  TempFolder folder;
  std::string repository = folder / "models--org--repo";

  ForeignListing list() const {
    auto listing = list_hugging_face(folder.path());
    REQUIRE(listing);
    return std::move(*listing);
  }
};

TEST_CASE("a file of Hugging Face's cache is found with its repository, commit and claimed digest") {
  const Hub hub;
  put_in(hub.repository + "/blobs/" + hex, "bytes");
  link_in(hub.repository + "/snapshots/0123abcd/Q4/w.gguf", "../../../blobs/" + hex);
  const ForeignListing listing = hub.list();
  REQUIRE(listing.files.size() == 1);
  const ForeignFile& file = listing.files.front();
  CHECK(file.title == "org/repo/Q4/w.gguf");
  CHECK(file.file_name == "w.gguf");
  CHECK(file.path == std::filesystem::canonical(hub.repository).string() + "/blobs/" + hex);
  CHECK(file.size_bytes == 5);
  CHECK(file.claimed == Digest::parse(hex));
  CHECK(file.source == ManifestSource{"huggingface.co", "org/repo", "0123abcd", "Q4/w.gguf"});
}

TEST_CASE("of several snapshots that of refs/main counts; files that are no links have no digest") {
  const Hub hub;
  put_in(hub.repository + "/snapshots/aaaa/w.gguf", "old");
  put_in(hub.repository + "/snapshots/bbbb/w.gguf", "newer");
  put_in(hub.repository + "/snapshots/aaaa/only-old.gguf", "x");
  put_in(hub.repository + "/refs/main", "bbbb\n");
  const ForeignListing listing = hub.list();
  REQUIRE(listing.files.size() == 2);
  CHECK(listing.files[1].size_bytes == 5);
  CHECK(listing.files[1].source.revision == "bbbb");
  CHECK(listing.files[0].source.revision == "aaaa");
  CHECK_FALSE(listing.files[0].claimed);
}

TEST_CASE("what is unfinished, no GGUF, or of another kind is not listed") {
  const Hub hub;
  put_in(hub.repository + "/blobs/" + hex + ".incomplete", "x");
  put_in(hub.repository + "/snapshots/aaaa/README.md", "x");
  put_in(hub.folder / "datasets--org--repo/snapshots/aaaa/w.gguf", "x");
  put_in(hub.folder / "version.txt", "1");
  std::filesystem::create_directories(hub.folder / "models--org--empty");
  CHECK(hub.list().files.empty());
  CHECK(hub.list().problems.empty());
}

TEST_CASE("links that lead out of a repository, to nothing, or in a circle are problems") {
  const Hub hub;
  put_in(hub.folder / "secret.gguf", "x");
  link_in(hub.repository + "/snapshots/aaaa/out.gguf", hub.folder / "secret.gguf");
  link_in(hub.repository + "/snapshots/aaaa/dangling.gguf", "../../blobs/" + hex);
  link_in(hub.repository + "/snapshots/aaaa/loop.gguf", "loop.gguf");
  link_in(hub.repository + "/snapshots/aaaa/up", "..");
  link_in(hub.folder / "models--org--loop", "models--org--loop");
  const ForeignListing listing = hub.list();
  CHECK(listing.files.empty());
  REQUIRE(listing.problems.size() == 3);
  CHECK(contains(listing.problems[2], "leads out of its repository"));
}

TEST_CASE("folders that are nested without end are left at some depth") {
  const Hub hub;
  std::string path = hub.repository + "/snapshots/aaaa";
  for (int depth = 0; depth < 40; ++depth) path += "/d";
  put_in(path + "/w.gguf", "x");
  const ForeignListing listing = hub.list();
  CHECK(listing.files.empty());
  REQUIRE(listing.problems.size() == 1);
  CHECK(contains(listing.problems.front(), "too deep"));
}

TEST_CASE("a root that is not there is a bad source") {
  TempFolder folder;
  for (const auto list : {list_hugging_face, list_ollama, list_llama_cpp}) {
    const auto listing = list(folder / "none");
    REQUIRE_FALSE(listing);
    CHECK(listing.error().code == ErrorCode::bad_source);
    CHECK(contains(listing.error().message, folder / "none"));
  }
}

struct Ollama {
  TempFolder folder;

  static std::string manifest(const std::string& digest) {
    return R"({"schemaVersion":2,"config":{"digest":"sha256:x"},"layers":[)"
           R"({"mediaType":"application/vnd.ollama.image.template","digest":"sha256:y","size":1},)"
           R"({"mediaType":"application/vnd.ollama.image.model","digest":")" +
           digest + R"(","size":5}]})";
  }
  void add(const std::string& name, const std::string& text) const {
    put_in(folder / ("manifests/" + name), text);
  }
  void add_blob(const std::string& digits) const { put_in(folder / ("blobs/sha256-" + digits), "bytes"); }
  ForeignListing list() const {
    auto listing = list_ollama(folder.path());
    REQUIRE(listing);
    return std::move(*listing);
  }
};

TEST_CASE("a model of Ollama's is found by its manifest") {
  const Ollama ollama;
  ollama.add_blob(hex);
  ollama.add("registry.ollama.ai/library/llama3.2/3b", Ollama::manifest("sha256:" + hex));
  ollama.add("registry.ollama.ai/library/llama3.2/latest", Ollama::manifest("sha256:" + hex));
  ollama.add("registry.ollama.ai/me/mine/latest", Ollama::manifest("sha256:" + hex));
  ollama.add("hf.co/org/repo/Q4_K_M", Ollama::manifest("sha256:" + hex));
  const ForeignListing listing = ollama.list();
  CHECK(titles_of(listing) == std::vector<std::string>{"hf.co/org/repo:Q4_K_M", "llama3.2:3b",
                                                       "llama3.2:latest", "me/mine:latest"});
  const ForeignFile& file = listing.files[1];
  CHECK(file.file_name == "llama3.2-3b.gguf");
  CHECK(listing.files[2].file_name == "llama3.2.gguf");
  CHECK(file.path == ollama.folder / ("blobs/sha256-" + hex));
  CHECK(file.size_bytes == 5);
  CHECK(file.claimed == Digest::parse(hex));
  CHECK(file.source == ManifestSource{"ollama", "llama3.2", "3b", "sha256-" + hex});
}

// CVE-2024-37032: a digest that is a path.
TEST_CASE("manifests of Ollama's that are no manifests, or lead elsewhere, are problems") {
  const Ollama ollama;
  ollama.add_blob(hex);
  const std::string base = "registry.ollama.ai/library/m/";
  ollama.add(base + "a", "{");
  ollama.add(base + "b", Ollama::manifest("sha256:../../../../etc/passwd"));
  ollama.add(base + "c", Ollama::manifest("sha256:" + hex + "0"));
  ollama.add(base + "d", Ollama::manifest("sha256:" + other_hex));
  ollama.add(base + "e", "{\"layers\":[]}");
  ollama.add(base + "f", std::string(2 << 20, ' '));
  ollama.add(base + "g", "{\"layers\":\"none\"}");
  link_in(ollama.folder / ("manifests/" + base + "h"), "h");
  ollama.add("too/short", Ollama::manifest("sha256:" + hex));
  const ForeignListing listing = ollama.list();
  CHECK(listing.files.empty());
  CHECK(listing.problems.size() == 8);
}

TEST_CASE("a blob of Ollama's that is a link is not taken") {
  const Ollama ollama;
  put_in(ollama.folder / "secret", "x");
  link_in(ollama.folder / ("blobs/sha256-" + hex), "../secret");
  ollama.add("registry.ollama.ai/library/m/a", Ollama::manifest("sha256:" + hex));
  CHECK(ollama.list().files.empty());
  CHECK(ollama.list().problems.size() == 1);
}

TEST_CASE("llama.cpp's cache has files side by side, and Hugging Face's layout beside them") {
  TempFolder folder;
  put(folder / "org_repo_w.gguf", "bytes");
  put(folder / "org_repo_w.gguf.downloadInProgress", "x");
  put(folder / "org_repo_w.gguf.json", "{}");
  put_in(folder / "models--org--repo/snapshots/aaaa/w.gguf", "x");
  link_in(folder / "link.gguf", "/etc/hostname");
  const auto listing = list_llama_cpp(folder.path());
  REQUIRE(listing);
  CHECK(titles_of(*listing) == std::vector<std::string>{"org/repo/w.gguf", "org_repo_w.gguf"});
  CHECK(listing->files[1].source == ManifestSource{"llama.cpp", "", "", "org_repo_w.gguf"});
}

}  // namespace
}  // namespace ggufd::store
