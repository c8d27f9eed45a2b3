// One pull from its begin to its end; pull.h shares it among those who want the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fetch/comparison.h"
#include "fetch/download.h"
#include "fetch/file_writer.h"
#include "fetch/journal.h"
#include "fetch/pull.h"
#include "fetch/resolve.h"
#include "fetch/retry_policy.h"
#include "loop/operation.h"
#include "loop/timer.h"
#include "store/model_lock.h"

namespace ggufd::fetch {

// The way, each step by its own method; every step ends by starting the next one or by stop():
//
// - ask_for_digest: only where none is known: what does the source publish?
// - lock: the model's name and the partial; another process has it: follow() its progress until it ends.
// - resolve: the mirror's file: its URL, its commit.
// - download: what is missing, into the partial; a mirror that fails, or sends what is no model, makes way
// for
//   the next.
// - judge: the digest: right -> commit; wrong -> repair.
// - repair: the file is fetched once more, compared, and corrected where it differs.
// - quarantine: what can't be repaired; then everything once more, from `lock` on and with the next mirror.
// - commit: the bytes become the blob.
class PullRun {
 public:
  PullRun(FetchServices& services, PullRequest request, PullCallbacks callbacks);
  PullRun(const PullRun&) = delete;
  PullRun& operator=(const PullRun&) = delete;
  ~PullRun();

 private:
  struct Locked;

  // pull_run.cpp: up to the complete file.
  void ask_for_digest();
  void lock();
  void locked(Locked locked);
  void begin_partial(std::optional<Journal> journal);
  void resolve();
  void resolved(RemoteFile remote);
  void ask(std::size_t mirror, bool ask_for_digest, std::function<void(RemoteFile)> then,
           std::function<void(Error)> otherwise);
  Identity identity_to_continue(const RemoteFile& remote) const;
  void download();
  void bound(const Identity& identity);
  void downloaded(std::expected<DownloadEnd, DownloadFailure> result);
  void mirror_failed(Error error);
  void bytes_refused(Error error);
  void restart(DownloadFailure failure);
  void reset_partial_then(std::function<void()> then);

  // pull_follow.cpp: what another process does.
  void follow();
  void followed(const std::optional<Journal>& journal);
  void leave_followed();
  void take_found(store::FoundBlob blob);
  void hash_found(store::FoundBlob blob);
  void judge_found(std::shared_ptr<store::FoundBlob> blob, const store::Digest& actual);

  // pull_judge.cpp: what the bytes are worth.
  void complete(const DownloadEnd& end);
  void judge(const store::Digest& digest);
  bool is_right(const store::Digest& digest) const { return !digest_ || digest == *digest_; }
  void repair(const store::Digest& actual);
  void compare(RemoteFile remote);
  void replaced(const std::vector<ByteRange>& ranges);
  void rehash();
  void quarantine(const store::Digest& actual);
  void put_away(const std::string& path, const store::QuarantineEvidence& evidence, const std::string& kept);
  Error wrong_digest(const store::QuarantineEvidence& evidence) const;
  void commit(const store::Digest& digest);

  DownloadRequest download_request(RemoteFile remote, Identity bound, bool has_ranges) const;
  DownloadCallbacks download_callbacks(
      std::move_only_function<void(std::expected<DownloadEnd, DownloadFailure>)> on_done);
  const config::Source& source() const { return request_.sources[mirror_]; }
  std::size_t next_mirror() const { return (mirror_ + 1) % request_.sources.size(); }
  std::string digest_remedy(std::string_view where_configured) const;
  std::string label() const;
  void warn(const std::string& code, const std::string& message);
  template <class T>
  void on_pool(std::move_only_function<Result<T>()> work, std::move_only_function<void(T)> then);

  // pull_end.cpp
  bool has_empty_partial() const;
  void finish(Pulled pulled);
  void stop(Error error);
  void discard_then_tell(Error error);
  void tell(Error error);

  FetchServices& services_;
  PullRequest request_;
  PullCallbacks callbacks_;

  std::optional<store::Digest> digest_;  // that the bytes must have, asked for or published
  store::Digest key_;                    // of the partial
  std::optional<store::ModelLock> model_lock_;
  std::shared_ptr<store::Partial> partial_;
  std::optional<Journal> journal_;  // what the partial's bytes belong to; nothing: there are none
  std::uint64_t resumed_bytes_ = 0;

  std::size_t mirror_ = 0;
  std::size_t first_mirror_ = 0;  // of this round: behind the last one it is the first one's turn, up to here
  std::optional<RemoteFile> remote_;  // of mirror_, once it is resolved
  std::optional<Error> first_error_;  // of the mirrors that have failed
  bool has_ranges_ = true;
  std::optional<std::string> put_away_url_;  // where the bytes came from that were put away
  RetryPolicy restarts_;
  RetryPolicy asks_;

  Identity identity_;  // of the complete file
  std::optional<store::Digest> wrong_digest_;
  std::vector<ByteRange> differing_;

  // The current step's; later ones must not outlive what they refer to, so the order counts.
  std::unique_ptr<FileWriter> writer_;
  std::unique_ptr<Comparison> comparison_;
  std::unique_ptr<Download> download_;
  loop::OperationPtr operation_;
  loop::Timer timer_;
  std::function<void()> when_due_;
  RateMeter followed_rate_;
  std::uint64_t followed_bytes_ = 0;
  bool has_followed_ = false;
  std::string followed_url_;
  bool is_stopping_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace ggufd::fetch
