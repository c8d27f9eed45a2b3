// The check "sources": asks each network source what it has, without fetching it.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "doctor/subject.h"
#include "fetch/curl_loop.h"
#include "fetch/failure.h"
#include "fetch/remote_file.h"
#include "loop/loop.h"
#include "protocol/answer.h"

namespace ggufd::doctor {

// What one source has answered.
struct SourceAnswer {
  fetch::RemoteFile file;                    // as its HEAD tells it
  std::optional<std::uint64_t> total_bytes;  // as the answer for its first byte tells it
  bool has_ranges = false;                   // the first byte alone came when it was asked for
  std::optional<std::int64_t> date_s;        // the server's clock, seconds since 1970
};

struct AskedSource {
  std::string model;
  bool is_split = false;
  config::Source source;
  std::expected<SourceAnswer, fetch::Failure> answer;
};

// One line a source, and "clock": how far the servers' clocks are from `now`. Pure.
void judge_sources(const std::vector<AskedSource>& asked, const config::Config& config, Timestamp now,
                   answer::Doctor& report);

// Asks all network sources of the configuration at once. Destroyed, it asks no more.
class AskSources {
 public:
  using Done = std::move_only_function<void(std::vector<AskedSource>)>;

  // An answer that takes longer than this is none.
  static constexpr std::uint64_t limit_ms = 20'000;

  // `on_done` comes once, never from inside this call; everything else outlives this.
  AskSources(loop::Loop& loop, fetch::CurlLoop& curl, const config::Config& config,
             const config::Environment& environment, Done on_done);
  ~AskSources();

 private:
  class Asking;

  void ended();

  loop::Loop& loop_;
  Done on_done_;
  std::vector<std::unique_ptr<Asking>> asking_;
  std::size_t awaited_ = 0;
};

}  // namespace ggufd::doctor
