// What `pull` and `verify` have to say in the end. Pure.
#pragma once

#include <string>
#include <string_view>

#include "protocol/frame.h"

namespace ggufd::ctl {

// "qwen3-4b: 2.3 GiB, SHA-256 …, /path", or only the name and `otherwise` where the answer tells of no file.
std::string blob_report(std::string_view name, const AnswerFrame& answer, std::string_view otherwise);

}  // namespace ggufd::ctl
