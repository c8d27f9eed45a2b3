// One request of a download: a range of the file, or all of it, on its way from curl into the target.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "fetch/curl_loop.h"
#include "fetch/head_judgement.h"
#include "fetch/rate_limit.h"
#include "fetch/target.h"

namespace ggufd::fetch {

class Segment;

// What is told of a segment; all of it on the loop. Only on_segment_end may destroy the segment.
class SegmentOwner {
 public:
  // The head was judged to be `partial` or `whole`; false ends the segment as `failed` with `refusal`.
  virtual std::optional<Error> on_segment_head(Segment& segment, const HeadJudgement& judgement,
                                               const ResponseHead& head) = 0;
  virtual void on_segment_bytes(std::uint64_t bytes) = 0;
  // The target or the rate limit has no room just now: not the network is slow.
  virtual void on_segment_held_back() = 0;
  // The end; `judgement` says how: partial or whole for all bytes of the range, else what went wrong.
  virtual void on_segment_end(Segment& segment, HeadJudgement judgement) = 0;

 protected:
  ~SegmentOwner() = default;
};

class Segment final : private TransferSink {
 public:
  // The end of a range whose file's size is not known.
  static constexpr std::uint64_t open_end = std::numeric_limits<std::uint64_t>::max();

  // Begins at once. `asked.range` and `request.range` agree.
  Segment(CurlLoop& curl, RateLimit& rate_limit, Target& target, SegmentOwner& owner, TransferRequest request,
          Asked asked);
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  ~Segment();

  // The bytes that it brings, [begin, end): as asked for, and as answered once the head is here.
  ByteRange range() const { return range_; }
  ByteRange asked_range() const { return asked_.range.value_or(ByteRange{0, open_end}); }
  // The offset of the next byte to come.
  std::uint64_t next() const { return next_; }
  const std::string& url() const { return url_; }

  // The target has room again.
  void resume();

 private:
  Result<void> on_head(const ResponseHead& head) override;
  Taken on_body(std::span<const std::byte> bytes) override;
  void on_end(Result<void> result) override;
  HeadJudgement judgement_of(Result<void> result) const;
  Failure ended_early() const;

  RateLimit& rate_limit_;
  Target& target_;
  SegmentOwner& owner_;
  Asked asked_;
  std::string url_;
  ByteRange range_;
  std::uint64_t next_ = 0;
  bool is_held_back_ = false;
  HeadJudgement judgement_;
  bool is_head_good_ = false;
  bool is_end_told_ = false;
  std::optional<Error> refusal_;  // of the owner, or too many bytes
  RateLimit::Waiter waiter_;
  std::unique_ptr<Transfer> transfer_;
};

}  // namespace ggufd::fetch
