#include "fetch/resolve.h"

#include <fmt/core.h>

#include <array>
#include <cassert>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "fetch/curl_error.h"
#include "fetch/http_fields.h"
#include "fetch/redirect.h"
#include "fetch/source_url.h"
#include "loop/offload.h"

namespace ggufd::fetch {
namespace {

constexpr int max_hub_redirects = 5;

// What a hub tells of a file, on a redirect to it as well.
constexpr std::array<std::string_view, 3> published_fields = {"x-linked-etag", "x-linked-size",
                                                              "x-repo-commit"};

std::int64_t wall_clock_s() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

bool is_success(long status) {
  return status >= 200 && status < 300;
}

// The Location of an answer that is to be looked for elsewhere; empty where it is none.
std::string location_of(const ResponseHead& head) {
  if (head.status < 300 || head.status >= 400) return {};
  return std::string(head.header("location").value_or(""));
}

std::optional<std::uint64_t> size_of(const ResponseHead& head) {
  if (const auto linked = head.header("x-linked-size")) return parse_size(*linked);
  if (!is_success(head.status) || head.header("content-encoding").value_or("identity") != "identity")
    return std::nullopt;
  // Some servers that compute their answers say 0 where there is no body to count.
  const auto length = head.content_length();
  return length == 0U ? std::nullopt : length;
}

std::optional<store::Digest> digest_of(const ResponseHead& head) {
  const auto linked = head.header("x-linked-etag");
  return linked ? parse_linked_etag(*linked) : std::nullopt;
}

// What a hub means by a status, where it means more than HTTP does (X-Error-Code).
std::string hub_advice(const ResponseHead& head, const config::HuggingFaceSource& source,
                       std::string_view endpoint, bool has_token) {
  const std::string_view code = head.header("x-error-code").value_or("");
  if (code == "EntryNotFound") return "the repository has no such file; check the path's spelling";
  if (code == "RevisionNotFound") {
    return fmt::format("the repository has no revision {}; check what follows the @", source.revision);
  }
  constexpr std::string_view token_places = "(fetch.hf_token_file or HF_TOKEN)";
  if (code == "GatedRepo") {
    return fmt::format("its terms must be accepted at {}/{}/{} first, and {} {}", display_url(endpoint),
                       source.org, source.repo,
                       has_token ? "the token that is sent must be of the user who did so"
                                 : "the token of the user who did so be given",
                       token_places);
  }
  if (head.status != 401 && head.status != 403 && code != "RepoNotFound") return {};
  if (has_token) {
    return fmt::format("there is no such repository, or the token {} does not open it; check both",
                       token_places);
  }
  return fmt::format("there is no such repository, or it is a private one, which needs a token {}",
                     token_places);
}

}  // namespace

struct Resolve::Impl final : TransferSink {
  loop::Loop& loop;
  CurlLoop& curl;
  config::Source source;
  config::FetchConfig settings;
  HubSettings hub;
  bool ask_for_digest = false;
  Done on_done;

  std::string token;
  std::string commit;  // that the source itself is pinned to
  std::string url;     // that is asked now
  ResponseHead head;
  std::map<std::string, std::string, std::less<>> published;  // by the redirects up to here
  int redirects = 0;
  bool is_cancelled = false;
  loop::OperationPtr reading_token;
  std::unique_ptr<Transfer> transfer;
  std::shared_ptr<int> alive = std::make_shared<int>(0);

  Impl(loop::Loop& loop_in, CurlLoop& curl_in) : loop(loop_in), curl(curl_in) {}

  const config::HuggingFaceSource* hub_source() const {
    return std::get_if<config::HuggingFaceSource>(&source.where);
  }

