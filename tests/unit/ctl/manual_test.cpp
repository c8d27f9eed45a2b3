// docs/man/ggufctl.1.scd says what the command line takes.
#include "ctl/command_line.h"
#include "tests/support/scdoc.h"

namespace ggufd::ctl {
namespace {

std::string names_and_kind(const OptionEntry& option) {
  std::string term;
  for (const std::string& name : option.names) term += (term.empty() ? "" : ", ") + scdoc::bold(name);
  return option.kind.empty() ? term : term + " " + scdoc::escaped(option.kind);
}

std::string usage_of(const VerbEntry& verb) {
  std::string usage = scdoc::bold("ggufctl " + verb.name);
  for (const OptionEntry& option : verb.options) {
    if (option.names.back() != "--help") usage += " \\[" + names_and_kind(option) + "\\]";
  }
  for (const PositionalEntry& positional : verb.positionals) {
    const std::string kind = scdoc::escaped(positional.kind) + (positional.may_repeat ? "..." : "");
    usage += positional.is_required ? " " + kind : " \\[" + kind + "\\]";
  }
  return usage;
}

// Lines as they are, each a line of the page.
std::string listing(const std::string& lines) {
  return "```\n" + lines + "\n```\n\n";
}

std::string manual_of(const VerbEntry& verb) {
  std::string text = usage_of(verb) + "\n\n" + scdoc::escaped(verb.summary) + "\n\n";
  for (const OptionEntry& option : verb.options) {
    if (option.names.back() != "--help")
      text += scdoc::definition(names_and_kind(option), scdoc::escaped(option.help));
  }
  for (const PositionalEntry& positional : verb.positionals)
    text += scdoc::definition(scdoc::bold(positional.kind), scdoc::escaped(positional.help));
  if (!verb.exit_codes.empty()) text += "Exit codes:\n\n" + listing(verb.exit_codes);
  return text + (verb.example.find('\n') == std::string::npos ? "Example:\n\n" : "Examples:\n\n") +
         listing(verb.example);
}

}  // namespace

TEST_CASE("manual: the options and the verbs are those of the command line") {
  const CommandTable table = command_table();
  std::string options;
  for (const OptionEntry& option : table.options)
    options += scdoc::definition(names_and_kind(option), scdoc::escaped(option.help));
  scdoc::check_region("ggufctl.1", "options", options);
  std::string verbs;
  for (const VerbGroupEntry& group : table.groups) {
    verbs += scdoc::heading(1, group.title);
    for (const VerbEntry& verb : group.verbs) verbs += scdoc::heading(2, verb.name) + manual_of(verb);
  }
  scdoc::check_region("ggufctl.1", "verbs", verbs);
}

}  // namespace ggufd::ctl
