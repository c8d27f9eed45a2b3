// What a verb may take from the command line. Hides the parser, so that one file only compiles it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace ggufd::ctl {

class Parameters {
 public:
  // `app` is the verb's subcommand. It, and the members that are bound, must outlive the parsing.
  explicit Parameters(CLI::App& app) : app_(app) {}

  // `name` as the help shows it, "MODEL", with the meaning of `kind` below; a positional argument.
  void positional(const char* name, std::optional<std::string>& value, const char* help);
  // The same that must be there, and any number of them.
  void required(const char* name, std::string& value, const char* help);
  void positionals(const char* name, std::vector<std::string>& values, const char* help);
  // `name` with its dashes, "--no-wait".
  void flag(const char* name, bool& value, const char* help);
  // One that only our own scripts use.
  void hidden_flag(const char* name, bool& value);
  // `kind` stands for the value in the help and tells completion what may come: words in small letters are
  // values, those in capitals kinds of them (FILE, DIR, MODEL, …): "hf|ollama|FILE".
  void text(const char* name, std::optional<std::string>& value, const char* help,
            const std::string& kind = "TEXT");
  // A number from 0 to 2^32 - 1.
  void number(const char* name, std::optional<std::uint32_t>& value, const char* help);
  // Any number of them: the option again, or commas.
  void numbers(const char* name, std::vector<std::uint32_t>& values, const char* help);
  // A number of seconds, 0 or more, that may have a fraction.
  void seconds(const char* name, std::optional<double>& value, const char* help);

 private:
  CLI::App& app_;
};

}  // namespace ggufd::ctl
