#include "ctl/status_report.h"

#include <doctest/doctest.h>

#include <sstream>

#include "ctl/human.h"
#include "ctl/table.h"
#include "tests/unit/ctl/support.h"

namespace ggufd::ctl {
namespace {

using namespace test;

answer::Status two_models() {
  auto a = model_status("qwen3-4b", ModelState::ready);
  a.since = {0};
  a.bytes = 2'497'280'256;
  a.load_ms = 12'345;
  a.memory = {.mapped = std::uint64_t{2} << 30, .kv = std::uint64_t{1} << 30};
  a.engine.backend = Backend::llama_server;
  a.engine.pid = 42;
  auto b = model_status("embed", ModelState::loading);
  b.since = {55'000};
  b.phase = PhaseKind::download;
  return status_of({a, b});
}

std::string report(const answer::Status& status, std::size_t columns, bool in_detail = false) {
  return status_report(status, in_detail, {60'000},
                       {.is_live = false, .columns = columns, .rows = 24, .style = {}});
}

}  // namespace

TEST_CASE("status: a table, the default model marked") {
  CHECK(report(two_models(), 0) ==
        "MODEL       STATE                 SIZE   MEMORY  ENGINE           LOADED IN  SINCE\n"
        "qwen3-4b *  ready              2.3 GiB  3.0 GiB  llama-server 42     12.3 s  1 min\n"
        "embed       loading: download        -        -  -                        -    5 s\n");
}

TEST_CASE("status: a narrow table gives up columns, the name and the state last") {
  CHECK(report(two_models(), 60) ==
        "MODEL       STATE                 SIZE   MEMORY  SINCE\n"
        "qwen3-4b *  ready              2.3 GiB  3.0 GiB  1 min\n"
        "embed       loading: download        -        -    5 s\n");
  CHECK(report(two_models(), 20) ==
        "MODEL   STATE\n"
        "qwen3~  ready\n"
        "embed   loading: do~\n");
}

TEST_CASE("status: no line exceeds the terminal") {
  auto status = two_models();
  status.models[0].availability.message.value = "a sentence that is long enough to be wrapped on a terminal";
  for (std::size_t columns = 8; columns < 120; ++columns) {
    CAPTURE(columns);
    std::istringstream lines(report(status, columns, true));
    for (std::string line; std::getline(lines, line);) CHECK(columns_of(line) <= columns);
  }
}

TEST_CASE("status: what is wrong stands below, in words, without its escapes") {
  auto model = model_status("m", ModelState::error);
  model.availability.message.value = "the host\x1b[2J is unknown";
  model.engine = {.backend = {},
                  .pid = {},
                  .restarts = 2,
                  .restarts_left = 1,
                  .last_exit = "signal 9",
                  .stderr_tail = "one\ntwo\n"};
  const std::string text = report(status_of({model}), 0);
  CHECK(contains(text, "  m: the host [2J is unknown\n"));
  CHECK(contains(text, "  m: 2 restarts, 1 left\n"));
  CHECK(contains(text, "  m: its engine ended last: signal 9\n"));
  CHECK_FALSE(contains(text, "two"));
  const std::string detail = report(status_of({model}), 0, true);
  CHECK(contains(detail, "  m: | one\n  m: | two\n"));
  CHECK(contains(detail, "  m: loaded 0 times\n"));
  model.load_count = 1;
  model.engine.restarts = 1;
  CHECK(contains(report(status_of({model}), 0, true), "  m: 1 restart, 1 left\n"));
  CHECK(contains(report(status_of({model}), 0, true), "  m: loaded once\n"));
}

TEST_CASE("status: a daemon without models says so") {
  CHECK(report({}, 80) == "no model is configured\n");
}

TEST_CASE("status: the default model is the one that is named, else the first") {
  auto status = two_models();
  status.default_model = "embed";
  CHECK(default_model_of(status) == "embed");
  status.default_model.reset();
  CHECK(default_model_of(status) == "qwen3-4b");
  CHECK(default_model_of({}) == std::nullopt);
}

TEST_CASE("health: the default model's document, and one a model") {
  auto status = two_models();
  status.default_model = "embed";
  CHECK(
      to_json(health_report(status)) ==
      R"({"status":"starting","model":"embed","backend":null,"warm_up_state":"loading","state":"loading",)"
      R"("availability":{"code":10,"name":"DOWNLOADING","message":null},"models":[)"
      R"({"status":"ok","model":"qwen3-4b","backend":"llama-server","warm_up_state":"ready","state":"ready",)"
      R"("availability":{"code":200,"name":"ENABLED","message":null}},)"
      R"({"status":"starting","model":"embed","backend":null,"warm_up_state":"loading","state":"loading",)"
      R"("availability":{"code":10,"name":"DOWNLOADING","message":null}}]})");
}

TEST_CASE("health: without models there is nothing that is ok") {
  const HealthReport report = health_report({});
  CHECK(report.of_default.status == Health::starting);
  CHECK(report.of_default.availability.name == "NONE");
  CHECK(report.models.empty());
}

}  // namespace ggufd::ctl
