#include "engine/llama_probe.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "loop/child.h"
#include "loop/timer.h"

namespace ggufd::engine {
namespace {

constexpr std::size_t output_bytes_max = 1 << 20;  // --help is 60 KiB; more than this is kept from nobody
constexpr std::uint64_t stop_grace_ms = 500;

// One run of the program, what it printed and how it ended.
struct Run {
  const char* argument;
  std::string output;
  loop::ChildExit exit;
  bool has_ended = false;
  loop::ChildPtr child;

  void take(std::string_view bytes) {
    output += bytes.substr(0, output_bytes_max - std::min(output.size(), output_bytes_max));
  }
};

// What a person needs of a program that failed: the last line that it printed.
std::string last_line(std::string_view output) {
  const std::size_t end = output.find_last_not_of(" \r\n");
  if (end == std::string_view::npos) return "it printed nothing";
  output = output.substr(0, end + 1);
  const std::size_t start = output.rfind('\n');
  return fmt::format("it printed: {}", start == std::string_view::npos ? output : output.substr(start + 1));
}

}  // namespace

class LlamaProbe::Asking final : public loop::Operation {
 public:
  Asking(LlamaProbe& probe, std::string path, Done done)
      : probe_(probe),
        path_(std::move(path)),
        done_(std::move(done)),
        timer_(probe.loop_, [this] { timer_fired(); }) {}

  // Whatever ends at once is told by the timer: never from inside probe().
  void begin() {
    auto identity = identify(path_);
    if (!identity) return finish_soon(std::unexpected(std::move(identity.error())));
    identity_ = *identity;
    if (const auto known = probe_.known_.find(*identity); known != probe_.known_.end()) {
      return finish_soon(known->second);
    }
    for (Run& run : runs_) {
      if (auto started = start(run); !started)
        return finish_soon(std::unexpected(std::move(started.error())));
    }
    timer_.start_once(limit_ms);
  }

  void cancel() override {
    if (!done_ || outcome_.has_value()) return;
    finish_soon(fail(ErrorCode::cancelled, fmt::format("asking {} what it is was cancelled", path_)));
  }

 private:
  Result<void> start(Run& run) {
    auto child = start_child(probe_.loop_,
                             {.program = path_,
                              .arguments = {run.argument},
                              .environment = probe_.environment_,
                              .stop_grace_ms = stop_grace_ms},
                             {.on_output = [&run](std::string_view bytes) { run.take(bytes); },
                              .on_exit =
                                  [this, &run](loop::ChildExit exit) {
                                    run.exit = exit;
                                    run.has_ended = true;
                                    finish_when_both_ended();
                                  }});
    if (!child) return std::unexpected(std::move(child.error()));
    run.child = std::move(*child);
    return {};
  }

  // Nobody waits for programs that nobody wants to hear any more: they are killed.
  void finish_soon(Result<LlamaBuild> outcome) {
    for (Run& run : runs_) run.child.reset();
    outcome_ = std::move(outcome);
    timer_.start_once(0);
  }

  void timer_fired() {
    if (outcome_) return finish(std::move(*outcome_));
    for (Run& run : runs_) {
      if (run.has_ended) continue;
      return finish(fail(ErrorCode::engine_failed,
                         fmt::format("{} {} did not end within {} s; {}; try it by hand", path_, run.argument,
                                     limit_ms / 1000, last_line(run.output))));
    }
  }

  void finish_when_both_ended() {
    if (outcome_) return;
    for (const Run& run : runs_) {
      if (!run.has_ended) return;
    }
    timer_.stop();
    finish(judge());
  }

  Result<LlamaBuild> judge() {
    auto& [version, help] = runs_;
    if (help.exit.signal_number != 0) {
      return fail(ErrorCode::engine_failed, fmt::format("{} --help was ended by signal {}; {}", path_,
                                                        help.exit.signal_number, last_line(help.output)));
    }
    // A library that is missing is 127 and a sentence; builds that cannot say --version can still serve.
    auto build = parse_llama_build(version.output, help.output);
    if (!build) {
      return fail(build.error().code,
                  help.exit.code == 0 ? fmt::format("{} is no llama-server: {}", path_, build.error().message)
                                      : fmt::format("{} --help failed with exit code {}; {}", path_,
                                                    help.exit.code, last_line(help.output)));
    }
    probe_.known_.insert_or_assign(identity_, *build);
    return build;
  }

  void finish(Result<LlamaBuild> outcome) {
    for (Run& run : runs_) run.child.reset();
    if (auto done = std::exchange(done_, nullptr)) done(std::move(outcome));  // may destroy this
  }

  LlamaProbe& probe_;
  std::string path_;
  Done done_;
  Identity identity_{};
  std::array<Run, 2> runs_{Run{.argument = "--version"}, Run{.argument = "--help"}};
  std::optional<Result<LlamaBuild>> outcome_;  // decided, and not yet told
  loop::Timer timer_;                          // the limit; then the end of this turn, to tell the outcome
};

Result<LlamaProbe::Identity> LlamaProbe::identify(const std::string& path) {
  struct stat file{};
  if (stat(path.c_str(), &file) != 0) {
    return std::unexpected(
        system_error(fmt::format("looking for {}", path), errno, ErrorCode::engine_not_found));
  }
  constexpr std::int64_t ns_per_s = 1'000'000'000;
  return Identity{.device = file.st_dev,
                  .inode = file.st_ino,
                  .size = file.st_size,
                  .modified_ns = file.st_mtim.tv_sec * ns_per_s + file.st_mtim.tv_nsec};
}

loop::OperationPtr LlamaProbe::probe(const std::string& path, Done done) {
  auto asking = std::make_unique<Asking>(*this, path, std::move(done));
  asking->begin();
  return asking;
}

}  // namespace ggufd::engine
