#include <fmt/format.h>

#include <cctype>
#include <set>

#include "ctl/completion_script.h"

namespace ggufd::ctl {
namespace {

// Within single quotes.
std::string zsh_quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// Within an argument specification, where brackets and colons have a meaning.
std::string spec_text(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == ':' || c == '[' || c == ']' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

// The function that completes values of that kind.
std::string function_of(const std::string& kind) {
  std::string name = "_ggufctl_kind_";
  for (const char c : kind) name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
}

std::string kind_function(const std::string& kind) {
  const ValueKinds kinds = value_kinds(kind);
  std::string text = function_of(kind) + "() {\n  _alternative";
  if (!kinds.words.empty()) text += fmt::format(" 'words:value:({})'", fmt::join(kinds.words, " "));
  if (kinds.takes_files) text += " 'files:file:_files'";
  if (kinds.takes_folders) text += " 'folders:folder:_directories'";
  if (kinds.takes_models) text += " 'models:model:_ggufctl_models'";
  return text + "\n}\n";
}

// Of all values that are not just anything.
std::set<std::string> kinds_of(const CommandTable& table) {
  std::set<std::string> kinds;
  const auto add = [&](const std::string& kind) {
    if (!value_kinds(kind).is_open()) kinds.insert(kind);
  };
  for (const OptionEntry& option : table.options) add(option.kind);
  for (const VerbEntry& verb : table.verbs()) {
    for (const OptionEntry& option : verb.options) add(option.kind);
    for (const PositionalEntry& positional : verb.positionals) add(positional.kind);
  }
  return kinds;
}

// ":message:action" of a value.
std::string value_spec(const std::string& kind) {
  return ":" + spec_text(kind) + ":" + (value_kinds(kind).is_open() ? " " : function_of(kind));
}

std::string option_specs(const std::vector<OptionEntry>& options, const char* indent) {
  std::string text;
  for (const OptionEntry& option : options) {
    for (const std::string& name : option.names) {
      const std::string value = option.kind.empty() ? "" : value_spec(option.kind);
      text += indent + zsh_quoted(fmt::format("{}[{}]{}", name, spec_text(option.help), value)) + " \\\n";
    }
  }
  return text;
}

std::string verb_case(const VerbEntry& verb) {
  std::string text = fmt::format("    {})\n      _arguments -S \\\n", verb.name);
  text += option_specs(verb.options, "        ");
  for (const PositionalEntry& positional : verb.positionals) {
    const char* where = positional.may_repeat ? "*" : (positional.is_required ? "1" : "1:");
    text += "        " + zsh_quoted(where + value_spec(positional.kind)) + " \\\n";
  }
  return text + "        $ggufctl_options\n      ;;\n";
}

constexpr const char* zsh_models = R"shell(
_ggufctl_models() {
  local -a names
  names=(${(f)"$($ggufctl_program $ggufctl_globals completion --models 2>/dev/null)"})
  compadd -a names
}
)shell";

}  // namespace

std::string zsh_completion(const CommandTable& table) {
  std::string text =
      "#compdef ggufctl\n# Completes ggufctl's command line in zsh. Made by `ggufctl completion zsh`.\n";
  text += zsh_models;
  for (const std::string& kind : kinds_of(table)) text += "\n" + kind_function(kind);
  text += "\n_ggufctl_verbs() {\n  local -a verbs\n  verbs=(\n";
  for (const VerbEntry& verb : table.verbs())
    text += "    " + zsh_quoted(verb.name + ":" + spec_text(verb.summary)) + "\n";
  text += "  )\n  _describe -t verbs verb verbs\n}\n\n_ggufctl() {\n";
  std::string daemon_names;
  for (const OptionEntry& option : table.options) {
    if (names_daemon(option)) daemon_names += (daemon_names.empty() ? "" : "|") + option.names.front();
  }
  text +=
      "  local context state state_descr line ggufctl_program=${words[1]/#\\~/$HOME} i\n"
      "  local -a ggufctl_globals ggufctl_options\n  typeset -A opt_args\n"
      "  for ((i = 2; i < CURRENT - 1; i++)); do\n    case $words[i] in\n      " +
      daemon_names + ") ggufctl_globals+=(\"$words[i]\" \"${(Q)words[i+1]}\") ;;\n    esac\n  done\n";
  text += "  ggufctl_options=(\n";
  text += option_specs(table.options, "    ");
  text +=
      "  )\n  _arguments -C -S $ggufctl_options '1:verb:_ggufctl_verbs' '*::argument:->argument'\n"
      "  [[ $state == argument ]] || return\n  case $words[1] in\n";
  for (const VerbEntry& verb : table.verbs()) text += verb_case(verb);
  text +=
      "  esac\n}\n\n"
      "# Loaded by compinit as a function of this name, or sourced.\n"
      "if [[ $funcstack[1] == _ggufctl ]]; then\n  _ggufctl \"$@\"\nelse\n  compdef _ggufctl ggufctl\nfi\n";
  return text;
}

}  // namespace ggufd::ctl
