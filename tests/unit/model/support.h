// What the tests of models share: a store and a runtime folder of their own, GGUFs in files, a sink that
// remembers, a bring-up whose every call is recorded.
#pragma once

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "engine/launcher.h"
#include "engine/llama_host.h"
#include "fetch/pull.h"
#include "gguf/validate.h"
#include "model/admission.h"
#include "model/bring_up.h"
#include "model/event_sink.h"
#include "model/services.h"
#include "tests/support/gguf_builder.h"
#include "tests/unit/fetch/support.h"
#include "tests/unit/memory/machine.h"

namespace ggufd::model::test {

using fetch::test::BusyPool;
using fetch::test::FileSizeLimit;
using ggufd::test::answer;
using ggufd::test::GgufBuilder;
using ggufd::test::head_of;
using ggufd::test::HttpServer;
using ggufd::test::llama_model;
using loop::test::run_until;
using loop::test::TempFolder;

inline const bool is_quiet = [] {
  spdlog::set_level(spdlog::level::off);
  return true;
}();

inline std::string bytes_of(const GgufBuilder& builder) {
  const GgufBuilder::Bytes bytes = builder.build();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::string small_gguf(std::uint64_t seed = 1) {
  return bytes_of(llama_model({.seed = seed}));
}

inline store::Digest digest_of(const std::string& bytes) {
  return *store::sha256_of(bytes);
}

inline void put(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
  REQUIRE(std::filesystem::file_size(path) == bytes.size());
}

inline std::string get(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Until the file's last change lies far enough back for a stamp to be believed: a few of the kernel's ticks.
inline void settle(const std::string& path) {
  const auto file = store::open_file(path, O_RDONLY);
  REQUIRE(file);
  const auto stamp = store::stat_stamp(file->get(), path);
  REQUIRE(stamp);
  while (!store::is_settled(*stamp, store::realtime_ns())) continue;
}

// Remembers what is published.
struct EventLog final : EventSink {
  struct Event {
    std::string model;
    Status status;
  };
  std::vector<Event> events;
  std::function<void(const Status&)> at_event = [](const Status&) {};

  void publish(const std::string& model, Status status) override {
    events.push_back({model, status});
    at_event(status);
  }
  std::vector<std::string> forgotten;
  void forget(const std::string& model) override { forgotten.push_back(model); }

  // "loading_model:verify", "restarting", "restarting:mmap", "warning:kv_unknown", "ready", …, of all models
  // or of one; what follows on itself stands once.
  std::vector<std::string> story(const std::string& of = "") const {
    std::vector<std::string> lines;
    for (const Event& event : events) {
      if (!of.empty() && event.model != of) continue;
      std::string line(name_of(kind_of(event.status)));
      if (const auto* loading = std::get_if<status::LoadingModel>(&event.status)) {
        line.append(":").append(name_of(kind_of(loading->phase)));
      } else if (const auto* again = std::get_if<status::Restarting>(&event.status); again && again->phase) {
        line.append(":").append(name_of(kind_of(*again->phase)));
      } else if (const auto* warning = std::get_if<status::Warning>(&event.status)) {
        line.append(":").append(warning->code);
      } else if (const auto* failed = std::get_if<status::Failed>(&event.status)) {
        line.append(":").append(name_of(failed->code));
      }
      if (lines.empty() || lines.back() != line) lines.push_back(line);
    }
    return lines;
  }
};

// Everything a model needs, on disk and in memory.
struct House {
  TempFolder folder;
  std::string runtime = make_folder("run");
  std::string files = make_folder("files");
  EventLog log;
  loop::Loop loop;
  std::unique_ptr<fetch::CurlLoop> curl = std::make_unique<fetch::CurlLoop>(loop);
  fetch::RateLimit rate_limit{loop};
  fetch::FetchServices fetching{loop,           *curl, rate_limit, store::BlobStore(folder.file("models")),
                                {.retries = 0}, {}};
  fetch::Pulls pulls{fetching};
  memory::test::Machine machine;
  Admission memory{loop, services.config, machine.folders()};
  engine::LlamaHost llama{loop, *curl, engine::own_environment(), runtime, std::nullopt};
  Services services{loop, pulls, fetching.store, {}, runtime, log, memory, llama};

  std::string make_folder(const std::string& name) const {
    std::filesystem::create_directory(folder.file(name));
    std::filesystem::permissions(folder.file(name), std::filesystem::perms::owner_all);
    return folder.file(name);
  }
  std::string file(const std::string& bytes, const std::string& name = "m.gguf") const {
    const std::string path = files + "/" + name;
    put(path, bytes);
    std::filesystem::permissions(path, std::filesystem::perms(0644));
    return path;
  }
  const store::BlobStore& store() const { return services.store; }
  store::Digest put_blob(const std::string& bytes) const {
    const store::Digest digest = digest_of(bytes);
    auto partial = store().open_partial(digest);
    REQUIRE(partial);
    REQUIRE(store::pwrite_all(partial->fd(), std::as_bytes(std::span(bytes)), 0, ""));
    REQUIRE(store().commit(std::move(*partial), digest, bytes.size(), "https://example.org/w"));
    return digest;
  }
  bool is_in_store(const store::Digest& digest) const {
    const auto blob = store().find(digest);
    REQUIRE(blob);
    return blob->has_value();
  }
  std::vector<std::string> sockets() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(runtime))
      names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }
  std::size_t quarantined() const {
    std::error_code none;
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(store().quarantine_folder(), none)) {
      count += entry.path().extension() == ".bin" ? 1 : 0;
    }
    return count;
  }
};

