// Which rule names a place, and which comes first.
#include "config/places.h"

#include <unistd.h>

#include <algorithm>

#include "support.h"

using namespace ggufd::config;
using config_test::environment_of;

namespace {

constexpr uid_t some_uid = 1234;

Place found(const ggufd::Result<Place>& place) {
  if (!place) FAIL(place.error().message);
  return *place;
}

}  // namespace

TEST_SUITE_BEGIN("config");

TEST_CASE("the runtime folder is the first rule that is set") {
  PlaceOptions options{.runtime_dir = "/run/option"};
  std::map<std::string, std::string> variables{{"GGUFD_RUNTIME_DIR", "/run/variable"},
                                               {"RUNTIME_DIRECTORY", "/run/systemd:/run/second"},
                                               {"XDG_RUNTIME_DIR", "/run/user/1234"}};
  const auto find = [&] { return found(find_runtime_folder(options, environment_of(variables), some_uid)); };
  CHECK(find() == Place{"/run/option", "--runtime-dir"});
  options.runtime_dir.reset();
  CHECK(find() == Place{"/run/variable", "$GGUFD_RUNTIME_DIR"});
  variables.erase("GGUFD_RUNTIME_DIR");
  CHECK(find() == Place{"/run/systemd", "$RUNTIME_DIRECTORY"});
  variables.erase("RUNTIME_DIRECTORY");
  CHECK(find() == Place{"/run/user/1234/ggufd", "$XDG_RUNTIME_DIR/ggufd"});
  variables.erase("XDG_RUNTIME_DIR");
  CHECK(find() == Place{"/tmp/ggufd-1234", "/tmp/ggufd-<uid>"});
}

TEST_CASE("the configuration file is the first rule that is set") {
  PlaceOptions options{.config = "/c/option.json"};
  std::map<std::string, std::string> variables{
      {"GGUFD_CONFIG", "/c/variable.json"}, {"XDG_CONFIG_HOME", "/c/xdg"}, {"HOME", "/home/kim"}};
  const auto find = [&] { return found(find_config_file(options, environment_of(variables), some_uid)); };
  CHECK(find() == Place{"/c/option.json", "--config"});
  options.config.reset();
  CHECK(find() == Place{"/c/variable.json", "$GGUFD_CONFIG"});
  variables.erase("GGUFD_CONFIG");
  CHECK(find() == Place{"/c/xdg/ggufd/config.json", "$XDG_CONFIG_HOME/ggufd/config.json"});
  variables.erase("XDG_CONFIG_HOME");
  CHECK(find() == Place{"/home/kim/.config/ggufd/config.json", "~/.config/ggufd/config.json"});
}

TEST_CASE("the store is the first rule that is set") {
  PlaceOptions options{.store = "/s/option"};
  std::string models_home = "/s/configured";
  std::map<std::string, std::string> variables{
      {"MODELS_HOME", "/s/variable"}, {"XDG_DATA_HOME", "/s/xdg"}, {"HOME", "/home/kim"}};
  const auto find = [&] {
    return found(find_store_folder(options, models_home, environment_of(variables), some_uid));
  };
  CHECK(find() == Place{"/s/option", "--store"});
  options.store.reset();
  CHECK(find() == Place{"/s/configured", "models_home"});
  models_home.clear();
  CHECK(find() == Place{"/s/variable", "$MODELS_HOME"});
  variables.erase("MODELS_HOME");
  CHECK(find() == Place{"/s/xdg/models", "$XDG_DATA_HOME/models"});
  variables.erase("XDG_DATA_HOME");
  CHECK(find() == Place{"/home/kim/.local/share/models", "~/.local/share/models"});
}

TEST_CASE("empty variables count as not set, and so do relative XDG folders") {
  const auto environment = environment_of({{"GGUFD_RUNTIME_DIR", ""}, {"XDG_RUNTIME_DIR", "run"}});
  CHECK(found(find_runtime_folder({}, environment, some_uid)).path == "/tmp/ggufd-1234");
  const auto relative = environment_of({{"XDG_CONFIG_HOME", "cfg"}, {"HOME", "/home/kim"}});
  CHECK(found(find_config_file({}, relative, some_uid)).path == "/home/kim/.config/ggufd/config.json");
}

TEST_CASE("places are absolute and in normal form") {
  const auto environment = config_test::home_environment();
  const auto path_of = [&](const char* option) {
    return found(find_runtime_folder({.runtime_dir = option}, environment, some_uid)).path;
  };
  CHECK(path_of("/run/a/") == "/run/a");
  CHECK(path_of("/run//a/./b/../c") == "/run/a/c");
  CHECK(path_of("/") == "/");
  CHECK(path_of("~/run") == "/home/kim/run");
  CHECK(path_of("a/b") == (std::filesystem::current_path() / "a/b").string());
}

