// A store, a partial in it, and one download into that.
#pragma once

#include "fetch/download.h"
#include "fetch/file_writer.h"
#include "store/blob_store.h"
#include "support.h"

namespace ggufd::fetch::test {

inline constexpr std::uint64_t segment_bytes = 64 * 1024;

struct Fetching {
  loop::test::TempFolder folder;
  store::BlobStore store{folder.file("models")};
  std::shared_ptr<store::Partial> partial = open();
  loop::Loop loop;
  std::unique_ptr<CurlLoop> curl = std::make_unique<CurlLoop>(loop);
  RateLimit limit{loop};
  config::FetchConfig settings{.connections = 4, .segment_bytes = segment_bytes, .retries = 3};

  std::vector<phase::Download> reports;
  std::vector<Identity> bound;
  std::vector<std::string> notes;
  std::vector<std::string> warnings;
  std::function<void()> at_progress = [] {};
  std::function<void()> at_done = [] {};
  int ends = 0;
  std::optional<std::expected<DownloadEnd, DownloadFailure>> end;
  std::optional<Error> write_error;
  std::optional<store::Digest> digest;
  std::unique_ptr<FileWriter> writer = std::make_unique<FileWriter>(
      loop, partial, ByteRanges(), [this](Error error) { write_error = std::move(error); });
  std::unique_ptr<Download> download;

  std::shared_ptr<store::Partial> open() const {
    auto opened = store.open_partial(digest_of("the key"));
    REQUIRE(opened);
    return std::make_shared<store::Partial>(std::move(*opened));
  }
  void start(const std::string& url, DownloadRequest request = {}) {
    request.remote.url = url;
    request.settings = settings;
    request.inspect_fd = partial->fd();
    request.keeper = partial;
    download = std::make_unique<Download>(
        loop, *curl, limit, *writer, std::move(request),
        DownloadCallbacks{
            .on_progress =
                [this] {
                  CHECK(ends == 0);
                  if (!download) return;
                  reports.push_back(download->progress());
                  at_progress();
                },
            .on_bound =
                [this, url](const Identity& identity) {
                  bound.push_back(identity);
                  if (identity.size_bytes)
                    writer->keep_journal({.url = url, .size_bytes = *identity.size_bytes}, segment_bytes);
                },
            .on_warning = [this](const std::string& code, const std::string&) { warnings.push_back(code); },
            .on_note = [this](const std::string& note) { notes.push_back(note); },
            .on_done =
                [this](std::expected<DownloadEnd, DownloadFailure> result) {
                  ++ends;
                  end.emplace(std::move(result));
                  at_done();
                }});
  }
  void run(const std::string& url, DownloadRequest request = {}) {
    start(url, std::move(request));
    REQUIRE(run_until(loop, [this] { return ends > 0; }));
    CHECK(ends == 1);
  }
  // Lets everything come that may still come.
  void run_dry() {
    writer.reset();  // its journal has a clock
    loop.run();
  }
  // The end must be a complete file with these bytes.
  void check_is(const std::string& file) {
    REQUIRE(end);
    REQUIRE_MESSAGE(*end, (*end ? "" : (*end).error().failure.error.message));
    CHECK((*end)->identity.size_bytes == file.size());
    CHECK(writer->accepted().size() == file.size());
    writer->finish(file.size(), [this](const store::Digest& done) { digest = done; });
    REQUIRE(run_until(loop, [this] { return digest.has_value(); }));
    CHECK(digest == digest_of(file));
    CHECK(content_of(partial->data_path()) == file);
  }
  const DownloadFailure& failure() const {
    REQUIRE(end);
    REQUIRE_FALSE(*end);
    return end->error();
  }
  ErrorCode code() const { return failure().failure.error.code; }
};

inline bool is_in(std::string_view part, std::string_view text) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace ggufd::fetch::test
