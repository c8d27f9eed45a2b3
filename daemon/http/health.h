// `GET /health` and `GET /ready`, made of the answer to `status`.
#pragma once

#include <span>

#include "http/accept.h"
#include "http/answer.h"
#include "protocol/answer.h"
#include "protocol/state.h"

namespace ggufd::http {

// Ready is a daemon whose boot models all are.
//
// 200 or 503, and the default model's health in one of three forms: the document with all models' (JSON), the
// map {"s": availability code, "m": message or nil} (MessagePack), or "NAME message" (text).
Page health_page(const answer::Status& status, bool is_ready, Form form);

// 200 `ready`, or 503 with what is in the way: `starting`, `draining` or, where the health of a boot model is
// that, `unhealthy`.
Page ready_page(std::span<const Health> boot_models, bool is_ready, bool is_draining);

}  // namespace ggufd::http
