#include "fetch/segment.h"

#include <fmt/core.h>

#include <ctime>
#include <utility>

#include "fetch/curl_error.h"

namespace ggufd::fetch {

Segment::Segment(CurlLoop& curl, RateLimit& rate_limit, Target& target, SegmentOwner& owner,
                 TransferRequest request, Asked asked)
    : rate_limit_(rate_limit),
      target_(target),
      owner_(owner),
      asked_(std::move(asked)),
      url_(request.url),
      range_(asked_.range.value_or(ByteRange{0, open_end})),
      next_(range_.begin),
      waiter_(rate_limit, [this] { resume(); }),
      transfer_(curl.start(request, *this)) {}

// What was begun and will not be continued here need not wait for more in memory.
Segment::~Segment() {
  transfer_.reset();
  target_.seal(next_);
}

void Segment::resume() {
  if (transfer_ && std::exchange(is_held_back_, false)) transfer_->resume();
}

Result<void> Segment::on_head(const ResponseHead& head) {
  judgement_ = judge_head(asked_, head, std::time(nullptr));
  using Kind = HeadJudgement::Kind;
  if (judgement_.kind != Kind::partial && judgement_.kind != Kind::whole)
    return std::unexpected(judgement_.failure.error);
  const auto size_bytes = judgement_.identity.size_bytes ? judgement_.identity.size_bytes : asked_.size_bytes;
  range_ = judgement_.kind == Kind::partial ? judgement_.range : ByteRange{0, size_bytes.value_or(open_end)};
  next_ = range_.begin;
  is_head_good_ = true;
  is_end_told_ = head.is_end_told;
  refusal_ = owner_.on_segment_head(*this, judgement_, head);
  if (refusal_) return std::unexpected(*refusal_);
  return {};
}

TransferSink::Taken Segment::on_body(std::span<const std::byte> bytes) {
  if (refusal_) return Taken::all;
  if (bytes.size() > range_.end - next_) {
    refusal_ = Error{
        ErrorCode::size_mismatch,
        fmt::format("{} sends more than the {} bytes that it announced or should have; check the source",
                    display_url(url_), range_.size())};
    transfer_->cancel();
    return Taken::all;
  }
  if (!rate_limit_.has_room() || !target_.offer(next_, bytes)) {
    is_held_back_ = true;
    owner_.on_segment_held_back();
    return Taken::nothing;
  }
  rate_limit_.take(bytes.size());
  next_ += bytes.size();
  owner_.on_segment_bytes(bytes.size());
  return Taken::all;
}

void Segment::on_end(Result<void> result) {
  HeadJudgement judgement = judgement_of(std::move(result));
  transfer_.reset();
  target_.seal(next_);
  owner_.on_segment_end(*this, std::move(judgement));  // may destroy this
}

// What ended well may have been cut off on its way, where nothing but the connection's end says where it
// ends.
Failure Segment::ended_early() const {
  if (judgement_.kind == HeadJudgement::Kind::whole && is_end_told_) {
    return {.error = {ErrorCode::size_mismatch,
                      fmt::format("{} has {} bytes and {} are expected; correct size_bytes, or the source",
                                  display_url(url_), next_, range_.end)}};
  }
  return {.error = {ErrorCode::network,
                    fmt::format("{} ended {} bytes early; try again", display_url(url_), range_.end - next_)},
          .is_passing = true};
}

HeadJudgement Segment::judgement_of(Result<void> result) const {
  HeadJudgement judgement = judgement_;
  if (refusal_) {
    judgement.kind = HeadJudgement::Kind::failed;
    judgement.failure = {.error = *refusal_};
  } else if (!result && (is_head_good_ || judgement.failure.error.message.empty())) {
    judgement.kind = HeadJudgement::Kind::failed;
    judgement.failure = failure_of(std::move(result.error()));
  } else if (is_head_good_ && range_.end != open_end && next_ != range_.end) {
    judgement.kind = HeadJudgement::Kind::failed;
    judgement.failure = ended_early();
  }
  return judgement;
}

}  // namespace ggufd::fetch
