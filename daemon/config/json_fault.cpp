#include "config/json_fault.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "config/quote.h"
#include "protocol/utf8.h"

namespace ggufd::config {

namespace {

constexpr std::size_t max_depth = 1024;  // simdjson's default

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// Walks the text once, with its own stack of open brackets. Each step returns false once a fault is found.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::optional<JsonFault> run() {
    skip_space();
    if (at_end()) {
      fault("the file is empty");
      return fault_;
    }
    while (value() && after_value()) {
    }
    return fault_;
  }

 private:
  bool at_end() const { return at_ == text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  void skip_space() {
    while (!at_end() && is_space(text_[at_])) ++at_;
  }
  bool fault(std::string message) { return fault_at(at_, std::move(message)); }
  bool fault_at(std::size_t offset, std::string message) {
    fault_ = JsonFault{offset, std::move(message)};
    return false;
  }

  std::string here() const {
    if (at_end()) return "the end of the file";
    const std::size_t length = std::max<std::size_t>(utf8_sequence_length(text_.substr(at_)), 1);
    return quote(text_.substr(at_, length));
  }

  bool unexpected(std::string_view wanted) {
    if (text_.substr(at_, 2) == "//" || text_.substr(at_, 2) == "/*" || peek() == '#') {
      return fault("JSON has no comments");
    }
    if (peek() == '\'') return fault("strings are in double quotes (\")");
    if (open_.empty() && at_end()) return fault(fmt::format("{} is missing", wanted));
    return fault(fmt::format("expected {}, found {}", wanted, here()));
  }

  // Goes into objects and arrays until a value that is not one, or that is an empty one, is behind us.
  bool value() {
    while (true) {
      skip_space();
      const char c = peek();
      if (c == '"') return string();
      if (c == '-' || is_digit(c)) return number();
      if (c != '{' && c != '[') return literal();
      if (open_.size() == max_depth) return fault("the nesting is too deep");
      ++at_;
      skip_space();
      if (peek() == (c == '{' ? '}' : ']')) {
        ++at_;
        return true;
      }
      open_.push_back(c);
      if (c == '{' && !key()) return false;
    }
  }

  bool key() {
    skip_space();
    if (peek() != '"') return unexpected("a key in double quotes");
    if (!string()) return false;
    skip_space();
    if (peek() != ':') return unexpected("\":\" after the key");
    ++at_;
    return true;
  }

  // Closes what ends here. True where another value follows.
  bool after_value() {
    while (true) {
      skip_space();
      if (open_.empty()) {
        if (at_end()) return false;
        unexpected("the end of the file after the value");
        return false;
      }
      const bool in_object = open_.back() == '{';
      if (peek() == ',') return after_comma(in_object);
      if (peek() != (in_object ? '}' : ']'))
        return unexpected(in_object ? "\",\" or \"}\"" : "\",\" or \"]\"");
      ++at_;
      open_.pop_back();
    }
  }

  bool after_comma(bool in_object) {
    const std::size_t comma = at_++;
    skip_space();
    if (peek() == '}' || peek() == ']')
      return fault_at(comma, "there must be no comma after the last element");
    return !in_object || key();
  }

  bool literal() {
    std::size_t end = at_;
    while (end < text_.size() && is_word(text_[end])) ++end;
    const std::string_view word = text_.substr(at_, end - at_);
    if (word == "true" || word == "false" || word == "null") {
      at_ = end;
      return true;
    }
    if (word.empty()) return unexpected("a value");
    return fault(fmt::format("{} is no JSON value; strings are in double quotes", quote(word)));
  }

  bool digits() {
    if (!is_digit(peek())) return false;
    while (is_digit(peek())) ++at_;
    return true;
  }

  bool number() {
    const std::size_t start = at_;
    if (peek() == '-') ++at_;
    const std::size_t first = at_;
    if (!digits()) return fault_at(start, "expected a digit after \"-\"");
    if (text_[first] == '0' && at_ - first > 1) return fault_at(start, "a number must not begin with 0");
    bool is_integer = true;
    if (peek() == '.') {
      is_integer = false;
      ++at_;
      if (!digits()) return fault_at(start, "expected a digit after the decimal point");
    }
    if (peek() == 'e' || peek() == 'E') {
      is_integer = false;
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!digits()) return fault_at(start, "expected a digit in the exponent");
    }
    if (is_word(peek()) || peek() == '.') return fault(fmt::format("{} cannot be part of a number", here()));
    if (is_too_large(text_.substr(start, at_ - start), is_integer)) {
      return fault_at(start, "the number is too large for 64 bits");
    }
    return true;
  }

