#include "model/pull_files.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace ggufd::model {

PullFiles::PullFiles(loop::Loop& loop, Join join, PullFilesRequest request, PullFilesCallbacks callbacks)
    : loop_(loop), join_(std::move(join)), request_(std::move(request)), callbacks_(std::move(callbacks)) {
  for (const FileToPull& each : request_.files) {
    sizes_.push_back(each.size_here_bytes);
    done_bytes_ += each.size_here_bytes.value_or(0);
  }
  resumed_bytes_ = done_bytes_;
  if (!is_split()) sizes_.front() = request_.size_bytes;
  pulled_.resize(request_.files.size());
  pull_next();
}

void PullFiles::cancel() {
  if (std::exchange(is_cancelled_, true)) return;
  if (operation_) operation_->cancel();
}

void PullFiles::skip_what_is_here() {
  while (current_ < request_.files.size() && request_.files[current_].size_here_bytes) ++current_;
}

void PullFiles::pull_next() {
  skip_what_is_here();
  if (current_ == request_.files.size()) return finish(std::move(pulled_));
  resumed_now_bytes_ = 0;
  operation_ = join_(request_for(current_), callbacks());
  if (is_cancelled_) operation_->cancel();
}

void PullFiles::finish(Result<std::vector<std::optional<fetch::Pulled>>> result) {
  std::exchange(callbacks_.on_done, nullptr)(std::move(result));  // may destroy this
}

fetch::PullRequest PullFiles::request_for(std::size_t index) const {
  const ModelFile& file = request_.files[index].file;
  LookSettings look = request_.look;
  look.file = static_cast<unsigned>(index);
  look.files = static_cast<unsigned>(request_.files.size());
  look.other_files_bytes = other_files_bytes();
  look.all_files_bytes = request_.size_bytes;
  fetch::PullRequest request{.name = request_.model,
                             .sources = file.network_sources(),
                             .digest = file.digest,
                             .is_digest_pinned = file.is_digest_pinned,
                             .size_bytes = is_split() ? std::nullopt : request_.size_bytes,
                             .inspect = header_look(std::move(look))};
  return request;
}

fetch::PullCallbacks PullFiles::callbacks() {
  return {.on_phase = [this](const LoadPhase& phase) { on_phase(phase); },
          .on_warning = [this](const std::string& code,
                               const std::string& message) { on_warning(code, message); },
          .on_done = [this](Result<fetch::Pulled> result) { on_pulled(std::move(result)); }};
}

void PullFiles::on_phase(const LoadPhase& phase) {
  if (const auto* download = std::get_if<phase::Download>(&phase))
    return callbacks_.on_phase(over_all(*download));
  const auto* verify = std::get_if<phase::Verify>(&phase);
  if (verify != nullptr && is_split()) {
    untold_ = *verify;
    return;
  }
  const auto* quarantine = std::get_if<phase::Quarantine>(&phase);
  // What is put away has been verified before: no reader has to do with the one without the other.
  if (quarantine != nullptr && untold_) callbacks_.on_phase(over_all(*std::exchange(untold_, std::nullopt)));
  callbacks_.on_phase(phase);
  if (quarantine == nullptr || !request_.files[current_].was_put_away || is_cancelled_) return;
  reason_ = still_wrong(*quarantine);
  cancel();
}

Error PullFiles::still_wrong(const phase::Quarantine& quarantine) const {
  const ModelFile& file = request_.files[current_].file;
  const std::string remedy =
      file.is_digest_pinned
          ? fmt::format(
                "it was pinned when {} was first fetched; if the new file is wanted, `ggufctl rm {}` "
                "forgets the pin, then load it again",
                request_.model, request_.model)
          : "correct the model's sha256 or its source";
  return {
      ErrorCode::sha256_mismatch,
      fmt::format("what {} serves has the SHA-256 {} and should have {}, also after a fresh download; {}. "
                  "The bytes are kept in {}",
                  config::to_string(file.network_sources().front()), quarantine.actual_sha256,
                  quarantine.expected_sha256, remedy, quarantine.quarantine_path)};
}

// Each file may find the memory short; that is told once.
void PullFiles::on_warning(const std::string& code, const std::string& message) {
  if (code == "memory_preflight" && std::exchange(has_warned_of_memory_, true)) return;
  callbacks_.on_warning(code, message);
}

void PullFiles::on_pulled(Result<fetch::Pulled> result) {
  // The pull is calling: it is destroyed when the turn ends, not under its own feet.
  loop_.at_end_of_turn([ended = std::move(operation_)] {});
  if (!result && reason_) return finish(std::unexpected(std::move(*reason_)));
  if (!result) return finish(std::unexpected(std::move(result.error())));
  sizes_[current_] = result->size_bytes;
  done_bytes_ += result->size_bytes;
  resumed_bytes_ += result->was_fetched ? resumed_now_bytes_ : result->size_bytes;
  pulled_[current_] = std::move(*result);
  untold_.reset();
  ++current_;
  if (!is_cancelled_) return pull_next();
  finish(fail(ErrorCode::cancelled, fmt::format("fetching {} was cancelled", request_.model)));
}

phase::Download PullFiles::over_all(phase::Download one) {
  // A size that was believed may turn out not to be known, when a download begins anew.
  sizes_[current_] = one.total_bytes.value;
  resumed_now_bytes_ = one.resumed_bytes;
  one.downloaded_bytes += done_bytes_;
  one.resumed_bytes += resumed_bytes_;
  const auto total = total_bytes();
  one.total_bytes = {total};
  if (!is_split()) return one;
  one.eta_s.reset();
  if (total && *total >= one.downloaded_bytes && one.bytes_per_second > 0) {
    const std::uint64_t left_bytes = *total - one.downloaded_bytes;
    one.eta_s = left_bytes / one.bytes_per_second + (left_bytes % one.bytes_per_second == 0 ? 0 : 1);
  }
  return one;
}

phase::Verify PullFiles::over_all(phase::Verify one) const {
  const std::uint64_t known_bytes = done_bytes_ + one.total_bytes;
  one.verified_bytes += done_bytes_;
  one.total_bytes = std::max(total_bytes().value_or(0), known_bytes);
  return one;
}

std::optional<std::uint64_t> PullFiles::total_bytes() const {
  if (request_.size_bytes) return request_.size_bytes;
  std::uint64_t total = 0;
  for (const auto& size : sizes_) {
    if (!size) return std::nullopt;
    total += *size;
  }
  return total;
}

std::uint64_t PullFiles::other_files_bytes() const {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < sizes_.size(); ++i) total += i == current_ ? 0 : sizes_[i].value_or(0);
  return total;
}

}  // namespace ggufd::model
