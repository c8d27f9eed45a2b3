#include "gguf/header.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "gguf/defect.h"

namespace ggufd::gguf {
namespace {

// Sorting by name finds duplicates in n log n, whatever names a hostile file chooses; a hash would not.
template <class T>
void order_by_name(const std::vector<T>& items, std::vector<std::uint32_t>& order) {
  order.resize(items.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::sort(order, [&](std::uint32_t a, std::uint32_t b) {
    const int names = items[a].name.compare(items[b].name);
    return names != 0 ? names < 0 : a < b;
  });
}

template <class T>
const T* find_by_name(const std::vector<T>& items, const std::vector<std::uint32_t>& order,
                      std::string_view name) {
  const auto found = std::ranges::lower_bound(
      order, name, {}, [&](std::uint32_t i) -> std::string_view { return items[i].name; });
  return found != order.end() && items[*found].name == name ? &items[*found] : nullptr;
}

std::uint64_t add_up_to_limit(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::uint64_t>::max() : sum;
}

}  // namespace

const Key* Header::find_key(std::string_view name) const {
  return find_by_name(keys, key_order_, name);
}

const Tensor* Header::find_tensor(std::string_view name) const {
  return find_by_name(tensors, tensor_order_, name);
}

template <GgufValue T>
Result<std::optional<T>> Header::find(std::string_view name) const {
  const Key* key = find_key(name);
  if (key == nullptr) return std::optional<T>();
  if (auto value = key->value.as<T>()) return value;
  return fail(ErrorCode::invalid_gguf,
              fmt::format("key {} is of type {} where {} is expected", printable(name),
                          name_of(key->value.type()), name_of(*value_type_of<T>)));
}

template <GgufValue T>
Result<T> Header::get(std::string_view name) const {
  auto value = find<T>(name);
  if (!value) return std::unexpected(std::move(value.error()));
  if (*value) return **value;
  return fail(ErrorCode::invalid_gguf, fmt::format("key {} is missing", printable(name)));
}

#define GGUFD_GGUF_LOOKUPS(T)                                                     \
  template Result<std::optional<T>> Header::find<T>(std::string_view name) const; \
  template Result<T> Header::get<T>(std::string_view name) const
GGUFD_GGUF_LOOKUPS(std::uint8_t);
GGUFD_GGUF_LOOKUPS(std::int8_t);
GGUFD_GGUF_LOOKUPS(std::uint16_t);
GGUFD_GGUF_LOOKUPS(std::int16_t);
GGUFD_GGUF_LOOKUPS(std::uint32_t);
GGUFD_GGUF_LOOKUPS(std::int32_t);
GGUFD_GGUF_LOOKUPS(std::uint64_t);
GGUFD_GGUF_LOOKUPS(std::int64_t);
GGUFD_GGUF_LOOKUPS(float);
GGUFD_GGUF_LOOKUPS(double);
GGUFD_GGUF_LOOKUPS(bool);
GGUFD_GGUF_LOOKUPS(std::string_view);
#undef GGUFD_GGUF_LOOKUPS

std::string_view Header::architecture() const {
  const Key* key = find_key("general.architecture");
  const std::string_view name = key != nullptr ? key->value.as<std::string_view>().value_or("") : "";
  return name.size() <= max_architecture_bytes ? name : "";
}

std::string Header::model_key(std::string_view suffix) const {
  return fmt::format("{}.{}", architecture(), suffix);
}

std::uint64_t Header::vocabulary_size() const {
  if (const Key* size = find_key(model_key("vocab_size"))) {
    if (const auto value = size->value.as<std::uint32_t>(); value.value_or(0) > 0) return *value;
  }
  const Key* tokens = find_key("tokenizer.ggml.tokens");
  return tokens != nullptr ? tokens->value.strings().size() : 0;
}

std::uint64_t Header::parameter_count() const {
  return std::accumulate(tensors.begin(), tensors.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const Tensor& t) { return add_up_to_limit(sum, t.elements); });
}

std::uint64_t Header::tensor_bytes() const {
  return std::accumulate(tensors.begin(), tensors.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const Tensor& t) { return add_up_to_limit(sum, t.bytes); });
}

void Header::index() {
  order_by_name(keys, key_order_);
  order_by_name(tensors, tensor_order_);
}

}  // namespace ggufd::gguf
