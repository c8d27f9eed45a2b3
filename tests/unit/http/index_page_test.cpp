#include "http/index_page.h"

#include <doctest/doctest.h>

#include <string>

#include "http/embedded_page.h"
#include "http/status_page.h"

namespace ggufd::http {
namespace {

std::string header(const Page& page, std::string_view name) {
  for (const auto& [key, value] : page.headers) {
    if (key == name) return std::string(value);
  }
  return "";
}

}  // namespace

// The first are RFC 4648's test vectors (section 10).
TEST_CASE("base64") {
  CHECK(base64_of_hex("") == "");
  CHECK(base64_of_hex("66") == "Zg==");
  CHECK(base64_of_hex("666f") == "Zm8=");
  CHECK(base64_of_hex("666f6f") == "Zm9v");
  CHECK(base64_of_hex("666f6f62") == "Zm9vYg==");
  CHECK(base64_of_hex("666f6f6261") == "Zm9vYmE=");
  CHECK(base64_of_hex("666f6f626172") == "Zm9vYmFy");
  CHECK(base64_of_hex("fbefbeffff") == "++++//8=");
}

TEST_CASE("the page is sent, or said to be what the client has") {
  const Page page = index_page(std::nullopt);
  CHECK(page.status == 200);
  CHECK(page.body == index_html.html);
  CHECK(page.body.starts_with("<!doctype html>"));
  const std::string tag = header(page, "ETag");
  REQUIRE(tag.size() == 34);
  CHECK(index_page(tag).status == 304);
  CHECK(index_page(tag).body.empty());
  CHECK(index_page("\"other\"").status == 200);
}

TEST_CASE("the policy allows the page's own script and style") {
  const std::string policy = header(index_page(std::nullopt), "Content-Security-Policy");
  CHECK(policy.find("script-src 'sha256-" + base64_of_hex(index_html.script_digest)) != std::string::npos);
  CHECK(policy.find("style-src 'sha256-" + base64_of_hex(index_html.style_digest)) != std::string::npos);
  CHECK(policy.find("unsafe") == std::string::npos);
}

TEST_CASE("memory: the tightest limit, and the address space apart") {
  memory::Limits limits{.total_bytes = 1000, .available_bytes = 600, .cgroups = {}};
  limits.cgroups.push_back({.path = "/a", .max_bytes = 500, .high_bytes = {}, .used_bytes = 100});
  limits.address_space_bytes = 10;
  const MemoryNumbers numbers{.limits = limits,
                              .room = {.limits = memory::available_memory(limits),
                                       .held = {.file_bytes = 70, .promised_bytes = 5},
                                       .headroom_bytes = 50}};
  const MachineMemory found = machine_memory(&numbers);
  CHECK(found.total_bytes.value == 500U);
  CHECK(found.available_bytes.value == 400U);
  CHECK(found.held_bytes == 75);
  CHECK(found.headroom_bytes == 50);
  CHECK(found.limits ==
        std::vector<answer::MemoryLimit>{{"MemAvailable", 600}, {"memory.max of the cgroup /a", 400}});
}

TEST_CASE("memory that the machine does not tell is null") {
  const Page page = status_page(
      {.version = "1", .started = {}, .now = {}, .status = {}, .memory = machine_memory(nullptr)});
  CHECK(
      page.body ==
      R"({"version":"1","started":"1970-01-01T00:00:00.000Z","now":"1970-01-01T00:00:00.000Z","doctor":false,)"
      R"("models":[],"subscribers":0,"seq":0,"memory":{"total_bytes":null,"available_bytes":null,)"
      R"("held_bytes":0,"headroom_bytes":0,"limits":[]}})"
      "\n");
}

}  // namespace ggufd::http
