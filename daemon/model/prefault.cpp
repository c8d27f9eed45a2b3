#include "model/prefault.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "loop/offload.h"
#include "model/memory_region.h"
#include "model/prefault_work.h"

namespace ggufd::model {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t mib = std::uint64_t{1} << 20U;
constexpr std::size_t most_workers = 4;
// What one of several readers takes at once: enough for its read-ahead, little enough to end together.
constexpr std::uint64_t pread_share_bytes = 16 * mib;
// The probe: with the disk warmed up by the first bytes, so much is read by each way, and both times are
// compared.
constexpr std::uint64_t warm_up_bytes = 64 * mib;
constexpr std::uint64_t probe_bytes = 128 * mib;
constexpr std::uint64_t least_to_probe_bytes = 512 * mib;
static_assert(warm_up_bytes + 2 * probe_bytes < least_to_probe_bytes);
// pread costs a copy and all cores, and begins with what the kernel has read ahead for populate: of
// populate's time it may take this much to be chosen.
constexpr double clearly_faster = 0.8;

// Whether what the probe reads has to come from the disk, nearly all of it.
Result<bool> is_cold(const PrefaultFiles& files) {
  const auto resident = resident_bytes(files, {.offset = 0, .length = warm_up_bytes + 2 * probe_bytes});
  if (!resident) return std::unexpected(resident.error());
  return *resident < probe_bytes / 16;
}

// --- On the loop

// Rounds: [the probe's three], the rest, [what went missing meanwhile]; each is a list of ranges, read one
// way by one or several workers. Then the pages are counted.
class Prefault final : public loop::Operation {
 public:
  Prefault(loop::Loop& loop, Copies copies, Mappings mappings, PrefaultCallbacks callbacks,
           PrefaultChoice choice)
      : loop_(loop),
        files_(std::make_shared<const PrefaultFiles>(PrefaultFiles{std::move(copies), std::move(mappings)})),
        callbacks_(std::move(callbacks)),
        total_bytes_(total_bytes(files_->mappings)) {
    begin(choice);
  }

  void cancel() override {
    is_cancelled_ = true;
    cancel_all();
  }

 private:
  void begin(PrefaultChoice choice) {
    const bool is_free = choice == PrefaultChoice::automatic && can_populate();
    if (is_free && total_bytes_ >= least_to_probe_bytes) return look_whether_cold();
    const bool has_to_read =
        choice == PrefaultChoice::pread || (choice == PrefaultChoice::automatic && !is_free);
    read_from(0, has_to_read ? PrefaultWay::pread : PrefaultWay::populate);
  }

  template <class T>
  void on_pool(std::function<Result<T>(const PrefaultFiles&, loop::CancelToken)> work,
               std::move_only_function<void(T)> then) {
    between_ = loop::offload<T>(
        loop_,
        [files = files_, work = std::move(work)](loop::CancelToken token) mutable {
          auto result = work(*files, token);
          files.reset();  // the last holder unmaps, here rather than on the loop
          return result;
        },
        [this, then = std::move(then)](Result<T> result) mutable {
          between_.reset();
          if (!result) return finish(std::unexpected(std::move(result.error())));
          then(std::move(*result));
        });
  }

  // --- The probe

  void look_whether_cold() {
    on_pool<bool>([](const PrefaultFiles& files, loop::CancelToken) { return is_cold(files); },
                  [this](bool is_cold) {
                    if (!is_cold) return read_from(0, PrefaultWay::populate);
                    read_round(PrefaultWay::populate, {{.offset = 0, .length = warm_up_bytes}},
                               [this] { probe(PrefaultWay::populate, warm_up_bytes); });
                  });
  }

  void probe(PrefaultWay way, std::uint64_t offset) {
    const auto began = Clock::now();
    read_round(way, {{.offset = offset, .length = probe_bytes}},
               [this, way, began, end = offset + probe_bytes] {
                 const std::chrono::duration<double> time = Clock::now() - began;
                 if (way == PrefaultWay::populate) {
                   populate_time_ = time;
                   return probe(PrefaultWay::pread, end);
                 }
                 const bool is_faster = time < populate_time_ * clearly_faster;
                 read_from(end, is_faster ? PrefaultWay::pread : PrefaultWay::populate);
               });
  }

  // --- Rounds

  void read_from(std::uint64_t offset, PrefaultWay way) {
    way_ = way;
    read_round(way, {{.offset = offset, .length = total_bytes_ - offset}}, [this] { count_pages(); });
  }

