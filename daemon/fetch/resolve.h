// From a source, as the configuration names it, to the file that it stands for now.
#pragma once

#include <expected>
#include <functional>
#include <memory>

#include "config/config.h"
#include "config/source.h"
#include "fetch/curl_loop.h"
#include "fetch/failure.h"
#include "fetch/hub_settings.h"
#include "fetch/remote_file.h"
#include "loop/loop.h"
#include "loop/operation.h"

namespace ggufd::fetch {

// Asks a network source what it has: a HEAD, of which only redirects that stay on the host are followed, so
// that the answer is the hub's own and not its CDN's. A source that needs no asking (a plain URL whose digest
// is known) is answered at once, in a later turn of the loop. One attempt; the caller tries again where the
// failure is a passing one.
//
// Failures: http_status (judged, with what to do: a token, the licence, the spelling), network, tls,
// bad_source, not_in_store (HF_HUB_OFFLINE is set), io (the token file cannot be read, or others may read it:
// refused), cancelled. A plain URL whose HEAD is refused (403, 405, 501 and the like) is answered without
// size and digest: its GET decides.
class Resolve final : public loop::Operation {
 public:
  using Done = std::move_only_function<void(std::expected<RemoteFile, Failure>)>;

  // `ask_for_digest`: the digest is not known, so a plain URL is asked as well.
  Resolve(loop::Loop& loop, CurlLoop& curl, const config::Source& source, const config::FetchConfig& settings,
          const HubSettings& hub, bool ask_for_digest, Done on_done);
  ~Resolve() override;

  void cancel() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ggufd::fetch
