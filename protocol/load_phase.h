// The phases of a bring-up, in the order in which they come, with the details that each one tells
// (docs/protocol.md, "Phases"). Sizes are bytes; paths are absolute.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "protocol/fields.h"

namespace ggufd {

// What can be said of the bytes that are mapped: hashed just now; hashed before and unchanged by every stamp
// the file system keeps; or sealed by fs-verity, so that the kernel refuses to change them.
enum class Integrity : std::uint8_t { hashed, stat_cached, kernel_enforced };
template <>
inline constexpr auto EnumNames<Integrity> =
    std::to_array<std::string_view>({"hashed", "stat-cached", "kernel-enforced"});

enum class Backend : std::uint8_t { resident, llama_server };
template <>
inline constexpr auto EnumNames<Backend> = std::to_array<std::string_view>({"resident", "llama-server"});

enum class PhaseKind : std::uint8_t {
  checking_local,
  download,
  verify,
  quarantine,
  mmap,
  kv_cache,
  engine_start,
  warm_up,
  convert,
  upload,
};
template <>
inline constexpr auto EnumNames<PhaseKind> =
    std::to_array<std::string_view>({"checking_local", "download", "verify", "quarantine", "mmap", "kv_cache",
                                     "engine_start", "warm_up", "convert", "upload"});

namespace phase {

struct CheckingLocal {
  std::string path;

  static void fields(auto& self, auto&& f) { f("path", self.path, "the file that is looked for"); }
  friend bool operator==(const CheckingLocal&, const CheckingLocal&) = default;
};

struct Download {
  std::uint64_t downloaded_bytes = 0;
  Nullable<std::uint64_t> total_bytes;
  std::string source_url;
  std::uint64_t bytes_per_second = 0;
  std::optional<std::uint64_t> eta_s;
  std::uint64_t resumed_bytes = 0;
  std::uint32_t connections = 0;

  static void fields(auto& self, auto&& f) {
    f("downloaded_bytes", self.downloaded_bytes, "bytes that are here, those of earlier tries included");
    f("total_bytes", self.total_bytes, "the size, null while unknown");
    f("source_url", self.source_url, "where from, without credentials and query");
    f("bytes_per_second", self.bytes_per_second, "the rate over the last 5 s");
    f("eta_s", self.eta_s, "seconds left at this rate; absent while unknown");
    f("resumed_bytes", self.resumed_bytes, "bytes that an earlier try had left");
    f("connections", self.connections, "transfers under way");
  }
  friend bool operator==(const Download&, const Download&) = default;
};

struct Verify {
  std::string path;
  std::uint64_t verified_bytes = 0;
  std::uint64_t total_bytes = 0;

  static void fields(auto& self, auto&& f) {
    f("path", self.path, "the file that is hashed");
    f("verified_bytes", self.verified_bytes, "bytes hashed so far");
    f("total_bytes", self.total_bytes, "its size");
  }
  friend bool operator==(const Verify&, const Verify&) = default;
};

struct Quarantine {
  std::string path;
  std::string expected_sha256;
  std::string actual_sha256;
  std::string quarantine_path;

  static void fields(auto& self, auto&& f) {
    f("path", self.path, "where the bad bytes were");
    f("expected_sha256", self.expected_sha256, "the digest that was asked for, 64 hex digits");
    f("actual_sha256", self.actual_sha256, "the digest of the bytes");
    f("quarantine_path", self.quarantine_path, "where they are kept now");
  }
  friend bool operator==(const Quarantine&, const Quarantine&) = default;
};

struct Mmap {
  std::string path;
  std::uint64_t resident_bytes = 0;
  std::uint64_t total_bytes = 0;
  Integrity integrity = Integrity::hashed;

  static void fields(auto& self, auto&& f) {
    f("path", self.path, "the file that is mapped");
    f("resident_bytes", self.resident_bytes, "bytes of it that are in memory");
    f("total_bytes", self.total_bytes, "its size");
    f("integrity", self.integrity, "hashed, stat-cached or kernel-enforced");
  }
  friend bool operator==(const Mmap&, const Mmap&) = default;
};

struct KvCache {
  std::uint32_t n_ctx = 0;
  std::uint64_t bytes = 0;
  std::string kv_type_k;
  std::string kv_type_v;
  std::optional<std::uint64_t> allocated_bytes = {};

  static void fields(auto& self, auto&& f) {
    f("n_ctx", self.n_ctx, "context length in tokens, all sequences together");
    f("bytes", self.bytes, "size of the KV cache");
    f("kv_type_k", self.kv_type_k, "element type of the keys");
    f("kv_type_v", self.kv_type_v, "element type of the values");
    f("allocated_bytes", self.allocated_bytes, "how much of it is in memory; absent before any is");
  }
  friend bool operator==(const KvCache&, const KvCache&) = default;
};

struct EngineStart {
  Backend backend = Backend::llama_server;
  std::int64_t pid = 0;
  std::uint32_t attempt = 1;
  std::optional<std::uint32_t> loaded_percent = {};
  std::optional<std::uint64_t> kv_bytes = {};

  static void fields(auto& self, auto&& f) {
    f("backend", self.backend, "resident or llama-server");
    f("pid", self.pid, "the engine's process");
    f("attempt", self.attempt, "engine starts of this load, the first is 1");
    f("loaded_percent", self.loaded_percent, "how much of the model it has loaded, where it says so");
    f("kv_bytes", self.kv_bytes, "the KV cache that it has allocated, where it says so");
  }
  friend bool operator==(const EngineStart&, const EngineStart&) = default;
};

template <PhaseKind>
struct Plain {
  static void fields(auto&, auto&&) {}
  friend bool operator==(const Plain&, const Plain&) = default;
};
using WarmUp = Plain<PhaseKind::warm_up>;
using Convert = Plain<PhaseKind::convert>;  // reserved
using Upload = Plain<PhaseKind::upload>;    // reserved

}  // namespace phase

// The alternatives stand in the order of PhaseKind.
using LoadPhase =
    std::variant<phase::CheckingLocal, phase::Download, phase::Verify, phase::Quarantine, phase::Mmap,
                 phase::KvCache, phase::EngineStart, phase::WarmUp, phase::Convert, phase::Upload>;
static_assert(std::variant_size_v<LoadPhase> == EnumNames<PhaseKind>.size());

inline PhaseKind kind_of(const LoadPhase& phase) {
  return static_cast<PhaseKind>(phase.index());
}

}  // namespace ggufd
