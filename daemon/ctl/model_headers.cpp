#include "ctl/model_headers.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <span>
#include <utility>

#include "fetch/remote_header.h"
#include "gguf/split.h"
#include "gguf/validate.h"
#include "loop/loop.h"
#include "store/file.h"

namespace ggufd::ctl {
namespace {

static_assert(max_header_bytes == fetch::max_header_bytes);

// Stands for the size of a file that the server does not tell; no file is as long.
constexpr std::uint64_t unknown_file_bytes = std::numeric_limits<std::int64_t>::max();

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

struct OpenFile {
  store::UniqueFd fd;
  std::uint64_t size_bytes = 0;
};

// Symbolic links are followed: the file is its owner's business, and the caches of other programs are made of
// them.
Result<OpenFile> open_model_file(const std::string& path) {
  OpenFile file;
  // Opening a pipe must not wait for its writer.
  file.fd.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.fd) return std::unexpected(system_error("opening " + path, errno, ErrorCode::bad_source));
  const auto status = store::stat_of(file.fd.get(), path);
  if (!status) return std::unexpected(status.error());
  if (!S_ISREG(status->st_mode)) {
    return fail(ErrorCode::bad_source,
                fmt::format("{} is {}; name a GGUF file", path, kind_of(status->st_mode)));
  }
  file.size_bytes = static_cast<std::uint64_t>(status->st_size);
  return file;
}

// Reads on to `wanted` bytes.
Result<void> read_up_to(const OpenFile& file, std::uint64_t wanted, FileHeader& header) {
  const std::size_t have = header.bytes.size();
  header.bytes.resize(static_cast<std::size_t>(wanted));
  const auto count =
      store::pread_all(file.fd.get(), std::span(header.bytes).subspan(have), have, header.path);
  if (!count) return std::unexpected(count.error());
  if (*count == wanted - have) return {};
  return fail(ErrorCode::io, fmt::format("{} became shorter while it was read; try again", header.path));
}

// The same file's header with another number.
std::vector<config::Source> shard_sources(const std::vector<config::Source>& first, unsigned number) {
  std::vector<config::Source> sources;
  for (const config::Source& source : first) {
    if (auto shard = shard_source(source, number)) sources.push_back(std::move(*shard));
  }
  return sources;
}

// How many files the model has: as the header says, where this is the first of them. Else 1.
std::uint16_t shard_count(const gguf::Header& first) {
  const auto split = gguf::split_of(first);
  return split && *split && (*split)->no == 0 ? (*split)->count : std::uint16_t{1};
}

Result<void> read_local_shards(const std::vector<std::string>& paths, ModelHeaders& headers) {
  std::vector<std::string> others(paths.begin() + 1, paths.end());
  if (const std::uint16_t count = shard_count(headers.first()); others.empty() && count > 1) {
    // A file with another name is inspected alone.
    const auto names = gguf::shard_names(paths.front(), count);
    if (!names) {
      headers.missing = {fmt::format("the other {} of {} files", count - 1, count)};
      return {};
    }
    others.assign(names->begin() + 1, names->end());
  }
  for (const std::string& path : others) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0 && errno == ENOENT) {
      headers.missing.push_back(path);
      continue;
    }
    auto header = read_file_header(path);
    if (!header) return std::unexpected(header.error());
    headers.files.push_back(std::move(*header));
  }
  return {};
}

Result<void> fetch_shards(const Context& context, const config::FetchConfig& settings,
                          const std::vector<config::Source>& first, ModelHeaders& headers) {
  const std::uint16_t count = shard_count(headers.first());
  for (unsigned number = 2; number <= count; ++number) {
    const auto sources = shard_sources(first, number);
    if (sources.empty()) {
      headers.missing = {fmt::format("the other {} of {} files", count - 1, count)};
      return {};
    }
    auto header = fetch_file_header(context, settings, sources);
    if (!header) return std::unexpected(header.error());
    headers.files.push_back(std::move(*header));
  }
  return {};
}

void check_set(ModelHeaders& headers) {
  if (headers.files.size() < 2 || !headers.missing.empty()) return;
  std::vector<gguf::Header> shards;
  for (const FileHeader& file : headers.files) {
    if (!file.report.complete()) return;
    shards.push_back(file.report.header);
  }
  gguf::check_shards(shards, headers.set_defects);
}

// The first defects that there are, as an error.
Result<void> soundness_of(const ModelHeaders& headers) {
  const auto error_of = [](const std::string& path, const gguf::Defects& defects) {
    const Error error = gguf::to_error(defects);
    return fail(error.code, fmt::format("{}: {}", path, error.message));
  };
  for (const FileHeader& file : headers.files) {
    if (!file.report.defects.empty()) return error_of(file.path, file.report.defects);
  }
  if (!headers.set_defects.empty()) return error_of(headers.files.front().path, headers.set_defects);
  return {};
}

}  // namespace

