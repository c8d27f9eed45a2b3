#include "store/verity.h"

#include <fmt/format.h>
#include <linux/fsverity.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace ggufd::store {

bool enable_verity(int fd) {
  struct fsverity_enable_arg argument{};
  argument.version = 1;
  argument.hash_algorithm = FS_VERITY_HASH_ALG_SHA256;
  // Kernels before 6.3 take the page size and nothing else.
  argument.block_size = static_cast<__u32>(::sysconf(_SC_PAGESIZE));
  int result = ::ioctl(fd, FS_IOC_ENABLE_VERITY, &argument);
  while (result < 0 && errno == EINTR) result = ::ioctl(fd, FS_IOC_ENABLE_VERITY, &argument);
  // Every other failure means "not here" (EOPNOTSUPP, ENOTTY, EINVAL, EPERM, EROFS), "not now" (ETXTBSY,
  // ENOSPC for the tree): the weaker guarantee holds all the same.
  return result == 0 || errno == EEXIST;
}

std::optional<std::string> measure_verity(int fd) {
  constexpr std::size_t longest = 64;  // SHA-512
  alignas(fsverity_digest) std::array<std::byte, sizeof(fsverity_digest) + longest> buffer{};
  auto* digest = reinterpret_cast<fsverity_digest*>(buffer.data());
  digest->digest_size = longest;
  if (::ioctl(fd, FS_IOC_MEASURE_VERITY, digest) < 0) return std::nullopt;
  std::string text = digest->digest_algorithm == FS_VERITY_HASH_ALG_SHA256   ? "sha256:"
                     : digest->digest_algorithm == FS_VERITY_HASH_ALG_SHA512 ? "sha512:"
                                                                             : "unknown:";
  for (std::size_t i = 0; i < digest->digest_size && i < longest; ++i) {
    fmt::format_to(std::back_inserter(text), "{:02x}",
                   std::to_integer<unsigned>(buffer[sizeof(fsverity_digest) + i]));
  }
  return text;
}

}  // namespace ggufd::store
