// Several files pulled one after the other, told as one: the pulls are played by the test.
#include "model/pull_files.h"

#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

// Pulls that do nothing but what the test says.
struct Played {
  struct Pull final : loop::Operation {
    Played& all;
    std::size_t index;
    Pull(Played& in, std::size_t place) : all(in), index(place) {}
    void cancel() override { all.cancelled.push_back(index); }
  };

  House house;
  std::vector<fetch::PullRequest> requests;
  std::vector<fetch::PullCallbacks> callbacks;
  std::vector<std::size_t> cancelled;
  std::vector<LoadPhase> phases;
  std::vector<std::string> warnings;
  std::function<void()> at_phase = [] {};
  int ends = 0;
  std::optional<Result<std::vector<std::optional<fetch::Pulled>>>> end;
  std::unique_ptr<PullFiles> files;

  void start(PullFilesRequest request) {
    files = std::make_unique<PullFiles>(
        house.loop,
        [this](fetch::PullRequest one, fetch::PullCallbacks told) {
          requests.push_back(std::move(one));
          callbacks.push_back(std::move(told));
          return std::make_unique<Pull>(*this, requests.size() - 1);
        },
        std::move(request),
        PullFilesCallbacks{
            .on_phase =
                [this](const LoadPhase& phase) {
                  phases.push_back(phase);
                  at_phase();
                },
            .on_warning = [this](const std::string& code, const std::string&) { warnings.push_back(code); },
            .on_done =
                [this](auto result) {
                  ++ends;
                  end.emplace(std::move(result));
                }});
  }
  void download(std::uint64_t bytes, std::optional<std::uint64_t> total, std::uint64_t resumed = 0,
                std::uint64_t rate = 0) {
    callbacks.back().on_phase(phase::Download{.downloaded_bytes = bytes,
                                              .total_bytes = {total},
                                              .source_url = "http://127.0.0.1/x",
                                              .bytes_per_second = rate,
                                              .eta_s = 7,
                                              .resumed_bytes = resumed,
                                              .connections = 2});
  }
  void finish(std::uint64_t size_bytes) {
    callbacks.back().on_done(fetch::Pulled{.blob = nullptr,
                                           .digest = digest_of(std::to_string(callbacks.size())),
                                           .size_bytes = size_bytes,
                                           .source = {},
                                           .revision = "",
                                           .was_fetched = true});
  }
  void fail_with(ErrorCode code) { callbacks.back().on_done(fail(code, "as played")); }
  phase::Download last() const { return std::get<phase::Download>(phases.back()); }
};

PullFilesRequest request_for(unsigned count) {
  PullFilesRequest request{.model = "m", .look = {.model = "m"}};
  for (unsigned i = 0; i < count; ++i) {
    const std::string url = fmt::format("http://127.0.0.1:1/m-{:05}-of-{:05}.gguf?q", i + 1, count);
    request.files.push_back({.file = {.sources = from_url(url, "").sources, .digest = std::nullopt}});
  }
  return request;
}

TEST_CASE("one file's progress is passed on as it is") {
  Played played;
  PullFilesRequest request = request_for(1);
  request.files[0].file.digest = digest_of("x");
  request.size_bytes = 100;
  played.start(std::move(request));
  CHECK(played.phases.empty());
  REQUIRE(played.requests.size() == 1);
  CHECK(played.requests[0].name == "m");
  CHECK(played.requests[0].digest == digest_of("x"));
  CHECK(played.requests[0].size_bytes == 100);
  CHECK(played.requests[0].inspect != nullptr);
  played.download(40, 100, 10, 5);
  CHECK(played.last() == phase::Download{.downloaded_bytes = 40,
                                         .total_bytes = {100},
                                         .source_url = "http://127.0.0.1/x",
                                         .bytes_per_second = 5,
                                         .eta_s = 7,
                                         .resumed_bytes = 10,
                                         .connections = 2});
  played.callbacks[0].on_phase(phase::Verify{"p", 100, 100});
  CHECK(kind_of(played.phases.back()) == PhaseKind::verify);
  played.finish(100);
  REQUIRE(played.ends == 1);
  REQUIRE(*played.end);
  CHECK((**played.end)[0]->size_bytes == 100);
}

TEST_CASE("several files are one progress; its total is told once every size is known") {
  Played played;
  played.start(request_for(3));
  played.download(0, 100);
  CHECK(played.last().total_bytes.value == std::nullopt);
  CHECK_FALSE(played.last().eta_s);
  played.download(100, 100, 30);
  played.callbacks[0].on_phase(phase::Verify{"p", 100, 100});
  CHECK(kind_of(played.phases.back()) == PhaseKind::download);
  CHECK(played.requests[0].size_bytes == std::nullopt);
  played.finish(100);
  REQUIRE(played.requests.size() == 2);
  CHECK(played.requests[1].sources.front().file_name() == "m-00002-of-00003.gguf");
  played.download(50, 200, 50);
  CHECK(played.last().downloaded_bytes == 150);
  CHECK(played.last().resumed_bytes == 80);
  CHECK(played.last().total_bytes.value == std::nullopt);
  played.finish(200);
  played.download(0, 50, 0, 30);
  CHECK(played.last().downloaded_bytes == 300);
  CHECK(played.last().total_bytes.value == 350);
  CHECK(played.last().eta_s == 2);
  CHECK(played.ends == 0);
  played.finish(50);
  CHECK(played.ends == 1);
  std::uint64_t before = 0;
  for (const LoadPhase& phase : played.phases) {
    CHECK(std::get<phase::Download>(phase).downloaded_bytes >= before);
    before = std::get<phase::Download>(phase).downloaded_bytes;
  }
}

