// Any bytes are a configuration or a list of mistakes, and the two ways to look at JSON agree.
#include <simdjson.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "config/config.h"
#include "config/json_fault.h"
#include "config/places.h"
#include "config/source.h"

namespace {

using namespace ggufd::config;

std::optional<std::string> fixed_environment(const char* name) {
  return std::string_view(name) == "HOME" ? std::optional<std::string>("/home/kim") : std::nullopt;
}

void require(bool condition) {
  if (!condition) std::abort();
}

// simdjson decides; the scanner only explains. What simdjson refuses must have an explanation, and what it
// takes none.
void compare_parsers(std::string_view text) {
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(text);
  simdjson::dom::element root;
  const bool is_json = parser.parse(padded).get(root) == simdjson::SUCCESS;
  require(is_json == !find_json_fault(text).has_value());
}

void check_right(const Config& config) {
  for (const ModelConfig& model : config.models) {
    require(!model.name.empty() && !model.sources.empty());
    for (const Source& source : model.sources) {
      require(config.fetch.allow_plain_http || !source.is_plain_http_to_remote());
      require(model.pin == Pin::first_use || !source.is_network() || !model.sha256.empty());
      to_string(source);
    }
  }
  require(config.models.empty() == config.default_model.empty());
  check_model_sockets(config, "/run/ggufd");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = parse_config(text, fixed_environment);
  if (config) {
    check_right(*config);
  } else {
    require(!config.error().empty());
    for (const Mistake& mistake : config.error()) require(!to_string(mistake).empty());
  }
  compare_parsers(text);
  if (const auto source = parse_source(text, fixed_environment)) {
    // What is shown of a source never says more than the source.
    require(to_string(*source).find('?') == std::string::npos || !source->is_network() ||
            !std::holds_alternative<UrlSource>(source->where));
    parse_shard_name(source->file_name());
  }
  return 0;
}
