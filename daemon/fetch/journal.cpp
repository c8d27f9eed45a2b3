#include "fetch/journal.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <span>
#include <string_view>

#include "fetch/http_fields.h"
#include "store/json_file.h"

namespace ggufd::fetch {
namespace {

constexpr mode_t journal_mode = 0644;  // others may look at the progress

std::unexpected<Error> malformed(const std::string& path, std::string_view what) {
  return fail(ErrorCode::io, fmt::format("reading {}: {}", path, what));
}

// The file's text; nothing where there is none.
Result<std::optional<std::string>> journal_text(const std::string& path) {
  const auto file = store::open_regular(path, O_RDONLY);
  if (!file) return std::unexpected(file.error());
  if (!*file) return std::nullopt;
  auto text = store::read_all((*file)->get(), store::json_file_max_bytes, path);
  if (!text) return std::unexpected(text.error());
  return std::move(*text);
}

// Empty where the system names none: then only what is synced holds. (proc(5): its files tell no size.)
std::string this_boot() {
  static const std::string boot = [] {
    const auto file = store::open_regular("/proc/sys/kernel/random/boot_id", O_RDONLY);
    if (!file || !*file) return std::string();
    std::array<char, 64> text{};
    const ssize_t count = ::read((*file)->get(), text.data(), text.size());
    const std::string_view line(text.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
    return std::string(line.substr(0, line.find('\n')));
  }();
  return boot;
}

// Leaves in `finished` what can be believed here and now.
void keep_what_holds(Journal& journal) {
  const bool is_other_boot = journal.boot_id && (journal.boot_id->empty() || *journal.boot_id != this_boot());
  if (is_other_boot) journal.finished = journal.synced.value_or(std::vector<JournalRange>());
  journal.boot_id.reset();
  if (journal.synced && journal.synced->empty()) journal.synced.reset();
}

bool are_in_order(const std::vector<JournalRange>& ranges, std::uint64_t size_bytes) {
  std::optional<std::uint64_t> last_end;
  for (const JournalRange& range : ranges) {
    if (range.begin >= range.end || range.end > size_bytes || (last_end && range.begin <= *last_end))
      return false;
    last_end = range.end;
  }
  return true;
}

}  // namespace

std::vector<JournalRange> journal_ranges(const ByteRanges& ranges) {
  std::vector<JournalRange> list;
  list.reserve(ranges.all().size());
  for (const auto& [begin, end] : ranges.all()) list.push_back({begin, end});
  return list;
}

ByteRanges byte_ranges(const Journal& journal) {
  ByteRanges ranges;
  for (const JournalRange& range : journal.finished) ranges.add({range.begin, range.end});
  return ranges;
}

Result<Journal> parse_journal(const std::string& text, const std::string& path) {
  auto journal = store::parse_json_file<Journal>(text, path);
  if (!journal) return journal;
  if (journal->schema_version != 1) return malformed(path, "it has another schema than 1");
  // They go into requests: only what a server could have sent does.
  if (journal->etag && !parse_etag(*journal->etag)) return malformed(path, "its etag is none");
  if (journal->last_modified && !parse_http_date(*journal->last_modified, 0))
    return malformed(path, "its last_modified is no date");
  for (const auto* ranges : {&journal->finished, journal->synced ? &*journal->synced : nullptr}) {
    if (ranges != nullptr && !are_in_order(*ranges, journal->size_bytes))
      return malformed(path, "its ranges are empty, out of order or reach beyond the size");
  }
  return journal;
}

Result<std::optional<Journal>> read_journal(const store::Partial& partial) {
  const std::string path = partial.journal_path();
  const auto text = journal_text(path);
  if (!text) return std::unexpected(text.error());
  if (!*text) return std::nullopt;
  auto journal = parse_journal(**text, path);
  if (!journal) return std::nullopt;
  keep_what_holds(*journal);
  const auto status = store::stat_of(partial.fd(), partial.data_path());
  if (!status) return std::unexpected(status.error());
  const std::uint64_t end = journal->finished.empty() ? 0 : journal->finished.back().end;
  if (static_cast<std::uint64_t>(status->st_size) < end) return std::nullopt;
  return std::move(*journal);
}

std::optional<Journal> peek_journal(const std::string& partial_folder) {
  const std::string path = store::join(partial_folder, store::Partial::journal_name);
  const auto text = journal_text(path);
  if (!text || !*text) return std::nullopt;
  auto journal = parse_journal(**text, path);
  if (!journal) return std::nullopt;
  keep_what_holds(*journal);
  return std::move(*journal);
}

std::uint64_t arrived_bytes(const std::string& partial_folder) {
  const auto journal = peek_journal(partial_folder);
  return journal ? byte_ranges(*journal).size() : 0;
}

Result<void> write_journal(const store::Partial& partial, Journal journal,
                           const std::vector<JournalRange>& synced, store::Durability durability) {
  journal.boot_id = this_boot();
  journal.synced = synced;
  return store::write_file_atomically(partial.folder(), store::Partial::journal_name, to_json(journal) + "\n",
                                      journal_mode, durability);
}

Result<void> reset_partial(const store::Partial& partial) {
  // The journal first: one that outlives its data would vouch for bytes that are not there.
  const std::string path = partial.journal_path();
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return std::unexpected(system_error(fmt::format("removing {}", path), errno));
  if (::ftruncate(partial.fd(), 0) != 0)
    return std::unexpected(system_error(fmt::format("emptying {}", partial.data_path()), errno));
  return {};
}

}  // namespace ggufd::fetch
