#include <fmt/core.h>

#include <algorithm>

#include "config/text_rules.h"
#include "ctl/completion_script.h"
#include "ctl/configured.h"
#include "ctl/verb.h"
#include "protocol/answer.h"
#include "protocol/client.h"

namespace ggufd::ctl {
namespace {

// Whoever has pressed Tab waits for no daemon.
constexpr std::chrono::milliseconds answer_patience{200};

// As the daemon has them; nothing where it does not say so at once.
std::optional<std::vector<std::string>> models_of_daemon(const Context& context) {
  const auto socket = admin_socket(context);
  if (!socket) return std::nullopt;
  const Deadline deadline = deadline_in(answer_patience);
  auto client = Client::connect(*socket, deadline);
  if (!client) return std::nullopt;
  const auto status = client->ask<answer::Status>(request::Status{}, deadline);
  if (!status) return std::nullopt;
  std::vector<std::string> names;
  for (const answer::ModelStatus& model : status->models) names.push_back(model.name);
  return names;
}

std::vector<std::string> models_of_configuration(const Context& context) {
  const Configured configured = read_configured(context);
  std::vector<std::string> names;
  if (!configured.config) return names;
  for (const config::ModelConfig& model : configured.config->models) names.push_back(model.name);
  return names;
}

class CompletionVerb final : public Verb {
 public:
  const char* name() const override { return "completion"; }
  const char* summary() const override { return "a script that completes ggufctl's command line"; }
  const char* example() const override {
    return "source <(ggufctl completion bash)\n"
           "ggufctl completion zsh >~/.zfunc/_ggufctl    (a folder of $fpath)\n"
           "ggufctl completion fish >~/.config/fish/completions/ggufctl.fish";
  }
  void bind(Parameters& parameters) override {
    parameters.positional("bash|zsh|fish", shell_, "the shell that it is for");
    parameters.hidden_flag("--models", lists_models_);
  }

  int run(Context& context) override {
    if (lists_models_) return list_models(context);
    if (shell_ == "bash") return print(context, bash_completion(command_table()));
    if (shell_ == "zsh") return print(context, zsh_completion(command_table()));
    if (shell_ == "fish") return print(context, fish_completion(command_table()));
    context.complain(
        shell_ ? fmt::format("there is no completion for {}; there is one for bash, zsh and fish", *shell_)
               : std::string("completion takes the name of a shell: bash, zsh or fish"));
    return usage;
  }

 private:
  static int print(Context& context, const std::string& script) {
    context.out.write(script);
    return done;
  }

  // The scripts ask for this. Without a word where neither says a thing: the line is still being typed. A
  // shell takes names as they come, so only those pass that the configuration would allow.
  static int list_models(Context& context) {
    const auto of_daemon = models_of_daemon(context);
    for (const std::string& name : of_daemon ? *of_daemon : models_of_configuration(context)) {
      if (config::is_model_name(name)) context.out.write(name + "\n");
    }
    return done;
  }

  std::optional<std::string> shell_;
  bool lists_models_ = false;
};

}  // namespace

ValueKinds value_kinds(std::string_view kind) {
  ValueKinds kinds;
  while (!kind.empty()) {
    const std::size_t end = std::min(kind.find('|'), kind.size());
    const std::string_view one = kind.substr(0, end);
    kind.remove_prefix(std::min(end + 1, kind.size()));
    const bool is_kind = std::ranges::any_of(one, [](char c) { return c >= 'A' && c <= 'Z'; });
    if (!is_kind) {
      kinds.words.emplace_back(one);
    } else if (one == "FILE" || one == "PATH") {
      kinds.takes_files = true;
    } else if (one == "DIR") {
      kinds.takes_folders = true;
    } else if (one == "MODEL") {
      kinds.takes_models = true;
    }
  }
  return kinds;
}

bool names_daemon(const OptionEntry& option) {
  return !option.kind.empty() && std::ranges::any_of(option.names, [](const std::string& name) {
    return name == "--runtime-dir" || name == "--socket" || name == "--config";
  });
}

std::unique_ptr<Verb> make_completion() {
  return std::make_unique<CompletionVerb>();
}

}  // namespace ggufd::ctl
