// What the look at a header says while the rest of the file is still to come.
#include "model/header_look.h"

#include "memory/budget.h"
#include "support.h"
#include "tests/unit/memory/machine.h"

namespace ggufd::model {
namespace {

using namespace test;
using memory::amount;
using memory::test::gib;
using memory::test::Machine;

// A file of which the beginning has arrived.
struct Arriving {
  Machine machine;
  loop::test::TempFolder folder;
  std::string bytes;
  store::UniqueFd fd;
  LookSettings settings{.model = "m", .memory = {.n_ctx = 256}, .system = machine.folders()};
  fetch::Arrived arrived;

  explicit Arriving(std::string file = small_gguf()) : bytes(std::move(file)) {
    put(folder.file("data.tmp"), bytes);
    fd = std::move(*store::open_file(folder.file("data.tmp"), O_RDONLY));
    arrived = {
        .fd = fd.get(), .front_bytes = bytes.size(), .total_bytes = bytes.size(), .is_digest_known = false};
  }
  Result<fetch::Verdict> look() const { return header_look(settings)(arrived); }
  std::optional<ErrorCode> error() const {
    const auto verdict = look();
    return verdict ? std::nullopt : std::optional(verdict.error().code);
  }
  // A verdict without anything in it.
  bool says_nothing() const {
    const auto verdict = look();
    return verdict && !verdict->wants_front_bytes && !verdict->size_bytes && verdict->warnings.empty();
  }
};

// A model whose cache takes 8 KiB a token.
std::string hungry_gguf() {
  return bytes_of(llama_model({.n_layers = 32}));
}

TEST_CASE("a sound header of a model that fits needs no words") {
  const Arriving file;
  CHECK(file.says_nothing());
}

TEST_CASE("a header that is not all there yet is looked at again, from four times as much on") {
  Arriving file(bytes_of(llama_model().add("padding.key", std::string(1'000'000, 'x'))));
  REQUIRE(file.bytes.size() > 16 * fetch::first_look_bytes);
  file.arrived.front_bytes = fetch::first_look_bytes;
  auto verdict = file.look();
  REQUIRE(verdict);
  REQUIRE(verdict->wants_front_bytes);
  CHECK(*verdict->wants_front_bytes >= 4 * fetch::first_look_bytes);
  CHECK(*verdict->wants_front_bytes <= file.bytes.size());
  file.arrived.front_bytes = *verdict->wants_front_bytes;
  for (int looks = 0; verdict && verdict->wants_front_bytes; ++looks) {
    REQUIRE(looks < 10);
    file.arrived.front_bytes = *verdict->wants_front_bytes;
    verdict = file.look();
  }
  CHECK(file.says_nothing());
}

TEST_CASE("a header that is longer than what is looked at is left to the mapping") {
  GgufBuilder builder = llama_model();
  Arriving file(bytes_of(builder.add_with_length("long.key", "x", max_looked_at_bytes + 1)));
  file.arrived.total_bytes = 4 * max_looked_at_bytes;
  CHECK(file.says_nothing());
  file.arrived.front_bytes = fetch::first_look_bytes / 2;
  CHECK(file.says_nothing());
}

TEST_CASE("of a long header without a size no more than the file has is needed") {
  Arriving file(bytes_of(llama_model().add("padding.key", std::string(1'000'000, 'x'))));
  file.arrived.total_bytes.reset();
  const auto verdict = file.look();
  REQUIRE(verdict);
  CHECK_FALSE(verdict->wants_front_bytes);
  CHECK(verdict->size_bytes == file.bytes.size());
}

TEST_CASE("where nobody tells the size, the header does, the last tensor's padding included") {
  GgufBuilder builder;
  builder.add("general.architecture", "neverheardof").tensor("t", "f32", {3});
  Arriving file(bytes_of(builder));
  CHECK(file.says_nothing());
  file.arrived.total_bytes.reset();
  const auto verdict = file.look();
  REQUIRE(verdict);
  CHECK(verdict->size_bytes == file.bytes.size());
}

TEST_CASE("what is no GGUF is refused where the digest is not known; else the digest decides") {
  std::string cut = small_gguf();
  cut.resize(cut.size() / 2);
  for (const std::string& bytes : {std::string("<html>not here</html>"), std::string(), cut}) {
    Arriving file(bytes);
    CHECK(file.error() == ErrorCode::invalid_gguf);
    CHECK(file.look().error().message.find("the source of m") != std::string::npos);
    file.arrived.is_digest_known = true;
    CHECK(file.says_nothing());
  }
  GgufBuilder old = llama_model();
  Arriving file(bytes_of(old.version(1)));
  CHECK(file.error() == ErrorCode::unsupported_gguf);
}

TEST_CASE("a body that may never end and is no GGUF is refused even where the digest is known") {
  Arriving file("<html>" + std::string(100'000, 'x'));
  file.arrived.is_digest_known = true;
  CHECK(file.says_nothing());
  file.arrived.total_bytes.reset();
  CHECK(file.error() == ErrorCode::invalid_gguf);
}

TEST_CASE("a file that is shorter than its tensors is refused before its bulk comes") {
  Arriving file;
  file.arrived.total_bytes = file.bytes.size() - 1000;
  CHECK(file.error() == ErrorCode::invalid_gguf);
  file.arrived.is_digest_known = true;
  CHECK(file.says_nothing());
}

TEST_CASE("a file that is not the shard that its name says is refused") {
  const SplitModel split = split_model(3);
  Arriving file(split.files[1]);
  CHECK(file.error() == ErrorCode::invalid_gguf);
  file.settings.files = 3;
  CHECK(file.error() == ErrorCode::invalid_gguf);
  file.settings.file = 1;
  CHECK(file.says_nothing());
  Arriving whole;
  whole.settings.files = 3;
  CHECK(whole.error() == ErrorCode::invalid_gguf);
}

TEST_CASE("more memory than any limit gives is an error that names need and limit") {
  Arriving file(hungry_gguf());
  file.settings.memory.n_ctx = 1U << 22U;
  const auto need = gguf::plan_memory(
      *gguf::read_model(std::as_bytes(std::span(file.bytes)), file.bytes.size()), file.settings.memory);
  REQUIRE(need);
  REQUIRE(need->total_bytes);
  REQUIRE(*need->total_bytes > 16 * gib);
  for (const bool is_digest_known : {false, true}) {
    file.arrived.is_digest_known = is_digest_known;
    const auto verdict = file.look();
    REQUIRE_FALSE(verdict);
    CHECK(verdict.error().code == ErrorCode::out_of_memory_budget);
    CHECK(verdict.error().message.find("at least " + amount(*need->total_bytes)) != std::string::npos);
    CHECK(verdict.error().message.find("MemTotal is " + amount(16 * gib)) != std::string::npos);
  }
  SUBCASE("where it is only fetched that is a warning") {
    file.settings.is_to_be_loaded = false;
    const auto verdict = file.look();
    REQUIRE(verdict);
    REQUIRE(verdict->warnings.size() == 1);
    CHECK(verdict->warnings.front().first == "memory_preflight");
  }
}

TEST_CASE("what fits into a limit and not beside the headroom can never be loaded either") {
  Arriving file;
  file.settings.headroom_bytes = 16 * gib;
  CHECK(file.error() == ErrorCode::out_of_memory_budget);
  CHECK(file.look().error().message.find("memory_headroom_bytes leaves " + amount(16 * gib) + " free") !=
        std::string::npos);
  file.settings.is_to_be_loaded = false;
  REQUIRE(file.look());
  CHECK(file.look()->warnings.size() == 1);
}

TEST_CASE("a cgroup's limit above the process is one, too") {
  Arriving file(hungry_gguf());
  file.settings.memory.n_ctx = 32768;
  CHECK(file.says_nothing());
  file.machine.is_in_cgroup("/a/b");
  file.machine.cgroup("/a/b", {});
  file.machine.cgroup("/a", {.max = "100000000"});
  CHECK(file.error() == ErrorCode::out_of_memory_budget);
  CHECK(file.look().error().message.find("memory.max of the cgroup /a is " + amount(100'000'000)) !=
        std::string::npos);
}

TEST_CASE("more memory than is left now, with the headroom, is a warning") {
  Arriving file(hungry_gguf());
  file.settings.memory.n_ctx = 32768;
  file.settings.headroom_bytes = 12 * gib;
  const auto verdict = file.look();
  REQUIRE(verdict);
  REQUIRE(verdict->warnings.size() == 1);
  CHECK(verdict->warnings.front().first == "memory_preflight");
  CHECK(verdict->warnings.front().second.find("MemAvailable " + amount(12 * gib)) != std::string::npos);
  file.settings.headroom_bytes = gib;
  CHECK(file.says_nothing());
}

TEST_CASE("what is known of a split model's other files counts") {
  const SplitModel split = split_model(2);
  Arriving file(split.files[0]);
  file.settings.files = 2;
  CHECK(file.says_nothing());
  SUBCASE("their sizes") {
    file.settings.other_files_bytes = 20 * gib;
  }
  SUBCASE("the configured size of all") {
    file.settings.all_files_bytes = 20 * gib;
  }
  SUBCASE("a later file without a KV cache") {
    file.fd.reset();
    put(file.folder.file("data.tmp"), split.files[1]);
    file.fd = std::move(*store::open_file(file.folder.file("data.tmp"), O_RDONLY));
    const std::uint64_t size = split.files[1].size();
    file.arrived = {.fd = file.fd.get(), .front_bytes = size, .total_bytes = size, .is_digest_known = false};
    file.settings.file = 1;
    file.settings.other_files_bytes = 20 * gib;
  }
  CHECK(file.error() == ErrorCode::out_of_memory_budget);
}

TEST_CASE("an architecture that is not known is judged by its weights alone") {
  GgufBuilder builder;
  builder.add("general.architecture", "neverheardof").tensor("t", "f32", {64});
  Arriving file(bytes_of(builder));
  CHECK(file.says_nothing());
  file.settings.headroom_bytes = 12 * gib;
  const auto verdict = file.look();
  REQUIRE(verdict);
  REQUIRE(verdict->warnings.size() == 1);
  CHECK(verdict->warnings.front().second.find("weights 256 B;") != std::string::npos);
}

TEST_CASE("settings that the model can't have are refused before its bulk comes, where it is to be loaded") {
  Arriving file;
  file.settings.memory.type_k = "q3_K";
  CHECK(file.error() == ErrorCode::bad_field);
  file.settings.is_to_be_loaded = false;
  CHECK(file.says_nothing());
}

TEST_CASE("a machine that does not tell its memory refuses nothing") {
  Arriving file;
  file.settings.headroom_bytes = 100 * gib;
  std::filesystem::remove(file.machine.file("proc/meminfo"));
  CHECK(file.says_nothing());
}

TEST_CASE("a file that becomes shorter while it is looked at is an error, not a crash") {
  Arriving file;
  std::filesystem::resize_file(file.folder.file("data.tmp"), 100);
  CHECK(file.error() == ErrorCode::io);
}

}  // namespace
}  // namespace ggufd::model
