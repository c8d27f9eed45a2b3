#include "doctor/store_folder.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "doctor/text.h"
#include "memory/budget.h"
#include "store/file.h"
#include "store/stat_stamp.h"

namespace ggufd::doctor {
namespace {

// So much is left over for journals, manifests and everybody else.
constexpr std::uint64_t spare_bytes = std::uint64_t{1} << 30;

std::string nearest_existing(std::string path) {
  struct stat status{};
  while (path != "/" && path != "." && stat(path.c_str(), &status) != 0) path = store::parent_of(path);
  return path;
}

// Of this process; for a folder that is not there: that it can be made.
bool may_write(const std::string& path) {
  return faccessat(AT_FDCWD, path.c_str(), W_OK | X_OK, AT_EACCESS) == 0;
}

// Parts that are never reached through a link, so that no name in the store leads out of it.
bool check_links(const std::string& root, Group& group) {
  bool is_sound = true;
  for (const char* part : {"blobs", "blobs/sha256", "manifests", "locks"}) {
    const std::string path = store::join(root, part);
    struct stat status{};
    if (lstat(path.c_str(), &status) != 0 || S_ISDIR(status.st_mode)) continue;
    is_sound = false;
    group.fail(part,
               fmt::format("{} is {}, and links within the store are not followed", path,
                           S_ISLNK(status.st_mode) ? "a symbolic link" : "no folder"),
               "make it a folder; where the models are to lie elsewhere, move the whole store and name that "
               "place with models_home");
  }
  return is_sound;
}

}  // namespace

bool check_store_folder(const std::string& root, bool has_to_fetch, Group& group) {
  struct stat status{};
  if (stat(root.c_str(), &status) != 0) {
    const bool is_missing = errno == ENOENT;
    if (const auto link = store::dangling_link(root)) {
      group.fail("folder", *link + " is a link to a place that is not there",
                 "mount that place, or correct models_home");
      return false;
    }
    const std::string above = nearest_existing(root);
    if (is_missing && may_write(above)) {
      group.ok("folder", root + " is not there yet; the first download makes it");
      return false;
    }
    group.fail("folder", fmt::format("{} is not there, and cannot be made in {}", root, above),
               fmt::format("make it, writable for this user, or name another with models_home"));
    return false;
  }
  if (!S_ISDIR(status.st_mode)) {
    group.fail("folder", root + " is no folder", "name another with models_home or --store");
    return false;
  }
  const std::string distrust = store::distrust_of(status, root);
  if (!may_write(root) && has_to_fetch) {
    group.fail("folder", root + " may not be written, and models have to be fetched",
               "make it writable for this user, or fetch them with one that may write it");
  } else if (!may_write(root)) {
    group.warn("folder",
               root + " may only be read: what is in it can be used, nothing can be verified for good",
               "make it writable, unless somebody else looks after it");
  } else if (status.st_uid != geteuid() && status.st_uid != 0) {
    group.warn("folder", distrust + ": no stamp in it is believed, every start hashes every model again",
               "run ggufd as that user, as its service does, or have the folder belong to this user or root");
  } else if (!distrust.empty()) {
    group.warn("folder", distrust + ": no stamp in it is believed, every start hashes every model again",
               fmt::format("chmod go-w {}", root));
  } else {
    group.ok("folder", root + ", writable");
  }
  return check_links(root, group);
}

Result<std::int64_t> file_system_magic(const std::string& path) {
  struct statfs file_system{};
  const std::string place = nearest_existing(path);
  if (statfs(place.c_str(), &file_system) != 0)
    return std::unexpected(system_error("asking for the file system of " + place, errno));
  // Of 32 bits, in a field that is wider and signed on most architectures.
  return static_cast<std::int64_t>(static_cast<std::uint32_t>(file_system.f_type));
}

void judge_file_system(std::int64_t magic, Group& group) {
  constexpr std::int64_t cifs = 0xFF534D42;  // linux/fs/smb: not in linux/magic.h everywhere
  constexpr std::int64_t smb2 = 0xFE534D42;
  constexpr std::int64_t fuse = 0x65735546;
  constexpr std::int64_t squashfs = 0x73717368;
  switch (magic) {
    case NFS_SUPER_MAGIC:
    case cifs:
    case smb2:
      return group.warn(
          "file system", "it is on a network file system: when the server is lost, a mapped model fails",
          "keep the store on a disk of this machine; several machines fetch from one mirror as fast");
    case fuse:
      return group.warn("file system", "it is on a FUSE file system, where mapping may be slow or refused",
                        "keep the store on a disk of this machine");
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
      return group.warn("file system",
                        "it is in memory: models take it from what they are loaded into, and "
                        "are gone after the next boot",
                        "keep the store on a disk");
    case squashfs:
    case ISOFS_SUPER_MAGIC:
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
      return group.fail("file system", "it is on a file system that nothing can be written to",
                        "name another place with models_home");
    default:
      return group.ok("file system", "it is on a file system of this machine");
  }
}

Result<std::uint64_t> free_bytes_at(const std::string& path) {
  struct statvfs room{};
  const std::string place = nearest_existing(path);
  if (statvfs(place.c_str(), &room) != 0)
    return std::unexpected(system_error("asking for the room at " + place, errno));
  return static_cast<std::uint64_t>(room.f_bavail) * room.f_frsize;
}

void judge_space(const ToFetch& to_fetch, std::uint64_t free_bytes, Group& group) {
  using memory::amount;
  std::string found = amount(free_bytes) + " free";
  if (to_fetch.models == 0) {
    found += ", nothing has to be fetched";
  } else {
    found += fmt::format(", {} of {} still to be fetched", amount(to_fetch.bytes),
                         count_of(to_fetch.models, "model"));
  }
  const std::uint64_t needed_bytes = to_fetch.bytes - std::min(to_fetch.bytes, to_fetch.reserved_bytes);
  if (to_fetch.bytes > needed_bytes)
    found += fmt::format(", {} of it in room that is reserved already", amount(to_fetch.reserved_bytes));
  if (needed_bytes > free_bytes) {
    group.fail(
        "space", found,
        fmt::format("free {} more, for example with `ggufctl gc`, or name another place with models_home",
                    amount(needed_bytes - free_bytes)));
  } else if (free_bytes - needed_bytes < spare_bytes) {
    group.warn("space", found + fmt::format(": less than {} is left then", amount(spare_bytes)),
               "make room, for example with `ggufctl gc`");
  } else if (to_fetch.models_of_unknown_size > 0) {
    group.ok("space", found + fmt::format("; the size of {} is not known before it is asked for",
                                          count_of(to_fetch.models_of_unknown_size, "model")));
  } else {
    group.ok("space", found);
  }
}

}  // namespace ggufd::doctor
