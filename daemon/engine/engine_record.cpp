#include "engine/engine_record.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "config/text_rules.h"

namespace ggufd::engine {
namespace {

// A descriptor that closes itself; -1 is none.
class OwnedFd {
 public:
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&&) = delete;
  ~OwnedFd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

OwnedFd open_runtime_folder(const std::string& path) {
  return OwnedFd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// At most max_bytes + 1 of it: one more than may be there tells that there is too much.
std::string read_some(int fd, std::size_t max_bytes) {
  std::string text(max_bytes + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = read(fd, text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    size += static_cast<std::size_t>(count);
  }
  text.resize(size);
  return text;
}

// --- What the kernel says

struct ProcessFacts {
  std::uint64_t start_ticks = 0;
  pid_t session = 0;

  friend bool operator==(const ProcessFacts&, const ProcessFacts&) = default;
};

template <class T>
std::optional<T> whole_number(std::string_view text) {
  T value{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// proc(5): "pid (name) state ppid pgrp session …", the start time is field 22. The name may hold anything,
// blanks and brackets too.
std::optional<ProcessFacts> facts_of(pid_t pid) {
  const OwnedFd file(open(fmt::format("/proc/{}/stat", pid).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  const std::string text = read_some(file.get(), 4096);
  std::string_view rest = text;
  const std::size_t end_of_name = rest.rfind(')');
  if (end_of_name == std::string_view::npos) return std::nullopt;
  rest.remove_prefix(end_of_name + 1);
  std::array<std::string_view, 23> fields;
  for (std::size_t number = 3; number < fields.size() && !rest.empty(); ++number) {
    rest.remove_prefix(1);  // a blank
    fields[number] = rest.substr(0, rest.find(' '));
    rest.remove_prefix(fields[number].size());
  }
  const auto session = whole_number<pid_t>(fields[6]);
  const auto start_ticks = whole_number<std::uint64_t>(fields[22]);
  if (!session || !start_ticks) return std::nullopt;
  return ProcessFacts{.start_ticks = *start_ticks, .session = *session};
}

// Empty where the kernel does not say.
std::string current_boot_id() {
  const OwnedFd file(open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  if (!file) return {};
  std::string id = read_some(file.get(), 64);
  if (id.ends_with('\n')) id.pop_back();
  return id;
}

// By their numbers: glibc 2.36 declares its functions for C only.
OwnedFd pidfd_of(pid_t pid) {
  return OwnedFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

bool signal_by(const OwnedFd& pidfd, int number) {
  return syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0) == 0;
}

using Deadline = std::chrono::steady_clock::time_point;

int ms_until(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, left_engines_wait_ms));
}

// Also of one that nobody has reaped yet.
bool ends_until(const OwnedFd& pidfd, Deadline deadline) {
  pollfd end{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = poll(&end, 1, ms_until(deadline));
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

bool has_ended(const OwnedFd& pidfd) {
  return ends_until(pidfd, Deadline());  // long ago
}

// --- A record and its file

constexpr std::string_view record_suffix = ".engine";
constexpr std::string_view unfinished_suffix = ".engine.new";
constexpr std::size_t record_bytes_max = 512;

struct EngineRecord {
  pid_t pid = 0;
  ProcessFacts facts;
  std::string boot_id;
};

std::string record_name(std::string_view model, std::string_view suffix) {
  return fmt::format(".{}{}", model, suffix);
}

// The model whose file this is; nothing where such a name is not one of ours.
std::optional<std::string> model_of(std::string_view name, std::string_view suffix) {
  if (!name.starts_with('.') || !name.ends_with(suffix)) return std::nullopt;
  name.remove_prefix(1);
  name.remove_suffix(std::min(name.size(), suffix.size()));
  if (!config::is_model_name(name)) return std::nullopt;
  return std::string(name);
}

std::string text_of(const EngineRecord& record) {
  return fmt::format("ggufd engine 1\npid {}\nstart_ticks {}\nboot_id {}\nsession {}\n", record.pid,
                     record.facts.start_ticks, record.boot_id, record.facts.session);
}

// What follows `label` in its line; the line is gone from `text`.
std::string_view take_line(std::string_view& text, std::string_view label) {
  if (!text.starts_with(label)) return {};
  std::string_view value = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), value.size() + 1));
  value.remove_prefix(label.size());
  return value;
}

// Only what text_of() writes, to the byte.
std::optional<EngineRecord> parse_engine_record(std::string_view text) {
  std::string_view rest = text;
  take_line(rest, "ggufd engine 1");
  const auto pid = whole_number<pid_t>(take_line(rest, "pid "));
  const auto start_ticks = whole_number<std::uint64_t>(take_line(rest, "start_ticks "));
  const std::string_view boot_id = take_line(rest, "boot_id ");
  const auto session = whole_number<pid_t>(take_line(rest, "session "));
  if (!pid || !start_ticks || !session || boot_id.empty()) return std::nullopt;
  EngineRecord record{.pid = *pid,
                      .facts = {.start_ticks = *start_ticks, .session = *session},
                      .boot_id = std::string(boot_id)};
  if (text_of(record) != text) return std::nullopt;
  return record;
}

// Opening it does not wait, whatever it is, and follows no link.
std::optional<EngineRecord> read_engine_record(const OwnedFd& folder, const std::string& name) {
  const OwnedFd file(
      openat(folder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat info{};
  if (!file || fstat(file.get(), &info) != 0) return std::nullopt;
  const bool is_ours = S_ISREG(info.st_mode) && info.st_uid == geteuid() && info.st_nlink == 1 &&
                       (info.st_mode & 07777) == 0600;
  if (!is_ours) return std::nullopt;
  return parse_engine_record(read_some(file.get(), record_bytes_max));
}

// The number of what failed, 0 where nothing did.
int write_new_file(const OwnedFd& folder, const std::string& name, std::string_view text) {
  const OwnedFd file(
      openat(folder.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file || fchmod(file.get(), 0600) != 0) return errno;
  while (!text.empty()) {
    const ssize_t count = write(file.get(), text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return 0;
}

// Whole or not at all, for every process; a power cut ends the boot and with it what the record is good for.
Result<void> replace_record(const std::string& runtime_folder, std::string_view model,
                            std::string_view text) {
  const std::string name = record_name(model, record_suffix);
  const std::string unfinished = record_name(model, unfinished_suffix);
  const OwnedFd folder = open_runtime_folder(runtime_folder);
  if (!folder) return std::unexpected(system_error(fmt::format("opening {}", runtime_folder), errno));
  unlinkat(folder.get(), unfinished.c_str(), 0);
  int error_number = write_new_file(folder, unfinished, text);
  if (error_number == 0 && renameat(folder.get(), unfinished.c_str(), folder.get(), name.c_str()) != 0) {
    error_number = errno;
  }
  if (error_number == 0) return {};
  unlinkat(folder.get(), unfinished.c_str(), 0);
  return std::unexpected(system_error(fmt::format("writing {}/{}", runtime_folder, name), error_number));
}

// --- Ending what is left

// The process of a record, held by a pidfd, and its session.
class LeftEngine {
 public:
  LeftEngine(const EngineRecord& record, Deadline deadline)
      : record_(record), deadline_(deadline), leader_(pidfd_of(record.pid)) {}

  // The number of a process is not another's while it exists, and neither is that of a session that has
  // members; so the facts are looked at again before each search for those.
  bool is_still_it() const { return leader_ && facts_of(record_.pid) == record_.facts; }

  enum class Outcome : std::uint8_t { ended, had_ended, has_not_ended };
  Outcome end() {
    bool any = !has_ended(leader_);
    // A process that is stopped starts no others, and holds the session's number until it is the last.
    signal_by(leader_, SIGSTOP);
    while (is_still_it() && kill_others()) {
      any = true;
      if (ms_until(deadline_) == 0) break;  // what is left of it stays in the record
    }
    if (!kill_and_wait(leader_) || others_run_) return Outcome::has_not_ended;
    return any ? Outcome::ended : Outcome::had_ended;
  }

 private:
  // One that we may not kill is not waited for.
  bool kill_and_wait(const OwnedFd& pidfd) const {
    return signal_by(pidfd, SIGKILL) ? ends_until(pidfd, deadline_) : has_ended(pidfd);
  }

  // A member of the session that runs, besides the leader; of one process, whoever gets its number later.
  std::optional<OwnedFd> running_member(pid_t pid) const {
    if (pid <= 1 || pid == record_.pid || getsid(pid) != record_.facts.session) return std::nullopt;
    OwnedFd member = pidfd_of(pid);
    if (!member || getsid(pid) != record_.facts.session || has_ended(member)) return std::nullopt;
    return member;
  }

  // All at once, then waits for them. True where one has ended so: it may have started another before.
  bool kill_others() {
    const std::unique_ptr<DIR, int (*)(DIR*)> processes(opendir("/proc"), closedir);
    std::vector<OwnedFd> members;
    while (const dirent* entry = processes ? readdir(processes.get()) : nullptr) {
      auto member = running_member(whole_number<pid_t>(entry->d_name).value_or(0));
      if (!member) continue;
      signal_by(*member, SIGKILL);
      members.push_back(std::move(*member));
    }
    bool any_ended = false;
    others_run_ = false;
    for (const OwnedFd& member : members) (kill_and_wait(member) ? any_ended : others_run_) = true;
    return any_ended;
  }

  const EngineRecord& record_;
  const Deadline deadline_;
  const OwnedFd leader_;
  bool others_run_ = false;
};

bool is_never_an_engine(const EngineRecord& record) {
  return record.pid <= 1 || record.facts.session != record.pid || record.pid == getpid() ||
         record.pid == getppid() || record.facts.session == getsid(0);
}

LeftEngine::Outcome end_left_engine(const EngineRecord& record, const std::string& model, Deadline deadline,
                                    std::vector<std::string>& sentences) {
  LeftEngine engine(record, deadline);
  const auto outcome = engine.is_still_it() ? engine.end() : LeftEngine::Outcome::had_ended;
  if (outcome == LeftEngine::Outcome::ended) {
    sentences.push_back(fmt::format("killed the engine of {} (process {}), left by a daemon that was killed",
                                    model, record.pid));
  } else if (outcome == LeftEngine::Outcome::has_not_ended) {
    sentences.push_back(fmt::format(
        "the engine of {} (process {}), left by a daemon that was killed, could not be killed and still runs",
        model, record.pid));
  }
  return outcome;
}

struct FolderRecords {
  std::vector<std::string> models;
  std::vector<std::string> unfinished;  // names of files
};

FolderRecords list_records(const std::string& runtime_folder) {
  FolderRecords found;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(runtime_folder.c_str()), closedir);
  while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
    if (auto model = model_of(entry->d_name, record_suffix)) found.models.push_back(std::move(*model));
    if (model_of(entry->d_name, unfinished_suffix)) found.unfinished.emplace_back(entry->d_name);
  }
  std::ranges::sort(found.models);
  return found;
}

}  // namespace

Result<void> record_engine(const std::string& runtime_folder, std::string_view model, pid_t engine) {
  if (!config::is_model_name(model)) {
    return fail(ErrorCode::internal, fmt::format("\"{}\" is not the name of a model", model));
  }
  const auto facts = facts_of(engine);
  const EngineRecord record{
      .pid = engine, .facts = facts.value_or(ProcessFacts()), .boot_id = current_boot_id()};
  if (!facts || record.boot_id.empty()) {
    return fail(ErrorCode::engine_failed,
                fmt::format("/proc does not say what process {} is; it may have ended", engine));
  }
  if (is_never_an_engine(record)) {
    return fail(ErrorCode::engine_failed,
                fmt::format("process {} does not lead a session of its own, as an engine does", engine));
  }
  return replace_record(runtime_folder, model, text_of(record));
}

void forget_engine(const std::string& runtime_folder, std::string_view model) {
  const OwnedFd folder = open_runtime_folder(runtime_folder);
  if (folder && config::is_model_name(model)) {
    unlinkat(folder.get(), record_name(model, record_suffix).c_str(), 0);
  }
}

std::vector<std::string> end_left_engines(const std::string& runtime_folder) {
  const Deadline deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(left_engines_wait_ms);
  std::vector<std::string> sentences;
  const OwnedFd folder = open_runtime_folder(runtime_folder);
  if (!folder) return sentences;
  const FolderRecords records = list_records(runtime_folder);
  const std::string boot_id = current_boot_id();
  for (const std::string& name : records.unfinished) unlinkat(folder.get(), name.c_str(), 0);
  for (const std::string& model : records.models) {
    const std::string name = record_name(model, record_suffix);
    const auto record = read_engine_record(folder, name);
    auto outcome = LeftEngine::Outcome::had_ended;
    if (record && record->boot_id == boot_id && !is_never_an_engine(*record)) {
      outcome = end_left_engine(*record, model, deadline, sentences);
    }
    if (outcome != LeftEngine::Outcome::has_not_ended) unlinkat(folder.get(), name.c_str(), 0);
  }
  return sentences;
}

}  // namespace ggufd::engine
