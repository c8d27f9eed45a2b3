// One event to many readers: the daemon's admin room, what it is held against, and the readers of all of
// them. tests/bench/fan_out.py drives it, says what is measured and makes the tables.
//
//   fan_out_bench serve-ggufd SOCKET STAMPS
//   fan_out_bench write-loop SOCKET STAMPS
//   fan_out_bench redis-publish SOCKET STAMPS
//   fan_out_bench read SOCKET STAMPS [--readers N] [--stuck N] [--redis]
//
// Each reads its commands from stdin (fan_out_bench.h) and ends with it.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "tests/bench/fan_out_bench.h"

namespace {

void set_up_process() {
  std::signal(SIGPIPE, SIG_IGN);
  rlimit files = {};
  ggufd::bench::require(getrlimit(RLIMIT_NOFILE, &files) == 0, "getrlimit");
  files.rlim_cur = files.rlim_max;
  ggufd::bench::require(setrlimit(RLIMIT_NOFILE, &files) == 0, "setrlimit");
}

}  // namespace

int main(int argc, char** argv) {
  using namespace ggufd::bench;
  CLI::App app("One event to many readers");
  app.require_subcommand(1);
  std::string stamps_file;
  ReadOptions options;
  const auto add_verb = [&](const char* name, const char* what) {
    CLI::App* verb = app.add_subcommand(name, what);
    verb->add_option("SOCKET", options.socket)->required();
    verb->add_option("STAMPS", stamps_file)->required()->check(CLI::ExistingFile);
    return verb;
  };
  const CLI::App* serve_verb = add_verb("serve-ggufd", "the status log and the admin server");
  const CLI::App* loop_verb = add_verb("write-loop", "a write of each frame to each connection");
  const CLI::App* redis_verb = add_verb("redis-publish", "PUBLISH to a redis-server");
  CLI::App* read_verb = add_verb("read", "reads from all of them");
  read_verb->add_option("--readers", options.readers)->check(CLI::PositiveNumber);
  read_verb->add_option("--stuck", options.stuck, "connections that are never read from");
  read_verb->add_flag("--redis", options.is_redis);
  CLI11_PARSE(app, argc, argv);

  set_up_process();
  Stamps stamps(stamps_file);
  if (serve_verb->parsed()) return serve_ggufd(options.socket, stamps);
  if (loop_verb->parsed()) return write_loop(options.socket, stamps);
  if (redis_verb->parsed()) return redis_publish(options.socket, stamps);
  if (read_verb->parsed()) return read_all(options, stamps);
  return 1;
}
