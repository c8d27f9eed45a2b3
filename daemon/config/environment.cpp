#include "config/environment.h"

#include <fmt/core.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

namespace ggufd::config {

Environment process_environment() {
  return [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  };
}

Result<std::string> home_folder(const Environment& environment, uid_t uid) {
  if (const auto home = environment("HOME"); home && home->starts_with('/')) return *home;
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> text(1024);
  int failure = getpwuid_r(uid, &entry, text.data(), text.size(), &found);
  while (failure == ERANGE && text.size() < (std::size_t{1} << 20)) {
    text.resize(text.size() * 2);
    failure = getpwuid_r(uid, &entry, text.data(), text.size(), &found);
  }
  if (found != nullptr && found->pw_dir != nullptr && found->pw_dir[0] == '/') return found->pw_dir;
  return fail(ErrorCode::io,
              fmt::format("the home folder of user {} is not known: $HOME is not an absolute path and the "
                          "user database does not name one; set HOME",
                          uid));
}

Result<std::string> expand_home(std::string_view path, const Environment& environment) {
  if (path != "~" && !path.starts_with("~/")) return std::string(path);
  auto home = home_folder(environment, geteuid());
  if (!home) return home;
  while (home->ends_with('/')) home->pop_back();
  home->append(path.substr(1));
  if (home->empty()) return "/";
  return home;
}

}  // namespace ggufd::config
