// Files and folders, the POSIX way: descriptors that close themselves, calls that finish what they start
// (EINTR and short transfers are dealt with here) and errors that name the path. Everything blocks: call it
// on the pool.
//
// `path` arguments beside a descriptor are for the sentence of the error only. Errors carry the code `io`, or
// `disk_full` where the file system or the quota is.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "protocol/error.h"

namespace ggufd::store {

// Owns a file descriptor; -1 is none.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// Opens `path` with O_NOFOLLOW | O_CLOEXEC added: a symbolic link as its last part is refused.
Result<UniqueFd> open_file(const std::string& path, int flags, mode_t mode = 0);
// The same beneath an open folder.
Result<UniqueFd> open_file_at(int folder_fd, const std::string& name, int flags, mode_t mode,
                              const std::string& path);
Result<UniqueFd> open_folder(const std::string& path);

// A regular file; nothing where there is none of that name, an error where it is a link, a folder, a pipe or
// a device (opening one of those does not block).
Result<std::optional<UniqueFd>> open_regular_at(int folder_fd, const std::string& name, int flags,
                                                mode_t mode, const std::string& path);
Result<std::optional<UniqueFd>> open_regular(const std::string& path, int flags);

// A new file, open for writing; nothing where the name is taken, by whatever it may be.
Result<std::optional<UniqueFd>> create_exclusive_at(int folder_fd, const std::string& name, mode_t mode,
                                                    const std::string& path);

// The file behind `fd`, opened once more, read-only. The new descriptor comes through /proc/self/fd and not
// by a name, so it is the same file whatever has happened to the name meanwhile.
Result<UniqueFd> reopen_read_only(int fd, const std::string& path);

Result<struct stat> stat_of(int fd, const std::string& path);

// Fills `out` from `offset` on; the bytes read are fewer only where the file ends.
Result<std::size_t> pread_all(int fd, std::span<std::byte> out, std::uint64_t offset,
                              const std::string& path);
Result<void> write_all(int fd, std::span<const std::byte> bytes, const std::string& path);
Result<void> pwrite_all(int fd, std::span<const std::byte> bytes, std::uint64_t offset,
                        const std::string& path);

// A small file, whole. More than `max_bytes` is an error: nobody's megabytes are read where a few lines are
// expected.
Result<std::string> read_all(int fd, std::size_t max_bytes, const std::string& path);

Result<void> sync_file(int fd, const std::string& path);
// `fd` is an open folder. File systems that cannot sync one (EINVAL) are taken at their word.
Result<void> sync_folder(int fd, const std::string& path);

// ".<name>.<16 random hex digits>": what a file is called until it gets its name.
Result<std::string> temporary_name(std::string_view name);
// Whether a name is of that form.
bool is_temporary_name(std::string_view name);

// Makes `name` in `folder` hold `bytes`, or leaves it as it was: a temporary file beside it is written,
// synced and renamed over it, then the folder is synced. After success the content survives a power cut;
// after an error or a crash the old content is whole (and a file `.<name>.<16 hex digits>` may be left after
// a crash).
//
// Without the syncs it is as whole for every process, also after this one is killed, but not after a power
// cut.
enum class Durability : std::uint8_t { power_cut, kill };
Result<void> write_file_atomically(const std::string& folder, const std::string& name, std::string_view bytes,
                                   mode_t mode, Durability durability = Durability::power_cut);
// The same in an open folder, whose path is `folder`.
Result<void> write_file_atomically_at(int folder_fd, const std::string& folder, const std::string& name,
                                      std::string_view bytes, mode_t mode,
                                      Durability durability = Durability::power_cut);

enum class Moved : std::uint8_t { yes, name_is_taken, other_file_system };
// Moves a file, never over another one. The caller syncs the folders.
Result<Moved> move_no_replace(int from_folder_fd, const std::string& from, int to_folder_fd,
                              const std::string& to, const std::string& to_path);
// Removes a file; none there is success.
Result<void> remove_file_at(int folder_fd, const std::string& name, const std::string& path);

// Makes `path` and the folders above it that are missing, each with `mode` less the umask, and syncs the
// parent of each.
Result<void> make_dirs(const std::string& path, mode_t mode = 0755);
// The symbolic link, `path` or a part above it, because of which `path` is not there: it leads to no place.
std::optional<std::string> dangling_link(std::string path);

// Takes the exclusive flock of the open file; false where another holder has it. It goes with the last
// descriptor of this open file.
Result<bool> try_lock(int fd, const std::string& path);
// The shared one, which any number may hold at once; an exclusive one held through this open file becomes a
// shared one. Where that fails the exclusive one is gone.
Result<bool> try_lock_shared(int fd, const std::string& path);

// "/a/b" and "c" -> "/a/b/c".
std::string join(std::string_view folder, std::string_view name);
// "/a/b" -> "/a", "/a" -> "/", "a" -> ".".
std::string parent_of(std::string_view path);

}  // namespace ggufd::store
