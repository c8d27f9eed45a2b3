// Times the reading of a large header beside a bare pass over the same bytes; tests/bench/header.py runs it.
//   header_bench write FILE [--tokens N] [--merges N] [--tensors N]
//   header_bench read FILE [--runs N]          prints one JSON object: bytes, nanoseconds of each run, memory
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gguf/validate.h"
#include "tests/support/gguf_builder.h"

namespace {

// Of the C++ heap, bytes; the program has one thread.
std::size_t heap_now = 0;
std::size_t heap_peak = 0;

}  // namespace

void* operator new(std::size_t bytes) {
  void* memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  heap_now += malloc_usable_size(memory);
  heap_peak = std::max(heap_peak, heap_now);
  return memory;
}
void operator delete(void* memory) noexcept {
  if (memory != nullptr) heap_now -= malloc_usable_size(memory);
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  operator delete(memory);
}

namespace {

using namespace ggufd;
using Bytes = std::span<const std::byte>;

struct Sizes {
  std::uint64_t tokens = 150'000;
  std::uint64_t merges = 150'000;
  std::uint64_t tensors = 1'000;
};

// As long as words of real vocabularies: 2 to 11 bytes, 6 to 7 on average.
std::vector<std::string> words(std::uint64_t count, std::string_view infix) {
  std::vector<std::string> all;
  for (std::uint64_t n = 0; n < count; ++n) {
    std::string word = fmt::format("{:x}{}", n * 0x9E3779B1U % 0x100000, infix);
    word.append(n * 7 % 5, 'e');
    all.push_back(std::move(word));
  }
  return all;
}

test::GgufBuilder model(const Sizes& sizes) {
  test::GgufBuilder file;
  const auto u32 = [](std::uint64_t value) { return static_cast<std::uint32_t>(value); };
  file.add("general.architecture", "llama").add("general.type", "model").add("general.name", "large header");
  file.add("llama.block_count", u32(sizes.tensors / 9)).add("llama.context_length", u32(131072));
  file.add("llama.embedding_length", u32(4096)).add("llama.feed_forward_length", u32(14336));
  file.add("llama.attention.head_count", u32(32)).add("llama.attention.head_count_kv", u32(8));
  file.add("tokenizer.ggml.model", "gpt2").add("tokenizer.ggml.pre", "llama-bpe");
  file.add_strings("tokenizer.ggml.tokens", words(sizes.tokens, ""));
  const std::vector<std::int32_t> types(sizes.tokens, 1);
  file.add_array<std::int32_t>("tokenizer.ggml.token_type", std::span<const std::int32_t>(types));
  file.add_strings("tokenizer.ggml.merges", words(sizes.merges, " t"));
  for (std::uint64_t t = 0; t < sizes.tensors; ++t)
    file.tensor(fmt::format("blk.{}.part{}.weight", t / 9, t % 9), "q8_0", {64, 2});
  return file;
}

// A mapping of the whole file, in memory.
class Mapping {
 public:
  explicit Mapping(const std::string& path) : bytes_(std::filesystem::file_size(path)) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    memory_ = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
    ::close(file);
    if (memory_ == MAP_FAILED) {
      std::perror("header_bench: cannot map the file");
      std::exit(1);
    }
  }
  ~Mapping() { ::munmap(memory_, bytes_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  Bytes bytes() const { return {static_cast<const std::byte*>(memory_), bytes_}; }

 private:
  std::size_t bytes_;
  void* memory_;
};

// Every byte is read, in words; four sums, so that the additions do not wait for each other.
std::uint64_t bare_scan(Bytes bytes) {
  std::uint64_t sums[4] = {};
  std::uint64_t words_read[4];
  std::size_t at = 0;
  for (; at + sizeof words_read <= bytes.size(); at += sizeof words_read) {
    std::memcpy(words_read, bytes.data() + at, sizeof words_read);
    for (int i = 0; i < 4; ++i) sums[i] += words_read[i];
  }
  for (; at < bytes.size(); ++at) sums[0] += std::to_integer<std::uint64_t>(bytes[at]);
  return sums[0] + sums[1] + sums[2] + sums[3];
}

// Only from each string's length to the next: where one string begins is known when the one before was read.
std::uint64_t walk_lengths(const gguf::Header& header) {
  std::uint64_t sum = 0;
  for (const gguf::Key& key : header.keys) {
    for (const std::string_view text : key.value.strings()) sum += text.size();
  }
  return sum;
}

template <class F>
std::uint64_t nanoseconds(F&& action) {
  const auto begin = std::chrono::steady_clock::now();
  const volatile std::uint64_t kept = action();
  (void)kept;
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - begin).count());
}

std::uint64_t inspect(Bytes bytes) {
  const gguf::Report report = gguf::inspect(bytes, bytes.size());
  if (!report.sound()) {
    std::fprintf(stderr, "header_bench: %s\n", gguf::to_error(report.defects).message.c_str());
    std::exit(1);
  }
  return report.header.data_offset;
}

int read(const std::string& path, int runs) {
  const Mapping mapping(path);
  const gguf::Report whole = gguf::read(mapping.bytes(), mapping.bytes().size());
  const Bytes header = mapping.bytes().first(whole.header.data_offset);
  const std::size_t heap_before = heap_now;
  heap_peak = heap_now;
  (void)inspect(mapping.bytes());
  const std::size_t heap_of_inspect = heap_peak - heap_before;

  std::vector<std::uint64_t> scan;
  std::vector<std::uint64_t> walk;
  std::vector<std::uint64_t> inspected;
  std::vector<std::uint64_t> from_file;
  for (int run = 0; run < runs; ++run) {
    scan.push_back(nanoseconds([&] { return bare_scan(header); }));
    walk.push_back(nanoseconds([&] { return walk_lengths(whole.header); }));
    inspected.push_back(nanoseconds([&] { return inspect(mapping.bytes()); }));
    from_file.push_back(nanoseconds([&] { return inspect(Mapping(path).bytes()); }));
  }
  fmt::print(
      "{{\"header_bytes\": {}, \"peak_heap_bytes\": {}, \"bare_scan_ns\": [{}], \"walk_lengths_ns\": [{}], "
      "\"inspect_ns\": [{}], \"map_and_inspect_ns\": [{}]}}\n",
      header.size(), heap_of_inspect, fmt::join(scan, ", "), fmt::join(walk, ", "),
      fmt::join(inspected, ", "), fmt::join(from_file, ", "));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times the reading of a large GGUF header");
  std::string path;
  Sizes sizes;
  int runs = 20;
  app.require_subcommand(1);
  auto* write_command = app.add_subcommand("write", "writes a sound model with a large header");
  write_command->add_option("FILE", path)->required();
  write_command->add_option("--tokens", sizes.tokens);
  write_command->add_option("--merges", sizes.merges);
  write_command->add_option("--tensors", sizes.tensors);
  auto* read_command = app.add_subcommand("read", "times passes over it");
  read_command->add_option("FILE", path)->required()->check(CLI::ExistingFile);
  read_command->add_option("--runs", runs)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  if (*read_command) return read(path, runs);
  if (const auto written = model(sizes).write(path); !written) {
    std::fprintf(stderr, "header_bench: %s\n", written.error().message.c_str());
    return 1;
  }
  return 0;
}
