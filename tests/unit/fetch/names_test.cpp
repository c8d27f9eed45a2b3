// URLs as they are fetched and as they are shown, curl's errors as ours, and the rate.
#include "fetch/curl_error.h"
#include "fetch/rate_meter.h"
#include "fetch/redirect.h"
#include "fetch/source_url.h"

#include <doctest/doctest.h>

namespace ggufd::fetch {
namespace {

config::Source source(std::string_view text) {
  auto parsed = config::parse_source(text, config::process_environment());
  REQUIRE(parsed);
  return *parsed;
}

TEST_CASE("a URL is fetched as it is written, query included") {
  CHECK(source_url(source("https://h/a%20b.gguf?x=1"), {}) == "https://h/a%20b.gguf?x=1");
}

TEST_CASE("a Hugging Face file becomes a URL with every part encoded") {
  CHECK(source_url(source("hf:org/repo/sub/f.gguf"), {}) ==
        "https://huggingface.co/org/repo/resolve/main/sub/f.gguf");
  CHECK(source_url(source("hf:org/repo/f.gguf@refs/pr/3"), {}) ==
        "https://huggingface.co/org/repo/resolve/refs%2Fpr%2F3/f.gguf");
  const config::Source odd{
      config::HuggingFaceSource{.org = "o?", .repo = "r#", .path = "a b/\xC3\xA9%.gguf"}};
  CHECK(source_url(odd, {}) == "https://huggingface.co/o%3F/r%23/resolve/main/a%20b/%C3%A9%25.gguf");
}

TEST_CASE("a Hugging Face file is fetched at any revision and endpoint") {
  const config::HuggingFaceSource file{.org = "o", .repo = "r", .path = "d/f.gguf"};
  CHECK(hub_url(file, "http://127.0.0.1:1", "a/b") == "http://127.0.0.1:1/o/r/resolve/a%2Fb/d/f.gguf");
}

TEST_CASE("a redirect is followed on the same scheme, host and port only") {
  const std::string from = "https://h/a/b?q=1";
  CHECK(same_origin_target(from, "/c") == "https://h/c");
  CHECK(same_origin_target(from, "c?x=%20#part") == "https://h/a/c?x=%20");
  CHECK(same_origin_target(from, "//h/c") == "https://h/c");
  CHECK(same_origin_target(from, "https://H:443/c").has_value());
  CHECK(same_origin_target("http://h:80/a", "http://h/c") == "http://h/c");
  CHECK(same_origin_target(from, "/c d") == "https://h/c%20d");
  for (const char* elsewhere :
       {"http://h/c", "https://h:444/c", "https://other/c", "//other/c", "https://h.other/c",
        "https://h@other/c", "https://user:secret@h/c", "https://user@h/c", "file:///etc/passwd", "odd://h/c",
        "https://", "https://h:x/"}) {
    CAPTURE(elsewhere);
    CHECK_FALSE(same_origin_target(from, elsewhere));
  }
  CHECK_FALSE(same_origin_target("no url", "/c"));
}

TEST_CASE("the endpoint may be another one") {
  for (const char* endpoint : {"https://mirror/base", "https://mirror/base/"}) {
    CHECK(source_url(source("hf:o/r/f.gguf"), {.hf_endpoint = endpoint}) ==
          "https://mirror/base/o/r/resolve/main/f.gguf");
  }
}

TEST_CASE("a URL is shown without credentials, query and fragment") {
  CHECK(display_url("https://h/p") == "https://h/p");
  CHECK(display_url("https://h/p?token=secret#part") == "https://h/p");
  CHECK(display_url("https://user:secret@h:1/p@q?x") == "https://h:1/p@q");
  CHECK(display_url("https://user@x:secret@h/p") == "https://h/p");
  CHECK(display_url("https://user:secret@h") == "https://h");
  CHECK(display_url("https://h?q=/@") == "https://h");
  CHECK(display_url("no url") == "no url");
  CHECK(display_url("") == "");
}

TEST_CASE("curl's errors become codes that programs know") {
  struct Case {
    CURLcode from;
    ErrorCode to;
  };
  for (const auto& [from, to] : {
           Case{CURLE_UNSUPPORTED_PROTOCOL, ErrorCode::bad_source},
           Case{CURLE_URL_MALFORMAT, ErrorCode::bad_source},
           Case{CURLE_TOO_MANY_REDIRECTS, ErrorCode::http_status},
           Case{CURLE_PEER_FAILED_VERIFICATION, ErrorCode::tls},
           Case{CURLE_SSL_CACERT_BADFILE, ErrorCode::tls},
           Case{CURLE_SSL_CONNECT_ERROR, ErrorCode::tls},
           Case{CURLE_SSL_CERTPROBLEM, ErrorCode::tls},
           Case{CURLE_SSL_CIPHER, ErrorCode::tls},
           Case{CURLE_SSL_ISSUER_ERROR, ErrorCode::tls},
           Case{CURLE_COULDNT_RESOLVE_PROXY, ErrorCode::network},
           Case{CURLE_COULDNT_RESOLVE_HOST, ErrorCode::network},
           Case{CURLE_COULDNT_CONNECT, ErrorCode::network},
           Case{CURLE_OPERATION_TIMEDOUT, ErrorCode::network},
           Case{CURLE_PARTIAL_FILE, ErrorCode::network},
           Case{CURLE_RECV_ERROR, ErrorCode::network},
           Case{CURLE_GOT_NOTHING, ErrorCode::network},
           Case{CURLE_HTTP2_STREAM, ErrorCode::network},
       }) {
    CAPTURE(from);
    CHECK(curl_error(from, "https://h/p", "").code == to);
  }
}

TEST_CASE("an error names the URL without its secrets and says what curl said") {
  const std::string with_detail =
      curl_error(CURLE_COULDNT_CONNECT, "https://u:secret@h/p?t=secret", "port 1").message;
  CHECK(with_detail.find("https://h/p: port 1;") != std::string::npos);
  CHECK(with_detail.find("secret") == std::string::npos);
  CHECK(curl_error(CURLE_COULDNT_CONNECT, "https://h/p", "")
            .message.find(curl_easy_strerror(CURLE_COULDNT_CONNECT)) != std::string::npos);
}

TEST_CASE("an error does not show a proxy's password, which curl quotes where it can't use the proxy") {
  const Error error = curl_error(CURLE_COULDNT_CONNECT, "https://h/p",
                                 "Unsupported proxy scheme for 'odd://user:secret@proxy:1'");
  CHECK(error.message.find("secret") == std::string::npos);
  CHECK(error.message.find("https://h/p") != std::string::npos);
}

TEST_CASE("a handshake that is broken off is a network fault, one that is refused is not") {
  const auto code = [](std::string_view detail) {
    return curl_error(CURLE_SSL_CONNECT_ERROR, "https://h/p", detail).code;
  };
  CHECK(code("OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to h:443 ") == ErrorCode::network);
  CHECK(code("OpenSSL SSL_connect: Connection reset by peer in connection to h:443 ") == ErrorCode::network);
  CHECK(code("error:0A000126:SSL routines::unexpected eof while reading") == ErrorCode::network);
  CHECK(code("error:0A00010B:SSL routines::wrong version number") == ErrorCode::tls);
  CHECK(code("") == ErrorCode::tls);
}

TEST_CASE("a rate needs two moments, and is that of the last seconds") {
  RateMeter rate;
  CHECK(rate.bytes_per_second() == 0);
  CHECK_FALSE(rate.eta_s(100));
  rate.add(1'000, 0);
  CHECK(rate.bytes_per_second() == 0);
  rate.add(1'500, 500);
  CHECK(rate.bytes_per_second() == 1'000);
  CHECK(rate.eta_s(0) == 0U);
  CHECK(rate.eta_s(1) == 1U);
  CHECK(rate.eta_s(1'000) == 1U);
  CHECK(rate.eta_s(1'001) == 2U);
  // Ten times as fast from here on: after the window nothing of the old rate is left.
  std::uint64_t total = 500;
  for (std::uint64_t now = 1'550; now <= 1'500 + RateMeter::window_ms + 100; now += 50)
    rate.add(now, total += 500);
  CHECK(rate.bytes_per_second() == 10'000);
}

TEST_CASE("a transfer that stands still falls to no rate within the window") {
  RateMeter rate;
  rate.add(0, 0);
  rate.add(1'000, 1'000'000);
  rate.add(2'000, 1'000'000);
  CHECK(rate.bytes_per_second() == 500'000);
  for (std::uint64_t now = 3'000; now <= 1'000 + RateMeter::window_ms; now += 1'000) rate.add(now, 1'000'000);
  CHECK(rate.bytes_per_second() == 0);
  CHECK_FALSE(rate.eta_s(1));
}

}  // namespace
}  // namespace ggufd::fetch