  void count_pages() {
    on_pool<PageCount>(
        [total = total_bytes_](const PrefaultFiles& files, loop::CancelToken token) {
          return model::count_pages(files, total, token);
        },
        [this](PageCount counted) {
          if (counted.missing.empty() || std::exchange(has_repeated_, true))
            return finish(counted.resident_bytes);
          is_counting_ = false;
          read_round(way_, std::move(counted.missing), [this] { count_pages(); });
        });
  }

  void read_round(PrefaultWay way, std::deque<Range> ranges, std::move_only_function<void()> then) {
    ranges_ = std::move(ranges);
    round_way_ = way;
    after_round_ = std::move(then);
    const std::size_t workers = way == PrefaultWay::pread ? most_workers : 1;
    for (std::size_t worker = 0; worker < workers; ++worker) give_work(worker);
    if (is_idle()) end_round();
  }

  std::uint64_t share_bytes() const {
    if (round_way_ == PrefaultWay::populate) return total_bytes_;
    return is_counting_ ? pread_share_bytes : prefault_step_bytes;
  }

  // The next share, or what is left of the worker's last one.
  void give_work(std::size_t worker) {
    Range& share = shares_.at(worker);
    while (share.length == 0 && !ranges_.empty()) {
      Range& next = ranges_.front();
      share = {.offset = next.offset, .length = std::min(next.length, share_bytes())};
      next = {.offset = next.offset + share.length, .length = next.length - share.length};
      if (next.length == 0) ranges_.pop_front();
    }
    if (share.length == 0) return;
    workers_.at(worker) = loop::offload<std::uint64_t>(
        loop_,
        [files = files_, way = round_way_, share](loop::CancelToken token) mutable {
          auto result = read_range(*files, way, share, token);
          files.reset();
          return result;
        },
        [this, worker](Result<std::uint64_t> done) {
          workers_.at(worker).reset();
          worker_done(worker, std::move(done));
        });
  }

  void worker_done(std::size_t worker, Result<std::uint64_t> done) {
    if (done) {
      Range& share = shares_.at(worker);
      share = {.offset = share.offset + *done, .length = share.length - *done};
      if (is_counting_ && !report(*done)) return;
    } else if (!error_) {
      error_ = std::move(done.error());
      cancel_all();
    }
    if (!is_ending()) give_work(worker);
    if (is_idle()) end_round();
  }

  void end_round() {
    if (error_ || is_cancelled_) return finish(std::unexpected(error_.value_or(Error{})));
    auto then = std::move(after_round_);
    then();
  }

  // False where on_progress has destroyed this operation.
  bool report(std::uint64_t bytes) {
    done_bytes_ += bytes;
    const std::weak_ptr<int> alive = alive_;
    auto on_progress = std::move(callbacks_.on_progress);
    on_progress(done_bytes_);
    if (alive.expired()) return false;
    callbacks_.on_progress = std::move(on_progress);
    return true;
  }

  // --- The end

  bool is_ending() const { return is_cancelled_ || error_.has_value(); }
  bool is_idle() const {
    return std::ranges::none_of(workers_, [](const auto& worker) { return worker != nullptr; });
  }

  void cancel_all() {
    for (const auto& worker : workers_) {
      if (worker) worker->cancel();
    }
    if (between_) between_->cancel();
  }

  void finish(Result<std::uint64_t> result) {
    if (is_cancelled_) result = fail(ErrorCode::cancelled, "bringing the model into memory was cancelled");
    auto on_done = std::move(callbacks_.on_done);
    on_done(std::move(result));  // may destroy this
  }

  loop::Loop& loop_;
  const std::shared_ptr<const PrefaultFiles> files_;
  PrefaultCallbacks callbacks_;
  const std::uint64_t total_bytes_;
  std::uint64_t done_bytes_ = 0;
  bool is_counting_ = true;  // what is read now is progress: it is read for the first time
  bool is_cancelled_ = false;
  bool has_repeated_ = false;
  std::optional<Error> error_;  // the first of any worker

  PrefaultWay way_ = PrefaultWay::populate;        // of the rest
  PrefaultWay round_way_ = PrefaultWay::populate;  // of this round
  std::deque<Range> ranges_;                       // of this round, that nobody has taken
  std::array<Range, most_workers> shares_;         // taken, and not read yet
  std::array<loop::OperationPtr, most_workers> workers_;
  loop::OperationPtr between_;  // work between two rounds
  std::move_only_function<void()> after_round_;
  std::chrono::duration<double> populate_time_{};  // of the probe
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace

loop::OperationPtr prefault(loop::Loop& loop, Copies copies, Mappings mappings, PrefaultCallbacks callbacks,
                            PrefaultChoice choice) {
  return std::make_unique<Prefault>(loop, std::move(copies), std::move(mappings), std::move(callbacks),
                                    choice);
}

}  // namespace ggufd::model
