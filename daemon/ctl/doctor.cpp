#include <fmt/core.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>

#include "config/places.h"
#include "ctl/configured.h"
#include "ctl/doctor_report.h"
#include "ctl/planning.h"
#include "ctl/verb.h"
#include "doctor/examine.h"
#include "doctor/group.h"
#include "doctor/service.h"
#include "doctor/sources.h"
#include "engine/launcher.h"
#include "engine/llama_probe.h"
#include "protocol/client.h"

namespace ggufd::ctl {
namespace {

// --- With a daemon

// What a daemon has to say of itself.
struct Answered {
  std::optional<answer::Doctor> findings;  // nothing: we look ourselves
  answer::Doctor reached;                  // the group "reached": whether one answers, and how
};

void judge_ping(const std::string& socket, const answer::Ping& ping, const char* version,
                doctor::Group& group) {
  group.ok("answer", fmt::format("ggufd {} answers at {}, process {}", ping.version, socket, ping.pid));
  if (ping.protocol != protocol_version) {
    group.fail("protocol",
               fmt::format("it speaks protocol {}, this ggufctl {}", ping.protocol, protocol_version),
               "use the ggufctl that came with that daemon");
  } else if (ping.version != version) {
    group.warn(
        "protocol",
        fmt::format("protocol {}; the daemon is {}, this ggufctl {}", ping.protocol, ping.version, version),
        "restart the daemon, if it was updated while it ran");
  } else {
    group.ok("protocol", fmt::format("{}", ping.protocol));
  }
}

std::string sentence_of(const ClientError& error) {
  using Kind = ClientError::Kind;
  if (error.kind == Kind::timed_out) return "it does not answer in time";
  if (error.kind == Kind::closed) return "it ends the connection: this user may not be one that it serves";
  return error.error.message;
}

Answered ask_daemon_for_findings(Context& context, const char* version) {
  Answered answered;
  doctor::Group group(answered.reached, "reached");
  const auto socket = admin_socket(context);
  if (!socket) {
    group.fail("answer", socket.error().message, "name a shorter --runtime-dir");
    return answered;
  }
  const Deadline deadline = deadline_in(context.answer_timeout);
  auto client = Client::connect(*socket, deadline);
  if (!client && client.error().kind == ClientError::Kind::no_daemon) {
    group.warn("answer", "no daemon is there: " + client.error().error.message,
               "start one with `ggufd`; what follows is what it would find, with this shell's limits");
    return answered;
  }
  constexpr const char* advice = "restart it; its log says what it was doing";
  if (!client) {
    group.fail("answer", sentence_of(client.error()), advice);
    return answered;
  }
  const auto ping = client->ask<answer::Ping>(request::Ping{}, deadline);
  if (!ping) {
    group.fail("answer", fmt::format("at {}: {}", *socket, sentence_of(ping.error())), advice);
    return answered;
  }
  judge_ping(*socket, *ping, version, group);
  auto findings = client->ask<answer::Doctor>(request::Doctor{}, deadline);
  if (findings) {
    answered.findings = std::move(*findings);
  } else {
    group.warn("findings", "the daemon does not tell its own: " + sentence_of(findings.error()),
               "what follows is what this ggufctl finds, with this shell's limits");
  }
  return answered;
}

// --- What needs a loop

// `path` of the first folder of PATH that has it.
std::optional<std::string> program_in_path(const Context& context, const std::string& name) {
  const auto found = engine::find_llama_server(name, context.environment("PATH").value_or(""));
  return found ? std::optional(*found) : std::nullopt;
}

class Questions {
 public:
  Questions(const Context& context, const std::optional<config::Config>& config)
      : context_(context), config_(config), curl_(loop_), probe_(loop_, engine::own_environment()) {}

  void ask_engine() {
    const auto path =
        engine::find_llama_server(config_->llama_server.binary, context_.environment("PATH").value_or(""));
    if (!path) {
      engine = std::unexpected(path.error());
      return;
    }
    probing_ = probe_.probe(*path, [this, path = *path](Result<engine::LlamaBuild> build) {
      engine = map_result(std::move(build), [&](engine::LlamaBuild&& known) {
        return doctor::FoundEngine{path, std::move(known)};
      });
    });
  }

  void ask_sources() {
    asking_sources_ = std::make_unique<doctor::AskSources>(
        loop_, curl_, *config_, context_.environment,
        [this](std::vector<doctor::AskedSource> all) { sources = std::move(all); });
  }

