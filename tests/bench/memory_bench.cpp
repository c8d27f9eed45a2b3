// Bringing a model's memory in, beside the plainest ways to do the same, in one run: each way in every round,
// so that a machine that slows down slows all of them. tests/bench/memory.py drives it and makes the table.
//
//   memory_bench prefault FILE [--choice automatic|populate|pread] [--warm] [--runs N]
//   memory_bench kv BYTES [--runs N]
//
// prefault  ours; one MADV_POPULATE_READ of the whole mapping; one thread that reads with pread; four that
// do. Between
//           two ways the file's pages are dropped from the page cache (which takes a file that is on the
//           disk, and that nobody has mapped), unless it shall be --warm. How much was there at the beginning
//           is told.
// kv        ours; one MADV_POPULATE_WRITE of the same size, with huge pages, and a memset over it; the former
// alone.
//
// Every way begins with as much free memory at hand as any other: on a virtual machine, free memory may have
// gone back to the host, and whoever runs next would pay for getting it again.
//
// Prints {"bytes":N,"ways":{NAME:{"wall_s":[…],"cpu_s":[…],"resident_before":[…]}}}. CPU is that of the
// process.
#include <fcntl.h>
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "loop/loop.h"
#include "model/kv_cache.h"
#include "model/page_cache.h"
#include "model/prefault.h"
#include "store/file.h"

namespace {

using namespace ggufd;
using namespace ggufd::model;

template <class T>
T value_or_exit(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "memory_bench: {}\n", result.error().message);
  std::exit(1);
}

void require(bool is_good, const char* what) {
  if (is_good) return;
  std::perror(what);
  std::exit(1);
}

