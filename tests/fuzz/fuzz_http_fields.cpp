// Header fields as a stranger sends them. Whatever the bytes are: what is taken from them keeps its promises.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "fetch/failure.h"
#include "fetch/http_fields.h"

namespace {

using namespace ggufd;
using namespace ggufd::fetch;

void require(bool condition) {
  if (!condition) std::abort();
}

bool is_visible(std::string_view text) {
  for (const char c : text) {
    if (c <= 0x20 || c >= 0x7F) return false;
  }
  return true;
}

void check_content_range(std::string_view value) {
  const auto parsed = parse_content_range(value);
  if (!parsed) return;
  require(parsed->range || parsed->total_bytes);
  if (!parsed->range) return;
  require(parsed->range->begin < parsed->range->end);
  require(!parsed->total_bytes || parsed->range->end <= *parsed->total_bytes);
  // Written down again it is the same.
  const std::string total = parsed->total_bytes ? std::to_string(*parsed->total_bytes) : "*";
  require(parse_content_range("bytes " + std::to_string(parsed->range->begin) + "-" +
                              std::to_string(parsed->range->end - 1) + "/" + total) == parsed);
}

void check_names(std::string_view value) {
  if (const auto size = parse_size(value)) require(parse_size(std::to_string(*size)) == size);
  if (const auto etag = parse_etag(value)) {
    require(is_visible(*etag) && etag->size() <= max_etag_bytes);
    require(parse_etag(*etag) == etag);
    require(is_strong(*etag) != etag->starts_with("W/"));
  }
  if (const auto digest = parse_linked_etag(value)) require(parse_linked_etag(digest->to_hex()) == digest);
  if (const auto commit = parse_commit(value)) require(is_visible(*commit) && commit->size() == 40);
}

void check_times(std::string_view value, std::int64_t now_s) {
  const auto date = parse_http_date(value, now_s);
  const auto wait_ms = parse_retry_after(value, now_s);
  if (date) require(wait_ms && (*date > now_s || *wait_ms == 0));
  parse_rate_limit(value);
}

void check_failure(std::string_view value, std::string_view other, long status, std::int64_t now_s) {
  ResponseHead head;
  head.status = status;
  head.effective_url = "https://h/p?secret";
  head.headers["retry-after"] = value;
  head.headers["ratelimit"] = other;
  const Failure failure = failure_of(head, now_s);
  require(failure.error.code == ErrorCode::http_status);
  require(failure.error.message.find("secret") == std::string::npos);
  require(!failure.wait_ms || (failure.is_passing && *failure.wait_ms <= max_asked_wait_ms));
}

}  // namespace

// Eight bytes of a clock, two of a status, then two fields, parted by a line end.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t clock_bytes = 8;
  constexpr std::size_t prefix_bytes = clock_bytes + 2;
  if (size < prefix_bytes) return 0;
  std::uint64_t clock = 0;
  for (std::size_t i = 0; i < clock_bytes; ++i) clock = clock << 8 | data[i];
  const auto now_s = static_cast<std::int64_t>(clock);
  const long status = (data[clock_bytes] << 8 | data[clock_bytes + 1]) % 1000;
  const std::string_view text(reinterpret_cast<const char*>(data + prefix_bytes), size - prefix_bytes);
  const std::size_t line_end = text.find('\n');
  const std::string_view value = text.substr(0, line_end);
  const std::string_view other = line_end == std::string_view::npos ? "" : text.substr(line_end + 1);
  check_content_range(value);
  check_names(value);
  check_times(value, now_s);
  check_failure(value, other, status, now_s);
  return 0;
}
