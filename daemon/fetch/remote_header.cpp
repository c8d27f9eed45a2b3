#include "fetch/remote_header.h"

#include <fmt/core.h>

#include <algorithm>
#include <cassert>
#include <ctime>
#include <utility>

#include "fetch/curl_error.h"
#include "fetch/head_judgement.h"
#include "fetch/inspect.h"
#include "fetch/resolve.h"

namespace ggufd::fetch {
namespace {

constexpr int max_restarts = 2;

}  // namespace

struct FetchHeader::Impl final : TransferSink {
  loop::Loop& loop;
  CurlLoop& curl;
  HeaderRequest request;
  Done on_done;

  std::size_t mirror = 0;
  std::optional<Error> first_error;  // of the mirrors that have failed
  bool is_cancelled = false;

  // Of the mirror that is asked now.
  RemoteFile remote;
  bool has_ranges = true;
  int restarts = 0;  // the file has changed, or ranges are not to be trusted
  std::vector<std::byte> bytes;
  std::uint64_t wanted = 0;
  Identity identity;
  std::optional<std::uint64_t> total_bytes;

  // Of the request under way.
  HeadJudgement judgement;
  bool is_head_good = false;
  bool is_enough = false;         // the rest of what the server sends is not wanted
  std::optional<Error> judged;    // by `wants`
  std::uint64_t may_come_to = 0;  // the offset at which a part ends
  loop::OperationPtr resolving;
  std::unique_ptr<Transfer> transfer;
  std::shared_ptr<int> alive = std::make_shared<int>(0);

  Impl(loop::Loop& loop_in, CurlLoop& curl_in) : loop(loop_in), curl(curl_in) {}

