// What --help says beyond the names of the flags.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <string>
#include <string_view>

#include "engine/llama_probe.h"

namespace ggufd::engine {
namespace {

LlamaBuild build_with(std::string_view entries) {
  const auto build = parse_llama_build("version: 9963 (a)\n",
                                       fmt::format("----- common params -----\n\n-m,    --model FNAME\n{}"
                                                   "--host HOST\n--port PORT\n",
                                                   entries));
  REQUIRE(build.has_value());
  return *build;
}

TEST_CASE("the level of the library's lines is the one that --help names trace") {
  // Of July 2026, of December 2025, of February 2025.
  CHECK(build_with(R"(-lv,   --verbosity, --log-verbosity N
                                        Set the verbosity threshold. Messages with a higher verbosity will be
                                        ignored. Values:
                                        - 0: generic output
                                        - 1: error
                                        - 2: warning
                                        - 3: info
                                        - 4: trace (more info)
                                        - 5: debug
                                        (default: 3)

                                        (env: LLAMA_ARG_LOG_VERBOSITY)
)")
            .library_log_verbosity == 4);
  CHECK_FALSE(build_with(R"(-lv,   --verbosity, --log-verbosity N
                                        Values:
                                        - 3: info
                                        - 4: debug
                                        (default: 3)
)")
                  .library_log_verbosity.has_value());
  CHECK_FALSE(build_with("-lv,   --verbosity, --log-verbosity N   Set the verbosity threshold\n")
                  .library_log_verbosity.has_value());
}

TEST_CASE("another entry's trace, or one without a number, is none") {
  CHECK_FALSE(build_with("--verbosity N\n--trace N\n      - 4: trace\n").library_log_verbosity.has_value());
  for (const std::string_view line : {"- x: trace", "- 4 trace", "- 4x: trace", "4: trace", "- : trace", "-",
                                      "- 99999999999999999999: trace", "- 4: tracer"}) {
    CAPTURE(line);
    CHECK_FALSE(build_with(fmt::format("--verbosity N\n      {}\n", line)).library_log_verbosity.has_value());
  }
}

TEST_CASE("help in a form of its own is enough where it mentions what is needed") {
  const auto build = parse_llama_build("",
                                       "usage: serve [--model FILE] [--host HOST|PATH.sock] [--port=N] [-c "
                                       "N]\n  --slots, (--no-slots): tell them\n");
  REQUIRE(build.has_value());
  CHECK(build->has_unix_sockets);
  for (const char* flag : {"--model", "--host", "--port", "-c", "--slots", "--no-slots"})
    CHECK(build->has(flag));
  CHECK_FALSE(parse_llama_build("", "usage: serve --model FILE --host HOST\n").has_value());
}

TEST_CASE("flash attention is a switch where its flag takes no value") {
  CHECK(build_with("-fa,   --flash-attn                     enable Flash Attention (default: disabled)\n")
            .flash_attention_is_switch);
  CHECK(build_with("-fa,   --flash-attn\n        enable it\n").flash_attention_is_switch);
  CHECK_FALSE(
      build_with("-fa,   --flash-attn [on|off|auto]       set Flash Attention use (default: 'auto')\n")
          .flash_attention_is_switch);
  CHECK_FALSE(build_with("-fa,   --flash-attn FA                  set Flash Attention use\n")
                  .flash_attention_is_switch);
  CHECK_FALSE(build_with("").flash_attention_is_switch);
}

}  // namespace
}  // namespace ggufd::engine
