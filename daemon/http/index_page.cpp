#include "http/index_page.h"

#include <fmt/format.h>

#include <cstdint>

#include "http/embedded_page.h"

namespace ggufd::http {
namespace {

constexpr std::string_view base64_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::uint32_t hex_value(char digit) {
  return static_cast<std::uint32_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

// The page runs its own script and style and no other, talks to this daemon and to nobody else, and is shown
// within no other page (CSP Level 3, https://www.w3.org/TR/CSP3/).
const std::string& content_security_policy() {
  static const std::string policy = fmt::format(
      "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; "
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      base64_of_hex(index_html.script_digest), base64_of_hex(index_html.style_digest));
  return policy;
}

const std::string& entity_tag() {
  static const std::string tag = fmt::format("\"{}\"", index_html.digest.substr(0, 32));
  return tag;
}

}  // namespace

Page index_page(std::optional<std::string_view> if_none_match) {
  Page page{.content_type = "text/html; charset=utf-8",
            .cache_control = "no-cache",
            .headers = {{"ETag", entity_tag()},
                        {"Content-Security-Policy", content_security_policy()},
                        {"Referrer-Policy", "no-referrer"}}};
  // A tag is quoted and long, so whatever contains it lists it.
  if (if_none_match &&
      (*if_none_match == "*" || if_none_match->find(entity_tag()) != std::string_view::npos)) {
    page.status = 304;
  } else {
    page.body = index_html.html;
  }
  return page;
}

std::string base64_of_hex(std::string_view hex) {
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;  // of bits that were not written yet
  for (const char digit : hex) {
    bits = bits << 4U | hex_value(digit);
    count += 4;
    if (count < 6) continue;
    count -= 6;
    out += base64_digits[bits >> static_cast<unsigned>(count) & 63U];
  }
  if (count > 0) out += base64_digits[bits << static_cast<unsigned>(6 - count) & 63U];
  while (out.size() % 4 != 0) out += '=';
  return out;
}

}  // namespace ggufd::http