TEST_CASE("a configured size is the total from the first on") {
  Played played;
  PullFilesRequest request = request_for(2);
  request.size_bytes = 300;
  played.start(std::move(request));
  played.download(100, 100);
  CHECK(played.last().total_bytes.value == 300);
}

TEST_CASE("files that are here count, and are not pulled") {
  Played played;
  PullFilesRequest request = request_for(3);
  request.files[0].size_here_bytes = 100;
  request.files[2].size_here_bytes = 50;
  played.start(std::move(request));
  played.download(10, 200);
  CHECK(played.last().downloaded_bytes == 160);
  CHECK(played.last().resumed_bytes == 150);
  CHECK(played.last().total_bytes.value == 350);
  played.finish(200);
  CHECK(played.requests.size() == 1);
  REQUIRE(played.ends == 1);
  const auto& pulled = **played.end;
  CHECK_FALSE(pulled[0]);
  CHECK(pulled[1]);
  CHECK_FALSE(pulled[2]);
}

TEST_CASE("an error of any file is the end") {
  Played played;
  played.start(request_for(3));
  played.finish(1);
  played.fail_with(ErrorCode::network);
  CHECK(played.requests.size() == 2);
  REQUIRE(played.ends == 1);
  CHECK(played.end->error().code == ErrorCode::network);
}

TEST_CASE("cancelling cancels the file that is being pulled, and no other is begun") {
  Played played;
  played.start(request_for(2));
  SUBCASE("while it is pulled") {
    played.files->cancel();
    played.files->cancel();
    CHECK(played.cancelled == std::vector<std::size_t>{0});
    CHECK(played.ends == 0);
    SUBCASE("and it ends so") {
      played.fail_with(ErrorCode::cancelled);
    }
    SUBCASE("and it had ended well") {
      played.finish(1);
    }
  }
  SUBCASE("at a progress") {
    played.at_phase = [&] { played.files->cancel(); };
    played.download(1, 2);
    played.fail_with(ErrorCode::cancelled);
  }
  CHECK(played.requests.size() == 1);
  REQUIRE(played.ends == 1);
  CHECK(played.end->error().code == ErrorCode::cancelled);
}

TEST_CASE("destroyed, it says nothing more") {
  Played played;
  played.start(request_for(2));
  played.files.reset();
  played.house.loop.run();
  CHECK(played.ends == 0);
}

TEST_CASE("a fresh download after a bad blob is the last: bad bytes once more are the error") {
  Played played;
  PullFilesRequest request = request_for(1);
  request.files[0].was_put_away = true;
  played.start(std::move(request));
  const phase::Quarantine evidence{"p", std::string(64, 'a'), std::string(64, 'b'), "/quarantine/x.bin"};
  played.callbacks[0].on_phase(evidence);
  CHECK(played.phases.back() == LoadPhase(evidence));
  CHECK(played.cancelled == std::vector<std::size_t>{0});
  played.fail_with(ErrorCode::cancelled);
  REQUIRE(played.ends == 1);
  CHECK(played.end->error().code == ErrorCode::sha256_mismatch);
  CHECK(played.end->error().message.find("/quarantine/x.bin") != std::string::npos);
}

TEST_CASE("of a pinned digest it is said how to forget the pin") {
  Played played;
  PullFilesRequest request = request_for(1);
  request.files[0].was_put_away = true;
  request.files[0].file.is_digest_pinned = true;
  played.start(std::move(request));
  CHECK(played.requests[0].is_digest_pinned);
  played.callbacks[0].on_phase(phase::Quarantine{"p", "a", "b", "q"});
  played.fail_with(ErrorCode::cancelled);
  REQUIRE(played.ends == 1);
  CHECK(played.end->error().message.find("`ggufctl rm m`") != std::string::npos);
  CHECK(played.end->error().message.find("sha256") == std::string::npos);
}

TEST_CASE("of several files a verify is told before a quarantine, over all that is known") {
  Played played;
  PullFilesRequest request = request_for(3);
  request.files[0].size_here_bytes = 100;
  played.start(std::move(request));
  played.download(50, 50);
  played.callbacks[0].on_phase(phase::Verify{"p", 50, 50});
  CHECK(kind_of(played.phases.back()) == PhaseKind::download);
  const phase::Quarantine evidence{"p", "a", "b", "q"};
  played.callbacks[0].on_phase(evidence);
  REQUIRE(played.phases.size() == 3);
  CHECK(played.phases[1] == LoadPhase(phase::Verify{"p", 150, 150}));
  CHECK(played.phases[2] == LoadPhase(evidence));
  played.finish(50);
  // What was verified of one file says nothing of the next.
  played.callbacks[1].on_phase(evidence);
  CHECK(played.phases.size() == 4);
}

TEST_CASE("the first bad bytes of a download are not the end") {
  Played played;
  played.start(request_for(1));
  played.callbacks[0].on_phase(phase::Quarantine{"p", "a", "b", "q"});
  CHECK(played.cancelled.empty());
  played.finish(1);
  CHECK(*played.end);
}

TEST_CASE("that the memory may be short is told once, everything else each time") {
  Played played;
  played.start(request_for(2));
  for (int i = 0; i < 2; ++i) {
    played.callbacks.back().on_warning("memory_preflight", "short");
    played.callbacks.back().on_warning("download_restarted", "again");
    played.finish(1);
  }
  CHECK(played.warnings ==
        std::vector<std::string>{"memory_preflight", "download_restarted", "download_restarted"});
}

}  // namespace
}  // namespace ggufd::model