TEST_CASE("an empty option or one with control characters is an error that names the rule") {
  const auto empty = find_store_folder({.store = ""}, "", config_test::home_environment(), some_uid);
  REQUIRE_FALSE(empty.has_value());
  CHECK(empty.error().message.find("--store") != std::string::npos);
  const auto control = find_config_file({.config = "/a\nb"}, config_test::home_environment(), some_uid);
  REQUIRE_FALSE(control.has_value());
  CHECK(control.error().message.find("control characters") != std::string::npos);
}

TEST_CASE("without $HOME the user database names the home folder") {
  const auto home = home_folder(environment_of({}), 0);
  REQUIRE(home.has_value());
  CHECK(home->starts_with('/'));
  CHECK_FALSE(home_folder(environment_of({}), static_cast<uid_t>(0xFFFF'0001)).has_value());
}

TEST_CASE("a place below the home folder is an error where no home is known") {
  const auto file = find_config_file({}, environment_of({}), static_cast<uid_t>(0xFFFF'0001));
  REQUIRE_FALSE(file.has_value());
  CHECK(file.error().message.find("set HOME") != std::string::npos);
}

TEST_CASE("the process's environment is read, empty values as not set") {
  REQUIRE(setenv("GGUFD_CONFIG_TEST", "value", 1) == 0);
  CHECK(process_environment()("GGUFD_CONFIG_TEST") == "value");
  REQUIRE(setenv("GGUFD_CONFIG_TEST", "", 1) == 0);
  CHECK_FALSE(process_environment()("GGUFD_CONFIG_TEST").has_value());
  REQUIRE(unsetenv("GGUFD_CONFIG_TEST") == 0);
  CHECK_FALSE(process_environment()("GGUFD_CONFIG_TEST").has_value());
}

TEST_CASE("the files of a runtime folder have their names") {
  const auto files = runtime_files("/run/ggufd");
  REQUIRE(files.has_value());
  CHECK(files->lock == "/run/ggufd/ggufd.lock");
  CHECK(files->admin_socket == "/run/ggufd/admin.sock");
  CHECK(files->infer_socket == "/run/ggufd/infer.sock");
  CHECK(files->http_socket == "/run/ggufd/http.sock");
  CHECK(model_socket("/run/ggufd", "qwen3-4b") == "/run/ggufd/infer.qwen3-4b.sock");
}

TEST_CASE("a socket's path has at most 107 bytes") {
  const std::string longest(max_socket_path_bytes - std::string_view("/infer.sock").size(), 'd');
  CHECK(runtime_files(longest).has_value());
  const auto files = runtime_files(longest + "d");
  REQUIRE_FALSE(files.has_value());
  CHECK(files.error().code == ggufd::ErrorCode::io);
  CHECK(files.error().message.find("--runtime-dir") != std::string::npos);
  CHECK(files.error().message.find("108 bytes, the kernel takes 107") != std::string::npos);
}

TEST_CASE("a model whose socket does not fit is a mistake at its name") {
  const auto config = config_test::right(
      fmt::format(R"({{"models": [{{"name": "a", "source": "/a"}}, {{"name": "{}", "source": "/b"}}]}})",
                  std::string(64, 'n')));
  CHECK(check_model_sockets(config, "/run/ggufd").empty());
  const auto mistakes = check_model_sockets(config, "/" + std::string(40, 'd'));
  REQUIRE(mistakes.size() == 1);
  CHECK(mistakes[0].json_pointer == "/models/1/name");
  CHECK(mistakes[0].message.find("or a shorter name") != std::string::npos);
}

TEST_CASE("a further check adds its mistakes to all others, of what could be read") {
  const std::string folder = "/" + std::string(40, 'd');
  const auto config = parse_config(
      fmt::format(
          R"({{"models": [{{"name": "/", "source": "/a"}}, {{"name": "{}", "source": "/b"}}], "x": 1}})",
          std::string(64, 'n')),
      config_test::home_environment(), [&](const Config& read) { return check_model_sockets(read, folder); });
  REQUIRE_FALSE(config);
  std::vector<std::string> pointers;
  for (const Mistake& mistake : config.error()) pointers.push_back(mistake.json_pointer);
  std::ranges::sort(pointers);
  CHECK(pointers == std::vector<std::string>{"/models/0/name", "/models/1/name", "/x"});
}

TEST_SUITE_END();
