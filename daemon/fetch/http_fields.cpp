#include "fetch/http_fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <limits>

#include "fetch/ascii.h"

namespace ggufd::fetch {
namespace {

constexpr std::uint64_t longest_ms = std::numeric_limits<std::uint64_t>::max();

std::uint64_t to_ms(std::uint64_t seconds) {
  return seconds > longest_ms / 1000 ? longest_ms : seconds * 1000;
}

bool take(std::string_view& text, std::string_view expected) {
  if (!text.starts_with(expected)) return false;
  text.remove_prefix(expected.size());
  return true;
}

// Exactly `digits` digits.
std::optional<int> take_number(std::string_view& text, std::size_t digits) {
  if (text.size() < digits || !std::ranges::all_of(text.substr(0, digits), is_digit)) return std::nullopt;
  int number = 0;
  std::from_chars(text.data(), text.data() + digits, number);
  text.remove_prefix(digits);
  return number;
}

// The index of the name that the text begins with.
template <std::size_t size>
std::optional<unsigned> take_name(std::string_view& text, const std::array<std::string_view, size>& names) {
  for (unsigned i = 0; i < size; ++i) {
    if (take(text, names[i])) return i;
  }
  return std::nullopt;
}

constexpr auto months = std::to_array<std::string_view>(
    {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"});
constexpr auto short_days =
    std::to_array<std::string_view>({"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"});
constexpr auto long_days = std::to_array<std::string_view>(
    {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"});

struct Date {
  std::optional<int> year;
  std::optional<unsigned> month;  // from 0
  std::optional<int> day;
  std::optional<int> time_s;  // since midnight
};

// "08:49:37". A leap second is the second after it.
std::optional<int> take_time(std::string_view& text) {
  const auto hour = take_number(text, 2);
  if (!hour || *hour > 23 || !take(text, ":")) return std::nullopt;
  const auto minute = take_number(text, 2);
  if (!minute || *minute > 59 || !take(text, ":")) return std::nullopt;
  const auto second = take_number(text, 2);
  if (!second || *second > 60) return std::nullopt;
  return (*hour * 60 + *minute) * 60 + *second;
}

// "Sun, 06 Nov 1994 08:49:37 GMT"
bool take_fixed_date(std::string_view& text, Date& date) {
  if (!take_name(text, short_days) || !take(text, ", ")) return false;
  date.day = take_number(text, 2);
  if (!take(text, " ")) return false;
  date.month = take_name(text, months);
  if (!take(text, " ")) return false;
  date.year = take_number(text, 4);
  if (!take(text, " ")) return false;
  date.time_s = take_time(text);
  return take(text, " GMT");
}

// "Sunday, 06-Nov-94 08:49:37 GMT"
bool take_rfc850_date(std::string_view& text, Date& date) {
  if (!take_name(text, long_days) || !take(text, ", ")) return false;
  date.day = take_number(text, 2);
  if (!take(text, "-")) return false;
  date.month = take_name(text, months);
  if (!take(text, "-")) return false;
  date.year = take_number(text, 2);
  if (!take(text, " ")) return false;
  date.time_s = take_time(text);
  return take(text, " GMT");
}

// "Sun Nov  6 08:49:37 1994"
bool take_asctime_date(std::string_view& text, Date& date) {
  if (!take_name(text, short_days) || !take(text, " ")) return false;
  date.month = take_name(text, months);
  if (!take(text, " ")) return false;
  date.day = take_number(text, take(text, " ") ? 1 : 2);
  if (!take(text, " ")) return false;
  date.time_s = take_time(text);
  if (!take(text, " ")) return false;
  date.year = take_number(text, 4);
  return true;
}

std::optional<std::int64_t> seconds_of(const Date& date) {
  if (!date.year || !date.month || !date.day || !date.time_s) return std::nullopt;
  const std::chrono::year_month_day day(std::chrono::year(*date.year), std::chrono::month(*date.month + 1),
                                        std::chrono::day(static_cast<unsigned>(*date.day)));
  if (!day.ok()) return std::nullopt;
  const auto midnight = std::chrono::sys_days(day).time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(midnight).count() + *date.time_s;
}

// RFC 9110 section 5.6.7: more than 50 years ahead means the last year in the past with these two digits.
int full_year(int two_digits, std::int64_t now_s) {
  constexpr std::int64_t year_9999_s = 253'402'300'799;
  const auto today = std::chrono::floor<std::chrono::days>(
      std::chrono::sys_seconds(std::chrono::seconds(std::clamp<std::int64_t>(now_s, 0, year_9999_s))));
  const int this_year = static_cast<int>(std::chrono::year_month_day(today).year());
  const int year = this_year - this_year % 100 + two_digits;
  return year > this_year + 50 ? year - 100 : year;
}

// --- Structured fields (RFC 8941), as much of them as a list of items with parameters needs

bool is_token_char(char c) {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~:/";  // of tchar, and the two that RFC 8941 adds
  return is_digit(c) || (lower_case(c) >= 'a' && lower_case(c) <= 'z') || others.find(c) != others.npos;
}

bool is_key_char(char c) {
  return (c >= 'a' && c <= 'z') || is_digit(c) || c == '_' || c == '-' || c == '.' || c == '*';
}

void skip(std::string_view& text, std::string_view chars) {
  text.remove_prefix(std::min(text.find_first_not_of(chars), text.size()));
}

// The characters from the begin on that `belongs` takes.
template <class Belongs>
std::string_view take_while(std::string_view& text, Belongs belongs) {
  const auto end = std::ranges::find_if_not(text, belongs);
  const std::string_view taken = text.substr(0, static_cast<std::size_t>(end - text.begin()));
  text.remove_prefix(taken.size());
  return taken;
}

bool take_string(std::string_view& text) {
  text.remove_prefix(1);
  while (!text.empty()) {
    const char c = text.front();
    text.remove_prefix(1);
    if (c == '"') return true;
    if (c < 0x20 || c > 0x7E) return false;
    if (c != '\\') continue;
    if (text.empty() || (text.front() != '"' && text.front() != '\\')) return false;
    text.remove_prefix(1);
  }
  return false;
}

bool take_bytes(std::string_view& text) {
  text.remove_prefix(1);
  take_while(text, [](char c) { return is_token_char(c) ? c != ':' : c == '='; });
  return take(text, ":");
}

// A bare item; `integer` is set where it is one that is not negative.
bool take_item(std::string_view& text, std::optional<std::uint64_t>& integer) {
  integer.reset();
  if (text.empty()) return false;
  const char c = text.front();
  if (c == '"') return take_string(text);
  if (c == ':') return take_bytes(text);
  if (c == '?') return take(text, "?0") || take(text, "?1");
  if (!is_digit(c) && c != '-') {
    const bool is_token = (lower_case(c) >= 'a' && lower_case(c) <= 'z') || c == '*';
    return is_token && !take_while(text, is_token_char).empty();
  }
  const bool is_negative = take(text, "-");
  constexpr std::size_t most_digits = 15;
  const std::string_view digits = take_while(text, is_digit);
  if (digits.empty() || digits.size() > most_digits) return false;
  if (take(text, ".")) return !take_while(text, is_digit).empty();
  if (!is_negative) integer = parse_size(digits);
  return true;
}

struct Quota {
  std::optional<std::uint64_t> remaining;  // r
  std::optional<std::uint64_t> reset_s;    // t
};

// An item of the list with its parameters.
bool take_quota(std::string_view& text, Quota& quota) {
  std::optional<std::uint64_t> integer;
  if (!take_item(text, integer)) return false;
  while (take(text, ";")) {
    skip(text, " ");
    const std::string_view key = take_while(text, is_key_char);
    if (key.empty() || !((key.front() >= 'a' && key.front() <= 'z') || key.front() == '*')) return false;
    integer.reset();
    if (take(text, "=") && !take_item(text, integer)) return false;
    if (key == "r") quota.remaining = integer;
    if (key == "t") quota.reset_s = integer;
  }
  return true;
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view value) {
  std::uint64_t size = 0;
  const auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), size);
  if (failure != std::errc{} || end != value.data() + value.size()) return std::nullopt;
  return size;
}

std::optional<ContentRange> parse_content_range(std::string_view value) {
  value = trimmed(value);
  constexpr std::string_view unit = "bytes ";
  if (value.size() < unit.size() ||
      !std::ranges::equal(value.substr(0, unit.size()), unit, {}, [](char c) { return lower_case(c); }))
    return std::nullopt;
  value.remove_prefix(unit.size());
  const std::size_t slash = value.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view range = value.substr(0, slash);
  const std::string_view total = value.substr(slash + 1);

  ContentRange result;
  if (total != "*") {
    result.total_bytes = parse_size(total);
    if (!result.total_bytes) return std::nullopt;
  }
  if (range == "*") return result.total_bytes ? std::optional(result) : std::nullopt;
  const std::size_t dash = range.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = parse_size(range.substr(0, dash));
  const auto last = parse_size(range.substr(dash + 1));
  if (!first || !last || *first > *last || *last == std::numeric_limits<std::uint64_t>::max())
    return std::nullopt;
  if (result.total_bytes && *last >= *result.total_bytes) return std::nullopt;
  result.range = ByteRange{.begin = *first, .end = *last + 1};
  return result;
}

std::optional<std::string> parse_etag(std::string_view value) {
  value = trimmed(value);
  if (value.size() > max_etag_bytes) return std::nullopt;
  std::string_view opaque = value;
  take(opaque, "W/");
  if (opaque.size() < 2 || opaque.front() != '"' || opaque.back() != '"') return std::nullopt;
  opaque = opaque.substr(1, opaque.size() - 2);
  if (!std::ranges::all_of(opaque, [](char c) { return c > 0x20 && c < 0x7F && c != '"'; }))
    return std::nullopt;
  return std::string(value);
}

bool is_strong(std::string_view etag) {
  return etag.starts_with('"');
}

std::optional<store::Digest> parse_linked_etag(std::string_view value) {
  value = trimmed(value);
  take(value, "W/");
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    value = value.substr(1, value.size() - 2);
  return store::Digest::parse(value);
}

std::optional<std::string> parse_commit(std::string_view value) {
  constexpr std::size_t digits = 40;
  const auto is_hex = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); };
  value = trimmed(value);
  if (value.size() != digits || !std::ranges::all_of(value, is_hex)) return std::nullopt;
  return std::string(value);
}

std::optional<std::int64_t> parse_http_date(std::string_view value, std::int64_t now_s) {
  value = trimmed(value);
  for (const auto take_date : {take_fixed_date, take_rfc850_date, take_asctime_date}) {
    std::string_view left = value;
    Date date;
    if (!take_date(left, date) || !left.empty()) continue;
    if (take_date == take_rfc850_date && date.year) date.year = full_year(*date.year, now_s);
    return seconds_of(date);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> parse_retry_after(std::string_view value, std::int64_t now_s) {
  value = trimmed(value);
  if (!value.empty() && std::ranges::all_of(value, is_digit)) {
    const auto seconds = parse_size(value);
    return seconds ? to_ms(*seconds) : longest_ms;
  }
  const auto date_s = parse_http_date(value, now_s);
  if (!date_s) return std::nullopt;
  return *date_s <= now_s ? 0
                          : to_ms(static_cast<std::uint64_t>(*date_s) - static_cast<std::uint64_t>(now_s));
}

std::optional<std::uint64_t> parse_rate_limit(std::string_view value) {
  value = trimmed(value);
  std::optional<std::uint64_t> longest;
  while (true) {
    Quota quota;
    if (!take_quota(value, quota)) return std::nullopt;
    if (quota.remaining == 0U && quota.reset_s)
      longest = std::max(longest.value_or(0), to_ms(*quota.reset_s));
    skip(value, " \t");
    if (value.empty()) return longest;
    if (!take(value, ",")) return std::nullopt;
    skip(value, " \t");
  }
}

}  // namespace ggufd::fetch