  void begin();
  void begin_hub();
  void read_token();
  void begin_with_token(Result<std::optional<std::string>> read);
  void ask(std::string next_url);
  Result<void> on_head(const ResponseHead& answer) override;
  Taken on_body(std::span<const std::byte>) override { return Taken::all; }
  void on_end(Result<void> result) override;
  void judge();
  void judge_refusal();
  RemoteFile file(const std::string& revision) const;
  RemoteFile described_file() const;
  void cancel();
  void finish(Result<RemoteFile> result);
  void finish_failed(Failure failure);
};

void Resolve::Impl::begin() {
  if (hub_source() != nullptr) return begin_hub();
  if (!ask_for_digest) return finish(file(""));
  ask(std::get<config::UrlSource>(source.where).url);
}

void Resolve::Impl::begin_hub() {
  if (hub.is_offline) {
    return finish(
        fail(ErrorCode::not_in_store,
             fmt::format("{} is not in the store, and HF_HUB_OFFLINE forbids to ask {} for it; unset it, "
                         "or import the file",
                         config::to_string(source), display_url(hub.endpoint))));
  }
  if (auto checked = check_hub_endpoint(hub.endpoint, settings.allow_plain_http); !checked)
    return finish(std::unexpected(std::move(checked.error())));
  commit = parse_commit(hub_source()->revision).value_or("");
  if (!may_carry_token(hub.endpoint)) return begin_with_token(std::nullopt);
  if (hub.token.empty() && !hub.token_file.empty()) return read_token();
  auto checked = check_token(hub.token, "the environment's HF_TOKEN");
  if (!checked) return finish(std::unexpected(std::move(checked.error())));
  begin_with_token(std::move(*checked));
}

void Resolve::Impl::read_token() {
  reading_token = loop::offload<std::optional<std::string>>(
      loop, [hub_settings = hub](loop::CancelToken) { return read_token_file(hub_settings); },
      [this](Result<std::optional<std::string>> read) {
        reading_token.reset();
        begin_with_token(std::move(read));
      });
}

void Resolve::Impl::begin_with_token(Result<std::optional<std::string>> read) {
  if (!read) return finish(std::unexpected(std::move(read.error())));
  token = std::move(*read).value_or("");
  // What a commit stands for never changes: there is nothing to ask but the digest.
  if (!commit.empty() && !ask_for_digest) return finish(file(commit));
  ask(hub_url(*hub_source(), hub.endpoint, hub_source()->revision));
}

void Resolve::Impl::ask(std::string next_url) {
  url = std::move(next_url);
  head = {};
  transfer = curl.start({.url = url,
                         .is_head = true,
                         .bearer_token = token,
                         .follow_redirects = false,
                         .connect_timeout_s = settings.stall_timeout_s,
                         .stall_timeout_s = settings.stall_timeout_s,
                         .allow_plain_http = settings.allow_plain_http,
                         .ca_file = settings.ca_file,
                         .proxy = settings.proxy},
                        *this);
}

Result<void> Resolve::Impl::on_head(const ResponseHead& answer) {
  head = answer;
  // What a redirect has said of the file holds where this answer says nothing of it.
  if (is_success(head.status) || !location_of(head).empty())
    head.headers.insert(published.begin(), published.end());
  return {};
}

void Resolve::Impl::on_end(Result<void> result) {
  transfer.reset();
  // What comes after a head is of no interest, so neither is how it went.
  if (!result && (head.status == 0 || result.error().code == ErrorCode::cancelled))
    return finish(std::unexpected(std::move(result.error())));
  judge();
}

void Resolve::Impl::judge() {
  if (is_success(head.status)) return finish(described_file());
  const std::string location = location_of(head);
  if (location.empty()) return judge_refusal();
  auto target = same_origin_target(url, location);
  if (!target) return finish(described_file());
  for (const std::string_view name : published_fields) {
    if (const auto value = head.header(name))
      published.insert_or_assign(std::string(name), std::string(*value));
  }
  if (++redirects <= max_hub_redirects) return ask(std::move(*target));
  finish(
      fail(ErrorCode::http_status,
           fmt::format(
               "asking {} for {}: more than {} redirects; the server sends us in circles, check the source",
               display_url(url), config::to_string(source), max_hub_redirects)));
}

void Resolve::Impl::judge_refusal() {
  Failure failure = failure_of(head, wall_clock_s());
  const bool is_method_refused = head.status == 405 || head.status == 501;
  if (!failure.is_passing && (hub_source() == nullptr || is_method_refused)) return finish(file(commit));
  if (hub_source() == nullptr) return finish_failed(std::move(failure));
  const std::string advice = hub_advice(head, *hub_source(), hub.endpoint, !token.empty());
  failure.error.message = advice.empty()
                              ? fmt::format("{}: {}", config::to_string(source), failure.error.message)
                              : fmt::format("{}: {} answers HTTP {}: {}", config::to_string(source),
                                            display_url(hub.endpoint), head.status, advice);
  finish_failed(std::move(failure));
}

// At `revision`; empty: at the one that the source names.
RemoteFile Resolve::Impl::file(const std::string& revision) const {
  if (hub_source() == nullptr) return {.url = std::get<config::UrlSource>(source.where).url};
  return {.url = hub_url(*hub_source(), hub.endpoint, revision.empty() ? hub_source()->revision : revision),
          .bearer_token = token,
          .revision = revision};
}

RemoteFile Resolve::Impl::described_file() const {
  std::string revision = commit;
  if (hub_source() != nullptr && revision.empty())
    revision = parse_commit(head.header("x-repo-commit").value_or("")).value_or("");
  RemoteFile described = file(revision);
  described.size_bytes = size_of(head);
  described.sha256 = digest_of(head);
  return described;
}

void Resolve::Impl::cancel() {
  if (reading_token) return reading_token->cancel();
  if (transfer) return transfer->cancel();
  // Not from in here. What has not begun yet will not.
  is_cancelled = true;
  loop.at_end_of_turn([this, guard = std::weak_ptr<int>(alive)] {
    if (!guard.expired()) finish(fail(ErrorCode::cancelled, "asking the source was cancelled"));
  });
}

void Resolve::Impl::finish(Result<RemoteFile> result) {
  if (!result) return finish_failed(failure_of(std::move(result.error())));
  if (auto done = std::exchange(on_done, nullptr)) done(std::move(*result));  // may destroy this
}

void Resolve::Impl::finish_failed(Failure failure) {
  if (auto done = std::exchange(on_done, nullptr))
    done(std::unexpected(std::move(failure)));  // may destroy this
}

Resolve::Resolve(loop::Loop& loop, CurlLoop& curl, const config::Source& source,
                 const config::FetchConfig& settings, const HubSettings& hub, bool ask_for_digest,
                 Done on_done)
    : impl_(std::make_unique<Impl>(loop, curl)) {
  assert(source.is_network());
  impl_->source = source;
  impl_->settings = settings;
  impl_->hub = hub;
  impl_->ask_for_digest = ask_for_digest;
  impl_->on_done = std::move(on_done);
  loop.at_end_of_turn([impl = impl_.get(), guard = std::weak_ptr<int>(impl_->alive)] {
    if (!guard.expired() && !impl->is_cancelled) impl->begin();
  });
}

Resolve::~Resolve() = default;

void Resolve::cancel() {
  impl_->cancel();
}

}  // namespace ggufd::fetch
