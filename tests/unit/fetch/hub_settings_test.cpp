// Where the hub is and which token is for it: the configuration, then the environment.
#include "fetch/hub_settings.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>

#include "tests/unit/loop/support.h"

namespace ggufd::fetch {
namespace {

config::Environment environment(std::map<std::string, std::string> variables) {
  variables.try_emplace("HOME", "/home/kim");
  return [variables](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end() || found->second.empty()) return std::nullopt;
    return found->second;
  };
}

std::optional<std::string> token_of(const HubSettings& hub) {
  auto token = read_token_file(hub);
  REQUIRE(token);
  return *token;
}

TEST_CASE("without a word of anybody it is Hugging Face, with the token of its own programs") {
  const HubSettings hub = hub_settings({}, environment({}));
  CHECK(hub.endpoint == "https://huggingface.co");
  CHECK_FALSE(hub.is_offline);
  CHECK(hub.token == "");
  CHECK(hub.token_file == "/home/kim/.cache/huggingface/token");
  CHECK_FALSE(hub.token_file_is_required);
}

TEST_CASE("the configuration goes before the environment") {
  const auto variables =
      environment({{"HF_ENDPOINT", "https://env/"}, {"HF_TOKEN", "hf_env"}, {"HF_HOME", "/hf"}});
  const HubSettings hub =
      hub_settings({.hf_token_file = "/file", .hf_endpoint = "https://configured"}, variables);
  CHECK(hub.endpoint == "https://configured");
  CHECK(hub.token == "");
  CHECK(hub.token_file == "/file");
  CHECK(hub.token_file_is_required);
}

TEST_CASE("the environment's variables go before one another") {
  std::map<std::string, std::string> variables = {{"XDG_CACHE_HOME", "/xdg"}};
  const auto token_file = [&] { return hub_settings({}, environment(variables)).token_file; };
  CHECK(token_file() == "/xdg/huggingface/token");
  variables["HF_HOME"] = "~/hf";
  CHECK(token_file() == "/home/kim/hf/token");
  variables["HF_TOKEN_PATH"] = "~/secret";
  CHECK(token_file() == "/home/kim/secret");
  variables["HF_TOKEN"] = " hf_env\n";
  CHECK(token_file() == "");
  CHECK(hub_settings({}, environment(variables)).token == "hf_env");
  CHECK(hub_settings({}, environment({{"HF_ENDPOINT", " https://env// "}})).endpoint == "https://env");
}

TEST_CASE("HF_HUB_OFFLINE is set by a yes") {
  for (const char* yes : {"1", "ON", "on", "Yes", "TRUE", " true "})
    CHECK(hub_settings({}, environment({{"HF_HUB_OFFLINE", yes}})).is_offline);
  for (const char* no : {"", "0", "OFF", "no", "false", "2", "11"})
    CHECK_FALSE(hub_settings({}, environment({{"HF_HUB_OFFLINE", no}})).is_offline);
}

TEST_CASE("an endpoint is https, or http to this machine or where that is allowed") {
  for (const char* right :
       {"https://h", "https://h:1/base", "http://127.0.0.1:1", "http://localhost", "http://[::1]:1"})
    CHECK(check_hub_endpoint(right, false));
  CHECK(check_hub_endpoint("http://h", true));
  for (const char* wrong :
       {"", "h", "http://h", "ftp://h", "https://u:p@h", "https://h?q", "https://h#f", "https://"}) {
    CAPTURE(wrong);
    const auto checked = check_hub_endpoint(wrong, false);
    REQUIRE_FALSE(checked);
    CHECK(checked.error().code == ErrorCode::bad_source);
  }
}

TEST_CASE("a token may go over TLS or stay on this machine") {
  CHECK(may_carry_token("https://h"));
  CHECK(may_carry_token("http://127.0.0.1:1"));
  CHECK_FALSE(may_carry_token("http://h"));
}

TEST_CASE("a token file holds one token, for its owner's eyes") {
  loop::test::TempFolder folder;
  HubSettings hub;
  hub.token_file = folder.file("token");
  hub.token_file_is_required = true;
  const auto write = [&](const std::string& text, mode_t mode = 0600) {
    std::ofstream(hub.token_file, std::ios::trunc) << text;
    REQUIRE(chmod(hub.token_file.c_str(), mode) == 0);
  };
  const auto error = [&]() -> std::string {
    const auto token = read_token_file(hub);
    if (token) return "";
    CHECK(token.error().code == ErrorCode::io);
    CHECK(token.error().message.find(hub.token_file) != std::string::npos);
    CHECK(token.error().message.find("hf_secret") == std::string::npos);
    return token.error().message;
  };
  SUBCASE("with blanks around it") {
    write(" hf_secret \r\n");
    CHECK(token_of(hub) == "hf_secret");
  }
  SUBCASE("behind a link, as mounted secrets are") {
    write("hf_secret");
    std::filesystem::create_symlink(hub.token_file, folder.file("link"));
    hub.token_file = folder.file("link");
    CHECK(token_of(hub) == "hf_secret");
  }
  SUBCASE("not of others, by any of four bits") {
    for (const mode_t mode : {0640U, 0620U, 0604U, 0602U, 0644U}) {
      write("hf_secret", mode);
      CHECK(error().find("chmod 600") != std::string::npos);
    }
  }
  SUBCASE("no two lines, no control characters") {
    for (const char* text :
         {"hf_secret\nhf_secret", "hf_secret\x01", "hf_secret\x7F", "hf_secret \xC3\xA9"}) {
      write(text);
      CHECK(error() != "");
    }
  }
  SUBCASE("of at most 4 KiB") {
    write(std::string(max_token_file_bytes, 'a'));
    CHECK(error() == "");
    write(std::string(max_token_file_bytes + 1, 'a'));
    CHECK(error() != "");
  }
  SUBCASE("nothing but a file") {
    REQUIRE(mkfifo(hub.token_file.c_str(), 0600) == 0);
    CHECK(error() != "");
    std::filesystem::remove(hub.token_file);
    std::filesystem::create_directory(hub.token_file);
    CHECK(error() != "");
  }
}

TEST_CASE("a token file that is not there, or empty, is a mistake only where it was asked for") {
  loop::test::TempFolder folder;
  HubSettings hub;
  hub.token_file = folder.file("token");
  SUBCASE("not there") {}
  SUBCASE("below no folder") {
    hub.token_file += "/x/y";
  }
  SUBCASE("empty") {
    std::ofstream(hub.token_file) << "\n";
    REQUIRE(chmod(hub.token_file.c_str(), 0600) == 0);
  }
  CHECK(token_of(hub) == std::nullopt);
  hub.token_file_is_required = true;
  const auto token = read_token_file(hub);
  REQUIRE_FALSE(token);
  CHECK(token.error().code == ErrorCode::io);
}

}  // namespace
}  // namespace ggufd::fetch
