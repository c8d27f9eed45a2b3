#include "ctl/program.h"

#include <fmt/core.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <sstream>
#include <system_error>
#include <utility>

#include "ctl/verb.h"

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
  app_.add_flag(name, value, help);
}

void Parameters::text(const char* name, std::optional<std::string>& value, const char* help) {
  app_.add_option(name, value, help)->type_name("TEXT");
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

void bind_globals(CLI::App& app, GlobalOptions& options) {
  auto* runtime_dir = app.add_option("--runtime-dir", options.runtime_dir, "the daemon's runtime folder");
  auto* socket = app.add_option("--socket", options.socket, "the daemon's admin socket");
  socket->type_name("PATH")->excludes(runtime_dir);
  runtime_dir->type_name("DIR");
  app.add_option("--config", options.config, "the configuration file")->type_name("FILE");
  app.add_option("--store", options.store, "the store of models")->type_name("DIR");
  app.add_flag("--json", options.json, "for programs: what the daemon says, as it says it");
}

// What is missing or wrong, where the parser would only say that there is no subcommand.
std::string no_verb(const CLI::App& app, const std::vector<std::unique_ptr<Verb>>& verbs) {
  std::string names;
  for (const auto& verb : verbs) names += fmt::format(" {}", verb->name());
  const auto others = app.remaining();
  return (others.empty() ? std::string("a verb is required") : "there is no verb " + others.front()) +
         "; the verbs are" + names + "\n";
}

struct CommandLine {
  GlobalOptions options;
  Verb* verb = nullptr;
};

// The verb and the options, or the exit code after help, version or a mistake was written.
std::expected<CommandLine, int> parse(std::span<const char* const> arguments,
                                      const std::vector<std::unique_ptr<Verb>>& verbs, Output& out,
                                      Output& err, const char* version) {
  CommandLine line;
  CLI::App app("Asks a running ggufd, tells what its models are doing, and looks after the store.",
               "ggufctl");
  app.set_version_flag("--version", fmt::format("ggufctl {}", version));
  app.require_subcommand(1);
  bind_globals(app, line.options);
  for (const auto& verb : verbs) {
    CLI::App* subcommand = app.add_subcommand(verb->name(), verb->summary());
    subcommand->fallthrough();  // options of ggufctl itself may stand behind the verb
    subcommand->callback([&line, v = verb.get()] { line.verb = v; });
    if (const std::string example = verb->example(); !example.empty())
      subcommand->footer("Example:\n  " + example);
    Parameters parameters(*subcommand);
    verb->bind(parameters);
  }
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
    err.write("ggufctl: " + (has_no_verb ? no_verb(app, verbs) : complaint.str()));
    return std::unexpected(usage);
  }
  return line;
}

}  // namespace

int run(std::span<const char* const> arguments, const Surroundings& surroundings) {
  Output out(surroundings.out);
  Output err(surroundings.err);
  const auto verbs = all_verbs();
  const auto line = parse(arguments, verbs, out, err, surroundings.version);
  if (!line) return line.error();
  Context context{.options = line->options,
                  .environment = surroundings.environment,
                  .uid = geteuid(),
                  .out = out,
                  .err = err,
                  .terminal = terminal_of(surroundings.out, surroundings.environment),
                  .answer_timeout = surroundings.answer_timeout,
                  .version = surroundings.version};
  const int code = line->verb->run(context);
  if (!out.has_failed() || code >= by_signal) return code;
  // Whoever closes the pipe has seen enough and wants no word about it.
  if (out.error_number() != EPIPE) {
    context.complain(fmt::format("cannot write: {}", std::generic_category().message(out.error_number())));
  }
  return code == done ? failed : code;
}

}  // namespace ggufd::ctl
