// What `inspect` says of a model's header(s), for programs and for people. Pure functions.
#pragma once

#include <string>

#include "ctl/model_headers.h"
#include "ctl/terminal.h"

namespace ggufd::ctl {

// The document of `inspect --json`. What the header does not tell is null.
std::string inspect_json(const ModelHeaders& headers);

// Header, keys, tensors by type (and each of them, where `lists_tensors`), every defect, the verdict.
std::string inspect_text(const ModelHeaders& headers, bool lists_tensors, const Terminal& terminal);

}  // namespace ggufd::ctl
