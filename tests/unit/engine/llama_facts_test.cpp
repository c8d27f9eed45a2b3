#include "engine/llama_facts.h"

#include <doctest/doctest.h>
#include <fmt/core.h>

#include <string>
#include <string_view>

namespace ggufd::engine {
namespace {

// Parts of what servers answer: of July 2026, and of February 2025.
constexpr std::string_view new_props =
    R"({"default_generation_settings":{"params":{"seed":4294967295,"temperature":0.8},
 "n_ctx":8192},"total_slots":4,"model_alias":"qwen3-4b","model_path":"/proc/self/fd/3",
 "modalities":{"vision":true,"video":false,"audio":true},"endpoint_slots":false,"endpoint_props":false,
 "chat_template":"{{ messages }}","chat_template_caps":{"supports_tools":true,"supports_tool_calls":true,
 "supports_preserve_reasoning":false},"build_info":"b9963-dc02e1f8","is_sleeping":false})";
constexpr std::string_view old_props = R"({"default_generation_settings":{"id":0,"id_task":-1,"n_ctx":2048,
 "speculative":false,"is_processing":false},"total_slots":4,"model_path":"m.gguf","chat_template":"{{ x }}",
 "build_info":"b4753-c392e509"})";

TEST_CASE("/props of 2026") {
  const auto props = parse_llama_props(new_props);
  REQUIRE(props.has_value());
  CHECK(props->n_ctx == 8192);
  CHECK(props->chat_template == "{{ messages }}");
  CHECK(props->vision);
  CHECK(props->audio);
  CHECK(props->slots == 4);
  CHECK_FALSE(props->has_slots);
  CHECK(props->tools == true);
  CHECK(props->thinking == false);
}

TEST_CASE("/props of 2025 tells less") {
  const auto props = parse_llama_props(old_props);
  REQUIRE(props.has_value());
  CHECK(props->n_ctx == 2048);
  CHECK_FALSE(props->vision);
  CHECK(props->has_slots);
  CHECK_FALSE(props->tools.has_value());
  CHECK_FALSE(props->thinking.has_value());
  CHECK(parse_llama_props(R"({"chat_template_tool_use":"{{ tools }}"})")->tools == true);
}

TEST_CASE("/props of the wrong types is as if it told nothing") {
  for (const std::string_view json :
       {"{}", R"({"default_generation_settings":[8192],"total_slots":"4","modalities":true,"chat_template":7,
                  "chat_template_caps":null,"endpoint_slots":1,"chat_template_tool_use":{}})",
        R"({"default_generation_settings":{"n_ctx":-1},"total_slots":1e9,"modalities":{"vision":"yes"},
            "chat_template":null,"chat_template_caps":{"supports_tools":1}})",
        R"({"default_generation_settings":{"n_ctx":4294967296},"total_slots":4.5})"}) {
    CAPTURE(json);
    const auto props = parse_llama_props(json);
    REQUIRE(props.has_value());
    CHECK(props->n_ctx == 0);
    CHECK(props->slots == 0);
    CHECK(props->chat_template.empty());
    CHECK_FALSE(props->vision);
    CHECK_FALSE(props->audio);
    CHECK(props->has_slots);
    CHECK_FALSE(props->tools.has_value());
  }
}

TEST_CASE("what is no JSON object is an error that names the answer") {
  for (const std::string& json :
       {std::string(), std::string("null"), std::string("[{}]"), std::string("{\"n\":"),
        std::string("<html>"), std::string("{\"chat_template\":\"\xFF\"}"), std::string(100'000, '['),
        std::string("{} {}")}) {
    const auto props = parse_llama_props(json);
    REQUIRE_FALSE(props.has_value());
    CHECK(props.error().code == ErrorCode::engine_failed);
    CHECK(props.error().message.find("/props") != std::string::npos);
  }
}

TEST_CASE("a template of megabytes is read whole") {
  const std::string text(std::size_t{5} << 20, 'x');
  const auto props = parse_llama_props(fmt::format("{{\"chat_template\":\"{}\",\"total_slots\":2}}", text));
  REQUIRE(props.has_value());
  CHECK(props->chat_template.size() == text.size());
  CHECK(props->slots == 2);
}

TEST_CASE("healthy is {\"status\":\"ok\"} and nothing else") {
  CHECK(is_healthy(R"({"status":"ok"})"));
  CHECK(is_healthy(R"( {"slots_idle":1,"status":"ok"} )"));
  for (const std::string& body :
       {std::string(), std::string("ok"), std::string(R"({"status":"error"})"),
        std::string(R"({"status":true})"), std::string(R"(["status","ok"])"),
        std::string(R"({"status":"ok")"),
        std::string(R"({"error":{"message":"Loading model","type":"unavailable_error","code":503}})"),
        std::string(R"({"error":{"status":"ok"}})"), std::string("\0\xFF<html>", 8),
        R"({"status":"ok","x":")" + std::string(8 << 20, 'x') + "\"}"}) {
    CHECK_FALSE(is_healthy(body));
  }
}

constexpr std::string_view idle =
    R"([{"id":0,"n_ctx":2048,"speculative":false,"is_processing":false},{"id":1,"n_ctx":2048,"is_processing":false}])";
constexpr std::string_view first_task =
    R"([{"id":0,"is_processing":true,"id_task":7,"next_token":[{"n_decoded":1}]},{"id":1,"is_processing":true}])";
constexpr std::string_view first_goes_on =
    R"([{"id":0,"is_processing":true,"id_task":7,"next_token":[{"n_decoded":2}]},{"id":1,"is_processing":true}])";
constexpr std::string_view first_done =
    R"([{"id":0,"is_processing":false,"id_task":7,"next_token":[{"n_decoded":2}]},{"id":1,"is_processing":false}])";
constexpr std::string_view second_done =
    R"([{"id":0,"is_processing":false,"id_task":9,"next_token":[{"n_decoded":2}]},{"id":1,"is_processing":false}])";

TEST_CASE("busy slots are counted, and what has been done in between shows") {
  CHECK(parse_llama_slots(idle)->busy == 0);
  CHECK(parse_llama_slots(first_task)->busy == 2);
  CHECK(parse_llama_slots("[]")->busy == 0);
  const std::string_view all[] = {idle, first_task, first_goes_on, first_done, second_done, "[]"};
  for (const auto& one : all) {
    for (const auto& other : all) {
      CHECK((parse_llama_slots(one)->fingerprint == parse_llama_slots(other)->fingerprint) ==
            (&one == &other));
    }
  }
}

TEST_CASE("what is no list of slots is none") {
  for (
      const std::string_view json :
      {"", "{}", "null", "[1]", "[[]]", "[{}]", R"([{"is_processing":1}])", R"([{"state":0}])",
       R"([{"is_processing":false},null])", R"([{"is_processing":true})", "\xFF",
       R"({"error":{"message":"This server does not support slots endpoint","type":"not_supported_error","code":501}})"}) {
    CAPTURE(json);
    CHECK_FALSE(parse_llama_slots(json).has_value());
  }
}

}  // namespace
}  // namespace ggufd::engine
