#include "fetch/download.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "fetch/curl_error.h"

namespace ggufd::fetch {
namespace {

constexpr std::uint64_t progress_interval_ms = 100;
// While nothing arrives the rate falls all the same.
constexpr std::uint64_t idle_progress_interval_ms = 1000;

Error status_error(long status, const std::string& url) {
  const std::string shown = display_url(url);
  switch (status) {
    case 401:
    case 403:
      return {ErrorCode::http_status,
              fmt::format("fetching {}: HTTP {}: access is refused; the source may need a token, "
                          "or its terms to be accepted",
                          shown, status)};
    case 404:
    case 410:
      return {ErrorCode::http_status,
              fmt::format("fetching {}: HTTP {}: no such file there; check the source's spelling", shown,
                          status)};
    default:
      return {ErrorCode::http_status,
              fmt::format("fetching {}: HTTP {} where 200 was due; try again later or check the source",
                          shown, status)};
  }
}

Result<void> empty_file(int fd, const std::string& path) {
  if (ftruncate(fd, 0) != 0) return std::unexpected(system_error(fmt::format("emptying {}", path), errno));
  return {};
}

}  // namespace

Download::Download(loop::Loop& loop, CurlLoop& curl, DownloadRequest request, store::Partial partial,
                   DownloadCallbacks callbacks)
    : loop_(loop),
      curl_(curl),
      request_(std::move(request)),
      partial_(std::make_shared<store::Partial>(std::move(partial))),
      callbacks_(std::move(callbacks)),
      writer_(loop, partial_->fd(), partial_, partial_->data_path(),
              {.on_room = [this] { resume_soon(); },
               .on_failed = [this](Error error) { finish(std::unexpected(std::move(error))); }}),
      progress_timer_(loop, [this] { tick(); }),
      total_bytes_(request_.size_bytes) {
  progress_timer_.start_repeating(idle_progress_interval_ms);
  emptying_ = loop::offload<void>(
      loop_, [keeper = partial_](loop::CancelToken) { return empty_file(keeper->fd(), keeper->data_path()); },
      [this](Result<void> result) {
        emptying_.reset();
        if (!result) return finish(std::unexpected(std::move(result.error())));
        begin_transfer();
      });
}

void Download::begin_transfer() {
  const config::FetchConfig& settings = request_.settings;
  transfer_ = curl_.start({.url = request_.url,
                           .connect_timeout_s = settings.stall_timeout_s,
                           .stall_timeout_s = settings.stall_timeout_s,
                           .allow_plain_http = settings.allow_plain_http,
                           .ca_file = settings.ca_file,
                           .proxy = settings.proxy},
                          *this);
}

// Whatever is under way ends through its own callback; the writer's jobs are short.
void Download::cancel() {
  if (emptying_) emptying_->cancel();
  if (transfer_) return transfer_->cancel();
  if (emptying_ || !callbacks_.on_done) return;
  loop_.at_end_of_turn([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) finish(fail(ErrorCode::cancelled, "the download was cancelled"));
  });
}

phase::Download Download::progress() const {
  phase::Download progress;
  progress.downloaded_bytes = received_bytes_;
  progress.total_bytes.value = total_bytes_;
  progress.source_url = display_url(request_.url);
  progress.bytes_per_second = rate_.bytes_per_second();
  if (total_bytes_ && *total_bytes_ >= received_bytes_)
    progress.eta_s = rate_.eta_s(*total_bytes_ - received_bytes_);
  progress.connections = transfer_ ? 1 : 0;
  return progress;
}

Result<void> Download::on_head(const ResponseHead& head) {
  if (auto checked = check_head(head); !checked) return checked;
  if (const auto length = head.content_length()) total_bytes_ = length;
  rate_.add(loop_.now_ms(), 0);
  if (total_bytes_) writer_.reserve(*total_bytes_);
  callbacks_.on_progress();
  return {};
}

Result<void> Download::check_head(const ResponseHead& head) {
  if (head.status != 200) return std::unexpected(status_error(head.status, head.effective_url));
  const std::string shown = display_url(head.effective_url);
  const auto encoding = head.header("content-encoding");
  if (encoding && *encoding != "identity") {
    return fail(
        ErrorCode::http_status,
        fmt::format("fetching {}: the server sends it encoded ({}) where the plain bytes were asked for",
                    shown, *encoding));
  }
  const auto length = head.content_length();
  if (length && request_.size_bytes && *length != *request_.size_bytes) {
    return fail(ErrorCode::size_mismatch,
                fmt::format("{} has {} bytes and size_bytes says {}; correct the one that is wrong", shown,
                            *length, *request_.size_bytes));
  }
  return {};
}

TransferSink::Taken Download::on_body(std::span<const std::byte> bytes) {
  if (refused_) return Taken::all;
  if (total_bytes_ && bytes.size() > *total_bytes_ - received_bytes_) {
    refused_ =
        Error{ErrorCode::size_mismatch, fmt::format("{} has more than the {} bytes that it should have",
                                                    display_url(request_.url), *total_bytes_)};
    transfer_->cancel();
    return Taken::all;
  }
  if (!writer_.offer(bytes)) return Taken::nothing;
  received(bytes.size());
  return Taken::all;
}

void Download::received(std::uint64_t bytes) {
  received_bytes_ += bytes;
  const std::uint64_t now_ms = loop_.now_ms();
  if (now_ms < next_progress_ms_) return;
  next_progress_ms_ = now_ms + progress_interval_ms;
  rate_.add(now_ms, received_bytes_);
  callbacks_.on_progress();
}

void Download::tick() {
  if (loop_.now_ms() < next_progress_ms_ || !transfer_) return;
  rate_.add(loop_.now_ms(), received_bytes_);
  callbacks_.on_progress();
}

void Download::resume_soon() {
  loop_.at_end_of_turn([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired() && transfer_) transfer_->resume();
  });
}

void Download::on_end(Result<void> result) {
  transfer_.reset();
  if (refused_) return finish(std::unexpected(std::move(*refused_)));
  if (!result) return finish(std::unexpected(std::move(result.error())));
  if (total_bytes_ && received_bytes_ != *total_bytes_) {
    return finish(fail(ErrorCode::size_mismatch,
                       fmt::format("{} ended after {} bytes and should have {}", display_url(request_.url),
                                   received_bytes_, *total_bytes_)));
  }
  total_bytes_ = received_bytes_;
  rate_.add(loop_.now_ms(), received_bytes_);
  callbacks_.on_progress();
  writer_.finish([this](const HashingWriter::Written& written) { finish_written(written); });
}

void Download::finish_written(const HashingWriter::Written& written) {
  // No job is left: the partial is ours alone.
  finish(Downloaded{std::move(*partial_), written.digest, written.bytes});
}

void Download::finish(Result<Downloaded> result) {
  progress_timer_.stop();
  transfer_.reset();
  if (auto on_done = std::exchange(callbacks_.on_done, nullptr))
    on_done(std::move(result));  // may destroy this
}

}  // namespace ggufd::fetch
