#include "ctl/description.h"

#include <doctest/doctest.h>

#include "ctl/human.h"
#include "tests/unit/ctl/support.h"

namespace ggufd::ctl {
namespace {

using namespace test;

constexpr Style ascii{};
constexpr Style unicode{.utf8 = true};
constexpr Style coloured{.utf8 = true, .colour = true};

std::string plain(Status status, std::optional<std::string> model = "m") {
  return plain_line(describe(event(1, std::move(status), std::move(model))));
}

}  // namespace

TEST_CASE("description: a plain line for each kind of event") {
  CHECK(plain(status::Starting{.version = "1.2", .pid = 7}, {}) == "ggufd: starting: ggufd 1.2, process 7");
  CHECK(plain(download(500)) ==
        "m: download 50%, 500/1000 B, 2.0 KiB/s, 0:07 left, from https://example.org/m.gguf");
  CHECK(plain(download(500, std::nullopt)) ==
        "m: download: 500 B, 2.0 KiB/s, 0:07 left, from https://example.org/m.gguf");
  CHECK(plain(status::LoadingModel{phase::CheckingLocal{.path = "/x"}}) == "m: checking_local: /x");
  CHECK(plain(status::LoadingModel{phase::Verify{
            .path = "/x", .verified_bytes = 999, .total_bytes = 1000}}) == "m: verify 99%, 999/1000 B");
  CHECK(plain(status::LoadingModel{phase::Mmap{.path = "/x", .resident_bytes = 0, .total_bytes = 0}}) ==
        "m: mmap 100%, 0/0 B, hashed");
  CHECK(plain(status::LoadingModel{
            phase::KvCache{.n_ctx = 8192, .bytes = 2048, .kv_type_k = "f16", .kv_type_v = "q8_0"}}) ==
        "m: kv_cache: 2.0 KiB, 8192 tokens, f16/q8_0");
  CHECK(plain(status::LoadingModel{
            phase::EngineStart{.backend = Backend::llama_server, .pid = 5, .attempt = 2}}) ==
        "m: engine_start: llama-server, process 5, attempt 2");
  CHECK(plain(status::LoadingModel{phase::WarmUp{}}) == "m: warm_up");
  CHECK(plain(status::Ready{.load_ms = 1500, .warm_up_ms = 20, .infer_socket = "/r/infer.sock"}) ==
        "m: ready: loaded in 1.5 s, warm-up 20 ms, /r/infer.sock");
  CHECK(plain(status::Restarting{
            .phase = {}, .reason = RestartReason::engine_exit, .attempt = 2, .restarts_left = 1}) ==
        "m: restarting: engine_exit, attempt 2, 1 restarts left");
  CHECK(plain(status::Unloaded{.reason = UnloadReason::idle}) == "m: unloaded: idle");
  CHECK(plain(status::Failed{.phase = PhaseKind::download,
                             .code = ErrorCode::network,
                             .message = "no route",
                             .retry_in_ms = 500}) ==
        "m: error: no route (network), during download, again in 500 ms");
  CHECK(plain(status::Warning{.code = "slow", .message = "it\nis"}) == "m: warning: it is (slow)");
  CHECK(plain(status::Draining{}, {}) == "ggufd: draining");
  CHECK(plain(status::Lagged{.missed = 9}, {}) == "ggufd: lagged: 9 events were missed");
}

TEST_CASE("description: 100 % is never said before the end") {
  CHECK(contains(plain(download(999'999, 1'000'000)), "99%"));
}

TEST_CASE("description: a bar fills from end to end, in eighths where there is UTF-8") {
  CHECK(bar(0, 12, ascii) == "[          ]");
  CHECK(bar(0.5, 12, ascii) == "[=====>    ]");
  CHECK(bar(1, 12, ascii) == "[==========]");
  CHECK(bar(7, 5, ascii) == "[===]");
  CHECK(bar(0.55, 12, unicode) == "▕█████▌    ▏");
  for (int i = 0; i <= 100; ++i) CHECK(columns_of(bar(i / 100.0, 17, unicode)) == 17);
}

TEST_CASE("description: a live line never exceeds its columns and keeps the percentage") {
  const Description description = describe(event(1, download(430), "qwen3-4b-instruct"));
  for (std::size_t columns = 1; columns <= 160; ++columns) {
    CAPTURE(columns);
    const std::string line = live_line(description, 20, columns, unicode);
    CHECK(columns_of(line) <= columns);
    if (columns >= 10) CHECK(contains(line, "43%"));
  }
}

TEST_CASE("description: what a narrow line gives up, step by step") {
  const Description description = describe(event(1, download(430)));
  CHECK(
      live_line(description, 3, 100, ascii) ==
      "m    download  [====>     ]   43%  430/1000 B  2.0 KiB/s  0:07 left  from https://example.org/m.gguf");
  CHECK(live_line(description, 3, 60, ascii) ==
        "m    download  [======>       ]   43%  430/1000 B  2.0 KiB/s");
  CHECK(live_line(description, 3, 32, ascii) == "m    download  [===>     ]   43%");
  CHECK(live_line(description, 3, 20, ascii) == "m    download   43%");
  CHECK(live_line(description, 3, 12, ascii) == "m   43%");
}

TEST_CASE("description: an error's sentence is cut, not left out") {
  const Description description = describe(event(1, failure("the host example.org has no address")));
  CHECK(live_line(description, 1, 30, ascii) == "m  error  the host example.or~");
  CHECK(live_line(description, 1, 30, unicode) == "m  error  the host example.or…");
}

TEST_CASE("description: colours frame words and take no columns") {
  const Description description = describe(event(1, ready()));
  const std::string line = live_line(description, 1, 40, coloured);
  CHECK(line == "\x1b[1mm\x1b[0m  \x1b[32mready\x1b[0m  loaded in 1.5 s");
  CHECK_FALSE(contains(live_line(description, 1, 40, unicode), "\x1b"));
}

}  // namespace ggufd::ctl
