// The request `pull`, field by field.
#include "admin/pull_request.h"

#include <doctest/doctest.h>

namespace ggufd::admin {
namespace {

const config::Environment no_environment = [](const char*) { return std::nullopt; };
const std::string digest(64, 'a');

config::Config configured() {
  config::Config config;
  config.models.push_back(
      {.name = "net", .sources = {config::Source{config::UrlSource{.url = "https://h/m.gguf"}}}});
  config.models.push_back({.name = "file", .sources = {config::Source{config::FileSource{"/m.gguf"}}}});
  return config;
}

Result<PullOrder> check(const request::Pull& request, const config::Config& config = configured()) {
  return check_pull(request, config, no_environment);
}

// The code, and what the sentence begins with.
void check_refused(const request::Pull& request, ErrorCode code, std::string_view sentence) {
  const auto order = check(request);
  REQUIRE_FALSE(order);
  CHECK(order.error().code == code);
  INFO(order.error().message);
  CHECK(order.error().message.starts_with(sentence));
}

TEST_CASE("pull: a model by its name") {
  CHECK(check({.model = "net"}) == PullOrder{"net", {}});
  CHECK(check({.model = "nobody"}) == PullOrder{"nobody", {}});  // the models know that
}

TEST_CASE("pull: a source with a name, pinned by its digest or on first use") {
  const auto pinned = check({.source = "https://h/x.gguf", .sha256 = std::string(64, 'A'), .name = "x"});
  REQUIRE(pinned);
  CHECK_FALSE(pinned->model.has_value());
  CHECK(pinned->source.name == "x");
  CHECK(pinned->source.sha256 == std::vector{digest});
  CHECK(pinned->source.pin == config::Pin::required);
  const auto first_use = check({.source = "hf:org/repo/x.gguf@v1", .name = "x"});
  REQUIRE(first_use);
  CHECK(first_use->source.sha256.empty());
  CHECK(first_use->source.pin == config::Pin::first_use);
}

TEST_CASE("pull: neither a model nor a source, or a source without a name") {
  check_refused({}, ErrorCode::missing_field, "the field \"model\" is missing");
  check_refused({.name = "x"}, ErrorCode::missing_field, "the field \"source\" is missing");
  check_refused({.sha256 = digest}, ErrorCode::missing_field, "the field \"source\" is missing");
  check_refused({.source = "https://h/x"}, ErrorCode::missing_field, "the field \"name\" is missing");
}

TEST_CASE("pull: what belongs to a source does not go with a model") {
  check_refused({.model = "net", .source = "https://h/x"}, ErrorCode::bad_field,
                "source does not go with model");
  check_refused({.model = "net", .sha256 = digest}, ErrorCode::bad_field, "sha256 does not go with model");
  check_refused({.model = "net", .name = "x"}, ErrorCode::bad_field, "name does not go with model");
}

TEST_CASE("pull: fields that are wrong are named") {
  check_refused({.source = "ftp://h/x", .name = "x"}, ErrorCode::bad_field, "source ");
  check_refused({.source = "http://example.org/x", .name = "x"}, ErrorCode::bad_field,
                "source must be https://");
  check_refused({.source = "https://h/x", .name = ".x"}, ErrorCode::bad_field, "name must be 1 to 64");
  check_refused({.source = "https://h/x", .name = "net"}, ErrorCode::bad_field,
                "name must not be a configured");
  check_refused({.source = "https://h/x", .sha256 = "12", .name = "x"}, ErrorCode::bad_field,
                "sha256 must be 64");
  check_refused({.source = "https://h/m-00002-of-00003.gguf", .name = "x"}, ErrorCode::bad_field,
                "source must name the first shard");
}

TEST_CASE("pull: plain http where the configuration allows it, and to loopback") {
  config::Config config = configured();
  config.fetch.allow_plain_http = true;
  CHECK(check({.source = "http://example.org/x", .name = "x"}, config));
  CHECK(check({.source = "http://127.0.0.1/x", .name = "x"}));
}

TEST_CASE("pull: local files are not fetched") {
  check_refused({.source = "/m.gguf", .name = "x"}, ErrorCode::bad_field, "source is a local file");
  check_refused({.source = "file:///m.gguf", .name = "x"}, ErrorCode::bad_field, "source is a local file");
  check_refused({.model = "file"}, ErrorCode::bad_field, "model must have a source to fetch from");
}

TEST_CASE("pull: shards are pinned on first use, one digest cannot be that of all") {
  CHECK(check({.source = "https://h/m-00001-of-00003.gguf", .name = "x"}));
  CHECK(check({.source = "https://h/m-00001-of-00001.gguf", .sha256 = digest, .name = "x"}));
  check_refused({.source = "https://h/m-00001-of-00003.gguf", .sha256 = digest, .name = "x"},
                ErrorCode::bad_field, "sha256 is one digest and the source has 3 shards");
}

}  // namespace
}  // namespace ggufd::admin
