#include "store/quarantine.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace ggufd::store {
namespace {

// As a part of a file's name: no separator, no dot, not endless.
std::string as_name_part(std::string_view reason) {
  std::string part(reason.substr(0, 64));
  std::ranges::replace_if(
      part,
      [](char c) {
        return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                 c == '-');
      },
      '-');
  return part.empty() ? "unknown" : part;
}

Result<void> write_evidence(int fd, const std::string& json, const std::string& path) {
  if (auto written = write_all(fd, std::as_bytes(std::span(json)), path); !written) return written;
  return sync_file(fd, path);
}

// Copies the file into a new one of that name and removes it; for a quarantine on another file system.
Result<Moved> copy_and_remove(const Folder& quarantine, const std::string& bin, const Folder& from,
                              const std::string& name, int file_fd) {
  const std::string to_path = quarantine.path_of(bin);
  const std::string from_path = from.path_of(name);
  auto copy = create_exclusive_at(quarantine.fd.get(), bin, 0600, to_path);
  if (!copy) return std::unexpected(copy.error());
  if (!*copy) return Moved::name_is_taken;
  std::vector<std::byte> buffer(std::size_t{1} << 20U);
  Result<void> done;
  for (std::uint64_t offset = 0; done;) {
    const auto count = pread_all(file_fd, buffer, offset, from_path);
    if (!count) done = std::unexpected(count.error());
    if (!count || *count == 0) break;
    done = write_all((*copy)->get(), std::span(buffer).first(*count), to_path);
    offset += *count;
  }
  if (done) done = sync_file((*copy)->get(), to_path);
  if (done) done = sync_folder(quarantine.fd.get(), quarantine.path);
  if (done) done = remove_file_at(from.fd.get(), name, from_path);
  if (!done) {
    static_cast<void>(remove_file_at(quarantine.fd.get(), bin, to_path));
    return std::unexpected(done.error());
  }
  return Moved::yes;
}

// Puts the file away under `base`; nothing where that name is taken.
Result<std::optional<std::string>> move_as(const std::string& base, const Folder& quarantine,
                                           const Folder& from, const std::string& name, int file_fd,
                                           const std::string& json) {
  // The evidence is made first and exclusively, which claims the name; it is complete and synced before the
  // file moves, so that a crash never leaves a file of which nobody knows why it is there.
  const std::string json_name = base + ".json";
  const std::string bin = base + ".bin";
  const std::string json_path = quarantine.path_of(json_name);
  auto evidence = create_exclusive_at(quarantine.fd.get(), json_name, 0644, json_path);
  if (!evidence) return std::unexpected(evidence.error());
  if (!*evidence) return std::nullopt;
  Result<Moved> moved = Moved::name_is_taken;
  if (auto written = write_evidence((*evidence)->get(), json, json_path); !written) {
    moved = std::unexpected(written.error());
  } else {
    moved = move_no_replace(from.fd.get(), name, quarantine.fd.get(), bin, quarantine.path_of(bin));
    if (moved == Moved::other_file_system) moved = copy_and_remove(quarantine, bin, from, name, file_fd);
  }
  if (moved == Moved::yes) return quarantine.path_of(bin);
  static_cast<void>(remove_file_at(quarantine.fd.get(), json_name, json_path));
  if (!moved) return std::unexpected(moved.error());
  return std::nullopt;
}

}  // namespace

std::string quarantine_time(Timestamp when) {
  std::string text = to_string(when);  // 2026-05-18T00:00:00.000Z
  text.erase(text.size() - 5, 4);      // the milliseconds
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return text;
}

Result<std::string> move_to_quarantine(const Folder& quarantine, const Folder& from, const std::string& name,
                                       int file_fd, const QuarantineEvidence& evidence, Timestamp when) {
  const auto status = stat_of(file_fd, from.path_of(name));
  if (!status) return std::unexpected(status.error());
  const QuarantineRecord record{.url = evidence.url,
                                .reason = evidence.reason,
                                .expected = evidence.expected,
                                .actual = evidence.actual,
                                .size = static_cast<std::uint64_t>(status->st_size),
                                .when = when,
                                .differing_ranges = evidence.differing_ranges};
  const std::string json = to_json(record) + "\n";
  const std::string base = fmt::format("{}-{}", quarantine_time(when), as_name_part(evidence.reason));
  constexpr int names_tried = 10'000;  // within one second, for one reason
  for (int n = 1; n <= names_tried; ++n) {
    auto moved =
        move_as(n == 1 ? base : fmt::format("{}-{}", base, n), quarantine, from, name, file_fd, json);
    if (!moved) return std::unexpected(moved.error());
    if (!*moved) continue;
    if (auto synced = sync_folder(quarantine.fd.get(), quarantine.path); !synced)
      return std::unexpected(synced.error());
    if (auto synced = sync_folder(from.fd.get(), from.path); !synced) return std::unexpected(synced.error());
    return std::move(**moved);
  }
  return fail(ErrorCode::io, fmt::format("putting {} into {}: every name is taken; clear the quarantine",
                                         from.path_of(name), quarantine.path));
}

}  // namespace ggufd::store
