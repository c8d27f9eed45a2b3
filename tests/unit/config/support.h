// What the tests of the configuration share.
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <stdlib.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace config_test {

// An environment of these variables only.
inline ggufd::config::Environment environment_of(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

inline ggufd::config::Environment home_environment() {
  return environment_of({{"HOME", "/home/kim"}});
}

// A folder of its own that is gone with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ggufd-config-XXXXXX").string();
    const char* made = mkdtemp(pattern.data());
    REQUIRE(made != nullptr);
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return fmt::format("{}/{}", path_, name); }

 private:
  std::string path_;
};

inline constexpr std::string_view digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// A file with one model that has these further keys (`, "n_ctx": 1` …) and top-level keys.
inline std::string with_model(std::string_view model_keys, std::string_view top_keys = "") {
  return fmt::format(R"({{"models": [{{"name": "a", "source": "/m/a.gguf"{}}}]{}}})", model_keys, top_keys);
}

inline ggufd::config::Config right(std::string_view text) {
  const auto config = ggufd::config::parse_config(text, home_environment());
  if (!config) {
    for (const auto& mistake : config.error()) MESSAGE(to_string(mistake));
  }
  REQUIRE(config.has_value());
  return *config;
}

inline std::vector<ggufd::config::Mistake> mistakes_of(std::string_view text) {
  const auto config = ggufd::config::parse_config(text, home_environment());
  return config ? std::vector<ggufd::config::Mistake>{} : config.error();
}

// The text has this mistake and no other; the message contains `part`.
inline void check_only_mistake(std::string_view text, std::string_view pointer, std::string_view part) {
  const auto mistakes = mistakes_of(text);
  std::string found;
  for (const auto& mistake : mistakes) found += to_string(mistake) + "\n";
  CAPTURE(text);
  CAPTURE(found);
  REQUIRE(mistakes.size() == 1);
  CHECK(mistakes[0].json_pointer == pointer);
  CHECK(mistakes[0].message.find(part) != std::string::npos);
}

}  // namespace config_test
