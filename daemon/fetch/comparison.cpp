#include "fetch/comparison.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <optional>
#include <utility>

#include "loop/offload.h"
#include "store/file.h"

namespace ggufd::fetch {
namespace {

constexpr mode_t scratch_mode = 0600;

// From the first byte that differs to the last; nothing where none does.
std::optional<ByteRange> first_to_last_difference(std::span<const std::byte> ours, const Chunk& theirs) {
  const auto content = theirs.content();
  const auto first = std::ranges::mismatch(ours, content).in1;
  if (first == ours.end()) return std::nullopt;
  const auto begin = static_cast<std::uint64_t>(first - ours.begin());
  std::uint64_t end = ours.size();
  while (ours[end - 1] == content[end - 1]) --end;
  return ByteRange{theirs.offset + begin, theirs.offset + end};
}

}  // namespace

// The scratch file; made when the first difference is found. Its name goes at once: it lives as long as its
// descriptor.
struct Comparison::Scratch {
  std::mutex mutex;
  store::UniqueFd fd;

  Result<int> open(const store::Partial& partial) {
    const std::lock_guard lock(mutex);
    if (fd) return fd.get();
    const std::string path = store::join(partial.folder(), "repair.tmp");
    auto opened = store::open_file(path, O_RDWR | O_CREAT | O_TRUNC, scratch_mode);
    if (!opened) return std::unexpected(opened.error());
    if (::unlink(path.c_str()) != 0)
      return std::unexpected(system_error(fmt::format("removing {}", path), errno));
    fd = std::move(*opened);
    return fd.get();
  }
};

Comparison::Comparison(loop::Loop& loop, std::shared_ptr<store::Partial> partial,
                       std::function<void(Error)> on_failed)
    : loop_(loop),
      partial_(std::move(partial)),
      scratch_(std::make_shared<Scratch>()),
      on_failed_(std::move(on_failed)),
      chunks_([this](ChunkPtr chunk) {
        to_compare_.push_back(std::move(chunk));
        start_jobs();
      }),
      comparing_(max_jobs),
      idle_timer_(loop, [this] { std::exchange(on_idle_, nullptr)(); }) {}  // may destroy this

bool Comparison::offer(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (has_failed_ || on_idle_) return true;  // to be thrown away
  if (!chunks_.offer(offset, bytes)) {
    was_refused_ = true;
    if (chunks_.in_use() == 0) chunks_.seal_all();
    return false;
  }
  accepted_.add({offset, offset + bytes.size()});
  return true;
}

void Comparison::start_jobs() {
  if (has_failed_ || on_idle_) return;
  for (loop::OperationPtr& place : comparing_) {
    if (!place && !to_compare_.empty()) start(place);
  }
}

void Comparison::start(loop::OperationPtr& place) {
  ChunkPtr chunk = std::move(to_compare_.front());
  to_compare_.pop_front();
  using Found = std::optional<ByteRange>;
  place = loop::offload<Found>(
      loop_,
      [partial = partial_, scratch = scratch_, chunk](loop::CancelToken) -> Result<Found> {
        const auto buffer = std::make_unique_for_overwrite<std::byte[]>(chunk->size);
        const std::span<std::byte> ours(buffer.get(), chunk->size);
        const auto read = store::pread_all(partial->fd(), ours, chunk->offset, partial->data_path());
        if (!read) return std::unexpected(read.error());
        std::fill(ours.begin() + static_cast<std::ptrdiff_t>(*read), ours.end(), std::byte{0});
        const Found difference = first_to_last_difference(ours, *chunk);
        if (!difference) return difference;
        const auto fd = scratch->open(*partial);
        if (!fd) return std::unexpected(fd.error());
        const auto bytes = chunk->content().subspan(difference->begin - chunk->offset, difference->size());
        auto written = store::pwrite_all(*fd, bytes, difference->begin, partial->folder());
        if (!written) return std::unexpected(written.error());
        return difference;
      },
      [this, &place, chunk](const Result<Found>& found) {
        place.reset();
        if (on_idle_) {
          if (!is_comparing()) idle_timer_.start_once(0);
          return;
        }
        if (!check(found ? Result<void>() : std::unexpected(found.error()))) return;
        if (*found) differing_.add(**found);
        chunks_.release(chunk);
        start_jobs();
        if (std::exchange(was_refused_, false)) tell_room();
        tell_settled();
        replace_when_idle();
      });
}

void Comparison::replace(std::function<void(std::vector<ByteRange>)> on_replaced) {
  on_replaced_ = std::move(on_replaced);
  chunks_.seal_all();
  replace_when_idle();
}

void Comparison::abandon(std::function<void()> on_idle) {
  on_idle_ = std::move(on_idle);
  to_compare_.clear();
  if (!is_comparing()) idle_timer_.start_once(0);
}

bool Comparison::is_comparing() const {
  return std::ranges::any_of(comparing_, [](const auto& job) { return job != nullptr; });
}

void Comparison::replace_when_idle() {
  if (!on_replaced_ || has_failed_ || replacing_ || is_comparing() || !to_compare_.empty()) return;
  std::vector<ByteRange> ranges;
  for (const auto& [begin, end] : differing_.all()) ranges.push_back({begin, end});
  replacing_ = loop::offload<void>(
      loop_,
      [partial = partial_, scratch = scratch_, ranges](loop::CancelToken) -> Result<void> {
        constexpr std::uint64_t piece_bytes = std::uint64_t{1} << 20;
        const auto buffer = std::make_unique_for_overwrite<std::byte[]>(piece_bytes);
        for (ByteRange left : ranges) {
          while (left.begin < left.end) {
            const std::span<std::byte> piece(buffer.get(), std::min(piece_bytes, left.size()));
            const auto read = store::pread_all(scratch->fd.get(), piece, left.begin, partial->folder());
            if (!read) return std::unexpected(read.error());
            auto written = store::pwrite_all(partial->fd(), piece, left.begin, partial->data_path());
            if (!written) return written;
            left.begin += piece.size();
          }
        }
        return {};
      },
      [this, ranges](const Result<void>& result) {
        replacing_.reset();
        partial_.reset();
        if (!check(result)) return;
        std::exchange(on_replaced_, nullptr)(ranges);  // may destroy this
      });
}

bool Comparison::check(const Result<void>& result) {
  if (has_failed_) return false;
  if (result) return true;
  has_failed_ = true;
  const auto on_failed = std::exchange(on_failed_, nullptr);
  on_failed(result.error());  // may destroy this
  return false;
}

}  // namespace ggufd::fetch
