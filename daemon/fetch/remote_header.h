// The first bytes of a source's file, as many as it takes to know what it is: for a look at a model that is
// not to be fetched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "config/config.h"
#include "config/source.h"
#include "fetch/curl_loop.h"
#include "fetch/hub_settings.h"
#include "loop/loop.h"
#include "loop/operation.h"
#include "protocol/error.h"

namespace ggufd::fetch {

// The first request is for inspect.h's first_look_bytes; nobody gets more than this.
inline constexpr std::uint64_t max_header_bytes = std::uint64_t{256} << 20;

struct RemoteHeader {
  std::vector<std::byte> bytes;              // of the file, from offset 0 on
  std::optional<std::uint64_t> total_bytes;  // of the file; nothing where the server does not tell
  config::Source source;                     // the mirror that they came from
};

// How many bytes are wanted in all, where `front` is here: 0 says that these are enough. Called on the loop,
// each time with more bytes, until it says 0 or the file ends; an error ends the operation with it.
using Wants = std::function<Result<std::uint64_t>(std::span<const std::byte> front,
                                                  std::optional<std::uint64_t> total_bytes)>;

// What is wanted of one of some mirrors.
struct HeaderRequest {
  std::vector<config::Source> sources;  // network sources, at least one; the first that answers is taken
  config::FetchConfig settings;
  HubSettings hub;
  Wants wants;
};

// Asks for ranges that grow fourfold, or to what is wanted where that is more. A server without ranges is
// read from the begin on and left when there is enough. Each mirror is tried once; a transfer that stalls has
// failed (FetchConfig::stall_timeout_s).
//
// Errors, of the first mirror where all have failed: those of Resolve, http_status, network, tls,
// bad_source (more than max_header_bytes are wanted, or the file changes whenever it is asked for);
// cancelled; and what `wants` returns.
class FetchHeader final : public loop::Operation {
 public:
  using Done = std::move_only_function<void(Result<RemoteHeader>)>;

  FetchHeader(loop::Loop& loop, CurlLoop& curl, HeaderRequest request, Done on_done);
  ~FetchHeader() override;

  void cancel() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ggufd::fetch