  static bool is_too_large(std::string_view number, bool is_integer) {
    if (!is_integer) return std::isinf(std::strtod(std::string(number).c_str(), nullptr));
    const char* end = number.data() + number.size();
    std::int64_t negative = 0;
    std::uint64_t positive = 0;
    const auto failure = number.front() == '-' ? std::from_chars(number.data(), end, negative).ec
                                               : std::from_chars(number.data(), end, positive).ec;
    return failure != std::errc{};
  }

  bool string() {
    const std::size_t start = at_++;
    while (!at_end() && peek() != '"') {
      if (peek() == '\\') {
        if (!escape()) return false;
        continue;
      }
      if (static_cast<unsigned char>(peek()) < 0x20) {
        return fault(peek() == '\n' ? "the string does not end in its line"
                                    : "control characters must be escaped");
      }
      ++at_;
    }
    if (at_end()) return fault_at(start, "the string has no end");
    ++at_;
    return true;
  }

  bool escape() {
    const std::size_t start = at_++;
    const char c = peek();
    if (c == 'u') return unicode_escape(start);
    if (at_end() || std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos) {
      return fault_at(start, "the escape is none of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
    }
    ++at_;
    return true;
  }

  // Behind "\u": its four digits as a number.
  std::optional<unsigned> hex_digits() {
    const std::string_view four = text_.substr(std::min(at_, text_.size()), 4);
    if (four.size() < 4 || !std::ranges::all_of(four, is_hex)) return std::nullopt;
    unsigned code = 0;
    std::from_chars(four.data(), four.data() + four.size(), code, 16);
    at_ += 4;
    return code;
  }

  bool unicode_escape(std::size_t start) {
    ++at_;
    const auto code = hex_digits();
    if (!code) return fault_at(start, "\\u needs four hex digits");
    if (*code >= 0xDC00 && *code <= 0xDFFF)
      return fault_at(start, "the second half of a surrogate pair stands alone");
    if (*code < 0xD800 || *code > 0xDBFF) return true;
    const bool has_second = text_.substr(at_, 2) == "\\u";
    if (has_second) at_ += 2;
    const auto second = has_second ? hex_digits() : std::nullopt;
    if (second && *second >= 0xDC00 && *second <= 0xDFFF) return true;
    return fault_at(start, "the first half of a surrogate pair stands alone");
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<char> open_;
  std::optional<JsonFault> fault_;
};

std::optional<JsonFault> find_bad_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_sequence_length(text.substr(at));
    if (length == 0) return JsonFault{at, "the file is not UTF-8"};
    at += length;
  }
  return std::nullopt;
}

}  // namespace

std::optional<JsonFault> find_json_fault(std::string_view text) {
  if (auto fault = find_bad_utf8(text)) return fault;
  if (text.starts_with("\xEF\xBB\xBF"))
    return JsonFault{0, "the file begins with a byte order mark; save it without"};
  return Scanner(text).run();
}

TextPosition position_at(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto line_start = before.rfind('\n');
  return {.line = static_cast<std::size_t>(std::ranges::count(before, '\n')) + 1,
          .column = before.size() - (line_start == std::string_view::npos ? 0 : line_start + 1) + 1};
}

}  // namespace ggufd::config
