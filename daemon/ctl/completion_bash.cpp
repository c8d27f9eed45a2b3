#include <fmt/format.h>

#include "ctl/completion_script.h"

namespace ggufd::ctl {
namespace {

// How each kind of value is completed; the tables before it are the command line's.
constexpr const char* bash_body = R"shell(
# `compgen -W` expands what it is given: the names that ggufctl prints are letters, digits, '.', '_' and '-'.
_ggufctl_offer() {
  local line
  while IFS= read -r line; do
    [[ -n $line ]] && COMPREPLY+=("$line")
  done
}

_ggufctl_offer_models() {
  local names
  names=$("$program" ${globals[@]+"${globals[@]}"} completion --models 2>/dev/null)
  _ggufctl_offer < <(compgen -W "$names" -- "$current")
}

_ggufctl_offer_kind() {
  local one kinds
  IFS='|' read -ra kinds <<<"$1"
  for one in ${kinds[@]+"${kinds[@]}"}; do
    case $one in
      FILE | PATH)
        compopt -o filenames 2>/dev/null
        _ggufctl_offer < <(compgen -f -- "$current")
        ;;
      DIR)
        compopt -o filenames 2>/dev/null
        _ggufctl_offer < <(compgen -d -- "$current")
        ;;
      MODEL) _ggufctl_offer_models ;;
      *[A-Z]*) ;; # a number, a name: nothing to offer
      *) _ggufctl_offer < <(compgen -W "$one" -- "$current") ;;
    esac
  done
}

_ggufctl() {
  local program=${1/#\~/$HOME} current=${COMP_WORDS[COMP_CWORD]} verb='' option='' kind='' options='' word i
  local -a words=() globals=()
  local -i position=0
  COMPREPLY=()
  # "--option=value" comes as three words.
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ ${COMP_WORDS[i]} == = ]] || words+=("${COMP_WORDS[i]}")
  done
  [[ $current == = ]] && current=''
  for word in ${words[@]+"${words[@]}"}; do
    if [[ -n $kind ]]; then
      _ggufctl_names_daemon "$option" && globals+=("$option" "$word")
      kind=''
    elif [[ $word == -* ]]; then
      option=$word
      _ggufctl_kind_of_option
    elif [[ -z $verb ]]; then
      verb=$word
    else
      position+=1
    fi
  done
  if [[ -n $kind ]]; then
    _ggufctl_offer_kind "$kind"
  elif [[ $current == -* ]]; then
    _ggufctl_options
    _ggufctl_offer < <(compgen -W "$options" -- "$current")
  elif [[ -z $verb ]]; then
    _ggufctl_offer < <(compgen -W "$_ggufctl_verbs" -- "$current")
  else
    _ggufctl_kind_of_argument
    _ggufctl_offer_kind "$kind"
  fi
}

complete -F _ggufctl ggufctl
)shell";

std::string names_of(const std::vector<OptionEntry>& options) {
  std::string names;
  for (const OptionEntry& option : options) {
    for (const std::string& name : option.names) names += (names.empty() ? "" : " ") + name;
  }
  return names;
}

// The kind of value that an option waits for; nothing for a flag.
std::string kinds_of_options(const CommandTable& table) {
  std::string text = "_ggufctl_kind_of_option() {\n  case \"$verb $option\" in\n";
  const auto add = [&](const char* verb, const OptionEntry& option) {
    if (option.kind.empty()) return;
    for (const std::string& name : option.names)
      text += fmt::format("    {}' {}') kind='{}' ;;\n", verb, name, option.kind);
  };
  for (const VerbEntry& verb : table.verbs()) {
    for (const OptionEntry& option : verb.options) add(fmt::format("'{}'", verb.name).c_str(), option);
  }
  for (const OptionEntry& option : table.options) add("*", option);
  return text + "  esac\n}\n";
}

std::string kinds_of_arguments(const CommandTable& table) {
  std::string text = "_ggufctl_kind_of_argument() {\n  case $verb in\n";
  for (const VerbEntry& verb : table.verbs()) {
    if (verb.positionals.empty()) continue;
    // No verb has more than one kind of them.
    const PositionalEntry& first = verb.positionals.front();
    const std::string condition = first.may_repeat ? "" : "((position < 1)) && ";
    text += fmt::format("    {}) {}kind='{}' ;;\n", verb.name, condition, first.kind);
  }
  return text + "  esac\n}\n";
}

std::string options_of_verbs(const CommandTable& table) {
  std::string text =
      fmt::format("_ggufctl_options() {{\n  options='{}'\n  case $verb in\n", names_of(table.options));
  for (const VerbEntry& verb : table.verbs()) {
    text += fmt::format("    {}) options+=' {}' ;;\n", verb.name, names_of(verb.options));
  }
  return text + "  esac\n}\n";
}

std::string daemon_options(const CommandTable& table) {
  std::string names;
  for (const OptionEntry& option : table.options) {
    if (names_daemon(option)) names += (names.empty() ? "" : " | ") + option.names.front();
  }
  return "_ggufctl_names_daemon() {\n  case $1 in " + names + ") return 0 ;; esac\n  return 1\n}\n";
}

}  // namespace

std::string bash_completion(const CommandTable& table) {
  std::string verbs;
  for (const VerbEntry& verb : table.verbs()) verbs += (verbs.empty() ? "" : " ") + verb.name;
  return "# Completes ggufctl's command line in bash. Made by `ggufctl completion "
         "bash`.\n\n_ggufctl_verbs='" +
         verbs + "'\n\n" + kinds_of_options(table) + "\n" + kinds_of_arguments(table) + "\n" +
         options_of_verbs(table) + "\n" + daemon_options(table) + bash_body;
}

}  // namespace ggufd::ctl
