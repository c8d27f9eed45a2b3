#include <fcntl.h>
#include <fmt/core.h>
#include <sys/random.h>

#include <cerrno>
#include <cstdio>

#include "store/file.h"

namespace ggufd::store {
namespace {

Result<void> fill(int fd, std::string_view bytes, mode_t mode, const std::string& path,
                  Durability durability) {
  if (auto written = write_all(fd, std::as_bytes(std::span(bytes)), path); !written) return written;
  // The umask has had its say in the mode of creation; what is asked for here is meant exactly.
  if (::fchmod(fd, mode) < 0)
    return std::unexpected(system_error(fmt::format("setting the mode of {}", path), errno));
  return durability == Durability::power_cut ? sync_file(fd, path) : Result<void>();
}

}  // namespace

Result<std::string> temporary_name(std::string_view name) {
  std::uint64_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) {
    return std::unexpected(system_error("asking the kernel for random bytes", errno));
  }
  return fmt::format(".{}.{:016x}", name, number);
}

bool is_temporary_name(std::string_view name) {
  constexpr std::size_t digits = 16;
  if (name.size() < digits + 3 || name.front() != '.' || name[name.size() - digits - 1] != '.') return false;
  return name.find_first_not_of("0123456789abcdef", name.size() - digits) == std::string_view::npos;
}

Result<void> write_file_atomically_at(int folder_fd, const std::string& folder, const std::string& name,
                                      std::string_view bytes, mode_t mode, Durability durability) {
  const auto temporary = temporary_name(name);
  if (!temporary) return std::unexpected(temporary.error());
  const std::string path = join(folder, *temporary);
  auto file = create_exclusive_at(folder_fd, *temporary, 0600, path);
  if (!file) return std::unexpected(file.error());
  if (!*file) return fail(ErrorCode::io, fmt::format("making {}: the name is taken", path));
  auto filled = fill((*file)->get(), bytes, mode, path, durability);
  // The rename comes after the sync: the other way round a power cut could leave the new name with the
  // content missing.
  if (filled && ::renameat(folder_fd, temporary->c_str(), folder_fd, name.c_str()) < 0) {
    filled = std::unexpected(system_error(fmt::format("renaming {} to {}", path, name), errno));
  }
  if (!filled) {
    static_cast<void>(remove_file_at(folder_fd, *temporary, path));
    return filled;
  }
  return durability == Durability::power_cut ? sync_folder(folder_fd, folder) : Result<void>();
}

Result<void> write_file_atomically(const std::string& folder, const std::string& name, std::string_view bytes,
                                   mode_t mode, Durability durability) {
  const auto opened = open_folder(folder);
  if (!opened) return std::unexpected(opened.error());
  return write_file_atomically_at(opened->get(), folder, name, bytes, mode, durability);
}

}  // namespace ggufd::store
