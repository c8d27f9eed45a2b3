// Scripts that complete ggufctl's command line in a shell, made from the table of the command line. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ctl/command_line.h"

namespace ggufd::ctl {

std::string bash_completion(const CommandTable& table);
std::string zsh_completion(const CommandTable& table);
std::string fish_completion(const CommandTable& table);

// What may stand for a value: "hf|ollama|FILE" taken apart.
struct ValueKinds {
  std::vector<std::string> words;  // values as they are, "hf"
  bool takes_files = false;        // FILE or PATH
  bool takes_folders = false;      // DIR
  bool takes_models = false;       // MODEL

  bool is_open() const { return words.empty() && !takes_files && !takes_folders && !takes_models; }
};
ValueKinds value_kinds(std::string_view kind);

// Options that say which daemon and which configuration are meant: whoever asks for models' names needs them.
bool names_daemon(const OptionEntry& option);

}  // namespace ggufd::ctl
