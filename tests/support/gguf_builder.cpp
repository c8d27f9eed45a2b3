#include "tests/support/gguf_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace ggufd::test {
namespace {

using gguf::ValueType;
using Bytes = GgufBuilder::Bytes;

constexpr std::uint64_t slice_blocks = 32 * 1024;

// SplitMix64's output function (Steele, Lea, Flood 2014): the n-th number needs none before it.
std::uint64_t noise(std::uint64_t seed, std::uint64_t n) {
  std::uint64_t z = seed + (n + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

// An f16 between 2^-7 and 2^-5 of either sign: finite, and small enough that layers do not overflow.
std::uint16_t small_f16(std::uint64_t random) {
  return static_cast<std::uint16_t>((random & 0x8000) | ((8 + (random >> 20) % 2) << 10) | (random & 0x3FF));
}

// One block of `type`, from the noise at block `n`.
void fill_block(const gguf::TensorType& type, std::uint64_t seed, std::uint64_t n,
                std::span<std::byte> block) {
  if (type.name == "f32") {
    const float one = 1.0F;  // f32 tensors are norms here
    std::memcpy(block.data(), &one, sizeof one);
    return;
  }
  if (type.name == "f16") {
    const std::uint16_t value = small_f16(noise(seed, n));
    std::memcpy(block.data(), &value, sizeof value);
    return;
  }
  for (std::size_t at = 0; at < block.size(); at += sizeof(std::uint64_t)) {
    const std::uint64_t random = noise(seed, n * 64 + at);
    std::memcpy(block.data() + at, &random, std::min(sizeof random, block.size() - at));
  }
  // Quantized blocks of the simple kinds start with their scale, which must be finite.
  const std::uint16_t scale = 0x0C00 | static_cast<std::uint16_t>(noise(seed, n) & 0xFF);  // about 2^-12
  if (block.size() > sizeof scale) std::memcpy(block.data(), &scale, sizeof scale);
}

std::uint64_t pad(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

}  // namespace

void GgufBuilder::append(Bytes& to, const void* from, std::size_t count) {
  const auto* bytes = static_cast<const std::byte*>(from);
  to.insert(to.end(), bytes, bytes + count);
}

void GgufBuilder::begin_key(std::string_view key, ValueType type) {
  const std::uint64_t length = key.size();
  put(length);
  append(keys_, key.data(), key.size());
  put(static_cast<std::uint32_t>(type));
  ++n_keys_;
}

void GgufBuilder::begin_array(std::string_view key, ValueType element, std::uint64_t count) {
  begin_key(key, ValueType::array);
  put(static_cast<std::uint32_t>(element));
  put(count);
}

GgufBuilder& GgufBuilder::add(std::string_view key, std::string_view text) {
  return add_with_length(key, text, text.size());
}

GgufBuilder& GgufBuilder::add_with_length(std::string_view key, std::string_view text,
                                          std::uint64_t claimed_length) {
  begin_key(key, ValueType::string);
  put(claimed_length);
  append(keys_, text.data(), text.size());
  return *this;
}

GgufBuilder& GgufBuilder::add_strings(std::string_view key, std::span<const std::string> values) {
  begin_array(key, ValueType::string, values.size());
  for (const std::string& value : values) {
    put(std::uint64_t{value.size()});
    append(keys_, value.data(), value.size());
  }
  return *this;
}

GgufBuilder& GgufBuilder::raw_key(std::string_view key, std::uint32_t value_type,
                                  std::span<const std::byte> value) {
  const std::uint64_t length = key.size();
  put(length);
  append(keys_, key.data(), key.size());
  put(value_type);
  append(keys_, value.data(), value.size());
  ++n_keys_;
  return *this;
}

GgufBuilder& GgufBuilder::array_header(std::string_view key, std::uint32_t element_type,
                                       std::uint64_t claimed_count) {
  std::array<std::byte, 12> head{};
  std::memcpy(head.data(), &element_type, sizeof element_type);
  std::memcpy(head.data() + sizeof element_type, &claimed_count, sizeof claimed_count);
  return raw_key(key, static_cast<std::uint32_t>(ValueType::array), head);
}

GgufBuilder& GgufBuilder::raw_tensor(std::string_view name, std::uint32_t n_dims,
                                     std::vector<std::uint64_t> shape, std::uint32_t type_id,
                                     std::uint64_t offset) {
  raw_tensor_name(name, name.size());
  append(tensors_, &n_dims, sizeof n_dims);
  append(tensors_, shape.data(), shape.size() * sizeof(std::uint64_t));
  append(tensors_, &type_id, sizeof type_id);
  append(tensors_, &offset, sizeof offset);
  return *this;
}

GgufBuilder& GgufBuilder::raw_tensor_name(std::string_view name, std::uint64_t claimed_length) {
  append(tensors_, &claimed_length, sizeof claimed_length);
  append(tensors_, name.data(), name.size());
  ++n_tensors_;
  return *this;
}

GgufBuilder& GgufBuilder::tensor(std::string_view name, std::string_view type,
                                 std::vector<std::uint64_t> shape) {
  const gguf::TensorType& known = *gguf::tensor_type(type);
  std::uint64_t elements = 1;
  for (const std::uint64_t extent : shape) elements *= extent;
  const std::uint64_t bytes = elements / known.block_elements * known.block_bytes;
  const auto n_dims = static_cast<std::uint32_t>(shape.size());
  data_.push_back({.type = &known, .offset = data_bytes_, .bytes = bytes, .row_bytes = bytes / shape.back()});
  raw_tensor(name, n_dims, std::move(shape), known.id, data_bytes_);
  data_bytes_ = pad(data_bytes_ + bytes, alignment_);
  return *this;
}

GgufBuilder& GgufBuilder::zero_rows(std::uint64_t rows) {
  return data_.back().zero_bytes = rows * data_.back().row_bytes, *this;
}
GgufBuilder& GgufBuilder::seed(std::uint64_t seed) {
  return seed_ = seed, *this;
}
GgufBuilder& GgufBuilder::align_to(std::uint64_t alignment) {
  return alignment_ = alignment, *this;
}
GgufBuilder& GgufBuilder::magic(std::string_view four_bytes) {
  return magic_ = four_bytes, *this;
}
GgufBuilder& GgufBuilder::version(std::uint32_t version) {
  return version_ = version, *this;
}
GgufBuilder& GgufBuilder::claim_tensors(std::uint64_t count) {
  return n_tensors_ = count, *this;
}
GgufBuilder& GgufBuilder::claim_keys(std::uint64_t count) {
  return n_keys_ = count, *this;
}

Bytes GgufBuilder::header() const {
  Bytes bytes;
  append(bytes, magic_.data(), magic_.size());
  append(bytes, &version_, sizeof version_);
  append(bytes, &n_tensors_, sizeof n_tensors_);
  append(bytes, &n_keys_, sizeof n_keys_);
  append(bytes, keys_.data(), keys_.size());
  append(bytes, tensors_.data(), tensors_.size());
  bytes.resize(pad(bytes.size(), alignment_));
  return bytes;
}

void GgufBuilder::each_slice(const std::function<void(std::span<const std::byte>)>& use) const {
  Bytes slice;
  for (std::size_t i = 0; i < data_.size(); ++i) {
    const Data& data = data_[i];
    const std::uint64_t seed = noise(seed_, i);
    const std::uint64_t blocks = data.bytes / data.type->block_bytes;
    for (std::uint64_t first = 0; first < blocks; first += slice_blocks) {
      const std::uint64_t count = std::min(slice_blocks, blocks - first);
      slice.resize(count * data.type->block_bytes);
      for (std::uint64_t b = 0; b < count; ++b) {
        fill_block(*data.type, seed, first + b,
                   std::span(slice).subspan(b * data.type->block_bytes, data.type->block_bytes));
      }
      const std::uint64_t zeros = data.zero_bytes - std::min(data.zero_bytes, first * data.type->block_bytes);
      std::fill_n(slice.begin(), std::min<std::uint64_t>(zeros, slice.size()), std::byte{0});
      use(slice);
    }
    const std::uint64_t end = i + 1 < data_.size() ? data_[i + 1].offset : data_bytes_;
    slice.assign(end - data.offset - data.bytes, std::byte{0});
    use(slice);
  }
}

Bytes GgufBuilder::build() const {
  Bytes bytes = header();
  each_slice([&](std::span<const std::byte> slice) { append(bytes, slice.data(), slice.size()); });
  return bytes;
}

Result<void> GgufBuilder::write(const std::filesystem::path& path) const {
  const auto close = [](std::FILE* file) { (void)std::fclose(file); };
  const std::unique_ptr<std::FILE, decltype(close)> file(std::fopen(path.c_str(), "wb"), close);
  if (!file) return std::unexpected(system_error("cannot create " + path.string(), errno));
  int failed = 0;
  const auto put_out = [&](std::span<const std::byte> bytes) {
    if (failed == 0 && std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) failed = errno;
  };
  put_out(header());
  each_slice(put_out);
  if (failed == 0 && std::fflush(file.get()) != 0) failed = errno;
  if (failed != 0) return std::unexpected(system_error("cannot write " + path.string(), failed));
  return {};
}

namespace {

struct LlamaSize {
  std::uint64_t layers;
  std::uint64_t embd;
  std::uint64_t ffn;
  std::uint64_t vocab;
};

constexpr std::uint64_t head_elements = 32;
constexpr std::uint64_t queries_per_key = 2;

std::uint64_t q8_bytes(std::uint64_t elements) {
  return elements / 32 * 34;
}

std::uint64_t embedding_bytes(const LlamaSize& size) {
  return size.vocab * size.embd * 2 + q8_bytes(size.vocab * size.embd);
}

std::uint64_t layer_bytes(const LlamaSize& size) {
  const std::uint64_t attention = size.embd * size.embd * 2 + size.embd * size.embd / queries_per_key * 2;
  return q8_bytes(attention + 3 * size.embd * size.ffn) + 2 * size.embd * 4;
}

// The wanted size: wider layers first, then more of them, then the feed-forward takes up the rest.
LlamaSize llama_size(const LlamaOptions& options) {
  LlamaSize size{options.n_layers, options.n_embd, std::uint64_t{options.n_embd} * 2, options.n_vocab};
  const std::uint64_t target = options.target_bytes;
  const auto total = [&] { return embedding_bytes(size) + size.layers * layer_bytes(size); };
  while (size.embd < 4096) {
    LlamaSize wider{size.layers, size.embd * 2, size.embd * 4, size.vocab};
    if (embedding_bytes(wider) + 4 * layer_bytes(wider) > target) break;
    size = wider;
  }
  if (total() >= target) return size;
  const std::uint64_t room = target - embedding_bytes(size);
  size.layers = std::clamp<std::uint64_t>(room / layer_bytes(size), size.layers, 256);
  if (total() < target) {
    size.ffn += (target - total()) / size.layers / q8_bytes(3 * size.embd * 32) * 32;
  }
  return size;
}

// Byte tokens and three special ones, then words of lower-case letters; all different.
std::vector<std::string> llama_tokens(std::uint64_t count) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(fmt::format("<0x{:02X}>", byte));
  for (std::uint64_t n = 0; tokens.size() < count; ++n) {
    std::string word = n % 2 == 0 ? "\u2581" : "";
    for (std::uint64_t rest = n / 2 + 1; rest > 0; rest = (rest - 1) / 26) {
      word += static_cast<char>('a' + (rest - 1) % 26);
    }
    tokens.push_back(word);
  }
  return tokens;
}

// GPT-2 spells every byte as a printable character: those that are printable as themselves, the others from
// U+0100 on.
std::string gpt2_byte(unsigned byte, unsigned& next) {
  const bool itself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  const unsigned code = itself ? byte : 256 + next++;
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
}

// 256 bytes, pairs of letters with the merges that make them, numbered fillers, the end of text.
std::vector<std::string> gpt2_tokens(std::uint64_t count, std::vector<std::string>& merges) {
  std::vector<std::string> tokens;
  unsigned next = 0;
  for (unsigned byte = 0; byte < 256; ++byte) tokens.push_back(gpt2_byte(byte, next));
  for (char a = 'a'; a <= 'h'; ++a) {
    for (char b = 'a'; b <= 'h' && tokens.size() + 1 < count; ++b) {
      merges.push_back({a, ' ', b});
      tokens.push_back({a, b});
    }
  }
  for (std::uint64_t n = 0; tokens.size() + 1 < count; ++n) tokens.push_back(fmt::format("filler{}", n));
  tokens.emplace_back("<|endoftext|>");
  return tokens;
}

enum TokenType : std::int32_t {
  normal_type = 1,
  unknown_type = 2,
  control_type = 3,
  byte_type = 6
};  // llama.cpp's numbers

void add_llama_tokenizer(GgufBuilder& file, std::uint64_t count) {
  const auto tokens = llama_tokens(count);
  std::vector<float> scores(tokens.size(), 0.0F);
  std::vector<std::int32_t> types(tokens.size(), normal_type);
  types[0] = unknown_type;
  types[1] = types[2] = control_type;
  for (std::size_t i = 3; i < tokens.size(); ++i) {
    if (i < 3 + 256)
      types[i] = byte_type;
    else
      scores[i] = -static_cast<float>(i - 3 - 256);
  }
  file.add("tokenizer.ggml.model", "llama").add("tokenizer.ggml.pre", "default");
  file.add_strings("tokenizer.ggml.tokens", tokens);
  file.add_array<float>("tokenizer.ggml.scores", std::span<const float>(scores));
  file.add_array<std::int32_t>("tokenizer.ggml.token_type", std::span<const std::int32_t>(types));
  file.add("tokenizer.ggml.bos_token_id", std::uint32_t{1})
      .add("tokenizer.ggml.eos_token_id", std::uint32_t{2});
  file.add("tokenizer.ggml.unknown_token_id", std::uint32_t{0}).add("tokenizer.ggml.add_bos_token", true);
}

void add_gpt2_tokenizer(GgufBuilder& file, std::uint64_t count) {
  std::vector<std::string> merges;
  const auto tokens = gpt2_tokens(count, merges);
  std::vector<std::int32_t> types(tokens.size(), normal_type);
  types.back() = control_type;
  const auto end_of_text = static_cast<std::uint32_t>(tokens.size() - 1);
  file.add("tokenizer.ggml.model", "gpt2").add("tokenizer.ggml.pre", "default");
  file.add_strings("tokenizer.ggml.tokens", tokens);
  file.add_array<std::int32_t>("tokenizer.ggml.token_type", std::span<const std::int32_t>(types));
  file.add_strings("tokenizer.ggml.merges", merges);
  file.add("tokenizer.ggml.bos_token_id", end_of_text).add("tokenizer.ggml.eos_token_id", end_of_text);
  file.add("tokenizer.ggml.add_bos_token", false);
}

void add_llama_keys(GgufBuilder& file, const LlamaOptions& options, const LlamaSize& size) {
  const auto u32 = [](std::uint64_t value) { return static_cast<std::uint32_t>(value); };
  file.add("general.architecture", "llama").add("general.type", "model").add("general.name", options.name);
  file.add("general.file_type", std::uint32_t{7}).add("general.quantization_version", std::uint32_t{2});
  file.add("llama.block_count", u32(size.layers)).add("llama.context_length", options.n_ctx);
  file.add("llama.embedding_length", u32(size.embd)).add("llama.feed_forward_length", u32(size.ffn));
  file.add("llama.attention.head_count", u32(size.embd / head_elements));
  file.add("llama.attention.head_count_kv", u32(size.embd / head_elements / queries_per_key));
  file.add("llama.attention.layer_norm_rms_epsilon", 1e-5F).add("llama.rope.freq_base", 10000.0F);
  file.add("llama.rope.dimension_count", u32(head_elements)).add("llama.vocab_size", u32(size.vocab));
}

void add_llama_layer(GgufBuilder& file, std::uint64_t layer, const LlamaSize& size) {
  const auto name = [&](std::string_view part) { return fmt::format("blk.{}.{}.weight", layer, part); };
  const std::uint64_t kv = size.embd / queries_per_key;
  file.tensor(name("attn_norm"), "f32", {size.embd}).tensor(name("attn_q"), "q8_0", {size.embd, size.embd});
  file.tensor(name("attn_k"), "q8_0", {size.embd, kv}).tensor(name("attn_v"), "q8_0", {size.embd, kv});
  file.tensor(name("attn_output"), "q8_0", {size.embd, size.embd})
      .tensor(name("ffn_norm"), "f32", {size.embd});
  file.tensor(name("ffn_gate"), "q8_0", {size.embd, size.ffn})
      .tensor(name("ffn_up"), "q8_0", {size.embd, size.ffn});
  file.tensor(name("ffn_down"), "q8_0", {size.ffn, size.embd});
}

}  // namespace

GgufBuilder llama_model(const LlamaOptions& options) {
  const LlamaSize size = llama_size(options);
  GgufBuilder file;
  file.seed(options.seed);
  add_llama_keys(file, options, size);
  if (options.gpt2_tokenizer) {
    add_gpt2_tokenizer(file, size.vocab);
  } else {
    add_llama_tokenizer(file, size.vocab);
  }
  file.tensor("token_embd.weight", "f16", {size.embd, size.vocab});
  for (std::uint64_t layer = 0; layer < size.layers; ++layer) add_llama_layer(file, layer, size);
  file.tensor("output_norm.weight", "f32", {size.embd})
      .tensor("output.weight", "q8_0", {size.embd, size.vocab});
  return file;
}

}  // namespace ggufd::test
