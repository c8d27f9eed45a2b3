#include "engine/unix_peers.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

namespace ggufd::engine {
namespace {

// What the table says of the sockets of one path.
struct UnixTableCount {
  std::size_t connections = 0;
  bool is_anybody_there = false;
};

std::string_view next_column(std::string_view& line) {
  line.remove_prefix(std::min(line.size(), line.find_first_not_of(' ')));
  const std::string_view column = line.substr(0, line.find(' '));
  line.remove_prefix(column.size());
  return column;
}

// "Num: RefCount Protocol Flags Type St Inode Path" (net/unix/af_unix.c, unix_seq_show): the path is the rest
// of the line behind one blank and may hold blanks itself.
void count_line(std::string_view line, std::string_view path, UnixTableCount& count) {
  if (!line.ends_with(path)) return;
  std::array<std::string_view, 7> columns;
  for (std::string_view& column : columns) column = next_column(line);
  if (line.size() != path.size() + 1) return;
  constexpr std::string_view stream = "0001";
  constexpr std::string_view waits_to_be_taken =
      "02";                                    // SS_CONNECTING, for sockets that no process holds yet
  constexpr std::string_view is_taken = "03";  // SS_CONNECTED
  if (columns[4] != stream) return;
  count.is_anybody_there = true;
  if (columns[5] == waits_to_be_taken || columns[5] == is_taken) ++count.connections;
}

// The whole lines at the beginning of `text`; the number of bytes that they are.
std::size_t count_lines(std::string_view text, std::string_view path, UnixTableCount& count) {
  std::size_t begin = 0;
  for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n', begin)) {
    count_line(text.substr(begin, end - begin), path, count);
    begin = end + 1;
  }
  return begin;
}

}  // namespace

std::optional<std::size_t> count_connections(const std::string& socket_path) {
  const int table = open("/proc/net/unix", O_RDONLY | O_CLOEXEC);
  if (table < 0) return std::nullopt;
  UnixTableCount count;
  std::string text;  // the begin of a line, then what is read
  std::array<char, std::size_t{64} * 1024> piece;
  ssize_t size = 0;
  while ((size = read(table, piece.data(), piece.size())) > 0 || (size < 0 && errno == EINTR)) {
    if (size < 0) continue;
    text.append(piece.data(), static_cast<std::size_t>(size));
    text.erase(0, count_lines(text, socket_path, count));
  }
  close(table);
  if (size < 0 || !count.is_anybody_there) return std::nullopt;
  return count.connections;
}

}  // namespace ggufd::engine
