#include <fmt/core.h>

#include <chrono>
#include <utility>

#include "doctor/sources.h"
#include "fetch/http_fields.h"
#include "fetch/hub_settings.h"
#include "fetch/resolve.h"
#include "loop/timer.h"

namespace ggufd::doctor {
namespace {

std::int64_t wall_clock_s() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

// One source: a HEAD, as a pull begins, then its first byte.
class AskSources::Asking final : private fetch::TransferSink {
 public:
  Asking(AskSources& owner, fetch::CurlLoop& curl, const config::FetchConfig& settings,
         fetch::HubSettings hub, AskedSource asked)
      : owner_(owner),
        curl_(curl),
        settings_(settings),
        hub_(std::move(hub)),
        result(std::move(asked)),
        limit_(owner.loop_, [this] { stop_waiting(); }) {
    limit_.start_once(limit_ms);
    constexpr bool ask_for_digest = true;
    resolving_ = std::make_unique<fetch::Resolve>(
        owner_.loop_, curl_, result.source, settings_, hub_, ask_for_digest,
        [this](std::expected<fetch::RemoteFile, fetch::Failure> file) { resolved(std::move(file)); });
  }

 private:
  void resolved(std::expected<fetch::RemoteFile, fetch::Failure> file) {
    if (!file) return end(std::unexpected(std::move(file.error())));
    answer_.file = std::move(*file);
    transfer_ = curl_.start({.url = answer_.file.url,
                             .range = fetch::ByteRange{0, 1},
                             .bearer_token = answer_.file.bearer_token,
                             .stall_timeout_s = settings_.stall_timeout_s,
                             .allow_plain_http = settings_.allow_plain_http,
                             .ca_file = settings_.ca_file,
                             .proxy = settings_.proxy,
                             .keeps_connection = false},
                            *this);
  }

  Result<void> on_head(const fetch::ResponseHead& head) override {
    constexpr long ok = 200;
    constexpr long partial = 206;
    if (const auto date = head.header("date")) answer_.date_s = fetch::parse_http_date(*date, wall_clock_s());
    if (head.status == partial) {
      const auto range = head.header("content-range");
      const auto parsed = range ? fetch::parse_content_range(*range) : std::nullopt;
      answer_.has_ranges = parsed && parsed->range == fetch::ByteRange{0, 1};
      if (parsed) answer_.total_bytes = parsed->total_bytes;
    } else if (head.status == ok) {
      answer_.total_bytes = head.content_length();
    } else {
      failure_ = fetch::failure_of(head, wall_clock_s());
    }
    // Enough is known; the rest of the file is not wanted.
    return fail(ErrorCode::cancelled, "the head was all that was asked for");
  }
  Taken on_body(std::span<const std::byte>) override { return Taken::all; }
  void on_end(Result<void> result_of_transfer) override {
    if (failure_) return end(std::unexpected(std::move(*failure_)));
    if (!result_of_transfer && result_of_transfer.error().code != ErrorCode::cancelled)
      return end(std::unexpected(fetch::failure_of(std::move(result_of_transfer.error()))));
    end(std::move(answer_));
  }

  void stop_waiting() {
    resolving_.reset();
    transfer_.reset();
    end(std::unexpected(fetch::failure_of(
        Error{ErrorCode::network,
              fmt::format("{} has not answered within {} s", to_string(result.source), limit_ms / 1000)})));
  }

  void end(std::expected<SourceAnswer, fetch::Failure> answer) {
    limit_.stop();
    result.answer = std::move(answer);
    owner_.ended();
  }

  AskSources& owner_;
  fetch::CurlLoop& curl_;
  const config::FetchConfig& settings_;
  const fetch::HubSettings hub_;

 public:
  AskedSource result;

 private:
  loop::Timer limit_;
  SourceAnswer answer_;
  std::optional<fetch::Failure> failure_;
  std::unique_ptr<fetch::Resolve> resolving_;
  std::unique_ptr<fetch::Transfer> transfer_;
};

AskSources::AskSources(loop::Loop& loop, fetch::CurlLoop& curl, const config::Config& config,
                       const config::Environment& environment, Done on_done)
    : loop_(loop), on_done_(std::move(on_done)) {
  const fetch::HubSettings hub = fetch::hub_settings(config.fetch, environment);
  awaited_ = 1;  // this call
  for (const config::ModelConfig& model : config.models) {
    for (const config::Source& source : model.sources) {
      if (!source.is_network()) continue;
      ++awaited_;
      const bool is_split = config::parse_shard_name(source.file_name()).has_value();
      asking_.push_back(std::make_unique<Asking>(*this, curl, config.fetch, hub,
                                                 AskedSource{model.name, is_split, source, SourceAnswer{}}));
    }
  }
  loop_.at_end_of_turn([this] { ended(); });
}

AskSources::~AskSources() = default;

void AskSources::ended() {
  if (--awaited_ > 0) return;
  std::vector<AskedSource> all;
  all.reserve(asking_.size());
  for (const auto& asking : asking_) all.push_back(std::move(asking->result));
  on_done_(std::move(all));
}

}  // namespace ggufd::doctor
