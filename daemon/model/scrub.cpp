#include "model/scrub.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>

#include "loop/offload.h"
#include "model/idle_read.h"
#include "store/manifest.h"

namespace ggufd::model {

struct Scrub::Current {
  store::Digest digest;
  store::FoundBlob blob;
  IdleReader reader;
  store::Sha256 hasher = {};
  std::uint64_t hashed_bytes = 0;
};

struct Scrub::Outcome {
  std::optional<BadBlob> bad = {};
  std::vector<std::string> names = {};
};

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t ms_per_h = 3'600'000;

// A folder that is missing, or cannot be read, has nothing in it.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    entries.push_back(entry->path());
  }
  return entries;
}

std::vector<store::Digest> blobs_in(const store::BlobStore& store) {
  std::vector<store::Digest> digests;
  for (const fs::path& shard : entries_of(fs::path(store.root()) / "blobs/sha256")) {
    for (const fs::path& blob : entries_of(shard)) {
      if (const auto digest = store::Digest::parse(blob.filename().native())) digests.push_back(*digest);
    }
  }
  return digests;
}

// The models whose manifests name that blob.
std::vector<std::string> names_of(const store::BlobStore& store, const store::Digest& digest) {
  std::vector<std::string> names;
  for (const fs::path& file : entries_of(fs::path(store.root()) / "manifests")) {
    if (file.extension() != ".json") continue;
    const auto manifest = store::read_manifest(store.root(), file.stem().native());
    if (!manifest || !*manifest) continue;
    const auto blobs = store::blobs_of(**manifest);
    if (std::ranges::find(blobs, digest) != blobs.end()) names.push_back((*manifest)->name);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace

Scrub::Scrub(loop::Loop& loop, store::BlobStore store, OnBad on_bad, Clock clock)
    : loop_(loop),
      store_(std::move(store)),
      on_bad_(std::move(on_bad)),
      clock_(std::move(clock)),
      timer_(loop, [this] { std::exchange(at_timer_, nullptr)(); }) {}

void Scrub::set_interval_h(std::uint32_t hours) {
  if (std::exchange(interval_h_, hours) == hours) return;
  if (hours == 0) return stop();
  if (!current_) look();
}

void Scrub::stop() {
  interval_h_ = 0;
  timer_.stop();
  operation_.reset();
  current_.reset();
}

void Scrub::sleep(std::uint64_t delay_ms) {
  timer_.start_once(delay_ms);
}

// --- Which one, and when

void Scrub::look() {
  timer_.stop();
  operation_ = loop::offload<std::vector<Due>>(
      loop_,
      [store = store_](loop::CancelToken token) -> Result<std::vector<Due>> {
        std::vector<Due> blobs;
        for (const store::Digest& digest : blobs_in(store)) {
          if (token.is_cancelled()) break;
          const auto blob = store.find(digest);
          if (!blob || !*blob) continue;
          blobs.push_back({digest, (*blob)->verified_at.value_or(Timestamp{})});
        }
        return blobs;
      },
      [this](Result<std::vector<Due>> blobs) { looked(*blobs); });
}

void Scrub::looked(const std::vector<Due>& blobs) {
  operation_.reset();
  const Timestamp now = clock_();
  // A moment that is still to come was written under another clock, and says nothing.
  const auto unless_to_come = [now](Timestamp when) { return when > now ? Timestamp{} : when; };
  const auto last_look_at = [&](const Due& blob) {
    const auto tried = tried_.find(blob.digest);
    const Timestamp by_us = tried == tried_.end() ? Timestamp{} : tried->second;
    return std::max(unless_to_come(blob.when), unless_to_come(by_us));
  };
  const auto oldest = std::ranges::min_element(blobs, {}, last_look_at);
  at_timer_ = [this] { look(); };
  if (oldest == blobs.end()) return sleep(longest_sleep_ms);
  const auto age_ms = static_cast<std::uint64_t>(now.ms - last_look_at(*oldest).ms);
  const std::uint64_t interval_ms = interval_h_ * ms_per_h;
  if (age_ms >= interval_ms) return begin(oldest->digest);
  sleep(std::min(interval_ms - age_ms, longest_sleep_ms));
}

// --- One blob

void Scrub::begin(const store::Digest& digest) {
  tried_[digest] = clock_();
  operation_ = loop::offload<std::shared_ptr<Current>>(
      loop_,
      [store = store_, digest](loop::CancelToken) -> Result<std::shared_ptr<Current>> {
        auto blob = store.find(digest);
        if (!blob) return std::unexpected(blob.error());
        if (!*blob) return nullptr;  // somebody has just removed it
        auto reader = IdleReader::open((*blob)->fd.get(), (*blob)->path);
        if (!reader) return std::unexpected(reader.error());
        return std::make_shared<Current>(digest, std::move(**blob), std::move(*reader));
      },
      [this](Result<std::shared_ptr<Current>> opened) {
        operation_.reset();
        if (!opened) return end(std::unexpected(opened.error()));
        if (!*opened) return end(Outcome());
        current_ = std::move(*opened);
        spdlog::debug("scrub: {}", current_->blob.path);
        next_slice();
      });
}

void Scrub::next_slice() {
  const std::uint64_t length = std::min(slice_bytes, current_->blob.size_bytes - current_->hashed_bytes);
  if (length == 0) return hashed();
  using Elapsed = std::chrono::steady_clock::duration;
  operation_ = loop::offload<Elapsed>(
      loop_,
      [current = current_, length](loop::CancelToken) -> Result<Elapsed> {
        const auto began = std::chrono::steady_clock::now();
        auto read = current->reader.hash(current->hashed_bytes, length, current->hasher);
        if (!read) return std::unexpected(read.error());
        return std::chrono::steady_clock::now() - began;
      },
      [this, length](Result<Elapsed> elapsed) {
        operation_.reset();
        if (!elapsed) return end(std::unexpected(elapsed.error()));
        current_->hashed_bytes += length;
        at_timer_ = [this] { next_slice(); };
        const auto took_ms = std::chrono::ceil<std::chrono::milliseconds>(*elapsed).count();
        sleep(rest * static_cast<std::uint64_t>(took_ms));
      });
}

void Scrub::hashed() {
  operation_ = loop::offload<Outcome>(
      loop_,
      [store = store_, current = current_](loop::CancelToken) -> Result<Outcome> {
        const auto actual = current->hasher.finish();
        if (!actual) return std::unexpected(actual.error());
        auto bad = check_blob(store, current->digest, current->blob, *actual);
        if (!bad) return std::unexpected(bad.error());
        if (!*bad) return Outcome();
        return Outcome{std::move(*bad), names_of(store, current->digest)};
      },
      [this](Result<Outcome> outcome) {
        operation_.reset();
        end(outcome);
      });
}

void Scrub::end(const Result<Outcome>& outcome) {
  if (!outcome) {
    spdlog::warn("scrub: {}", outcome.error().message);
  } else if (outcome->bad) {
    spdlog::error("scrub: {}", to_string(*outcome->bad));
    on_bad_(*outcome->bad, outcome->names);
  } else if (current_) {
    spdlog::info("scrub: {} is good", current_->blob.path);
  }
  current_.reset();
  look();
}

}  // namespace ggufd::model
