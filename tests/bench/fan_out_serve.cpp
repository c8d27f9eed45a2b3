// Ours: the rooms that the daemon broadcasts with, and nothing of the rest.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "admin/server.h"
#include "admin/status_log.h"
#include "loop/loop.h"
#include "loop/timer.h"
#include "tests/bench/fan_out_bench.h"

namespace ggufd::bench {
namespace {

class Serve final : public admin::RequestHandler {
 public:
  explicit Serve(Stamps& stamps) : stamps_(stamps) {}

  void run(const std::string& socket) {
    if (const auto listening = server_.listen(socket, *this); !listening) give_up(listening.error().message);
    // What a new reader is told: one frame, of this event.
    log_.publish(bench_model, change_event(1));
    uv_poll_start(input_.get(), UV_READABLE,
                  [](uv_poll_t* handle, int, int) { static_cast<Serve*>(handle->data)->read_commands(); });
    answer_started();
    loop_.run();
  }

 private:
  void handle(Request, const loop::PeerCredentials&, admin::Reply reply) override {
    reply(fail(ErrorCode::unknown_type, "nothing is asked in a benchmark"));
  }
  std::optional<std::string> unknown_model(const std::vector<std::string>&) const override { return {}; }

  void read_commands() {
    if (commands_.read([this](const Command& command) { start(command); })) return;
    input_.reset();
    turns_.reset();
    steady_.stop();
    constexpr std::uint64_t limit_ms = 100;
    server_.close(limit_ms, [] {});
  }

  void start(const Command& command) {
    job_ = command;
    begin_ns_ = 0;
    if (job_.verb == "steady") return steady_.start_repeating(job_.pace);
    if (job_.verb != "burst" && job_.verb != "progress") give_up("unknown command " + job_.verb);
    // An idle handle fires once a turn, and lets no turn wait.
    uv_idle_start(turns_.get(), [](uv_idle_t* handle) { static_cast<Serve*>(handle->data)->publish_turn(); });
  }

  void publish_turn() {
    for (std::uint64_t i = 0; i < job_.pace && job_.count > 0; ++i, --job_.count) {
      publish(job_.verb == "burst" ? change_event(next_index_) : progress_event(next_index_));
    }
    if (job_.count > 0) return;
    uv_idle_stop(turns_.get());
    if (job_.verb == "progress") publish(status::Ready{.load_ms = 1000});
    answer_published(begin_ns_);
  }

  void publish_steadily() {
    publish(change_event(next_index_));
    if (--job_.count > 0) return;
    steady_.stop();
    answer_published(begin_ns_);
  }

  void publish(Status status) {
    const std::uint64_t now = now_ns();
    if (begin_ns_ == 0) begin_ns_ = now;
    stamps_.set(next_index_++, now);
    log_.publish(bench_model, std::move(status));
  }

  Stamps& stamps_;
  Commands commands_;
  Command job_;
  std::uint64_t next_index_ = 0;
  std::uint64_t begin_ns_ = 0;

  loop::Loop loop_;
  admin::StatusLog log_{bench_model, [this] { server_.published(); }};
  admin::Server server_{loop_, {}, log_};
  loop::HandlePtr<uv_poll_t> input_ = loop::make_handle<uv_poll_t>(
      this, [this](auto* handle) { return uv_poll_init(loop_.raw(), handle, STDIN_FILENO); });
  loop::HandlePtr<uv_idle_t> turns_ =
      loop::make_handle<uv_idle_t>(this, [this](auto* handle) { return uv_idle_init(loop_.raw(), handle); });
  loop::Timer steady_{loop_, [this] { publish_steadily(); }};
};

}  // namespace

int serve_ggufd(const std::string& socket, Stamps& stamps) {
  // stdout is for answers.
  spdlog::set_default_logger(spdlog::stderr_logger_mt("serve"));
  Serve(stamps).run(socket);
  return 0;
}

}  // namespace ggufd::bench
