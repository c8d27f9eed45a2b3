// ggufctl's command line: parsed, and as a table that completion scripts and the manual are made of. Hides
// the parser, so that one file only compiles it.
#pragma once

#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ctl/context.h"
#include "ctl/verb.h"

namespace ggufd::ctl {

struct CommandLine {
  GlobalOptions options;
  Verb* verb = nullptr;  // one of those that were given
};

// The verb and the options, or the exit code after help, version or a mistake was written. `arguments`
// without the program's name.
std::expected<CommandLine, int> parse_command_line(std::span<const char* const> arguments,
                                                   const std::vector<VerbGroup>& groups, Output& out,
                                                   Output& err, const char* version);

struct OptionEntry {
  std::vector<std::string> names;  // with their dashes
  std::string kind;                // of its value (Parameters::text); empty: it has none
  std::string help;
};

struct PositionalEntry {
  std::string kind;
  std::string help;
  bool is_required = false;
  bool may_repeat = false;
};

struct VerbEntry {
  std::string name;
  std::string summary;
  std::string example;     // command lines
  std::string exit_codes;  // lines
  std::vector<OptionEntry> options;
  std::vector<PositionalEntry> positionals;
};

struct VerbGroupEntry {
  std::string title;
  std::vector<VerbEntry> verbs;
};

struct CommandTable {
  std::vector<OptionEntry> options;  // of ggufctl itself; they may stand behind the verb, too
  std::vector<VerbGroupEntry> groups;

  // All verbs, in the order of the help.
  std::vector<VerbEntry> verbs() const;
};

// Read from the parser, as it parses. Hidden options are left out.
CommandTable command_table();

}  // namespace ggufd::ctl
