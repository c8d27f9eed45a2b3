// Runs ggufctl in this process against a daemon that a test has written.
#pragma once

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <map>
#include <string>
#include <vector>

#include "ctl/context.h"
#include "ctl/program.h"
#include "protocol/answer.h"
#include "tests/unit/protocol_client/fake_daemon.h"

namespace ggufd::ctl::test {

using ggufd::test::FakeDaemon;
using ggufd::test::Peer;
using Variables = std::map<std::string, std::string>;

// A file in memory that takes an output.
class Capture {
 public:
  Capture() : descriptor_(memfd_create("output", MFD_CLOEXEC)) { REQUIRE(descriptor_ >= 0); }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() { close(descriptor_); }
  int descriptor() const { return descriptor_; }
  std::string text() const {
    std::string text(static_cast<std::size_t>(lseek(descriptor_, 0, SEEK_END)), '\0');
    REQUIRE(pread(descriptor_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    return text;
  }

 private:
  int descriptor_;
};

inline config::Environment environment_of(Variables variables) {
  return [variables = std::move(variables)](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

struct Settings {
  Variables variables;
  const char* service_folder = "/nowhere/ggufd";
  std::chrono::milliseconds answer_timeout{20'000};
  std::chrono::milliseconds reconnect_patience{30'000};
};

inline Outcome run_ctl(const std::vector<const char*>& arguments, Settings settings = {}) {
  signal(SIGPIPE, SIG_IGN);
  const Capture out;
  const Capture err;
  const int code = run(arguments, {.environment = environment_of(std::move(settings.variables)),
                                   .version = "1.2.3",
                                   .out = out.descriptor(),
                                   .err = err.descriptor(),
                                   .answer_timeout = settings.answer_timeout,
                                   .reconnect_patience = settings.reconnect_patience,
                                   .service_folder = settings.service_folder});
  return {code, out.text(), err.text()};
}

inline Outcome run_ctl(const FakeDaemon& daemon, std::vector<const char*> arguments, Settings settings = {}) {
  const std::string socket = daemon.socket();
  arguments.insert(arguments.end(), {"--socket", socket.c_str()});
  return run_ctl(arguments, std::move(settings));
}

// Events as the daemon sends them; `seq` counts, a tenth of a second apart.
inline StatusEvent event(std::uint64_t seq, Status status, std::optional<std::string> model = "m") {
  return {std::move(status), std::move(model), seq, {static_cast<std::int64_t>(seq) * 100}};
}
inline Status ready() {
  return status::Ready{.load_ms = 1500, .warm_up_ms = {}, .infer_socket = {}};
}
inline Status failure(std::string message, ErrorCode code = ErrorCode::network) {
  return status::Failed{.phase = {}, .code = code, .message = std::move(message), .retry_in_ms = {}};
}
inline Status download(std::uint64_t bytes, std::optional<std::uint64_t> total = 1000) {
  phase::Download phase{.downloaded_bytes = bytes,
                        .total_bytes = {total},
                        .source_url = "https://example.org/m.gguf",
                        .bytes_per_second = 2048,
                        .eta_s = 7,
                        .connections = 1};
  return status::LoadingModel{std::move(phase)};
}

inline answer::ModelStatus model_status(std::string name, ModelState state) {
  answer::ModelStatus model{.name = std::move(name), .state = state};
  model.availability = availability_of({.state = state});
  model.health = health_of({.state = state, .gave_up = true});
  return model;
}
inline answer::Status status_of(std::vector<answer::ModelStatus> models, std::uint64_t seq = 0) {
  answer::Status status{.models = std::move(models), .default_model = {}, .subscribers = 1, .seq = seq};
  if (!status.models.empty()) status.default_model = status.models.front().name;
  return status;
}

// Answers `status`, and `subscribe` with its `seq`, then hands over to `rest` with the next request.
inline FakeDaemon::Script answering(const answer::Status& status,
                                    const std::function<void(Peer&, const Request&)>& rest) {
  return [status, rest](Peer& peer) {
    while (const auto request = peer.read_request()) {
      if (verb_of(*request) == ggufd::Verb::status) {
        peer.answer(request->id, status);
      } else if (verb_of(*request) == ggufd::Verb::subscribe) {
        peer.answer(request->id, answer::Subscribe{.seq = status.seq});
      } else {
        return rest(peer, *request);
      }
    }
  };
}
inline FakeDaemon::Script answering(const answer::Status& status) {
  return answering(status, [](Peer& peer, const Request&) { peer.wait_for_end(); });
}

inline bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace ggufd::ctl::test
