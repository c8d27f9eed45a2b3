// What a llama-server's --version and --help say.
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <optional>
#include <ranges>
#include <utility>
#include <vector>

#include "engine/llama_probe.h"

namespace ggufd::engine {
namespace {

constexpr std::string_view white = " \t\r";

std::string_view next_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.size(), line.find_first_not_of(white)));
  const std::string_view word = line.substr(0, line.find_first_of(white));
  line.remove_prefix(word.size());
  return word;
}

void read_version(std::string_view text, LlamaBuild& build) {
  constexpr std::string_view label = "version: ";
  while (!text.empty()) {
    std::string_view line = next_line(text);
    if (!line.starts_with(label)) continue;
    line.remove_prefix(label.size());
    build.version = line.substr(0, line.find_last_not_of(white) + 1);
    std::from_chars(line.data(), line.data() + line.size(), build.number);
    return;
  }
}

// The names at the start of an entry: "-ngl,  --gpu-layers, --n-gpu-layers N    number of layers".
std::vector<std::string_view> names_of(std::string_view line) {
  std::vector<std::string_view> names;
  if (!line.starts_with('-')) return names;
  for (bool has_more = true; has_more;) {
    std::string_view name = next_word(line);
    has_more = name.ends_with(',');
    if (has_more) name.remove_suffix(1);
    // A heading starts with dashes too: "----- common params -----".
    if (!name.starts_with('-') || name.find_first_not_of('-') == std::string_view::npos) break;
    names.push_back(name);
  }
  return names;
}

// A value's name follows after one space, the description of a flag without a value after more.
bool takes_value(std::string_view entry, std::string_view last_name) {
  // The views are of the same text.
  const auto end = static_cast<std::size_t>(last_name.data() - entry.data()) + last_name.size();
  entry.remove_prefix(end);
  return entry.size() > 1 && entry[0] == ' ' && white.find(entry[1]) == std::string_view::npos;
}

// "- 4: trace (more info)" among the levels of --verbosity.
std::optional<int> trace_level(std::string_view line) {
  if (next_word(line) != "-") return std::nullopt;
  const std::string_view number = next_word(line);
  if (!number.ends_with(':') || next_word(line) != "trace") return std::nullopt;
  int level = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), level);
  if (error != std::errc() || end != number.data() + number.size() - 1) return std::nullopt;
  return level;
}

void read_help(std::string_view text, LlamaBuild& build) {
  std::vector<std::string_view> names;  // of the entry that `line` is in
  const auto is_in = [&](std::string_view name) { return std::ranges::find(names, name) != names.end(); };
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    if (auto first = names_of(line); !first.empty()) {
      names = std::move(first);
      build.flags.insert(names.begin(), names.end());
      if (is_in("--flash-attn")) build.flash_attention_is_switch = !takes_value(line, names.back());
    }
    if (is_in("--host") && line.find(".sock") != std::string_view::npos) build.has_unix_sockets = true;
    if (is_in("--verbosity") && !build.library_log_verbosity) build.library_log_verbosity = trace_level(line);
  }
}

constexpr auto needed_flags = std::to_array<std::string_view>({"--model", "--host", "--port"});

bool has_needed_flags(const LlamaBuild& build) {
  return std::ranges::all_of(needed_flags, [&](std::string_view flag) { return build.has(flag); });
}

// A wrapper, or another program with the same interface, may print its help in a form of its own: then every
// flag counts that is mentioned anywhere.
void read_mentions(std::string_view text, LlamaBuild& build) {
  constexpr std::string_view between = " \t\r\n,|[](){}=<>'\"`";
  if (text.find(".sock") != std::string_view::npos) build.has_unix_sockets = true;
  while (!text.empty()) {
    text.remove_prefix(std::min(text.size(), text.find_first_not_of(between)));
    const std::string_view word = text.substr(0, text.find_first_of(between));
    text.remove_prefix(word.size());
    if (word.starts_with('-') && word.find_first_not_of('-') != std::string_view::npos)
      build.flags.emplace(word);
  }
}

bool can_be_executed(const std::string& path) {
  struct stat file{};
  return stat(path.c_str(), &file) == 0 && S_ISREG(file.st_mode) && access(path.c_str(), X_OK) == 0;
}

}  // namespace

Result<LlamaBuild> parse_llama_build(std::string_view version, std::string_view help) {
  LlamaBuild build;
  read_version(version, build);
  read_help(help, build);
  if (!has_needed_flags(build)) read_mentions(help, build);
  for (const std::string_view flag : needed_flags) {
    if (build.has(flag)) continue;
    return fail(ErrorCode::engine_failed, fmt::format("its --help does not name {}; set llama_server.binary "
                                                      "to a llama-server of llama.cpp",
                                                      flag));
  }
  return build;
}

Result<std::string> find_llama_server(const std::string& binary, std::string_view path_variable) {
  if (binary.find('/') != std::string::npos) {
    if (!can_be_executed(binary)) {
      return fail(ErrorCode::engine_not_found,
                  fmt::format("llama_server.binary {} is not a file that can be executed; install llama.cpp "
                              "there, or set it to where its llama-server is",
                              binary));
    }
    std::error_code failure;
    const auto absolute = std::filesystem::absolute(binary, failure);
    if (failure) return std::unexpected(system_error(fmt::format("finding {}", binary), failure.value()));
    return absolute.string();
  }
  for (const auto part : std::views::split(path_variable, ':')) {
    const std::string folder(part.begin(), part.end());
    // A folder that depends on where we are started is no place to take a program from.
    if (!folder.starts_with('/')) continue;
    if (std::string path = fmt::format("{}/{}", folder, binary); can_be_executed(path)) return path;
  }
  return fail(ErrorCode::engine_not_found,
              fmt::format("there is no {} in the folders of PATH ({}); install llama.cpp, or set "
                          "llama_server.binary to the absolute path of its llama-server",
                          binary, path_variable));
}

}  // namespace ggufd::engine
