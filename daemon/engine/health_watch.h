// Asks a llama-server's /health, over and over: until it is well, and from then on whether it still is.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "engine/llama_host.h"
#include "engine/llama_question.h"
#include "loop/operation.h"
#include "loop/timer.h"

namespace ggufd::engine {

// While it starts it may say 503 for as long as it likes, and nobody may listen yet: only connections that
// are taken and not answered are misses. Once it has been well, everything but 200 and {"status":"ok"} is.
class HealthWatch {
 public:
  struct Callbacks {
    std::function<void()> on_healthy;  // once
    // It hangs; nothing is asked any more. May destroy the watch in a later turn.
    std::function<void()> on_unresponsive;
  };

  // Asks at once. `interval_ms` holds while it starts, then the host's ready_interval_ms.
  HealthWatch(LlamaHost& host, LlamaAddress address, std::uint64_t interval_ms, Callbacks callbacks);

  // It has said that it is about to be well: until it is, it is asked more often for a while.
  void hurry();

  // What its last answer was, where it was not well: a part of a sentence.
  const std::string& last_answer() const { return last_answer_; }

 private:
  void ask();
  void answered(const Result<LlamaAnswer>& answer);

  LlamaHost& host_;
  const LlamaAddress address_;
  std::uint64_t interval_ms_;
  Callbacks callbacks_;
  loop::Timer next_;
  loop::OperationPtr question_;
  std::uint64_t asked_ms_ = 0;
  bool is_healthy_ = false;  // has been
  std::uint32_t misses_ = 0;
  std::uint32_t hurried_left_ = 0;  // questions
  std::string last_answer_ = "/health has not been answered";
};

}  // namespace ggufd::engine
