// What is known of a model's bytes before anything is fetched.
#include "model/local_copy.h"

#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

config::ModelConfig first_use() {
  config::ModelConfig model = from_url("http://127.0.0.1:1/dir/m.gguf?x=1", "");
  model.sha256.clear();
  model.pin = config::Pin::first_use;
  return model;
}

std::vector<std::optional<LocalCopy>> found(const House& house, const config::ModelConfig& model) {
  const auto files = model_files(house.store(), model);
  REQUIRE(files);
  auto copies = find_local_copies(house.store(), model, *files);
  REQUIRE(copies);
  REQUIRE(copies->size() == files->size());
  return std::move(*copies);
}

std::optional<ErrorCode> error_of(const House& house, const config::ModelConfig& model) {
  const auto copies = find_local_copies(house.store(), model, *model_files(house.store(), model));
  return copies ? std::nullopt : std::optional(copies.error().code);
}

TEST_CASE("the path that is looked at is the file's, the blob's or the manifest's") {
  const House house;
  CHECK(path_to_check(house.store(), in_place("/a/m.gguf")) == "/a/m.gguf");
  CHECK(path_to_check(house.store(), from_url("http://127.0.0.1:1/m", "x")) ==
        house.store().blob_path(digest_of("x")));
  CHECK(path_to_check(house.store(), first_use()) == house.store().manifest_path("m"));
}

TEST_CASE("a network model that is not in the store is nowhere; looking makes no store") {
  const House house;
  CHECK_FALSE(found(house, from_url("http://127.0.0.1:1/m", "x")).front());
  CHECK_FALSE(found(house, first_use()).front());
  CHECK_FALSE(std::filesystem::exists(house.store().root()));
}

TEST_CASE("a blob is found with its digest, a local file without") {
  const House house;
  const store::Digest digest = house.put_blob("the weights");
  const auto blob = found(house, from_url("http://127.0.0.1:1/m", "the weights"));
  REQUIRE(blob.front());
  CHECK_FALSE(blob.front()->is_in_place());
  CHECK_FALSE(blob.front()->needs_hash);
  CHECK(blob.front()->digest == digest);
  CHECK(blob.front()->size_bytes == 11);
  const auto local = found(house, in_place(house.file("the weights")));
  REQUIRE(local.front());
  CHECK(local.front()->is_in_place());
  CHECK(local.front()->needs_hash);
  CHECK_FALSE(local.front()->digest);
  CHECK(local.front()->before_hash.has_value());
}

TEST_CASE(
    "with mirrors of both kinds nothing is fetched that is here: the preferred file, the blob, another "
    "file") {
  const House house;
  const std::string path = house.file("the weights");
  const config::Source url = from_url("http://127.0.0.1:1/m.gguf", "").sources.front();
  const config::Source file{config::FileSource{path}};
  config::ModelConfig model = from_url("", "the weights");
  SUBCASE("the preferred file, though there is a blob") {
    house.put_blob("the weights");
    model.sources = {file, url};
    CHECK(found(house, model).front()->is_in_place());
  }
  SUBCASE("the blob, where the preferred file is not there") {
    house.put_blob("the weights");
    model.sources = {config::Source{config::FileSource{path + ".none"}}, url};
    CHECK_FALSE(found(house, model).front()->is_in_place());
  }
  SUBCASE("a file that is another mirror") {
    model.sources = {url, file};
    CHECK(found(house, model).front()->path == path);
  }
  SUBCASE("nothing of these") {
    model.sources = {url, config::Source{config::FileSource{path + ".none"}}};
    CHECK_FALSE(found(house, model).front());
  }
  SUBCASE("only files, and none is there") {
    model.sources = {config::Source{config::FileSource{path + ".none"}}};
    CHECK(error_of(house, model) == ErrorCode::bad_source);
  }
}

TEST_CASE("of a split model local files are used where all of them are there") {
  const House house;
  const SplitModel split = split_model(2);
  const std::string first = house.file(split.files[0], split.name(0));
  CHECK(error_of(house, in_place(first)) == ErrorCode::bad_source);
  config::ModelConfig mixed = in_place(first);
  mixed.sources.push_back(from_url("http://127.0.0.1:1/" + split.name(0), "").sources.front());
  mixed.sha256 = split.digests();
  CHECK_FALSE(found(house, mixed)[0]);
  house.put_blob(split.files[1]);
  CHECK_FALSE(found(house, mixed)[0]);
  CHECK(found(house, mixed)[1]);
  const std::string second = house.file(split.files[1], split.name(1));
  const auto copies = found(house, mixed);
  CHECK(copies[0]->path == first);
  CHECK(copies[1]->path == second);
}

