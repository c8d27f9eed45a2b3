// What the fields of HTTP heads say, taken from strings of a stranger to values. Pure functions; nothing for
// a value that is not well-formed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fetch/byte_ranges.h"
#include "store/digest.h"

namespace ggufd::fetch {

// A whole number of digits only, as Content-Length and X-Linked-Size have it; up to 2^64 - 1.
std::optional<std::uint64_t> parse_size(std::string_view value);

// RFC 9110 section 14.4: "bytes 0-499/1234", "bytes 0-499/*" or, with 416, "bytes */1234".
struct ContentRange {
  std::optional<ByteRange> range;
  std::optional<std::uint64_t> total_bytes;
  friend bool operator==(const ContentRange&, const ContentRange&) = default;
};
std::optional<ContentRange> parse_content_range(std::string_view value);

// RFC 9110 section 8.8.3: the value as it came where it is an entity tag, W/ included; nothing else is one.
// Tags of other than printable ASCII, which the grammar has for the sake of old servers, and of more than
// max_etag_bytes are not taken: they are kept in files and sent again.
inline constexpr std::size_t max_etag_bytes = 1024;
std::optional<std::string> parse_etag(std::string_view value);
// If-Range and comparisons byte for byte need one without W/.
bool is_strong(std::string_view etag);
// X-Linked-Etag of Hugging Face (https://huggingface.co/docs/huggingface_hub, get_hf_file_metadata): W/ and
// quotes taken off, 64 hex digits are the SHA-256 of the file.
std::optional<store::Digest> parse_linked_etag(std::string_view value);
// X-Repo-Commit of Hugging Face: 40 hex digits in lower case, a full commit hash.
std::optional<std::string> parse_commit(std::string_view value);

// RFC 9110 section 5.6.7, all three forms, as seconds since 1970. `now_s`, in the same unit, says which
// century the two digits of the second form mean.
std::optional<std::int64_t> parse_http_date(std::string_view value, std::int64_t now_s);
// RFC 9110 section 10.2.3, seconds or a date, as milliseconds from `now_s`, seconds since 1970; 0 for a date
// that is past, the largest value for more than it holds.
std::optional<std::uint64_t> parse_retry_after(std::string_view value, std::int64_t now_s);
// RateLimit of draft-ietf-httpapi-ratelimit-headers, as Hugging Face sends it: `"api";r=0;t=55`, or a list of
// such (RFC 8941 section 3.1). The longest `t` of an item whose `r` is 0, in milliseconds.
std::optional<std::uint64_t> parse_rate_limit(std::string_view value);

}  // namespace ggufd::fetch
