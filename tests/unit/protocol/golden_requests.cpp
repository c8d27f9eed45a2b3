#include <string>
#include <utility>
#include <vector>

#include "golden.h"

namespace ggufd::golden {

std::vector<Request> requests() {
  using Names = std::vector<std::string>;
  const std::string model = "qwen3-4b";
  return {
      {"1", request::Ping{}},
      {"2", request::Status{}},
      {"3", request::Status{model}},
      {"4", request::Subscribe{}},
      {"5", request::Subscribe{.progress = false}},
      {"6", request::Subscribe{4096, Names{"qwen3-4b", "bge-m3"}, true}},
      {"7", request::Subscribe{.since = 0, .models = Names{}}},
      {"8", request::Unsubscribe{}},
      {"9", request::Load{}},
      {"10", request::Load{.model = model}},
      {"11", request::Load{model, true}},
      {"12", request::Unload{}},
      {"13", request::Unload{.wait = true}},
      {"14", request::Unload{model, false}},
      {"15", request::Reload{}},
      {"16", request::Reload{.model = model}},
      {"17", request::Reload{model, true}},
      {"18", request::Cancel{}},
      {"19", request::Cancel{.model = model}},
      {"20", request::Cancel{model, true}},
      {"21", request::Pull{.model = model}},
      {"22", request::Pull{.model = model, .wait = false}},
      {"23", request::Pull{.source = "hf:Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf",
                           .sha256 = digest,
                           .name = model,
                           .wait = true}},
      {"24", request::Verify{model}},
      {"25", request::Plan{model}},
      {"26", request::Plan{.model = model, .n_ctx = 32'768}},
      {"27", request::Plan{model, 32'768, 4, false, "q8_0", "f16", 1024, true}},
      {"28", request::Doctor{}},
      {"any \"string\" is an id: ü 模型\n", request::Drain{}},
  };
}

std::vector<Refusal> refusals() {
  std::vector<Refusal> refusals;
  const auto add = [&](ErrorCode code, std::string message, bool has_id = true) {
    const std::string number = std::to_string(refusals.size() + 1);
    refusals.push_back({has_id ? number : "", {code, std::move(message)}});
  };
  for (const auto& event : error_events()) {
    const auto& failed = std::get<status::Failed>(event.status);
    add(failed.code, failed.message);
  }
  add(ErrorCode::malformed_json, "the line is JSON, but not an object", false);
  add(ErrorCode::unknown_type,
      "\"pong\" is not a request; the requests are ping, status, subscribe, unsubscribe, load, unload, "
      "reload, "
      "cancel, pull, verify, plan, doctor, drain");
  add(ErrorCode::missing_field, "the field \"model\" is missing");
  add(ErrorCode::bad_field, "the field \"wait\" must be true or false");
  add(ErrorCode::unknown_model, "a sentence about unknown_model");
  add(ErrorCode::busy, "a sentence about busy");
  add(ErrorCode::bad_config, "a sentence about bad_config");
  add(ErrorCode::frame_too_large, "a sentence about frame_too_large", false);
  return refusals;
}

}  // namespace ggufd::golden
