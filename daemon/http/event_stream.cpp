#include "http/event_stream.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace ggufd::http {
namespace {

constexpr std::string_view seq_key = ",\"seq\":";
constexpr std::string_view comment = ": still here\n\n";

// Within a string of JSON every quote is escaped, so what looks like the key is the key.
std::string_view seq_of(std::string_view frame) {
  const auto key = frame.rfind(seq_key);
  if (key == std::string_view::npos) return {};
  const std::string_view rest = frame.substr(key + seq_key.size());
  return rest.substr(0, std::min(rest.find_first_not_of("0123456789"), rest.size()));
}

}  // namespace

void append_event(std::string& out, std::string_view frame) {
  if (frame.ends_with('\n')) frame.remove_suffix(1);
  if (const auto seq = seq_of(frame); !seq.empty()) {
    out += "id: ";
    out += seq;
    out += '\n';
  }
  out += "data: ";
  out += frame;
  out += "\n\n";
}

std::optional<std::uint64_t> parse_event_id(std::string_view text) {
  std::uint64_t seq = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), seq);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return seq;
}

EventStream::EventStream(const admin::StatusLog& log, std::optional<std::uint64_t> since) : cursor_(log) {
  if (!since) return;
  cursor_.fall_silent();  // who goes on wants no snapshot
  cursor_.subscribe({}, since, {});
}

std::size_t EventStream::read(std::span<char> out) {
  if (given_ == taken_.size()) fill();
  const std::size_t count = std::min(out.size(), taken_.size() - given_);
  std::memcpy(out.data(), taken_.data() + given_, count);
  given_ += count;
  return count;
}

void EventStream::keep_alive() {
  if (given_ == taken_.size()) fill();
  if (given_ == taken_.size()) taken_ += comment;
}

// The cursor is told of whole lines only: its place is always between two frames.
void EventStream::fill() {
  if (taken_.capacity() > max_taken_bytes) taken_ = {};
  taken_.clear();
  given_ = 0;
  admin::Gathered gathered;
  cursor_.gather(gathered);
  if (gathered.bytes() == 0) return;
  std::size_t bytes = 0;
  for (const iovec& piece : gathered.pieces()) {
    std::string_view lines(static_cast<const char*>(piece.iov_base), piece.iov_len);
    while (!lines.empty() && bytes < max_taken_bytes) {
      const std::size_t size = std::min(lines.find('\n'), lines.size() - 1) + 1;
      append_event(taken_, lines.substr(0, size));
      bytes += size;
      lines.remove_prefix(size);
    }
  }
  cursor_.took(bytes, gathered);
}

}  // namespace ggufd::http