  void ask_unit() {
    struct stat status{};
    // sd_booted(3)
    if (stat("/run/systemd/system", &status) != 0) {
      unit = fail(ErrorCode::io, "systemd does not run here");
      return;
    }
    const auto systemctl = program_in_path(context_, "systemctl");
    if (!systemctl) {
      unit = fail(ErrorCode::io, "there is no systemctl");
      return;
    }
    const bool is_user = context_.uid != 0;
    std::vector<std::string> environment;
    for (const char* name : {"PATH", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"}) {
      if (const auto value = context_.environment(name))
        environment.push_back(fmt::format("{}={}", name, *value));
    }
    asking_unit_ = std::make_unique<doctor::AskUnit>(
        loop_, *systemctl, is_user, std::move(environment),
        [this](Result<std::string> properties) { unit = std::move(properties); });
  }

  void wait() { loop_.run(); }

  std::optional<Result<doctor::FoundEngine>> engine;
  std::optional<std::vector<doctor::AskedSource>> sources;
  Result<std::string> unit = fail(ErrorCode::internal, "it was not asked");

 private:
  const Context& context_;
  const std::optional<config::Config>& config_;
  loop::Loop loop_;
  fetch::CurlLoop curl_;
  engine::LlamaProbe probe_;
  loop::OperationPtr probing_;
  std::unique_ptr<doctor::AskSources> asking_sources_;
  std::unique_ptr<doctor::AskUnit> asking_unit_;
};

// Whose daemon it would be. Root looks at the places of another user's, a service's for example, as that user
// would find them.
uid_t user_of_daemon(const Context& context) {
  const auto folder = config::find_runtime_folder({.runtime_dir = context.options.runtime_dir},
                                                  context.environment, context.uid);
  struct stat status{};
  const bool is_there = folder && lstat(folder->path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
  return is_there && context.uid == 0 ? status.st_uid : context.uid;
}

// --- The verb

class DoctorVerb final : public Verb {
 public:
  const char* name() const override { return "doctor"; }
  const char* summary() const override {
    return "finds what will fail before it fails, with and without a daemon";
  }
  const char* example() const override {
    return "ggufctl doctor\n"
           "ggufctl doctor --online\n"
           "ggufctl doctor --json | jq -r '.checks[] | select(.result == \"fail\") | .advice'";
  }
  const char* exit_codes() const override {
    return "0  no check failed; something may be worth a look\n"
           "1  a check failed";
  }
  void bind(Parameters& parameters) override {
    parameters.flag("--online", is_online_, "also ask each source what it has");
  }

  int run(Context& context) override {
    Answered answered = ask_daemon_for_findings(context, context.version);
    const Configured configured = read_configured(context);
    Questions questions(context, configured.config);
    if (!answered.findings && configured.config) questions.ask_engine();
    if (is_online_ && configured.config) questions.ask_sources();
    questions.ask_unit();
    questions.wait();
    answer::Doctor report = std::move(answered.reached);
    doctor::append(report, answered.findings ? std::move(*answered.findings)
                                             : examine_here(context, configured, questions));
    add_sources(configured, questions, report);
    if (questions.unit) {
      doctor::judge_unit(*questions.unit, report);
    } else {
      doctor::skip_unit(questions.unit.error().message, report);
    }
    context.out.write(context.options.json ? to_json(report) + "\n"
                                           : doctor_report(report, context.terminal));
    return report.ok ? done : failed;
  }

 private:
  static answer::Doctor examine_here(Context& context, const Configured& configured, Questions& questions) {
    doctor::Subject subject{.places = {.runtime_dir = context.options.runtime_dir,
                                       .config = context.options.config,
                                       .store = context.options.store},
                            .environment = context.environment,
                            .uid = user_of_daemon(context),
                            .now = Timestamp::now(),
                            .engine = std::move(questions.engine)};
    if (configured.config) {
      for (const config::ModelConfig& model : configured.config->models) {
        subject.plans.push_back({model.name, plan_of_stored(context, configured, model)});
      }
    }
    return doctor::examine(subject);
  }

  void add_sources(const Configured& configured, const Questions& questions, answer::Doctor& report) const {
    if (questions.sources) {
      doctor::judge_sources(*questions.sources, *configured.config, Timestamp::now(), report);
    } else {
      doctor::Group(report, "sources")
          .skip("sources", is_online_ ? "the configuration cannot be read"
                                      : "not asked; `ggufctl doctor --online` does");
    }
  }

  bool is_online_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_doctor() {
  return std::make_unique<DoctorVerb>();
}

}  // namespace ggufd::ctl
