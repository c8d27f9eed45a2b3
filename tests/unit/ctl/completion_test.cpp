#include "ctl/completion_script.h"
#include "tests/unit/ctl/support.h"

namespace ggufd::ctl {

using namespace test;

TEST_CASE("completion: a value's kind is taken apart") {
  const ValueKinds kinds = value_kinds("hf|llama.cpp|FILE");
  CHECK(kinds.words == std::vector<std::string>{"hf", "llama.cpp"});
  CHECK(kinds.takes_files);
  CHECK_FALSE(kinds.takes_models);
  CHECK(value_kinds("FILE|URL|MODEL").takes_models);
  CHECK(value_kinds("DIR").takes_folders);
  CHECK(value_kinds("N").is_open());
  CHECK(value_kinds("").is_open());
}

TEST_CASE("completion: each script has every verb, option and value") {
  const CommandTable table = command_table();
  const std::string bash = bash_completion(table), zsh = zsh_completion(table), fish = fish_completion(table);
  const auto check_option = [&](const OptionEntry& option) {
    for (const std::string& name : option.names) {
      CAPTURE(name);
      CHECK(contains(bash, name));
      CHECK(contains(zsh, "'" + name + "["));
      CHECK(contains(fish, name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1)));
    }
    for (const std::string& word : value_kinds(option.kind).words) {
      for (const std::string& script : {bash, zsh, fish}) CHECK(contains(script, word));
    }
  };
  for (const OptionEntry& option : table.options) check_option(option);
  for (const VerbEntry& verb : table.verbs()) {
    for (const std::string& script : {bash, zsh, fish}) CHECK(contains(script, verb.name));
    for (const OptionEntry& option : verb.options) check_option(option);
  }
  CHECK_FALSE(contains(bash, "'--models"));
}

TEST_CASE("completion: models' names come from the daemon, and only such as no shell takes apart") {
  const FakeDaemon daemon(
      answering(status_of({model_status("a", ModelState::ready), model_status("$(reboot)", ModelState::ready),
                           model_status("b-1.gguf", ModelState::error)})));
  const Outcome outcome = run_ctl(daemon, {"completion", "--models"});
  CHECK(outcome.code == done);
  CHECK(outcome.out == "a\nb-1.gguf\n");
}

TEST_CASE("completion: where neither daemon nor configuration says a name, nothing is said") {
  const Outcome outcome = run_ctl(
      {"completion", "--models", "--socket", "/tmp/ggufd-test-nobody", "--config", "/tmp/ggufd-test-nobody"});
  CHECK(outcome.code == done);
  CHECK(outcome.out == "");
  CHECK(outcome.err == "");
}

TEST_CASE("ctl: the command to end what goes on asks the same daemon") {
  CHECK(own_command({}, "cancel", "m") == "ggufctl cancel m");
  CHECK(own_command({}, "cancel", "") == "ggufctl cancel");
  GlobalOptions options;
  options.runtime_dir = "/run/it's here";
  CHECK(own_command(options, "cancel", "m") == "ggufctl --runtime-dir '/run/it'\\''s here' cancel m");
}

}  // namespace ggufd::ctl
