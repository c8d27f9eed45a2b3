#include "fetch/download.h"

#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <utility>
#include <vector>

#include "config/address.h"
#include "fetch/curl_error.h"
#include "loop/offload.h"

namespace ggufd::fetch {
namespace {

constexpr std::uint64_t report_interval_ms = 100;
// While nothing arrives the rate falls all the same.
constexpr std::uint64_t tick_ms = 250;
// A loop that computes for more than this part of the time is itself what limits the rate.
constexpr double busy_loop = 0.6;

// What a file of unknown size may have behind the last tensor.
constexpr std::uint64_t endless_bytes = std::uint64_t{1} << 20;

// Of the thread that asks, milliseconds.
double thread_cpu_ms() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

bool have_same_origin(std::string_view a, std::string_view b) {
  const auto left = config::split_url(a);
  const auto right = config::split_url(b);
  return left && right && left->scheme == right->scheme && left->authority == right->authority;
}

}  // namespace

Download::Download(loop::Loop& loop, CurlLoop& curl, RateLimit& rate_limit, Target& target,
                   DownloadRequest request, DownloadCallbacks callbacks)
    : loop_(loop),
      curl_(curl),
      rate_limit_(rate_limit),
      target_(target),
      request_(std::move(request)),
      callbacks_(std::move(callbacks)),
      identity_(request_.bound),
      total_bytes_(identity_.size_bytes),
      assigned_(target.accepted()),
      widening_(request_.settings.connections),
      retries_(request_.settings.retries),
      retry_timer_(loop, [this] { fill(); }),
      progress_timer_(loop, [this] { tick(); }) {
  if (!total_bytes_) total_bytes_ = request_.size_bytes ? request_.size_bytes : request_.remote.size_bytes;
  if (request_.inspect) look_at_bytes_ = first_look_bytes;
  target_.set_on_room([this] { resume_all(); });
  target_.set_on_settled([this] {
    look();
    fill_soon();
  });
  progress_timer_.start_repeating(tick_ms);
  fill_soon();
}

Download::~Download() {
  if (callbacks_.on_done) let_go_of_target();
}

void Download::let_go_of_target() {
  target_.set_on_room(nullptr);
  target_.set_on_settled(nullptr);
}

void Download::cancel() {
  loop_.at_end_of_turn([this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    finish(std::unexpected(
        DownloadFailure{.failure = {.error = {ErrorCode::cancelled, "the download was cancelled"}}}));
  });
}

phase::Download Download::progress() const {
  phase::Download progress;
  progress.downloaded_bytes = target_.accepted().size();
  progress.total_bytes.value = total_bytes_;
  progress.source_url = display_url(request_.remote.url);
  progress.bytes_per_second = rate_.bytes_per_second();
  if (total_bytes_ && *total_bytes_ >= progress.downloaded_bytes)
    progress.eta_s = rate_.eta_s(*total_bytes_ - progress.downloaded_bytes);
  progress.resumed_bytes = request_.resumed_bytes;
  progress.connections = static_cast<std::uint32_t>(segments_.size());
  return progress;
}

// --- What is asked for

void Download::fill_soon() {
  if (std::exchange(is_fill_due_, true)) return;
  loop_.at_end_of_turn([this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    is_fill_due_ = false;
    fill();
  });
}

// Begins what may be begun now; the end, where nothing is left to begin or to wait for.
void Download::fill() {
  if (!callbacks_.on_done || retry_timer_.is_running()) return;
  if (is_complete()) {
    if (look_at_bytes_) return look();  // looked() comes back here
    return finish(DownloadEnd{identity_, request_.has_ranges});
  }
  // Until the first answer and the look at the header nobody knows whether there will be more.
  const bool is_first = !is_bound_ || look_at_bytes_;
  const std::uint32_t wanted = is_first ? 1 : widening_.wanted();
  while (segments_.size() < wanted) {
    if (!request_.has_ranges) {
      if (segments_.empty()) start(std::nullopt);
      return;
    }
    const auto range = next_range();
    if (!range) return;
    start(*range);
  }
}

// The next gap's first part. What is on its way or not yet safe is never more than a segment a connection, so
// that a crash costs no more than that.
std::optional<ByteRange> Download::next_range() {
  const std::uint64_t segment_bytes = request_.settings.segment_bytes;
  const auto gap = assigned_.first_gap(0, total_bytes_.value_or(Segment::open_end));
  if (!gap) return std::nullopt;
  const std::uint64_t allowed_bytes = segment_bytes * request_.settings.connections;
  const std::uint64_t unsafe_bytes = assigned_.size() - std::min(assigned_.size(), target_.safe_bytes());
  const std::uint64_t room_bytes = allowed_bytes - std::min(allowed_bytes, unsafe_bytes);
  if (room_bytes < std::min(segment_bytes / 4, gap->size())) {
    target_.make_safe();
    return std::nullopt;  // on_settled comes
  }
  const std::uint64_t length = std::min({gap->size(), segment_bytes, room_bytes});
  return ByteRange{gap->begin, gap->begin + length};
}

void Download::start(std::optional<ByteRange> range) {
  Asked asked{.range = range,
              .bound = identity_,
              .size_bytes = request_.size_bytes ? request_.size_bytes : request_.remote.size_bytes,
              .may_be_whole = segments_.empty() && target_.accepted().size() == 0};
  assigned_.add(range.value_or(ByteRange{0, Segment::open_end}));
  segments_.push_back(std::make_unique<Segment>(curl_, rate_limit_, target_,
                                                static_cast<SegmentOwner&>(*this), transfer_request(range),
                                                std::move(asked)));
  report();
}

TransferRequest Download::transfer_request(std::optional<ByteRange> range) const {
  const config::FetchConfig& settings = request_.settings;
  TransferRequest request;
  request.url = direct_url_.empty() ? request_.remote.url : direct_url_;
  request.range = range;
  // What is asked without a condition is asked before anything is known of the object.
  if (range) request.if_range = identity_.if_range();
  if (have_same_origin(request.url, request_.remote.url)) request.bearer_token = request_.remote.bearer_token;
  request.connect_timeout_s = settings.stall_timeout_s;
  request.stall_timeout_s = settings.stall_timeout_s;
  request.allow_plain_http = settings.allow_plain_http;
  request.ca_file = settings.ca_file;
  request.proxy = settings.proxy;
  // Under a rate limit small reads make small debts, and an even flow.
  if (const std::uint64_t limit = rate_limit_.bytes_per_second(); limit > 0) {
    constexpr std::uint64_t smallest = 16 * 1024;
    request.receive_buffer_bytes = static_cast<std::size_t>(
        std::clamp<std::uint64_t>(limit / 16, smallest, default_receive_buffer_bytes));
  }
  return request;
}

void Download::resume_all() {
  // What one of them brings may be the end of it, or of all.
  const std::weak_ptr<int> alive = alive_;
  std::vector<Segment*> asked;
  for (const auto& segment : segments_) asked.push_back(segment.get());
  for (Segment* each : asked) {
    if (alive.expired()) return;
    const auto is_it = [each](const auto& segment) { return segment.get() == each; };
    if (std::ranges::any_of(segments_, is_it)) each->resume();
  }
}

// --- What comes

std::optional<Error> Download::on_segment_head(Segment& segment, const HeadJudgement& judgement,
                                               const ResponseHead& head) {
  if (judgement.kind == HeadJudgement::Kind::whole) {
    request_.has_ranges = request_.has_ranges && head.header("accept-ranges").value_or("") == "bytes";
    assigned_.add({0, Segment::open_end});
    is_whole_ = true;
  } else {
    // A shorter part than was asked for leaves the rest to another request.
    assigned_.remove({segment.range().end, segment.asked_range().end});
  }
  if (!head.effective_url.empty() && head.effective_url != request_.remote.url)
    direct_url_ = head.effective_url;
  if (is_bound_) return std::nullopt;
  is_bound_ = true;
  identity_ = judgement.identity;
  // A server that does not tell the size is held to the one that is known from elsewhere.
  if (!identity_.size_bytes) identity_.size_bytes = total_bytes_;
  total_bytes_ = identity_.size_bytes;
  rate_.add(loop_.now_ms(), target_.accepted().size());
  callbacks_.on_bound(identity_);
  look();
  return std::nullopt;
}

void Download::on_segment_bytes(std::uint64_t bytes) {
  received_bytes_ += bytes;
  retries_.progressed();
  if (loop_.now_ms() >= next_report_ms_) report();
}

void Download::on_segment_end(Segment& segment, HeadJudgement judgement) {
  using Kind = HeadJudgement::Kind;
  const bool is_good = judgement.kind == Kind::partial || judgement.kind == Kind::whole;
  if (is_good && !total_bytes_) total_bytes_ = identity_.size_bytes = segment.next();
  assigned_.remove({segment.next(), segment.range().end});
  const auto is_it = [&](const auto& each) { return each.get() == &segment; };
  const auto place = std::ranges::find_if(segments_, is_it);
  const std::string url = segment.url();
  segments_.erase(place);  // destroys it, before anybody could destroy what it writes to
  if (is_good) return fill_soon();
  if (judgement.kind == Kind::object_changed) {
    return finish(
        std::unexpected(DownloadFailure{.failure = std::move(judgement.failure),
                                        .must_restart = true,
                                        .has_ranges = request_.has_ranges && !judgement.has_no_ranges}));
  }
  failed(url, std::move(judgement.failure));
}

void Download::failed(const std::string& url, Failure failure) {
  if (ask_origin_again(url, failure)) return fill_soon();
  if (!failure.is_passing) {
    const bool are_bytes_wrong = is_whole_ && failure.error.code == ErrorCode::size_mismatch;
    return finish(
        std::unexpected(DownloadFailure{.failure = std::move(failure), .are_bytes_wrong = are_bytes_wrong}));
  }
  // Connections that fail together are one failure.
  if (retry_timer_.is_running()) return;
  const auto wait_ms = retries_.failed(failure.wait_ms);
  if (!wait_ms) {
    const bool is_kept = request_.has_ranges && total_bytes_ && target_.accepted().size() > 0;
    if (is_kept) failure.error.message += "; what has arrived is kept";
    return finish(std::unexpected(DownloadFailure{.failure = std::move(failure)}));
  }
  callbacks_.on_note(fmt::format("{}; trying again in {} ms ({} of {})", failure.error.message, *wait_ms,
                                 retries_.failures(), request_.settings.retries));
  widening_.narrow(static_cast<std::uint32_t>(std::max<std::size_t>(segments_.size(), 1)));
  // A stream that is not in ranges can't be continued.
  const bool has_lost = !request_.has_ranges && target_.accepted().size() > 0;
  if (has_lost)
    return finish(std::unexpected(
        DownloadFailure{.failure = std::move(failure), .must_restart = true, .has_ranges = false}));
  retry_timer_.start_once(*wait_ms);
  report();
}

// Where a redirect had led may have expired; the source itself knows the way.
bool Download::ask_origin_again(const std::string& url, const Failure& failure) {
  if (failure.is_passing || failure.error.code != ErrorCode::http_status) return false;
  if (url == request_.remote.url) return false;
  if (url == direct_url_) direct_url_.clear();
  callbacks_.on_note(fmt::format("{}; asking {} for the way again", failure.error.message,
                                 display_url(request_.remote.url)));
  return true;
}

// --- What it is: a look at the header while the rest is still to come

void Download::look() {
  if (!look_at_bytes_ || looking_) return;
  const std::uint64_t front_bytes = target_.settled().end_of_run(0);
  const bool is_all = total_bytes_ && front_bytes >= *total_bytes_;
  if (front_bytes < *look_at_bytes_ && !is_all) return;
  looking_ = loop::offload<Verdict>(
      loop_,
      [inspect = request_.inspect, keeper = request_.keeper,
       arrived = Arrived{request_.inspect_fd, front_bytes, total_bytes_, request_.is_digest_known}](
          loop::CancelToken) { return inspect(arrived); },
      [this, is_all](Result<Verdict> verdict) {
        looking_.reset();
        if (verdict && is_all) verdict->wants_front_bytes.reset();
        looked(std::move(verdict));
      });
}

void Download::looked(Result<Verdict> verdict) {
  if (!verdict) {
    return finish(std::unexpected(
        DownloadFailure{.failure = {.error = std::move(verdict.error())}, .is_refused = true}));
  }
  for (const auto& [code, message] : verdict->warnings) callbacks_.on_warning(code, message);
  header_bytes_ = verdict->size_bytes;
  look_at_bytes_ = verdict->wants_front_bytes;
  look();
  fill_soon();
}

// --- How far it is

void Download::tick() {
  const double cpu_ms = thread_cpu_ms();
  const auto elapsed_ms = static_cast<double>(loop_.now_ms() - ticked_ms_);
  if (cpu_ms - ticked_cpu_ms_ > busy_loop * elapsed_ms) widening_.held_back();
  ticked_cpu_ms_ = cpu_ms;
  ticked_ms_ = loop_.now_ms();
  widening_.sample(loop_.now_ms(), received_bytes_, static_cast<std::uint32_t>(segments_.size()));
  if (loop_.now_ms() >= next_report_ms_ + tick_ms) report();
  const std::uint64_t bytes = target_.accepted().size();
  if (!total_bytes_ && header_bytes_ && bytes > *header_bytes_ + endless_bytes) {
    return finish(std::unexpected(DownloadFailure{
        .failure = {.error = {ErrorCode::size_mismatch,
                              fmt::format("{} does not end: its header tells of {} bytes, and {} have come",
                                          display_url(request_.remote.url), *header_bytes_, bytes)}},
        .are_bytes_wrong = true}));
  }
  fill();
}

void Download::report() {
  const std::uint64_t now_ms = loop_.now_ms();
  next_report_ms_ = now_ms + report_interval_ms;
  if (is_bound_) rate_.add(now_ms, target_.accepted().size());
  callbacks_.on_progress();
}

bool Download::is_complete() const {
  // An earlier try may have left nothing to ask for.
  const bool has_answer = is_bound_ || target_.accepted().size() > 0;
  return has_answer && segments_.empty() && total_bytes_ && target_.accepted().contains({0, *total_bytes_});
}

void Download::finish(std::expected<DownloadEnd, DownloadFailure> result) {
  if (!callbacks_.on_done) return;
  progress_timer_.stop();
  retry_timer_.stop();
  looking_.reset();
  segments_.clear();
  // From now on the target is free for the next download, which may begin before this one is destroyed.
  let_go_of_target();
  if (result) report();
  std::exchange(callbacks_.on_done, nullptr)(std::move(result));  // may destroy this
}

}  // namespace ggufd::fetch