// A model in several files, as gguf-split makes them: the keys in the first, the tensors over all, and a name
// that ends in "-00001-of-00003.gguf" for the first of three.
struct SplitModel {
  std::string prefix = "m";
  std::vector<std::string> files;

  std::string name(std::size_t index) const {
    return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, index + 1, files.size());
  }
  std::uint64_t size_bytes() const {
    std::uint64_t sum = 0;
    for (const std::string& file : files) sum += file.size();
    return sum;
  }
  std::vector<std::string> digests() const {
    std::vector<std::string> hex;
    for (const std::string& file : files) hex.push_back(digest_of(file).to_hex());
    return hex;
  }
};

// `tensors` in each of the later files; the first is a whole small model of its own.
inline SplitModel split_model(std::uint16_t count = 3, std::uint64_t tensors = 2) {
  const auto whole = llama_model();
  const std::string first = bytes_of(whole);
  const auto sound = gguf::read_model(std::as_bytes(std::span(first)), first.size());
  REQUIRE(sound);
  const auto all = static_cast<std::int32_t>(sound->tensors.size() + tensors * (count - 1U));
  SplitModel model;
  for (std::uint16_t no = 0; no < count; ++no) {
    GgufBuilder builder = no == 0 ? whole : GgufBuilder();
    builder.add("split.no", no).add("split.count", count).add("split.tensors.count", all);
    for (std::uint64_t i = 0; no > 0 && i < tensors; ++i) {
      builder.tensor(fmt::format("extra.{}.{}", no, i), "f16", {64, 64});
    }
    model.files.push_back(bytes_of(builder));
  }
  return model;
}

// Makes a byte of a blob another one.
inline void spoil(const House& house, const store::Digest& digest) {
  const std::string path = house.store().blob_path(digest);
  std::filesystem::permissions(path, std::filesystem::perms(0644));
  std::string bytes = get(path);
  bytes.back() = static_cast<char>(bytes.back() + 1);
  put(path, bytes);
  settle(path);
}

inline config::ModelConfig in_place(const std::string& path) {
  return {.name = "m",
          .sources = {config::Source{config::FileSource{path}}},
          .n_ctx = 256,
          .engine = config::EngineChoice::resident};
}

inline config::ModelConfig from_url(const std::string& url, const std::string& expected_bytes) {
  return {
      .name = "m",
      .sources = {config::Source{config::UrlSource{.url = url, .is_plain_http = true, .is_loopback = true}}},
      .sha256 = {digest_of(expected_bytes).to_hex()},
      .n_ctx = 256,
      .engine = config::EngineChoice::resident};
}

// A bring-up and all that it says.
struct Recorded {
  House& house;
  std::vector<LoadPhase> phases;
  std::vector<std::string> warnings;   // their codes
  std::vector<std::string> sentences;  // and what they say
  std::optional<store::Digest> identified;
  std::uint64_t identified_bytes = 0;
  int calls = 0;                          // of any callback but on_done
  std::function<void()> at_call = [] {};  // at each of these
  std::function<void()> at_done = [] {};
  int ends = 0;
  std::optional<Result<LoadedModel>> end;
  std::unique_ptr<BringUp> bring_up;

  explicit Recorded(House& in) : house(in) {}
  Recorded(House& in, const config::ModelConfig& model) : house(in) { run(model); }

  void called() {
    CHECK(ends == 0);
    ++calls;
    at_call();
  }
  void start(const config::ModelConfig& model) {
    bring_up = std::make_unique<BringUp>(
        house.services, model,
        BringUpCallbacks{.on_phase =
                             [this](LoadPhase phase) {
                               phases.push_back(std::move(phase));
                               called();
                             },
                         .on_warning =
                             [this](std::string code, std::string text) {
                               warnings.push_back(std::move(code));
                               sentences.push_back(std::move(text));
                               called();
                             },
                         .on_identified =
                             [this](const store::Digest& digest, std::uint64_t size_bytes) {
                               identified = digest;
                               identified_bytes = size_bytes;
                               called();
                             },
                         .on_done =
                             [this](Result<LoadedModel> result) {
                               ++ends;
                               end.emplace(std::move(result));
                               at_done();
                             }});
  }
  void run(const config::ModelConfig& model) {
    start(model);
    wait();
  }
  void wait() {
    REQUIRE(run_until(house.loop, [this] { return ends > 0; }));
  }
  bool is_good() const { return end && end->has_value(); }
  std::optional<ErrorCode> error() const {
    return end && !*end ? std::optional<ErrorCode>(end->error().code) : std::nullopt;
  }
  std::string message() const { return error() ? end->error().message : ""; }
  // The kinds of the phases, what follows on itself once.
  std::vector<PhaseKind> story() const {
    std::vector<PhaseKind> kinds;
    for (const LoadPhase& phase : phases) {
      if (kinds.empty() || kinds.back() != kind_of(phase)) kinds.push_back(kind_of(phase));
    }
    return kinds;
  }
  template <class Phase>
  std::vector<Phase> all() const {
    std::vector<Phase> found;
    for (const LoadPhase& phase : phases) {
      if (const auto* one = std::get_if<Phase>(&phase)) found.push_back(*one);
    }
    return found;
  }
};

using Story = std::vector<PhaseKind>;

}  // namespace ggufd::model::test
