// One file from a URL into a partial of the store, hashed as it arrives.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "config/config.h"
#include "fetch/curl_loop.h"
#include "fetch/hashing_writer.h"
#include "fetch/rate_meter.h"
#include "loop/operation.h"
#include "loop/timer.h"
#include "protocol/error.h"
#include "protocol/load_phase.h"
#include "store/partial.h"

namespace ggufd::fetch {

struct DownloadRequest {
  std::string url;
  std::optional<std::uint64_t> size_bytes;  // that the file must have, where it is known
  config::FetchConfig settings;
};

struct Downloaded {
  store::Partial partial;  // its lock is held on
  store::Digest digest;    // of the bytes that are in it
  std::uint64_t size_bytes = 0;
};

struct DownloadCallbacks {
  // progress() has changed; some ten times a second. May cancel the download, not destroy it.
  std::function<void()> on_progress;
  // The end. Codes: those of curl_error(), http_status, size_mismatch, disk_full, io, cancelled.
  std::move_only_function<void(Result<Downloaded>)> on_done;
};

// The partial is written from its begin; what was in it is lost. After an error its bytes stay.
class Download final : public loop::Operation, private TransferSink {
 public:
  Download(loop::Loop& loop, CurlLoop& curl, DownloadRequest request, store::Partial partial,
           DownloadCallbacks callbacks);

  void cancel() override;

  phase::Download progress() const;

 private:
  Result<void> on_head(const ResponseHead& head) override;
  Taken on_body(std::span<const std::byte> bytes) override;
  void on_end(Result<void> result) override;

  void begin_transfer();
  void resume_soon();
  Result<void> check_head(const ResponseHead& head);
  void received(std::uint64_t bytes);
  void tick();
  void finish(Result<Downloaded> result);
  void finish_written(const HashingWriter::Written& written);

  loop::Loop& loop_;
  CurlLoop& curl_;
  DownloadRequest request_;
  std::shared_ptr<store::Partial> partial_;
  DownloadCallbacks callbacks_;
  HashingWriter writer_;
  loop::OperationPtr emptying_;
  std::unique_ptr<Transfer> transfer_;
  loop::Timer progress_timer_;

  std::optional<std::uint64_t> total_bytes_;
  std::uint64_t received_bytes_ = 0;
  std::uint64_t next_progress_ms_ = 0;
  RateMeter rate_;
  std::optional<Error> refused_;  // too many bytes, or a write that failed
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace ggufd::fetch
