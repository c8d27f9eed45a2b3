#include "fetch/head_judgement.h"

#include <fmt/core.h>

#include <utility>

#include "fetch/curl_error.h"
#include "fetch/http_fields.h"

namespace ggufd::fetch {
namespace {

using Kind = HeadJudgement::Kind;

HeadJudgement failed(ErrorCode code, std::string message) {
  HeadJudgement judgement;
  judgement.failure.error = {code, std::move(message)};
  return judgement;
}

HeadJudgement changed(const ResponseHead& head, std::string_view why, bool has_no_ranges) {
  HeadJudgement judgement;
  judgement.kind = Kind::object_changed;
  judgement.has_no_ranges = has_no_ranges;
  judgement.failure.error = {ErrorCode::network,
                             fmt::format("{} can't be continued: {}", display_url(head.effective_url), why)};
  return judgement;
}

Identity identity_of(const ResponseHead& head, std::optional<std::uint64_t> size_bytes) {
  Identity identity{.size_bytes = size_bytes};
  if (const auto etag = head.header("etag")) identity.etag = parse_etag(*etag);
  if (const auto date = head.header("last-modified"); date && date->size() <= 64)
    identity.last_modified = *date;
  return identity;
}

// The size that the object must have, where it must have one, against the one that it has.
std::optional<HeadJudgement> judge_size(const Asked& asked, const Identity& identity,
                                        const ResponseHead& head) {
  if (!asked.size_bytes || !identity.size_bytes || *asked.size_bytes == *identity.size_bytes)
    return std::nullopt;
  return failed(ErrorCode::size_mismatch,
                fmt::format("{} has {} bytes and {} are expected; correct size_bytes, or the source",
                            display_url(head.effective_url), *identity.size_bytes, *asked.size_bytes));
}

HeadJudgement judge_whole(const Asked& asked, const ResponseHead& head) {
  const Identity identity = identity_of(head, head.content_length());
  if (!asked.may_be_whole) {
    const std::string difference = asked.bound.difference(identity);
    const bool has_no_ranges = difference.empty() && asked.range;
    return changed(
        head, difference.empty() ? "the server sends the whole file where a part was asked for" : difference,
        has_no_ranges);
  }
  // Nothing has come yet, but what was learned of the object may have been told and reserved already.
  if (const std::string difference = asked.bound.difference(identity); !difference.empty())
    return changed(head, difference, false);
  if (auto wrong = judge_size(asked, identity, head)) return *wrong;
  HeadJudgement judgement;
  judgement.kind = Kind::whole;
  judgement.identity = identity;
  return judgement;
}

HeadJudgement judge_partial(const Asked& asked, const ResponseHead& head) {
  if (!asked.range) return changed(head, "the server sends a part where the whole file was asked for", true);
  const auto text = head.header("content-range");
  const auto content = text ? parse_content_range(*text) : std::nullopt;
  if (!content || !content->range) return changed(head, "the server does not say which part it sends", true);
  const ByteRange range = *content->range;
  if (range.begin != asked.range->begin || range.end > asked.range->end || range.begin >= range.end)
    return changed(head, "the server sends another part than was asked for", true);
  const Identity identity = identity_of(head, content->total_bytes);
  if (const std::string difference = asked.bound.difference(identity); !difference.empty())
    return changed(head, difference, false);
  if (auto wrong = judge_size(asked, identity, head)) return *wrong;
  if (!identity.size_bytes && !asked.bound.size_bytes && !asked.size_bytes)
    return changed(head, "the server sends a part and does not say of how much", true);
  if (const auto length = head.content_length(); length && *length != range.size())
    return changed(head, "the part that the server announces has not the length that it sends", true);
  HeadJudgement judgement;
  judgement.kind = Kind::partial;
  judgement.range = range;
  judgement.identity = identity;
  return judgement;
}

// The range lies beyond the end: the file may have become shorter.
std::optional<HeadJudgement> judge_unsatisfiable(const Asked& asked, const ResponseHead& head) {
  const auto text = head.header("content-range");
  const auto content = text ? parse_content_range(*text) : std::nullopt;
  const Identity identity = identity_of(head, content ? content->total_bytes : std::nullopt);
  if (const std::string difference = asked.bound.difference(identity); !difference.empty())
    return changed(head, difference, false);
  return std::nullopt;
}

}  // namespace

HeadJudgement judge_head(const Asked& asked, const ResponseHead& head, std::int64_t now_s) {
  if (head.status == 200 || head.status == 206) {
    const auto encoding = head.header("content-encoding");
    if (encoding && *encoding != "identity" && !encoding->empty()) {
      return failed(
          ErrorCode::http_status,
          fmt::format("fetching {}: the server sends it encoded ({}) where the plain bytes were asked for; "
                      "check the source",
                      display_url(head.effective_url), encoding->substr(0, 32)));
    }
    return head.status == 200 ? judge_whole(asked, head) : judge_partial(asked, head);
  }
  if (head.status == 416) {
    if (auto judgement = judge_unsatisfiable(asked, head)) return *judgement;
  }
  HeadJudgement judgement;
  judgement.failure = failure_of(head, now_s);
  return judgement;
}

}  // namespace ggufd::fetch
