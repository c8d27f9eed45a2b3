#include <fcntl.h>

#include "support.h"

namespace ggufd::doctor::test {
namespace {

const char* const hub_model =
    R"("source": "hf:org/repo/m.gguf", "sha256": "0000000000000000000000000000000000000000000000000000000000000000")";

TEST_CASE("network, token: none is enough, one in a file is for its owner only") {
  Scene scene;
  CHECK_FINDING(scene.look("network", "token"), Outcome::skip, "no model comes from a hub");
  scene.configure_model(hub_model);
  CHECK_FINDING(scene.look("network", "token"), Outcome::ok, "none");
  scene.variables["HF_TOKEN_PATH"] = scene / "token";
  scene.put("token", "hf_abc\n", 0600);
  CHECK_FINDING(scene.look("network", "token"), Outcome::ok, "for its owner only");
  scene.put("token", "hf_abc\n", 0644);
  CHECK_FINDING(scene.look("network", "token"), Outcome::fail, "token");
}

TEST_CASE("network, token: that of the environment") {
  Scene scene;
  scene.configure_model(hub_model);
  scene.variables["HF_TOKEN"] = "hf_abc";
  CHECK_FINDING(scene.look("network", "token"), Outcome::ok, "HF_TOKEN is set");
  scene.variables["HF_ENDPOINT"] = "http://hub.example.org";
  CHECK_FINDING(scene.look("network", "token"), Outcome::warn, "plain HTTP");
  scene.variables["HF_TOKEN"] = "two words";
  CHECK_FINDING(scene.look("network", "token"), Outcome::fail, "HF_TOKEN");
}

TEST_CASE("network, token: is never shown") {
  Scene scene;
  scene.configure_model(hub_model);
  for (const char* token : {"hf_secret", "hf secret"}) {
    scene.variables["HF_TOKEN"] = token;
    for (const answer::Check& check : scene.look().checks) {
      CHECK(check.found.find("secret") == std::string::npos);
      CHECK(check.advice.find("secret") == std::string::npos);
    }
  }
}

TEST_CASE("network, proxy: as curl reads it, without its credentials") {
  Scene scene;
  CHECK_FINDING(scene.look("network", "proxy"), Outcome::ok, "none");
  scene.variables["https_proxy"] = "http://user:secret@proxy.example.org:3128";
  scene.variables["no_proxy"] = "example.net";
  const auto found = scene.look("network", "proxy");
  CHECK_FINDING(found, Outcome::warn, "https_proxy=http://proxy.example.org:3128");
  CHECK(found.found.find("secret") == std::string::npos);
  CHECK(found.found.find("no_proxy=example.net") != std::string::npos);
  // In lower case first.
  scene.variables["NO_PROXY"] = "example.com";
  CHECK(scene.look("network", "proxy").found.find("NO_PROXY") == std::string::npos);
  scene.variables.erase("no_proxy");
  CHECK(scene.look("network", "proxy").found.find(", NO_PROXY=example.com: every") != std::string::npos);
  scene.variables["https_proxy"] = "ftp://proxy.example.org";
  CHECK_FINDING(scene.look("network", "proxy"), Outcome::fail, "https_proxy is no proxy");
}

TEST_CASE("network, proxy: HTTP_PROXY is not read, and the configuration's goes before all") {
  Scene scene;
  scene.variables["HTTP_PROXY"] = "http://proxy.example.org";
  CHECK_FINDING(scene.look("network", "proxy"), Outcome::warn, "not read");
  scene.configure(R"({"models": [], "fetch": {"proxy": "socks5h://proxy.example.org:1080"}})");
  CHECK_FINDING(scene.look("network", "proxy"), Outcome::ok, "by fetch.proxy");
}

TEST_CASE("network, certificates: without them no server can prove who it is") {
  Scene scene;
  CHECK_FINDING(scene.look("network", "certificates"), Outcome::skip, "no model comes over TLS");
  scene.configure_model(hub_model);
  CHECK_FINDING(scene.look("network", "certificates"), Outcome::ok, "ca-certificates.crt");
  const std::string path = scene / "root/etc/ssl/certs/ca-certificates.crt";
  const timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  REQUIRE(utimensat(AT_FDCWD, path.c_str(), old, 0) == 0);
  CHECK_FINDING(scene.look("network", "certificates"), Outcome::warn, "three years old");
  scene.put("root/etc/ssl/certs/ca-certificates.crt", "nothing");
  CHECK_FINDING(scene.look("network", "certificates"), Outcome::fail, "no certificate");
  std::filesystem::remove(path);
  CHECK_FINDING(scene.look("network", "certificates"), Outcome::fail, "is not there");
}

TEST_CASE("network, certificates: those of the configuration") {
  Scene scene;
  scene.configure_model(hub_model, fmt::format(R"("fetch": {{"ca_file": "{}"}})", scene / "ca.pem"));
  CHECK_FINDING(scene.look("network", "certificates"), Outcome::fail, "ca.pem");
  scene.put("ca.pem", "-----BEGIN CERTIFICATE-----\n");
  CHECK_FINDING(scene.look("network", "certificates"), Outcome::ok, "ca.pem");
}

}  // namespace
}  // namespace ggufd::doctor::test