bool ModelHeaders::is_sound() const {
  return missing.empty() && set_defects.empty() &&
         std::ranges::all_of(files, [](const FileHeader& file) { return file.report.sound(); });
}

Result<FileHeader> read_file_header(const std::string& path) {
  const auto file = open_model_file(path);
  if (!file) return std::unexpected(file.error());
  FileHeader header;
  header.path = path;
  header.file_bytes = file->size_bytes;
  std::uint64_t wanted = std::min<std::uint64_t>(64 * 1024, file->size_bytes);
  while (true) {
    if (auto read = read_up_to(*file, wanted, header); !read) return std::unexpected(read.error());
    header.report = gguf::inspect(header.bytes, file->size_bytes);
    if (header.report.complete()) return header;
    if (header.report.needs_bytes > max_header_bytes) {
      return fail(ErrorCode::invalid_gguf,
                  fmt::format("the header of {} does not end within {} MiB", path, max_header_bytes >> 20U));
    }
    wanted = std::min({std::max(wanted * 4, header.report.needs_bytes), max_header_bytes, file->size_bytes});
  }
}

Result<FileHeader> fetch_file_header(const Context& context, const config::FetchConfig& settings,
                                     const std::vector<config::Source>& sources) {
  Result<fetch::RemoteHeader> fetched = fail(ErrorCode::internal, "the header was not fetched");
  {
    loop::Loop loop;
    fetch::CurlLoop curl(loop);
    const fetch::FetchHeader fetching(
        loop, curl,
        {.sources = sources,
         .settings = settings,
         .hub = fetch::hub_settings(settings, context.environment),
         .wants = [](std::span<const std::byte> front,
                     std::optional<std::uint64_t> total) -> Result<std::uint64_t> {
           return gguf::inspect(front, total.value_or(unknown_file_bytes)).needs_bytes;
         }},
        [&fetched](Result<fetch::RemoteHeader> result) { fetched = std::move(result); });
    loop.run();
  }
  if (!fetched) return std::unexpected(fetched.error());
  FileHeader header;
  header.path = config::to_string(fetched->source);
  header.file_bytes = fetched->total_bytes;
  header.bytes = std::move(fetched->bytes);
  if (header.bytes.empty()) return fail(ErrorCode::bad_source, fmt::format("{} is empty", header.path));
  header.report = gguf::inspect(header.bytes, header.file_bytes.value_or(unknown_file_bytes));
  return header;
}

Result<ModelHeaders> read_headers(const Context& context, const config::FetchConfig& settings,
                                  const ModelPlace& place) {
  const bool is_local = !place.paths.empty();
  auto first =
      is_local ? read_file_header(place.paths.front()) : fetch_file_header(context, settings, place.sources);
  if (!first) return std::unexpected(first.error());
  ModelHeaders headers;
  headers.files.push_back(std::move(*first));
  const auto others = is_local ? read_local_shards(place.paths, headers)
                               : fetch_shards(context, settings, place.sources, headers);
  if (!others) return std::unexpected(others.error());
  check_set(headers);
  return headers;
}

Result<void> check_model(const std::vector<std::string>& paths) {
  ModelHeaders headers;
  for (const std::string& path : paths) {
    auto header = read_file_header(path);
    if (!header) return std::unexpected(header.error());
    headers.files.push_back(std::move(*header));
  }
  check_set(headers);
  return soundness_of(headers);
}

Result<gguf::MemoryPlanner> planner_of(const ModelHeaders& headers) {
  if (auto sound = soundness_of(headers); !sound) return std::unexpected(sound.error());
  std::uint64_t other_bytes = 0;
  for (const FileHeader& file : headers.files) {
    if (&file == &headers.files.front()) continue;
    const std::uint64_t bytes = file.report.header.tensor_bytes();
    if (__builtin_add_overflow(other_bytes, bytes, &other_bytes))
      other_bytes = std::numeric_limits<std::uint64_t>::max();
  }
  if (!headers.missing.empty()) {
    return fail(ErrorCode::bad_source,
                fmt::format("the model is split and not all of its files are there: {} missing",
                            fmt::join(headers.missing, ", ")));
  }
  const auto split = gguf::split_of(headers.first());
  if (split && *split && (*split)->no > 0) {
    return fail(ErrorCode::bad_source,
                fmt::format("{} is number {} of {} files of a split model; name the first",
                            headers.files.front().path, (*split)->no + 1, (*split)->count));
  }
  return gguf::MemoryPlanner(headers.first(), other_bytes);
}

}  // namespace ggufd::ctl
