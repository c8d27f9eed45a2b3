#include "gguf/model_parameters.h"

#include <fmt/format.h>

#include "gguf/defect.h"

namespace ggufd::gguf {
namespace {

// An element as engines read them where one number a layer is expected.
std::optional<std::uint32_t> layer_number(const Value& array, std::uint64_t index) {
  if (const auto number = array.element<std::uint32_t>(index)) return number;
  if (const auto flag = array.element<bool>(index)) return *flag ? 1U : 0U;
  if (const auto number = array.element<std::int32_t>(index); number && *number >= 0) {
    return static_cast<std::uint32_t>(*number);
  }
  return std::nullopt;
}

}  // namespace

void ModelParameters::fail(std::string reason) {
  if (failure_.empty()) failure_ = std::move(reason);
}

std::optional<std::uint32_t> ModelParameters::optional_number(std::string_view suffix) {
  auto value = header_.find<std::uint32_t>(header_.model_key(suffix));
  if (value) return *value;
  fail(std::move(value.error().message));
  return std::nullopt;
}

std::uint32_t ModelParameters::number(std::string_view suffix, std::uint32_t otherwise) {
  return optional_number(suffix).value_or(otherwise);
}

std::uint32_t ModelParameters::required(std::string_view suffix) {
  const auto value = optional_number(suffix);
  if (!value) fail(fmt::format("key {} is missing", printable(header_.model_key(suffix))));
  return value.value_or(0);
}

bool ModelParameters::is_array(std::string_view suffix) const {
  const Key* key = header_.find_key(header_.model_key(suffix));
  return key != nullptr && key->value.is_array();
}

std::optional<std::vector<std::uint32_t>> ModelParameters::per_layer(std::string_view suffix,
                                                                     std::uint32_t layers) {
  if (!is_array(suffix)) {
    const auto same = optional_number(suffix);
    if (!same) return std::nullopt;
    return std::vector<std::uint32_t>(layers, *same);
  }
  const std::string name = header_.model_key(suffix);
  const Value& array = header_.find_key(name)->value;
  if (array.count() < layers) {
    fail(fmt::format("key {} has {} elements for {} layers", printable(name), array.count(), layers));
    return std::nullopt;
  }
  std::vector<std::uint32_t> numbers;
  numbers.reserve(layers);
  for (std::uint32_t layer = 0; layer < layers; ++layer) {
    const auto number = layer_number(array, layer);
    if (!number) {
      fail(fmt::format("element {} of key {} is no count", layer, printable(name)));
      return std::nullopt;
    }
    numbers.push_back(*number);
  }
  return numbers;
}

}  // namespace ggufd::gguf
