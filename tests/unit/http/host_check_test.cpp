#include "http/host_check.h"

#include <doctest/doctest.h>

namespace ggufd::http {
namespace {

const config::HttpConfig loopback{.tcp = "127.0.0.1:8080"};

}  // namespace

TEST_CASE("loopback names and addresses are this machine, with any port and without one") {
  for (const char* host :
       {"127.0.0.1", "127.0.0.1:8080", "127.1.2.3:1", "localhost", "LocalHost:8080", "[::1]", "[::1]:8080"}) {
    CAPTURE(host);
    CHECK(is_our_host(loopback, host));
  }
  CHECK(is_our_host(loopback, std::nullopt));
}

TEST_CASE("names that only look like it are not") {
  for (const char* host : {"example.org", "127.0.0.1.example.org", "localhost.example.org", "10.0.0.1:8080",
                           "", "127.0.0.1:99999", "a@127.0.0.1", "::1", "[::1"}) {
    CAPTURE(host);
    CHECK_FALSE(is_our_host(loopback, host));
  }
}

TEST_CASE("the configured host is this machine; with allow_remote every name is") {
  CHECK(is_our_host({.tcp = "192.0.2.7:80"}, "192.0.2.7"));
  CHECK_FALSE(is_our_host({.tcp = "192.0.2.7:80"}, "192.0.2.8"));
  CHECK(is_our_host({.tcp = "192.0.2.7:80", .allow_remote = true}, "models.example.org"));
}

}  // namespace ggufd::http
