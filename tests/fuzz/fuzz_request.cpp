// Bytes as a client sends them: split into lines at any place, each line is a request that makes the round
// trip, or is refused with an answer that fits a frame and repeats a usable id.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/frame.h"
#include "protocol/ndjson.h"

namespace ggufd {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_accepted(const Request& request) {
  require(request.id.size() <= max_id_bytes);
  const std::string line = encoded(request);
  require(line.find('\n') == line.size() - 1);
  const auto again = decode_request(std::string_view(line).substr(0, line.size() - 1));
  require(again && *again == request);
  require(encoded(*again) == line);
}

void check_refused(const RequestError& refusal) {
  require(refusal.id.size() <= max_id_bytes && !refusal.error.message.empty());
  fmt::memory_buffer out;
  encode_error(refusal.id, refusal.error, out);
  require(out.size() <= max_frame_bytes);
  const auto frame = decode_frame({out.data(), out.size() - 1});
  require(frame && std::holds_alternative<ErrorFrame>(*frame));
  require(std::get<ErrorFrame>(*frame).id == refusal.id);
  require(std::get<ErrorFrame>(*frame).error.code == refusal.error.code);
}

// Small, so that the fuzzer reaches it.
constexpr std::size_t max_line_bytes = 1024;

// Returns whether the reader can go on.
bool feed(LineReader& reader, std::string_view bytes, std::vector<std::string>& lines) {
  return reader.feed(bytes, [&](std::string_view line) {
    lines.emplace_back(line);
    return true;
  });
}

void check(std::size_t split, std::string_view bytes) {
  std::vector<std::string> whole;
  LineReader at_once(max_line_bytes);
  const bool within = feed(at_once, bytes, whole);

  split = std::min(split, bytes.size());
  std::vector<std::string> pieces;
  LineReader in_two(max_line_bytes);
  const bool first = feed(in_two, bytes.substr(0, split), pieces);
  require((first && feed(in_two, bytes.substr(split), pieces)) == within);
  require(pieces == whole);

  for (const auto& line : whole) {
    const auto request = decode_request(line);
    request ? check_accepted(*request) : check_refused(request.error());
  }
}

}  // namespace
}  // namespace ggufd

// The first byte says where the rest is split.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text = std::string(reinterpret_cast<const char*>(data + 1), size - 1) + "\n";
  ggufd::check(data[0], text);
  return 0;
}