  void begin_mirror();
  void ask_from_begin();
  void ask();
  Result<void> on_head(const ResponseHead& head) override;
  Taken on_body(std::span<const std::byte> more) override;
  void on_end(Result<void> result) override;
  void part_ended();
  void consult();
  bool has_whole_file() const { return total_bytes && bytes.size() >= *total_bytes; }
  void object_changed();
  void mirror_failed(Error error);
  void cancel();
  void finish(Result<RemoteHeader> result);
};

void FetchHeader::Impl::begin_mirror() {
  has_ranges = true;
  restarts = 0;
  resolving = std::make_unique<Resolve>(loop, curl, request.sources[mirror], request.settings, request.hub,
                                        false, [this](std::expected<RemoteFile, Failure> answer) {
                                          resolving.reset();
                                          if (!answer) return mirror_failed(std::move(answer.error().error));
                                          remote = std::move(*answer);
                                          ask_from_begin();
                                        });
}

void FetchHeader::Impl::ask_from_begin() {
  bytes.clear();
  identity = {};
  total_bytes = remote.size_bytes;
  wanted = std::min(first_look_bytes, total_bytes.value_or(first_look_bytes));
  wanted = std::max<std::uint64_t>(wanted, 1);  // a range is never empty, a file may be
  ask();
}

// What is missing of the wanted bytes, or all from the begin where the server has no ranges.
void FetchHeader::Impl::ask() {
  judgement = {};
  is_head_good = false;
  is_enough = false;
  TransferRequest asked{.url = remote.url,
                        .bearer_token = remote.bearer_token,
                        .connect_timeout_s = request.settings.stall_timeout_s,
                        .stall_timeout_s = request.settings.stall_timeout_s,
                        .allow_plain_http = request.settings.allow_plain_http,
                        .ca_file = request.settings.ca_file,
                        .proxy = request.settings.proxy};
  if (has_ranges) {
    asked.range = ByteRange{bytes.size(), wanted};
    asked.if_range = identity.if_range();
  }
  transfer = curl.start(asked, *this);
}

Result<void> FetchHeader::Impl::on_head(const ResponseHead& head) {
  const Asked asked{.range = has_ranges ? std::optional(ByteRange{bytes.size(), wanted}) : std::nullopt,
                    .bound = identity,
                    .size_bytes = remote.size_bytes,
                    .may_be_whole = bytes.empty()};
  judgement = judge_head(asked, head, std::time(nullptr));
  using Kind = HeadJudgement::Kind;
  if (judgement.kind != Kind::partial && judgement.kind != Kind::whole)
    return std::unexpected(judgement.failure.error);
  is_head_good = true;
  identity = judgement.identity;
  if (!total_bytes) total_bytes = identity.size_bytes;
  const bool is_part = judgement.kind == Kind::partial;
  may_come_to = is_part ? judgement.range.end : total_bytes.value_or(max_header_bytes);
  return {};
}

TransferSink::Taken FetchHeader::Impl::on_body(std::span<const std::byte> more) {
  if (is_enough) return Taken::all;
  const std::uint64_t room = std::min(may_come_to, max_header_bytes) - bytes.size();
  more = more.first(static_cast<std::size_t>(std::min<std::uint64_t>(more.size(), room)));
  bytes.insert(bytes.end(), more.begin(), more.end());
  // A whole file that is more than was wanted goes on until there is enough of it.
  while (judgement.kind == HeadJudgement::Kind::whole && bytes.size() >= wanted && !is_enough) consult();
  if (is_enough) transfer->cancel();
  return Taken::all;
}

void FetchHeader::Impl::on_end(Result<void> result) {
  transfer.reset();
  if (is_cancelled) return finish(fail(ErrorCode::cancelled, "fetching the header was cancelled"));
  if (is_enough) return part_ended();
  if (!is_head_good && judgement.kind == HeadJudgement::Kind::object_changed) return object_changed();
  if (!result) return mirror_failed(std::move(result.error()));
  const bool is_part = judgement.kind == HeadJudgement::Kind::partial;
  if (is_part && bytes.size() < may_come_to) {
    return mirror_failed({ErrorCode::network, fmt::format("{} ended {} bytes early", display_url(remote.url),
                                                          may_come_to - bytes.size())});
  }
  // Where nobody has told the size, the end of the stream does.
  if (!is_part) total_bytes = bytes.size();
  part_ended();
}

// All that was asked for is here, or all that there is.
void FetchHeader::Impl::part_ended() {
  if (!is_enough) consult();
  if (judged) return finish(std::unexpected(std::move(*judged)));
  if (!is_enough) return ask();
  finish(
      RemoteHeader{.bytes = std::move(bytes), .total_bytes = total_bytes, .source = request.sources[mirror]});
}

// Sets `wanted`, or `is_enough` and, where it is an error, `judged`.
void FetchHeader::Impl::consult() {
  const auto wish = request.wants(bytes, total_bytes);
  is_enough = !wish || *wish == 0 || has_whole_file();
  if (!wish) judged = wish.error();
  if (is_enough) return;
  if (*wish > max_header_bytes || bytes.size() >= max_header_bytes) {
    is_enough = true;
    judged = Error{ErrorCode::bad_source,
                   fmt::format("the header of {} takes more than {} MiB, which no sound model's does",
                               config::to_string(request.sources[mirror]), max_header_bytes >> 20U)};
    return;
  }
  const std::uint64_t have = bytes.size();
  wanted = std::min(
      {std::max({*wish, have * 4, have + 1}), max_header_bytes, total_bytes.value_or(max_header_bytes)});
}

// Another object is there now, or the server does not do what it says about ranges: from the begin on.
void FetchHeader::Impl::object_changed() {
  if (++restarts > max_restarts) {
    return mirror_failed({ErrorCode::bad_source, fmt::format("{}; it changes whenever it is asked for",
                                                             judgement.failure.error.message)});
  }
  if (judgement.has_no_ranges) has_ranges = false;
  ask_from_begin();
}

void FetchHeader::Impl::mirror_failed(Error error) {
  const bool is_over = error.code == ErrorCode::cancelled;
  if (is_over) return finish(std::unexpected(std::move(error)));
  if (!first_error) first_error = std::move(error);
  if (++mirror == request.sources.size()) return finish(std::unexpected(std::move(*first_error)));
  begin_mirror();
}

void FetchHeader::Impl::cancel() {
  is_cancelled = true;
  if (resolving) return resolving->cancel();
  if (transfer) return transfer->cancel();
  // Not from in here. What has not begun yet will not.
  loop.at_end_of_turn([this, guard = std::weak_ptr<int>(alive)] {
    if (!guard.expired()) finish(fail(ErrorCode::cancelled, "fetching the header was cancelled"));
  });
}

void FetchHeader::Impl::finish(Result<RemoteHeader> result) {
  if (auto done = std::exchange(on_done, nullptr)) done(std::move(result));  // may destroy this
}

FetchHeader::FetchHeader(loop::Loop& loop, CurlLoop& curl, HeaderRequest request, Done on_done)
    : impl_(std::make_unique<Impl>(loop, curl)) {
  assert(!request.sources.empty());
  impl_->request = std::move(request);
  impl_->on_done = std::move(on_done);
  loop.at_end_of_turn([impl = impl_.get(), guard = std::weak_ptr<int>(impl_->alive)] {
    if (!guard.expired() && !impl->is_cancelled) impl->begin_mirror();
  });
}

FetchHeader::~FetchHeader() = default;

void FetchHeader::cancel() {
  impl_->cancel();
}

}  // namespace ggufd::fetch
