// One file of a source brought into the store: asked for, fetched, verified, repaired where it can be, kept
// or put away.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/source.h"
#include "fetch/curl_loop.h"
#include "fetch/inspect.h"
#include "fetch/rate_limit.h"
#include "fetch/resolve.h"
#include "loop/loop.h"
#include "loop/operation.h"
#include "protocol/load_phase.h"
#include "store/blob_store.h"

namespace ggufd::fetch {

// What all downloads of a daemon share; outlives them.
struct FetchServices {
  loop::Loop& loop;
  CurlLoop& curl;
  RateLimit& rate_limit;
  store::BlobStore store;
  config::FetchConfig settings;
  HubSettings hub;
};

struct PullRequest {
  std::string name;  // whose manifest it is for: its lock is held meanwhile (store/model_lock.h)
  std::vector<config::Source>
      sources;  // mirrors of the same bytes, network sources only, the preferred first
  std::optional<store::Digest>
      digest;  // that the bytes must have; nothing: what the source publishes, or else the first seen
  bool is_digest_pinned = false;  // it is the one that was first seen, not the configuration's: for sentences
  std::optional<std::uint64_t> size_bytes;  // that the file must have, where it is known
  Inspect inspect;  // looks at the file's header while the rest is still to come; may be null
};

// What a pull ended with; shared by all who waited for it.
struct Pulled {
  std::shared_ptr<store::FoundBlob> blob;
  store::Digest digest;
  std::uint64_t size_bytes = 0;
  config::Source source;     // the mirror that it came from; the first where it was here already
  std::string revision;      // the commit there; empty where there is no such thing
  bool was_fetched = false;  // false: it was in the store when we came to look
};

struct PullCallbacks {
  // download, verify and quarantine; another process's download of the same bytes shows as ours would.
  std::function<void(const LoadPhase&)> on_phase;
  // download_restarted, repairing, repaired, memory_preflight and whatever Inspect says.
  std::function<void(const std::string& code, const std::string& message)> on_warning;
  // The end. Codes: http_status, network, tls, bad_source, not_in_store, disk_full, size_mismatch,
  // sha256_mismatch, io, those of Inspect, cancelled.
  std::move_only_function<void(Result<Pulled>)> on_done;
};

// All pulls of the process. Whoever asks for bytes that are being fetched already joins that pull; where it
// fails, those who named other sources ask those.
class Pulls {
 public:
  explicit Pulls(FetchServices& services);
  ~Pulls();
  Pulls(const Pulls&) = delete;
  Pulls& operator=(const Pulls&) = delete;

  // The operation ends this caller's part; the pull itself is cancelled when the last one has gone, and keeps
  // what has arrived.
  [[nodiscard]] loop::OperationPtr join(PullRequest request, PullCallbacks callbacks);

 private:
  struct Shared;
  class Ticket;

  std::shared_ptr<Shared> shared_;
};

}  // namespace ggufd::fetch
