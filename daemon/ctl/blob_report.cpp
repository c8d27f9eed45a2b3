#include "ctl/blob_report.h"

#include <fmt/core.h>

#include "ctl/human.h"

namespace ggufd::ctl {

std::string blob_report(std::string_view name, const AnswerFrame& answer, std::string_view otherwise) {
  const auto blob = decode_answer<answer::Blob>(answer);
  if (!blob) return fmt::format("{}: {}\n", printable(name), otherwise);
  return fmt::format("{}: {}, SHA-256 {}, {}\n", printable(name), human_bytes(blob->bytes),
                     printable(blob->sha256), printable(blob->path));
}

}  // namespace ggufd::ctl
