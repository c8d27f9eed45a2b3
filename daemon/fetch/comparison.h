// A file that turned out to have the wrong digest, compared with what its source, or a mirror, sends when
// asked again.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "fetch/chunk_buffer.h"
#include "fetch/target.h"
#include "loop/loop.h"
#include "loop/operation.h"
#include "loop/timer.h"
#include "protocol/error.h"
#include "store/partial.h"

namespace ggufd::fetch {

// What arrives is compared with the partial's bytes, chunk by chunk on the pool. Where it differs it is kept
// in a scratch file beside the partial, at the same offset; nothing of the partial is changed before
// replace(). The scratch file is removed at the end.
class Comparison final : public Target {
 public:
  static constexpr int max_jobs = 2;

  // `on_failed` comes once and may destroy the comparison.
  Comparison(loop::Loop& loop, std::shared_ptr<store::Partial> partial, std::function<void(Error)> on_failed);
  Comparison(const Comparison&) = delete;
  Comparison& operator=(const Comparison&) = delete;

  bool offer(std::uint64_t offset, std::span<const std::byte> bytes) override;
  void seal(std::uint64_t end) override { chunks_.seal(end); }
  const ByteRanges& accepted() const override { return accepted_; }
  const ByteRanges& settled() const override { return accepted_; }
  std::uint64_t safe_bytes() const override { return accepted_.size(); }
  void make_safe() override {}

  // What was found is of no use; on_idle comes, never inside the call, once no job holds the partial. Nothing
  // else comes after it.
  void abandon(std::function<void()> on_idle);

  // All was offered. Writes the bytes that differ over the partial's, and tells where they were, ascending;
  // none: the source sends what is there. No job holds the partial then.
  void replace(std::function<void(std::vector<ByteRange>)> on_replaced);

 private:
  struct Scratch;

  void start_jobs();
  void start(loop::OperationPtr& place);
  void replace_when_idle();
  bool is_comparing() const;
  bool check(const Result<void>& result);

  loop::Loop& loop_;
  std::shared_ptr<store::Partial> partial_;
  std::shared_ptr<Scratch> scratch_;
  std::function<void(Error)> on_failed_;
  std::function<void(std::vector<ByteRange>)> on_replaced_;
  ByteRanges accepted_;
  ByteRanges differing_;
  ChunkBuffer chunks_;
  std::deque<ChunkPtr> to_compare_;
  std::vector<loop::OperationPtr> comparing_;
  loop::OperationPtr replacing_;
  bool was_refused_ = false;
  bool has_failed_ = false;
  std::function<void()> on_idle_;  // once abandoned
  loop::Timer idle_timer_;
};

}  // namespace ggufd::fetch
