#include <string>
#include <utility>

#include "golden.h"

namespace ggufd::golden {
namespace {

StatusEvent of_model(std::uint64_t seq, Timestamp ts, Status status, const char* model = "qwen3-4b") {
  return {std::move(status), model, seq, ts};
}

StatusEvent of_daemon(std::uint64_t seq, Timestamp ts, Status status) {
  return {std::move(status), std::nullopt, seq, ts};
}

status::Capabilities all_capabilities() {
  return {.backend = Backend::llama_server,
          .vision = true,
          .tools = true,
          .thinking = true,
          .accelerator = Accelerator::cuda,
          .gpu_layers = 37,
          .device_name = "NVIDIA GeForce RTX 4090",
          .vram_total_bytes = 25'757'220'864,
          .n_ctx = 8192,
          .generate = true};
}

status::Capabilities few_capabilities() {
  return {.backend = Backend::resident, .embed = true, .rerank = true, .n_ctx = 512};
}

void add_unloads(std::vector<StatusEvent>& events) {
  std::uint64_t seq = 50;
  int second = 0;
  for (const auto reason : {UnloadReason::request, UnloadReason::idle, UnloadReason::reload,
                            UnloadReason::evicted, UnloadReason::cancelled, UnloadReason::shutdown}) {
    events.push_back(of_model(seq, on_that_day(1, 0, second), status::Unloading{reason}));
    events.push_back(of_model(seq + 1, on_that_day(1, 0, second, 250), status::Unloaded{reason}));
    seq += 2;
    ++second;
  }
}

void add_troubles(std::vector<StatusEvent>& events) {
  events.push_back(of_model(
      62, on_that_day(2, 0, 0),
      status::Failed{.code = ErrorCode::not_in_store,
                     .message = "the model qwen3-4b is not in the store and auto_pull is false; run: "
                                "ggufctl pull qwen3-4b"}));
  events.push_back(
      of_model(63, on_that_day(2, 0, 1),
               status::Failed{.phase = PhaseKind::download,
                              .code = ErrorCode::network,
                              .message = "https://huggingface.co/Qwen/Qwen3-4B-GGUF: no byte for 30 s",
                              .retry_in_ms = 4000}));
  events.push_back(of_model(
      64, on_that_day(2, 0, 2),
      status::Warning{"download_restarted", "the server's file has changed; the download begins again"}));
  events.push_back(of_daemon(65, on_that_day(2, 0, 3),
                             status::Warning{"bad_config",
                                             "the configuration has 1 mistake and nothing was changed: "
                                             "/models/0/pin must be required or first-use"}));
  events.push_back(
      of_model(66, on_that_day(2, 0, 4),
               status::Warning{"repairing", "the file \"Größe 4\\B.gguf\" has\ta bad range\r\n"}));
}

// Each phase, those with an absent or a null detail once more, and each name of an enum.
std::vector<LoadPhase> phases(std::uint32_t engine_attempt) {
  const std::string model = "/srv/models/qwen3-4b.gguf";
  const std::string partial = "/srv/models/blobs/sha256/7a/.partial-7a/data.tmp";
  constexpr std::uint64_t size = 2'497'280'256;
  constexpr std::uint64_t gib = 1'073'741'824;
  return {
      phase::CheckingLocal{model},
      phase::Download{gib,
                      {size},
                      "https://huggingface.co/Qwen/Qwen3-4B-GGUF/resolve/main/Qwen3-4B-Q4_K_M.gguf",
                      52'428'800,
                      27,
                      268'435'456,
                      8},
      phase::Download{.source_url = "https://models.example.org/qwen3-4b.gguf", .connections = 1},
      phase::Verify{partial, gib, size},
      phase::Quarantine{partial, digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                        "/srv/models/locks/quarantine/20260518T000000Z-sha256_mismatch.bin"},
      phase::Mmap{model, 67'108'864, size, Integrity::hashed},
      phase::Mmap{model, size, size, Integrity::stat_cached},
      phase::Mmap{model, size, size, Integrity::kernel_enforced},
      phase::KvCache{8192, 1'207'959'552, "f16", "q8_0"},
      phase::EngineStart{Backend::llama_server, 4712, engine_attempt},
      phase::WarmUp{},
      phase::Convert{},
      phase::Upload{},
      phase::KvCache{8192, 1'207'959'552, "f16", "q8_0", 603'979'776},
      phase::EngineStart{Backend::llama_server, 4712, engine_attempt, 40, 1'207'959'552},
  };
}

}  // namespace

std::vector<StatusEvent> status_events() {
  std::vector<StatusEvent> events;
  events.push_back(of_daemon(1, on_that_day(0, 0, 0), status::Starting{"0.1.0", 4711}));
  events.push_back(of_model(2, on_that_day(0, 0, 0, 1),
                            status::LoadingModel{phase::CheckingLocal{"/srv/models/qwen3-4b.gguf"}}));
  events.push_back(of_model(40, on_that_day(0, 0, 41, 500), all_capabilities()));
  events.push_back(of_model(41, on_that_day(0, 0, 41, 501), few_capabilities(), "bge-m3"));
  events.push_back(of_model(42, on_that_day(0, 0, 41, 502),
                            status::Ready{41'500, 820, "/run/user/1000/ggufd/infer.sock"}));
  events.push_back(of_model(43, on_that_day(0, 0, 41, 503), status::Ready{.load_ms = 37}, "bge-m3"));
  events.push_back(
      of_model(44, on_that_day(0, 5, 0), status::Restarting{std::nullopt, RestartReason::engine_exit, 2, 2}));
  events.push_back(of_model(45, on_that_day(0, 6, 0),
                            status::Restarting{std::nullopt, RestartReason::engine_unresponsive, 3, 1}));
  events.push_back(of_model(46, on_that_day(0, 7, 0), status::Restarting{.reason = RestartReason::reload}));
  add_unloads(events);
  add_troubles(events);
  events.push_back(of_daemon(67, on_that_day(3, 0, 0), status::Draining{}));
  events.push_back({.status = status::Lagged{1536}});
  return events;
}

std::vector<StatusEvent> loading_events() {
  std::vector<StatusEvent> events;
  int i = 0;
  for (auto& phase : phases(1)) {
    events.push_back(of_model(100 + static_cast<std::uint64_t>(i), on_that_day(0, 10, i),
                              status::LoadingModel{std::move(phase)}));
    ++i;
  }
  return events;
}

std::vector<StatusEvent> restarting_events() {
  std::vector<StatusEvent> events;
  int i = 0;
  for (auto& phase : phases(2)) {
    status::Restarting restarting{std::move(phase), RestartReason::engine_exit, 2, 2};
    // The engine's start says the attempt itself.
    if (kind_of(*restarting.phase) == PhaseKind::engine_start) restarting.attempt.reset();
    events.push_back(of_model(200 + static_cast<std::uint64_t>(i), on_that_day(0, 20, i), restarting));
    ++i;
  }
  return events;
}

std::vector<StatusEvent> error_events() {
  std::vector<StatusEvent> events;
  int i = 0;
  for (const auto code :
       {ErrorCode::bad_source, ErrorCode::not_in_store, ErrorCode::http_status, ErrorCode::network,
        ErrorCode::tls, ErrorCode::disk_full, ErrorCode::sha256_mismatch, ErrorCode::size_mismatch,
        ErrorCode::invalid_gguf, ErrorCode::unsupported_gguf, ErrorCode::out_of_memory_budget,
        ErrorCode::map_failed, ErrorCode::io, ErrorCode::engine_not_found, ErrorCode::engine_failed,
        ErrorCode::engine_unhealthy, ErrorCode::load_timeout, ErrorCode::cancelled, ErrorCode::internal}) {
    events.push_back(
        of_model(300 + static_cast<std::uint64_t>(i), on_that_day(0, 30, i),
                 status::Failed{.code = code, .message = "a sentence about " + std::string(name_of(code))}));
    ++i;
  }
  return events;
}

}  // namespace ggufd::golden
