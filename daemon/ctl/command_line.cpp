#include "ctl/command_line.h"

#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <charconv>
#include <cmath>
#include <functional>
#include <sstream>
#include <system_error>
#include <utility>

namespace ggufd::ctl {

void Parameters::positional(const char* name, std::optional<std::string>& value, const char* help) {
  app_.add_option(name, value, help)->type_name("");
}

void Parameters::required(const char* name, std::string& value, const char* help) {
  app_.add_option(name, value, help)->type_name("")->required();
}

void Parameters::positionals(const char* name, std::vector<std::string>& values, const char* help) {
  app_.add_option(name, values, help)->type_name("");
}

void Parameters::flag(const char* name, bool& value, const char* help) {
  app_.add_flag(name, value, help)->disable_flag_override();
}

void Parameters::hidden_flag(const char* name, bool& value) {
  app_.add_flag(name, value)->disable_flag_override()->group("");
}

void Parameters::text(const char* name, std::optional<std::string>& value, const char* help,
                      const std::string& kind) {
  app_.add_option(name, value, help)->type_name(kind);
}

namespace {

// The parser alone takes "-1" for 4294967295.
CLI::Validator number_check() {
  const auto check = [](const std::string& text) -> std::string {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool is_number = error == std::errc() && end == text.data() + text.size();
    return is_number ? "" : text + " is not a whole number from 0 to 4294967295";
  };
  return {check, "", ""};
}

}  // namespace

void Parameters::number(const char* name, std::optional<std::uint32_t>& value, const char* help) {
  app_.add_option(name, value, help)->type_name("N")->check(number_check());
}

void Parameters::numbers(const char* name, std::vector<std::uint32_t>& values, const char* help) {
  // What follows the number may be the verb's own argument.
  app_.add_option(name, values, help)
      ->type_name("N")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(number_check());
}

void Parameters::seconds(const char* name, std::optional<double>& value, const char* help) {
  const auto check = [](const std::string& text) -> std::string {
    double number = 0;
    const bool is_number = CLI::detail::lexical_cast(text, number) && std::isfinite(number);
    // A year is beyond any patience, and within every clock's range.
    return is_number && number >= 0 && number <= 365 * 86'400.0 ? "" : text + " is not a number of seconds";
  };
  app_.add_option(name, value, help)->type_name("S")->check(CLI::Validator(check, "", ""));
}

namespace {

constexpr const char* general_help =
    "`ggufctl VERB --help` has examples. Options may stand before and behind the verb.\n"
    "\n"
    "Exit codes:\n"
    "  0  done\n"
    "  1  failed\n"
    "  2  a wrong command line\n"
    "  3  no daemon is there\n"
    "\n"
    "The daemon's sockets are in its runtime folder, the first of these that is set:\n"
    "  --runtime-dir, $GGUFD_RUNTIME_DIR, $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR/ggufd, /tmp/ggufd-<uid>\n"
    "The configuration:  --config, $GGUFD_CONFIG, ${XDG_CONFIG_HOME:-~/.config}/ggufd/config.json\n"
    "The store:          --store, models_home in the configuration, $MODELS_HOME,\n"
    "                    ${XDG_DATA_HOME:-~/.local/share}/models";

void bind_globals(CLI::App& app, GlobalOptions& options) {
  auto* runtime_dir = app.add_option("--runtime-dir", options.runtime_dir, "the daemon's runtime folder");
  auto* socket = app.add_option("--socket", options.socket, "the daemon's admin socket");
  socket->type_name("PATH")->excludes(runtime_dir);
  runtime_dir->type_name("DIR");
  app.add_option("--config", options.config, "the configuration file")->type_name("FILE");
  app.add_option("--store", options.store, "the store of models")->type_name("DIR");
  app.add_flag("--json", options.json, "for programs: what the daemon says, as it says it")
      ->disable_flag_override();
}

// Each line behind two spaces.
std::string indented(const std::string& lines) {
  std::string text = "\n  ";
  for (const char c : lines) text += c == '\n' ? std::string("\n  ") : std::string(1, c);
  return text;
}

std::string footer_of(const Verb& verb) {
  const std::string examples = verb.example();
  const std::string codes = verb.exit_codes();
  std::string text;
  if (!examples.empty()) text = (examples.contains('\n') ? "Examples:" : "Example:") + indented(examples);
  if (!codes.empty()) text += (text.empty() ? "" : "\n\n") + ("Exit codes:" + indented(codes));
  return text;
}

// What the parser is told; `on_verb` hears which verb the command line has.
void describe_to(CLI::App& app, GlobalOptions& options, const std::vector<VerbGroup>& groups,
                 const std::function<void(Verb*)>& on_verb) {
  app.require_subcommand(1);
  app.footer(general_help);
  bind_globals(app, options);
  for (const VerbGroup& group : groups) {
    for (const auto& verb : group.verbs) {
      CLI::App* subcommand = app.add_subcommand(verb->name(), verb->summary());
      subcommand->group(group.title);
      subcommand->fallthrough();  // options of ggufctl itself may stand behind the verb
      subcommand->callback([on_verb, v = verb.get()] { on_verb(v); });
      subcommand->footer(footer_of(*verb));
      Parameters parameters(*subcommand);
      verb->bind(parameters);
    }
  }
}

constexpr const char* description =
    "Asks a running ggufd, tells what its models are doing, and looks after the store.";

// What is missing or wrong, where the parser would only say that there is no subcommand.
std::string no_verb(const CLI::App& app, const std::vector<VerbGroup>& groups) {
  std::string names;
  for (const VerbGroup& group : groups) {
    for (const auto& verb : group.verbs) names += fmt::format(" {}", verb->name());
  }
  const auto others = app.remaining();
  return (others.empty() ? std::string("a verb is required") : "there is no verb " + others.front()) +
         "; the verbs are" + names + "\n";
}

bool takes_value(const CLI::Option& option) {
  return option.get_items_expected_max() > 0;
}

OptionEntry entry_of(const CLI::Option& option) {
  OptionEntry entry{.names = {},
                    .kind = takes_value(option) ? option.get_type_name() : "",
                    .help = option.get_description()};
  for (const std::string& name : option.get_snames()) entry.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) entry.names.push_back("--" + name);
  return entry;
}

std::vector<OptionEntry> options_of(const CLI::App& app) {
  std::vector<OptionEntry> entries;
  for (const CLI::Option* option : app.get_options()) {
    if (option->nonpositional() && !option->get_group().empty()) entries.push_back(entry_of(*option));
  }
  return entries;
}

std::vector<PositionalEntry> positionals_of(const CLI::App& app) {
  std::vector<PositionalEntry> entries;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) continue;
    entries.push_back({.kind = option->get_name(true),
                       .help = option->get_description(),
                       .is_required = option->get_required(),
                       .may_repeat = option->get_items_expected_max() > 1});
  }
  return entries;
}

}  // namespace

