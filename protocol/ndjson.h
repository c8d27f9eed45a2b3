// Bytes -> lines, with a limit.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace ggufd {

// Collects the bytes of a stream and hands out each line as it completes, without its '\n'.
class LineReader {
 public:
  explicit LineReader(std::size_t max_line_bytes) : max_line_bytes_(max_line_bytes) {}

  // Calls on_line(std::string_view) for each line that `bytes` completes; the view is valid during the call.
  // on_line returns whether to go on: false drops the rest of `bytes`. Returns false once a line exceeds the
  // limit: nothing more can be read from this stream.
  template <class OnLine>
  bool feed(std::string_view bytes, OnLine&& on_line) {
    while (!bytes.empty()) {
      const std::size_t end = bytes.find('\n');
      const std::string_view piece = bytes.substr(0, end);
      if (partial_.size() + piece.size() > max_line_bytes_) return false;
      if (end == std::string_view::npos) {
        partial_.append(piece);
        return true;
      }
      bytes.remove_prefix(end + 1);
      if (!(partial_.empty() ? on_line(piece) : on_line(taken(piece)))) return true;
    }
    return true;
  }

  // Bytes of the line that is not complete yet.
  std::size_t partial_bytes() const { return partial_.size(); }

 private:
  // The line that the last piece completes; nothing of it stays behind.
  std::string taken(std::string_view last_piece) {
    std::string complete = std::exchange(partial_, {});
    complete.append(last_piece);
    return complete;
  }

  std::size_t max_line_bytes_;
  std::string partial_;
};

}  // namespace ggufd
