#include "loop/child.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "loop/timer.h"

namespace ggufd::loop {
namespace {

std::vector<char*> c_strings(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// A pipe that nothing is written to: ChildOptions::has_lifeline, has_input. The child's end is open in this
// process only while it is started.
class Lifeline {
 public:
  Lifeline() = default;
  Lifeline(const Lifeline&) = delete;
  Lifeline& operator=(const Lifeline&) = delete;
  ~Lifeline() {
    cut();
    given_to_child();
  }

  Result<void> open() {
    if (pipe2(ends_.data(), O_CLOEXEC) == 0) return {};
    return std::unexpected(system_error("making a pipe for a child", errno, ErrorCode::engine_failed));
  }
  int child_end() const { return ends_[0]; }
  void given_to_child() { close_end(ends_[0]); }
  void cut() { close_end(ends_[1]); }

 private:
  static void close_end(int& end) {
    if (end >= 0) close(std::exchange(end, -1));
  }

  std::array<int, 2> ends_{-1, -1};
};

class RunningChild final : public Child {
 public:
  RunningChild(Loop& loop, const ChildOptions& options, ChildCallbacks callbacks)
      : loop_(loop),
        stop_grace_ms_(options.stop_grace_ms),
        callbacks_(std::move(callbacks)),
        grace_(loop, [this] { grace_is_over(); }) {
    for (auto& output : outputs_) {
      output =
          make_handle<uv_pipe_t>(this, [&](auto* handle) { return uv_pipe_init(loop.raw(), handle, 0); });
    }
  }

  ~RunningChild() override {
    signal_group(SIGKILL);
    lifeline_.cut();
    // libuv reaps only processes whose handle is open: this one closes itself when the process has ended.
    if (group_ != 0) process_.release()->data = nullptr;
  }

  Result<void> start(const ChildOptions& options) {
    if (options.has_lifeline) {
      if (auto opened = lifeline_.open(); !opened) return opened;
    }
    if (options.has_input) {
      if (auto opened = input_.open(); !opened) return opened;
    }
    std::vector<uv_stdio_container_t> stdio = descriptors_of_child(options);
    if (auto spawned = spawn(options, stdio); !spawned) return spawned;
    lifeline_.given_to_child();
    input_.given_to_child();
    for (auto& output : outputs_) read_output(output.get());
    return {};
  }

  pid_t pid() const override { return pid_; }
  void kill() override { signal_group(SIGKILL); }

  void cancel() override {
    if (group_ == 0 || grace_.is_running()) return;
    signal_group(SIGTERM);
    input_.cut();
    grace_.start_once(stop_grace_ms_);
  }

 private:
  std::vector<uv_stdio_container_t> descriptors_of_child(const ChildOptions& options) const {
    std::vector<uv_stdio_container_t> stdio(1 + outputs_.size());
    stdio[0].flags = options.has_input ? UV_INHERIT_FD : UV_IGNORE;
    if (options.has_input) stdio[0].data.fd = input_.child_end();
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      stdio[i + 1].flags = static_cast<uv_stdio_flags>(UV_CREATE_PIPE | UV_WRITABLE_PIPE);
      stdio[i + 1].data.stream = reinterpret_cast<uv_stream_t*>(outputs_[i].get());
    }
    const auto inherit = [&stdio](int descriptor) {
      stdio.emplace_back().flags = UV_INHERIT_FD;
      stdio.back().data.fd = descriptor;
    };
    for (const int descriptor : options.descriptors) inherit(descriptor);
    if (options.has_lifeline) inherit(lifeline_.child_end());
    return stdio;
  }

  Result<void> spawn(const ChildOptions& options, std::span<uv_stdio_container_t> stdio) {
    std::vector<std::string> arguments = options.arguments;
    arguments.insert(arguments.begin(), options.program);
    std::vector<std::string> environment = options.environment;
    std::vector<char*> argv = c_strings(arguments);
    std::vector<char*> envp = c_strings(environment);
    uv_process_options_t uv{};
    uv.file = options.program.c_str();
    uv.args = argv.data();
    uv.env = envp.data();
    uv.flags = UV_PROCESS_DETACHED;  // its own session, hence its own group
    uv.stdio = stdio.data();
    uv.stdio_count = static_cast<int>(stdio.size());
    uv.exit_cb = [](uv_process_t* process, std::int64_t code, int signal_number) {
      if (process->data == nullptr) {
        HandlePtr<uv_process_t> ownerless(process);
        return;
      }
      static_cast<RunningChild*>(process->data)->exited({code, signal_number});
    };
    auto process = std::make_unique<uv_process_t>();
    process->data = this;
    const int status = uv_spawn(loop_.raw(), process.get(), &uv);
    // libuv has taken the handle even where it could not start the program: it is closed like any other.
    process_.reset(process.release());
    if (status != 0) {
      return std::unexpected(
          uv_error(fmt::format("starting {}", options.program), status, ErrorCode::engine_failed));
    }
    pid_ = process_->pid;
    group_ = pid_;
    return {};
  }

  void read_output(uv_pipe_t* pipe) {
    ++open_outputs_;
    uv_read_start(
        reinterpret_cast<uv_stream_t*>(pipe),
        [](uv_handle_t*, std::size_t, uv_buf_t* buffer) {
          // What is read is used up within the callback, so all children of a thread share one buffer.
          thread_local std::array<char, 16 * 1024> shared;
          *buffer = uv_buf_init(shared.data(), static_cast<unsigned>(shared.size()));
        },
        [](uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
          auto& child = *static_cast<RunningChild*>(stream->data);
          if (count > 0 && child.callbacks_.on_output) {
            // A copy of the function: it may destroy the child while it runs.
            const auto on_output = child.callbacks_.on_output;
            on_output({buffer->base, static_cast<std::size_t>(count)});
          } else if (count < 0) {
            uv_read_stop(stream);
            child.output_ended();
          }
        });
  }

  void exited(ChildExit how) {
    exit_ = how;
    // Whoever of the group is left would keep the pipes open.
    signal_group(SIGKILL);
    lifeline_.cut();
    group_ = 0;  // its number is free for another one
    // Whoever has left the group may hold the pipes for ever.
    grace_.start_once(stop_grace_ms_);
    finish_when_complete();
  }

  void grace_is_over() {
    signal_group(SIGKILL);
    if (!exit_) return;
    for (auto& output : outputs_) output.reset();
    open_outputs_ = 0;
    finish_when_complete();
  }

  void output_ended() {
    --open_outputs_;
    finish_when_complete();
  }

  void finish_when_complete() {
    if (!exit_ || open_outputs_ > 0) return;
    grace_.stop();
    auto on_exit = std::move(callbacks_.on_exit);
    if (on_exit) on_exit(*exit_);  // may destroy this
  }

  void signal_group(int signal_number) {
    if (group_ != 0) ::kill(-group_, signal_number);
  }

  Loop& loop_;
  std::uint64_t stop_grace_ms_;
  ChildCallbacks callbacks_;
  Timer grace_;  // runs from SIGTERM to SIGKILL, then from the end to the end of the output
  std::array<HandlePtr<uv_pipe_t>, 2> outputs_;
  int open_outputs_ = 0;
  HandlePtr<uv_process_t> process_;
  Lifeline lifeline_;
  Lifeline input_;
  pid_t pid_ = 0;
  pid_t group_ = 0;  // 0 before it is started and once it has ended
  std::optional<ChildExit> exit_;
};

}  // namespace

Result<ChildPtr> start_child(Loop& loop, const ChildOptions& options, ChildCallbacks callbacks) {
  auto child = std::make_unique<RunningChild>(loop, options, std::move(callbacks));
  if (auto started = child->start(options); !started) return std::unexpected(started.error());
  return child;
}

}  // namespace ggufd::loop
