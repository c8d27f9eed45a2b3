// What is missing of one file, fetched from one place: segments over as many connections as pay, failures
// that pass tried again.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "config/config.h"
#include "fetch/curl_loop.h"
#include "fetch/failure.h"
#include "fetch/identity.h"
#include "fetch/inspect.h"
#include "fetch/rate_limit.h"
#include "fetch/rate_meter.h"
#include "fetch/remote_file.h"
#include "fetch/retry_policy.h"
#include "fetch/segment.h"
#include "fetch/target.h"
#include "fetch/widening.h"
#include "loop/loop.h"
#include "loop/operation.h"
#include "loop/timer.h"
#include "protocol/load_phase.h"

namespace ggufd::fetch {

struct DownloadRequest {
  RemoteFile remote;
  config::FetchConfig settings;
  std::optional<std::uint64_t> size_bytes;  // that the file must have
  Identity bound;                           // the object that the target's bytes belong to, where it has any
  bool has_ranges = true;  // false: they were tried and can't be trusted; the whole file as one stream
  std::uint64_t resumed_bytes = 0;     // of what is in the target, what an earlier try had left
  Inspect inspect;                     // may be null
  bool is_digest_known = false;        // for inspect
  std::shared_ptr<const void> keeper;  // owns inspect_fd
  int inspect_fd = -1;                 // reads what the target has settled
};

// The file is complete in the target.
struct DownloadEnd {
  Identity identity;  // with its size
  bool has_ranges = true;
};

struct DownloadFailure {
  Failure failure;
  // The bytes in the target can't be continued: they belong to another object, or the server's ranges are not
  // to be trusted. Begin anew, with `has_ranges`.
  bool must_restart = false;
  bool has_ranges = true;
  bool is_refused = false;       // by inspect
  bool are_bytes_wrong = false;  // what has come is not what was asked for, and of no use to another mirror
};

struct DownloadCallbacks {
  // progress() has changed; some ten times a second.
  std::function<void()> on_progress;
  // The first good answer: what the bytes belong to from now on. The target may reserve the size.
  std::function<void(const Identity&)> on_bound;
  std::function<void(const std::string& code, const std::string& message)> on_warning;
  // For the log: what passes, and what is done about it.
  std::function<void(const std::string&)> on_note;
  // The end; may destroy the download. The other callbacks must not. A failure of kind `cancelled` where it
  // was.
  std::move_only_function<void(std::expected<DownloadEnd, DownloadFailure>)> on_done;
};

class Download final : public loop::Operation, private SegmentOwner {
 public:
  // The target must outlive it.
  Download(loop::Loop& loop, CurlLoop& curl, RateLimit& rate_limit, Target& target, DownloadRequest request,
           DownloadCallbacks callbacks);
  ~Download() override;

  void cancel() override;

  phase::Download progress() const;

 private:
  std::optional<Error> on_segment_head(Segment& segment, const HeadJudgement& judgement,
                                       const ResponseHead& head) override;
  void on_segment_bytes(std::uint64_t bytes) override;
  void on_segment_held_back() override { widening_.held_back(); }
  void on_segment_end(Segment& segment, HeadJudgement judgement) override;

  void fill();
  void fill_soon();
  std::optional<ByteRange> next_range();
  void start(std::optional<ByteRange> range);
  TransferRequest transfer_request(std::optional<ByteRange> range) const;
  void resume_all();
  void let_go_of_target();
  void failed(const std::string& url, Failure failure);
  bool ask_origin_again(const std::string& url, const Failure& failure);
  void look();
  void looked(Result<Verdict> verdict);
  void tick();
  void report();
  bool is_complete() const;
  void finish(std::expected<DownloadEnd, DownloadFailure> result);

  loop::Loop& loop_;
  CurlLoop& curl_;
  RateLimit& rate_limit_;
  Target& target_;
  DownloadRequest request_;
  DownloadCallbacks callbacks_;

  Identity identity_;
  bool is_bound_ = false;
  bool is_whole_ = false;  // an answer with the whole file was taken, so all bytes are of one answer
  std::optional<std::uint64_t> total_bytes_;
  std::optional<std::uint64_t> header_bytes_;  // the size that the file's header says
  std::string direct_url_;                     // where redirects have led; empty: the source itself is asked
  ByteRanges assigned_;                        // accepted, or on its way
  std::list<std::unique_ptr<Segment>> segments_;
  Widening widening_;
  RetryPolicy retries_;
  loop::Timer retry_timer_;

  std::optional<std::uint64_t> look_at_bytes_;  // nothing: the file was looked at, or nobody wants to
  loop::OperationPtr looking_;

  std::uint64_t received_bytes_ = 0;  // by this download
  std::uint64_t next_report_ms_ = 0;
  std::uint64_t ticked_ms_ = 0;
  double ticked_cpu_ms_ = 0;
  RateMeter rate_;
  loop::Timer progress_timer_;
  bool is_fill_due_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace ggufd::fetch
