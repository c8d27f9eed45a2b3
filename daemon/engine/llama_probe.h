// What the llama-server on this machine is and can do: found once, asked with --version and --help,
// remembered for as long as its file stays the same.
#pragma once

#include <sys/stat.h>

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "loop/loop.h"
#include "loop/operation.h"
#include "protocol/error.h"

namespace ggufd::engine {

struct LlamaBuild {
  std::string version;      // "9963 (dc02e1f8)", as --version says it; empty where it does not
  std::int64_t number = 0;  // the count of commits that releases are named by (b9963); 0: not told
  // --host takes the path of a Unix socket: since March 2025, and --help says so.
  bool has_unix_sockets = false;
  // What --verbosity must be given for the library's own lines, those of the load, to be printed; none: they
  // are by default. Since May 2026, and --help names the level "trace".
  std::optional<int> library_log_verbosity;
  // --flash-attn takes no value and is off by default: until August 2025.
  bool flash_attention_is_switch = false;
  std::set<std::string, std::less<>> flags;  // "-c", "--ctx-size", "--no-mmap" and so on

  bool has(std::string_view flag) const { return flags.contains(flag); }
};

// What both print together with whatever backends say meanwhile. The format is that of llama.cpp's
// common/arg.cpp: an entry starts in the first column with its names, separated by commas, and what follows
// is indented. `engine_failed` where `help` is not that of a llama-server.
Result<LlamaBuild> parse_llama_build(std::string_view version, std::string_view help);

// The absolute path of `binary`: itself where it has a slash, else found in the folders of `path_variable`
// (PATH). `engine_not_found` where there is none that can be executed.
Result<std::string> find_llama_server(const std::string& binary, std::string_view path_variable);

// Asks programs what they are. Outlives the operations that it returns; used on the loop's thread.
class LlamaProbe {
 public:
  // `environment` is what the programs see (engine_environment()).
  LlamaProbe(loop::Loop& loop, std::vector<std::string> environment)
      : loop_(loop), environment_(std::move(environment)) {}

  // Runs the program at `path` twice, or takes what is known of the very same file. `done` comes once, never
  // from inside this call: `engine_not_found` where no file is there, `engine_failed` where it cannot be run,
  // has not answered within the limit or is no llama-server; `cancelled`.
  using Done = std::move_only_function<void(Result<LlamaBuild>)>;
  loop::OperationPtr probe(const std::string& path, Done done);

  static constexpr std::uint64_t limit_ms = 5000;

 private:
  // A file that is replaced differs in one of these.
  struct Identity {
    dev_t device;
    ino_t inode;
    off_t size;
    std::int64_t modified_ns;

    auto operator<=>(const Identity&) const = default;
  };
  class Asking;

  static Result<Identity> identify(const std::string& path);

  loop::Loop& loop_;
  std::vector<std::string> environment_;
  std::map<Identity, LlamaBuild> known_;
};

}  // namespace ggufd::engine