config::Source file_source(const std::string& path) {
  return {config::FileSource{path}};
}

Error refused(const House& house, const config::ModelConfig& model) {
  const auto copies = find_local_copies(house.store(), model, *model_files(house.store(), model));
  REQUIRE_FALSE(copies);
  return copies.error();
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("a local mirror that can't be used makes way for the next one") {
  const House house;
  const std::string good = house.file("the weights");
  const std::string short_one = house.file("the wei", "short.gguf");
  std::filesystem::create_directory(house.files + "/folder");
  for (const std::string& bad : {house.files + "/folder", good + "/beneath.gguf", short_one}) {
    CAPTURE(bad);
    config::ModelConfig model = in_place(bad);
    model.size_bytes = 11;
    const Error alone = refused(house, model);
    CHECK(alone.code == (bad == short_one ? ErrorCode::size_mismatch : ErrorCode::bad_source));
    CHECK(contains(alone.message, bad));
    model.sources.push_back(file_source(house.files + "/none.gguf"));
    CHECK(refused(house, model).message == alone.message);
    model.sources.push_back(file_source(good));
    CHECK(found(house, model).front()->path == good);
    std::swap(model.sources.front(), model.sources.back());
    CHECK(found(house, model).front()->path == good);
    model.sources = {file_source(bad), from_url("http://127.0.0.1:1/m", "").sources.front()};
    CHECK_FALSE(found(house, model).front());
  }
}

TEST_CASE("a symbolic link is followed to its file, which has the checks of any other") {
  const House house;
  const std::string target = house.file("the weights", "blob");
  const std::string link = house.files + "/m.gguf";
  std::filesystem::create_symlink("blob", link);
  auto copies = found(house, in_place(link));
  LocalCopy& copy = *copies.front();
  CHECK(copy.path == link);
  CHECK(copy.size_bytes == 11);
  settle(target);
  copy.before_hash = *store::before_hash(copy.fd(), link);
  REQUIRE(record_hash(house.store(), copy, digest_of("the weights")));
  CHECK_FALSE(found(house, in_place(link)).front()->needs_hash);
  // Another file behind the link has no stamp of its own.
  house.file("other weights", "other");
  std::filesystem::remove(link);
  std::filesystem::create_symlink("other", link);
  CHECK(found(house, in_place(link)).front()->needs_hash);
}

TEST_CASE("a source that is no file says what it is, and what to do") {
  const House house;
  const std::string link = house.files + "/link.gguf";
  std::filesystem::create_symlink("nowhere", link);
  CHECK(contains(refused(house, in_place(link)).message, "link that leads to nothing; put its file back"));
  std::filesystem::remove(link);
  std::filesystem::create_symlink("link.gguf", link);
  CHECK(contains(refused(house, in_place(link)).message, "link that leads back to itself;"));
  CHECK(contains(refused(house, in_place(house.files)).message, "is a folder; name the GGUF in it"));
  CHECK(contains(refused(house, in_place("/dev/null")).message, "is a device; name a GGUF file"));
  const std::string pipe = house.files + "/pipe";
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(contains(refused(house, in_place(pipe)).message, "is a pipe; name a GGUF file"));
}

TEST_CASE("a size that is not the configured one is size_mismatch") {
  config::ModelConfig model = in_place("/m.gguf");
  CHECK(check_size(model, "/m.gguf", 1, 11));
  model.size_bytes = 11;
  CHECK(check_size(model, "/m.gguf", 1, 11));
  const auto checked = check_size(model, "/m.gguf", 1, 12);
  REQUIRE_FALSE(checked);
  CHECK(checked.error().code == ErrorCode::size_mismatch);
  CHECK(checked.error().message.find("/m.gguf has 12 bytes") != std::string::npos);
  const auto split = check_size(model, "/m-00001-of-00003.gguf", 3, 12);
  REQUIRE_FALSE(split);
  CHECK(split.error().message.find("the 3 files of m, from /m-00001-of-00003.gguf on, have 12 bytes "
                                   "together") != std::string::npos);
}

}  // namespace
}  // namespace ggufd::model