std::expected<CommandLine, int> parse_command_line(std::span<const char* const> arguments,
                                                   const std::vector<VerbGroup>& groups, Output& out,
                                                   Output& err, const char* version) {
  CommandLine line;
  CLI::App app(description, "ggufctl");
  app.set_version_flag("--version", fmt::format("ggufctl {}", version));
  describe_to(app, line.options, groups, [&line](Verb* verb) { line.verb = verb; });
  // As CLI11 wants them: the last one first.
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    std::ostringstream text, complaint;
    const bool was_asked_for = app.exit(error, text, complaint) == 0;
    out.write(text.str());
    if (was_asked_for) return std::unexpected(out.has_failed() ? failed : done);
    const bool has_no_verb = app.get_subcommands().empty() &&
                             error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError);
    err.write("ggufctl: " + (has_no_verb ? no_verb(app, groups) : complaint.str()));
    return std::unexpected(usage);
  }
  return line;
}

CommandTable command_table() {
  const auto groups = all_verbs();
  GlobalOptions options;
  CLI::App app(description, "ggufctl");
  app.set_version_flag("--version", std::string());
  describe_to(app, options, groups, [](Verb*) {});
  CommandTable table{.options = options_of(app), .groups = {}};
  for (const VerbGroup& group : groups) {
    VerbGroupEntry entry{.title = group.title, .verbs = {}};
    for (const auto& verb : group.verbs) {
      const CLI::App* subcommand = app.get_subcommand(verb->name());
      entry.verbs.push_back({.name = verb->name(),
                             .summary = verb->summary(),
                             .example = verb->example(),
                             .exit_codes = verb->exit_codes(),
                             .options = options_of(*subcommand),
                             .positionals = positionals_of(*subcommand)});
    }
    table.groups.push_back(std::move(entry));
  }
  return table;
}

std::vector<VerbEntry> CommandTable::verbs() const {
  std::vector<VerbEntry> all;
  for (const VerbGroupEntry& group : groups) all.insert(all.end(), group.verbs.begin(), group.verbs.end());
  return all;
}

}  // namespace ggufd::ctl
