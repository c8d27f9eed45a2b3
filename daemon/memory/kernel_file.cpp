#include "memory/kernel_file.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <span>

#include "store/file.h"

namespace ggufd::memory {

Result<std::string> read_kernel_file(const std::string& path) {
  // The longest that is read here, /proc/locks and /proc/cpuinfo aside, has some 2 KiB.
  constexpr std::size_t max_bytes = std::size_t{64} << 10;
  const auto file = store::open_file(path, O_RDONLY);
  if (!file) return std::unexpected(file.error());
  std::string text(max_bytes, '\0');
  const auto count = store::pread_all(file->get(), std::as_writable_bytes(std::span(text)), 0, path);
  if (!count) return std::unexpected(count.error());
  text.resize(*count);
  return text;
}

std::optional<std::uint64_t> leading_number(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} ? std::optional(number) : std::nullopt;
}

std::optional<std::uint64_t> number_after(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.starts_with(name)) return leading_number(line.substr(name.size()));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return std::nullopt;
}

}  // namespace ggufd::memory
