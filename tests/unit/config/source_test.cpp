// The forms of `source`, and what is none.
#include "config/source.h"

#include "support.h"

using namespace ggufd::config;
using config_test::check_only_mistake;
using config_test::digest;
using config_test::right;

namespace {

Source parsed(std::string_view text) {
  CAPTURE(text);
  const auto source = parse_source(text, config_test::home_environment());
  if (!source) FAIL(source.error());
  return *source;
}

void check_refused(std::string_view text, std::string_view part) {
  CAPTURE(text);
  const auto source = parse_source(text, config_test::home_environment());
  REQUIRE_FALSE(source.has_value());
  CAPTURE(source.error());
  CHECK(source.error().find(part) != std::string::npos);
}

std::string one_model(std::string_view source, std::string_view more = "") {
  return fmt::format(R"({{"models": [{{"name": "a", "source": {}{}}}]}})", source, more);
}

}  // namespace

TEST_SUITE_BEGIN("config");

TEST_CASE("an https URL is a source") {
  CHECK(parsed("https://h.example:8443/a/b.gguf?x=1") ==
        Source{UrlSource{.url = "https://h.example:8443/a/b.gguf?x=1"}});
  CHECK(parsed("HTTPS://h/a") == Source{UrlSource{.url = "https://h/a"}});
  CHECK(parsed("https://[2001:db8::1]/a").is_network());
}

TEST_CASE("http to a loopback host is told from http to any other") {
  for (const char* url : {"http://localhost/a", "http://LOCALHOST:80/a", "http://127.0.0.1:8000/a",
                          "http://127.8.9.10/a", "http://[::1]/a", "http://[0:0:0:0:0:0:0:1]:1/a"}) {
    CHECK_FALSE(parsed(url).is_plain_http_to_remote());
  }
  for (const char* url :
       {"http://h/a", "http://127.0.0.1.evil.example/a", "http://128.0.0.1/a", "http://126.0.0.1/a",
        "http://127.1/a", "http://localhost.evil.example/a", "http://[::2]/a", "http://0.0.0.0/a"}) {
    CHECK(parsed(url).is_plain_http_to_remote());
  }
  CHECK_FALSE(parsed("https://h/a").is_plain_http_to_remote());
}

TEST_CASE("a Hugging Face source has organisation, repository, path and revision") {
  CHECK(parsed("hf:Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf") ==
        Source{HuggingFaceSource{"Qwen", "Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf", "main"}});
  CHECK(parsed("hf:o/r/sub dir/x.gguf@refs/pr/1") ==
        Source{HuggingFaceSource{"o", "r", "sub dir/x.gguf", "refs/pr/1"}});
  CHECK(parsed("hf:o/r/x@y.gguf@v1.0") == Source{HuggingFaceSource{"o", "r", "x@y.gguf", "v1.0"}});
}

TEST_CASE("what is no Hugging Face source is refused") {
  check_refused("hf:repo", "hf:<org>/<repo>/<path>");
  check_refused("hf:org/repo", "hf:<org>/<repo>/<path>");
  check_refused("hf://org/repo/x", "without \"//\"");
  check_refused("hf:org/repo/", "is no path");
  check_refused("hf:org/repo/../x", "is no path");
  check_refused("hf:org/repo/a//x", "is no path");
  check_refused("hf:/repo/x", "organisation");
  check_refused("hf:../repo/x", "organisation");
  check_refused("hf:o rg/repo/x", "organisation");
  check_refused("hf:o/r/x@", "branch");
  check_refused("hf:o/r/x@a b", "branch");
  check_refused("hf:o/r/x@../../other", "branch");
}

TEST_CASE("local files are absolute paths, file URLs or below the home folder") {
  CHECK(parsed("/m/a b.gguf") == Source{FileSource{.path = "/m/a b.gguf"}});
  CHECK(parsed("~/m/a.gguf") == Source{FileSource{.path = "/home/kim/m/a.gguf"}});
  CHECK(parsed("file:///m/a%20b.gguf") == Source{FileSource{.path = "/m/a b.gguf"}});
  CHECK(parsed("file:///m/100%25") == Source{FileSource{.path = "/m/100%"}});
  CHECK_FALSE(parsed("/m/a").is_network());
}

TEST_CASE("what is no local file is refused") {
  check_refused("file://host/a", "no host");
  check_refused("file:/a", "not \"file:/a\"");
  check_refused("file:///a%2", "two hex digits");
  check_refused("file:///a%zz", "two hex digits");
  check_refused("file:///a%00b", "control characters");
  check_refused("file:///a?b", "%3F");
  check_refused("file:///", "is a folder");
  check_refused("/m/", "is a folder");
  check_refused("~kim/a", "absolute path");
  check_refused("a.gguf", "absolute path");
  check_refused("./a.gguf", "absolute path");
  check_refused("", "not empty");
}

TEST_CASE("URLs with credentials are refused with advice") {
  check_refused("https://user:secret@h/a", "fetch.hf_token_file");
  check_refused("https://token@h/a", "fetch.hf_token_file");
  check_refused("http://u@127.0.0.1/a", "fetch.hf_token_file");
}

TEST_CASE("the sentence about credentials does not repeat them") {
  const auto refused = parse_source("https://user:secret@h/a", config_test::home_environment());
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().find("secret") == std::string::npos);
}