double cpu_s() {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Times {
  std::vector<double> wall_s;
  std::vector<double> cpu_s;
  std::vector<std::uint64_t> resident_before;
};

struct Way {
  std::string name;
  std::function<void()> run;
};

using Clock = std::chrono::steady_clock;

// `prepare` comes before each, gives the number of resident bytes, and is not measured; nor is `clean_up`.
void race(std::uint64_t bytes, const std::vector<Way>& ways, unsigned runs,
          const std::function<std::uint64_t()>& prepare, const std::function<void()>& clean_up) {
  std::vector<Times> times(ways.size());
  for (unsigned round = 0; round < runs; ++round) {
    for (std::size_t i = 0; i < ways.size(); ++i) {
      times[i].resident_before.push_back(prepare());
      const double cpu = cpu_s();
      const auto begin = Clock::now();
      ways[i].run();
      times[i].wall_s.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
      times[i].cpu_s.push_back(cpu_s() - cpu);
      clean_up();
    }
  }
  fmt::print("{{\"bytes\":{},\"ways\":{{", bytes);
  for (std::size_t i = 0; i < ways.size(); ++i) {
    fmt::print("{}\"{}\":{{\"wall_s\":[{:.6f}],\"cpu_s\":[{:.6f}],\"resident_before\":[{}]}}",
               i == 0 ? "" : ",", ways[i].name, fmt::join(times[i].wall_s, ","),
               fmt::join(times[i].cpu_s, ","), fmt::join(times[i].resident_before, ","));
  }
  fmt::print("}}}}\n");
}

// --- Memory

MemoryRegion allocate_plainly(std::uint64_t bytes) {
  auto region = value_or_exit(map_anonymous(bytes));
  require(madvise(region.bytes().data(), bytes, MADV_POPULATE_WRITE) == 0, "MADV_POPULATE_WRITE");
  return region;
}

void have_free_memory(std::uint64_t bytes) {
  allocate_plainly(bytes + bytes / 8);
}

// --- A file

std::shared_ptr<LocalCopy> open_copy(const std::string& path) {
  auto copy = std::make_shared<LocalCopy>();
  copy->path = path;
  copy->file = value_or_exit(store::open_file(path, O_RDONLY));
  copy->size_bytes = static_cast<std::uint64_t>(value_or_exit(store::stat_of(copy->fd(), path)).st_size);
  return copy;
}

MemoryRegion map_copy(const LocalCopy& copy) {
  return value_or_exit(map_file(copy.fd(), copy.size_bytes, copy.path));
}

std::uint64_t resident(const LocalCopy& copy) {
  return value_or_exit(resident_bytes(map_copy(copy), 0, copy.size_bytes));
}

void prefault_ours(const std::shared_ptr<LocalCopy>& copy, PrefaultChoice choice) {
  loop::Loop loop;
  const auto mapping = std::make_shared<MemoryRegion>(map_copy(*copy));
  std::uint64_t at_end = 0;
  const auto operation = prefault(
      loop, {copy}, {mapping},
      {.on_progress = [](std::uint64_t) {},
       .on_done = [&at_end](Result<std::uint64_t> bytes) { at_end = value_or_exit(std::move(bytes)); }},
      choice);
  loop.run();
  if (at_end != copy->size_bytes) fmt::print(stderr, "memory_bench: only {} bytes stayed\n", at_end);
}

void populate_plainly(const LocalCopy& copy) {
  const MemoryRegion mapping = map_copy(copy);
  require(madvise(mapping.bytes().data(), mapping.size_bytes(), MADV_POPULATE_READ) == 0,
          "MADV_POPULATE_READ");
}

// Each thread reads its own part of the file with a descriptor of its own.
void read_plainly(const LocalCopy& copy, unsigned threads) {
  std::vector<std::thread> readers;
  for (unsigned i = 0; i < threads; ++i) {
    const std::uint64_t begin = copy.size_bytes / threads * i;
    const std::uint64_t end = i + 1 == threads ? copy.size_bytes : copy.size_bytes / threads * (i + 1);
    readers.emplace_back([&copy, begin, end] {
      const auto file = value_or_exit(store::open_file(copy.path, O_RDONLY));
      std::vector<std::byte> buffer(std::size_t{1} << 20U);
      for (std::uint64_t at = begin; at < end; at += buffer.size()) {
        const std::size_t wanted = std::min<std::uint64_t>(buffer.size(), end - at);
        value_or_exit(store::pread_all(file.get(), std::span(buffer.data(), wanted), at, copy.path));
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
}

void race_prefault(const std::string& path, PrefaultChoice choice, bool is_warm, unsigned runs) {
  const auto copy = open_copy(path);
  require(fsync(copy->fd()) == 0, "fsync");
  race(
      copy->size_bytes,
      {{"ggufd", [&] { prefault_ours(copy, choice); }},
       {"MADV_POPULATE_READ", [&] { populate_plainly(*copy); }},
       {"pread by 1", [&] { read_plainly(*copy, 1); }},
       {"pread by 4", [&] { read_plainly(*copy, 4); }}},
      runs,
      [&] {
        if (!is_warm) drop_page_cache(copy->fd());
        return resident(*copy);
      },
      [] {});
}

// --- A KV cache

// One layer of f16, as many cells as fill the bytes.
gguf::KvPlan plan_of(std::uint64_t bytes) {
  constexpr std::uint64_t row_bytes = 2048;
  const std::uint64_t cells = bytes / (2 * row_bytes);
  gguf::KvPlan plan;
  plan.attention_bytes = cells * 2 * row_bytes;
  plan.cells = cells;
  plan.layers = {{.layer = 0,
                  .k_type = gguf::cache_type("f16"),
                  .v_type = gguf::cache_type("f16"),
                  .heads = 8,
                  .k_head_elements = 128,
                  .v_head_elements = 128,
                  .k_row_bytes = row_bytes,
                  .v_row_bytes = row_bytes,
                  .cells = cells,
                  .streams = 1}};
  return plan;
}

std::shared_ptr<KvCache> allocate_ours(const gguf::KvPlan& plan) {
  loop::Loop loop;
  std::shared_ptr<KvCache> made;
  const auto operation = allocate_kv_cache(
      loop, plan,
      {.on_progress = [](std::uint64_t) {},
       .on_done =
           [&made](Result<std::shared_ptr<KvCache>> cache) { made = value_or_exit(std::move(cache)); }});
  loop.run();
  return made;
}

void race_kv(std::uint64_t wanted_bytes, unsigned runs) {
  const gguf::KvPlan plan = plan_of(wanted_bytes);
  std::shared_ptr<KvCache> ours;
  MemoryRegion plain;
  race(
      plan.bytes(),
      {{"ggufd", [&] { ours = allocate_ours(plan); }},
       {"populate and memset",
        [&] {
          plain = allocate_plainly(plan.bytes());
          std::memset(plain.bytes().data(), 0, plain.size_bytes());
        }},
       {"MADV_POPULATE_WRITE", [&] { plain = allocate_plainly(plan.bytes()); }}},
      runs,
      [&] {
        have_free_memory(plan.bytes());
        return 0;
      },
      [&] {
        ours.reset();
        plain = {};
      });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Brings memory in, beside the plainest ways to do the same");
  app.require_subcommand(1);
  unsigned runs = 5;
  std::string path;
  PrefaultChoice choice = PrefaultChoice::automatic;
  bool is_warm = false;
  std::uint64_t bytes = 0;
  const std::map<std::string, PrefaultChoice> choices = {{"automatic", PrefaultChoice::automatic},
                                                         {"populate", PrefaultChoice::populate},
                                                         {"pread", PrefaultChoice::pread}};

  CLI::App* prefault_verb = app.add_subcommand("prefault", "a file's pages");
  prefault_verb->add_option("FILE", path)->required()->check(CLI::ExistingFile);
  prefault_verb->add_option("--choice", choice, "ours: automatic, populate or pread")
      ->transform(CLI::CheckedTransformer(choices));
  prefault_verb->add_flag("--warm", is_warm, "leave the page cache alone");
  prefault_verb->add_option("--runs", runs)->check(CLI::PositiveNumber);
  CLI::App* kv_verb = app.add_subcommand("kv", "a KV cache");
  kv_verb->add_option("BYTES", bytes)
      ->required()
      ->check(CLI::Range(std::uint64_t{4096}, std::uint64_t{1} << 40U));
  kv_verb->add_option("--runs", runs)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);

  if (prefault_verb->parsed()) race_prefault(path, choice, is_warm, runs);
  if (kv_verb->parsed()) race_kv(bytes, runs);
  return 0;
}
