#include <fmt/format.h>

#include "ctl/completion_script.h"

namespace ggufd::ctl {
namespace {

std::string fish_quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

// `-l runtime-dir` of "--runtime-dir", `-s h` of "-h".
std::string fish_name(const std::string& name) {
  return name.starts_with("--") ? "-l " + name.substr(2) : "-s " + name.substr(1);
}

// What completes a value: nothing for one that can be anything.
std::string value_sources(const std::string& kind) {
  const ValueKinds kinds = value_kinds(kind);
  std::string words = fmt::format("{}", fmt::join(kinds.words, " "));
  if (kinds.takes_models) words += words.empty() ? "(__ggufctl_models)" : " (__ggufctl_models)";
  if (kinds.takes_folders)
    words += words.empty() ? "(__fish_complete_directories)" : " (__fish_complete_directories)";
  return (kinds.takes_files ? std::string(" -F") : std::string()) +
         (words.empty() ? "" : " -a " + fish_quoted(words));
}

std::string option_line(const std::string& condition, const OptionEntry& option) {
  std::string line = "complete -c ggufctl" + condition;
  for (const std::string& name : option.names) line += " " + fish_name(name);
  if (!option.kind.empty())
    line += (value_kinds(option.kind).takes_files ? " -r" : " -x") + value_sources(option.kind);
  return line + " -d " + fish_quoted(option.help) + "\n";
}

constexpr const char* fish_functions = R"shell(
# The words before the cursor that are neither options nor their values: the verb and its arguments.
function __ggufctl_words
    set -l skips 0
    for word in (commandline -opc)[2..-1]
        if test $skips = 1
            set skips 0
        else if string match -q -- '-*=*' $word
            continue
        else if string match -q -- '-*' $word
            contains -- $word $__ggufctl_takes_value; and set skips 1
        else
            echo $word
        end
    end
end

function __ggufctl_needs_verb
    test (count (__ggufctl_words)) -eq 0
end

# Whether the verb is that one and has at most so many arguments yet.
function __ggufctl_at
    set -l words (__ggufctl_words)
    test (count $words) -gt 0; and test $words[1] = $argv[1]; and test (count $words) -le $argv[2]
end

function __ggufctl_models
    set -l words (commandline -opc)
    set -l globals
    for i in (seq 2 (math (count $words) - 1))
        contains -- $words[$i] $__ggufctl_names_daemon; and set -a globals $words[$i] $words[(math $i + 1)]
    end
    $words[1] $globals completion --models 2>/dev/null
end

complete -c ggufctl -f
)shell";

constexpr int any_number = 1000;

}  // namespace

std::string fish_completion(const CommandTable& table) {
  std::string takes_value, names;
  const auto collect = [&](const std::vector<OptionEntry>& options) {
    for (const OptionEntry& option : options) {
      for (const std::string& name : option.names) {
        if (!option.kind.empty()) takes_value += " " + name;
        if (names_daemon(option)) names += " " + name;
      }
    }
  };
  collect(table.options);
  for (const VerbEntry& verb : table.verbs()) collect(verb.options);
  std::string text = "# Completes ggufctl's command line in fish. Made by `ggufctl completion fish`.\n\n";
  text +=
      fmt::format("set -g __ggufctl_takes_value{}\nset -g __ggufctl_names_daemon{}\n", takes_value, names);
  text += fish_functions;
  for (const OptionEntry& option : table.options) text += option_line("", option);
  for (const VerbEntry& verb : table.verbs()) {
    text += fmt::format("complete -c ggufctl -n __ggufctl_needs_verb -a {} -d {}\n", verb.name,
                        fish_quoted(verb.summary));
    const std::string here = fmt::format(" -n '__ggufctl_at {} {}'", verb.name, any_number);
    for (const OptionEntry& option : verb.options) text += option_line(here, option);
    for (const PositionalEntry& positional : verb.positionals) {
      const std::string sources = value_sources(positional.kind);
      if (sources.empty()) continue;
      text += fmt::format("complete -c ggufctl -n '__ggufctl_at {} {}'{}\n", verb.name,
                          positional.may_repeat ? any_number : 1, sources);
    }
  }
  return text;
}

}  // namespace ggufd::ctl