TEST_CASE("URLs of another scheme or that are malformed are refused") {
  check_refused("ftp://h/a", "\"ftp\" is not known");
  check_refused("s3://bucket/a", "\"s3\" is not known");
  check_refused("https:///a", "must name a host");
  check_refused("https://:80/a", "must name a host");
  check_refused("https://h:0/a", "from 1 to 65535");
  check_refused("https://h:99999/a", "port");
  check_refused("https://h/a b", "%20");
  check_refused("https://h/é", "%XX");
  check_refused("https://h\\@evil/a", "backslashes");
  check_refused("https://h/a#part", "%23");
  check_refused("https://h/a\nb", "control characters");
  check_refused("/a\x7f", "control characters");
}

TEST_CASE("a source is shown without the query") {
  CHECK(to_string(parsed("https://h/a.gguf?token=secret")) == "https://h/a.gguf");
  CHECK(to_string(parsed("hf:o/r/x.gguf")) == "hf:o/r/x.gguf@main");
  CHECK(to_string(parsed("file:///a%20b")) == "/a b");
}

TEST_CASE("the file's name is the last part of the path") {
  CHECK(parsed("https://h/d/a.gguf?download=/true").file_name() == "a.gguf");
  CHECK(parsed("hf:o/r/d/x.gguf").file_name() == "x.gguf");
  CHECK(parsed("/m/a.gguf").file_name() == "a.gguf");
}

TEST_CASE("shard names have a number and a count") {
  CHECK(parse_shard_name("a-00001-of-00003.gguf") == ShardName{.number = 1, .count = 3});
  CHECK(parse_shard_name("a-00012-of-00345.gguf") == ShardName{.number = 12, .count = 345});
  for (const char* name : {"a.gguf", "-00001-of-00003.gguf", "a-00004-of-00003.gguf", "a-00000-of-00003.gguf",
                           "a-0001-of-0003.gguf", "a-+0001-of-00003.gguf", "a-00001-of-00003.bin", ""}) {
    CAPTURE(name);
    CHECK_FALSE(parse_shard_name(name).has_value());
  }
}

TEST_CASE("a network source needs a digest, unless the first use pins it") {
  check_only_mistake(one_model("\"https://h/a\""), "/models/0/sha256", "a network source needs it");
  check_only_mistake(one_model("\"hf:o/r/x\""), "/models/0/sha256", "a network source needs it");
  check_only_mistake(one_model(R"(["/a", "https://h/a"])"), "/models/0/sha256", "a network source needs it");
  right(one_model("\"https://h/a\"", R"(, "pin": "first-use")"));
  right(one_model("\"https://h/a\"", fmt::format(R"(, "sha256": "{}")", digest)));
  right(one_model("\"/a\""));
}

TEST_CASE("plain http to other hosts needs to be allowed") {
  const std::string pinned = fmt::format(R"(, "sha256": "{}")", digest);
  check_only_mistake(one_model("\"http://h/a\"", pinned), "/models/0/source", "fetch.allow_plain_http");
  check_only_mistake(one_model(R"(["/a", "http://h/a"])", pinned), "/models/0/source/1",
                     "fetch.allow_plain_http");
  right(one_model("\"http://127.0.0.1:1/a\"", pinned));
  right(fmt::format(
      R"({{"models": [{{"name": "a", "source": "http://h/a"{}}}], "fetch": {{"allow_plain_http": true}}}})",
      pinned));
}

TEST_CASE("a split model names its first shard and has a digest for each") {
  const std::string one = fmt::format("\"{}\"", digest);
  const std::string two = fmt::format("[{}, {}]", one, one);
  const auto with = [](std::string_view source, std::string_view sha256) {
    return one_model(source, fmt::format(R"(, "sha256": {})", sha256));
  };
  right(with("\"https://h/a-00001-of-00002.gguf\"", two));
  check_only_mistake(with("\"https://h/a-00001-of-00002.gguf\"", one), "/models/0/sha256",
                     "one digest a shard, 2, not 1");
  check_only_mistake(with("\"https://h/a-00002-of-00002.gguf\"", two), "/models/0/source", "the first shard");
  check_only_mistake(with("\"https://h/a.gguf\"", two), "/models/0/sha256", "must be one digest, not 2");
  check_only_mistake(with(R"(["https://h/a-00001-of-00002.gguf", "https://i/a.gguf"])", two),
                     "/models/0/source/1", "as many files as the first one, 2, not for 1");
  right(one_model("\"/a-00001-of-00002.gguf\""));
}

TEST_CASE("mirrors stand for the same number of files") {
  const auto mirrors = [](std::string_view second) {
    return fmt::format(R"({{"models": [{{"name": "a", "source": ["/m/a-00001-of-00003.gguf", "{}"]}}]}})",
                       second);
  };
  CHECK(config_test::mistakes_of(mirrors("/n/b-00001-of-00003.gguf")).empty());
  for (const std::string_view other : {"/n/b-00001-of-00002.gguf", "/n/b.gguf"}) {
    config_test::check_only_mistake(mirrors(other), "/models/0/source/1", "as the first one, 3, not for");
  }
  config_test::check_only_mistake(mirrors("/n/b-00002-of-00002.gguf"), "/models/0/source/1",
                                  "must name the first shard");
}

TEST_CASE("a bad source in a list is told by its place, and hides nothing else") {
  const auto mistakes = config_test::mistakes_of(one_model(R"(["x", "https://h/a", "y"])"));
  REQUIRE(mistakes.size() == 3);
  CHECK(mistakes[0].json_pointer == "/models/0/source/0");
  CHECK(mistakes[1].json_pointer == "/models/0/source/2");
  CHECK(mistakes[2].json_pointer == "/models/0/sha256");
}

TEST_CASE("an empty list of sources is a mistake") {
  check_only_mistake(one_model("[]"), "/models/0/source", "empty list");
}

TEST_SUITE_END();
