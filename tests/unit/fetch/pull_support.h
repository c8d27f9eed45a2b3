// A store, a curl and pulls into it, and those who wait for them.
#pragma once

#include <chrono>
#include <filesystem>

#include "fetch/journal.h"
#include "fetch/pull.h"
#include "support.h"

namespace ggufd::fetch::test {

inline config::Source source_of(const std::string& text) {
  auto source = config::parse_source(text, [](const char*) { return std::nullopt; });
  REQUIRE(source);
  return *source;
}

// One who waits for a pull.
struct Caller {
  std::vector<LoadPhase> phases;
  std::vector<std::pair<std::string, std::string>> warnings;
  std::function<void()> at_phase = [] {};
  std::function<void()> at_done = [] {};
  int ends = 0;
  std::optional<Result<Pulled>> end;
  loop::OperationPtr operation;

  PullCallbacks callbacks() {
    return {.on_phase =
                [this](const LoadPhase& phase) {
                  CHECK(ends == 0);
                  phases.push_back(phase);
                  at_phase();
                },
            .on_warning = [this](const std::string& code,
                                 const std::string& message) { warnings.emplace_back(code, message); },
            .on_done =
                [this](Result<Pulled> result) {
                  ++ends;
                  end.emplace(std::move(result));
                  at_done();
                }};
  }
  std::vector<std::string> codes() const {
    std::vector<std::string> codes;
    for (const auto& [code, message] : warnings) codes.push_back(code);
    return codes;
  }
  template <class Phase>
  std::vector<Phase> all() const {
    std::vector<Phase> found;
    for (const LoadPhase& each : phases) {
      if (const auto* phase = std::get_if<Phase>(&each)) found.push_back(*phase);
    }
    return found;
  }
  std::optional<ErrorCode> error() const {
    return end && !*end ? std::optional<ErrorCode>(end->error().code) : std::nullopt;
  }
  std::string message() const { return error() ? end->error().message : ""; }
};

inline constexpr std::uint64_t segment_bytes = 64 * 1024;

struct Pulling {
  loop::test::TempFolder folder;
  loop::Loop loop;
  std::unique_ptr<CurlLoop> curl = std::make_unique<CurlLoop>(loop);
  RateLimit limit{loop};
  FetchServices services{.loop = loop,
                         .curl = *curl,
                         .rate_limit = limit,
                         .store = store::BlobStore(folder.file("models")),
                         .settings = {.connections = 2, .segment_bytes = segment_bytes, .retries = 2},
                         .hub = {}};
  std::unique_ptr<Pulls> pulls = std::make_unique<Pulls>(services);

  void join(
      Caller& caller, std::vector<std::string> urls, std::optional<store::Digest> digest,
      const std::function<void(PullRequest&)>& change = [](PullRequest&) {}) const {
    PullRequest request{.name = "m", .digest = digest};
    for (const std::string& url : urls) request.sources.push_back(source_of(url));
    change(request);
    caller.operation = pulls->join(std::move(request), caller.callbacks());
  }
  void wait(Caller& caller) {
    REQUIRE(run_until(loop, [&] { return caller.ends > 0; }));
    CHECK(caller.ends == 1);
  }
  // Waits for a success with these bytes, and looks for them in the store.
  const Pulled& check_is(Caller& caller, const std::string& file) {
    wait(caller);
    REQUIRE_MESSAGE(*caller.end, caller.message());
    const Pulled& pulled = **caller.end;
    CHECK(pulled.digest == digest_of(file));
    CHECK(pulled.size_bytes == file.size());
    CHECK(pulled.blob->size_bytes == file.size());
    CHECK_FALSE(pulled.blob->needs_hash);
    CHECK(content_of(services.store.blob_path(pulled.digest)) == file);
    CHECK_FALSE(std::filesystem::exists(services.store.partial_folder(pulled.digest)));
    return pulled;
  }
  std::string partial_folder(const store::Digest& key) const { return services.store.partial_folder(key); }
  bool is_partial_free(const store::Digest& key) const {
    return services.store.open_partial(key).has_value();
  }
  std::vector<std::string> quarantined(std::string_view extension) const {
    std::vector<std::string> paths;
    std::error_code none;
    for (const auto& each : std::filesystem::directory_iterator(services.store.quarantine_folder(), none)) {
      if (each.path().extension() == extension) paths.push_back(each.path());
    }
    std::ranges::sort(paths);
    return paths;
  }
};

using Codes = std::vector<std::string>;

}  // namespace ggufd::fetch::test
