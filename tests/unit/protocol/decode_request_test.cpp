#include <doctest/doctest.h>

#include <string>

#include "protocol/frame.h"

namespace ggufd {
namespace {

using namespace std::string_literals;

RequestError refusal_of(const std::string& line) {
  auto request = decode_request(line);
  REQUIRE_MESSAGE(!request.has_value(), line);
  return request.error();
}

void check_refused(const std::string& line, ErrorCode code, std::string_view id) {
  INFO(line.substr(0, 200));
  const RequestError refusal = refusal_of(line);
  CHECK(name_of(refusal.error.code) == name_of(code));
  CHECK(refusal.id == id);
  CHECK_FALSE(refusal.error.message.empty());
}

Request accepted(const std::string& line) {
  auto request = decode_request(line);
  REQUIRE_MESSAGE(request.has_value(), line.substr(0, 200));
  return *request;
}

TEST_CASE("request: what is not JSON is malformed_json with an empty id") {
  for (const auto& line : {
           ""s,
           " "s,
           "x"s,
           "{"s,
           "}"s,
           R"({"id":"1","type":"ping")"s,
           R"({"id":"1","type":"ping",})"s,
           R"({"id":"1" "type":"ping"})"s,
           R"({id:"1","type":"ping"})"s,
           R"({'id':'1','type':'ping'})"s,
           R"({"id":"1","type":"ping","x":truth})"s,
           R"({"id":"1","type":"ping","x":NaN})"s,
           R"({"id":"1","type":"ping","x":01})"s,
           R"({"id":"1","type":"ping","x":"\x"})"s,
           R"({"id":"1","type":"ping","x":"\ud800"})"s,
           R"({"id":"1","type":"ping","x":"\udc00"})"s,
           R"({"id":"1","type":"ping","x":"\ud800\u0041"})"s,
           "{\"id\":\"1\",\"type\":\"ping\",\"x\":\"a\nb\"}"s,
           "{\"id\":\"1\",\"type\":\"ping\",\"x\":\"a\0b\"}"s,
           "{\"id\":\"1\",\"type\":\"ping\"}\0"s,
       }) {
    check_refused(line, ErrorCode::malformed_json, "");
  }
}

TEST_CASE("request: trailing garbage is malformed_json") {
  for (const auto* tail : {" x", "{}", ",", "]", "}", "\"", R"( {"id":"2","type":"ping"})"}) {
    check_refused(R"({"id":"1","type":"ping"})"s + tail, ErrorCode::malformed_json, "");
  }
  CHECK(accepted("{\"id\":\"1\",\"type\":\"ping\"} \t\r").id == "1");
}

TEST_CASE("request: JSON that is not an object is malformed_json") {
  for (const auto* line : {"[]", "null", "true", "1", "\"ping\"", R"([{"id":"1","type":"ping"}])"}) {
    check_refused(line, ErrorCode::malformed_json, "");
  }
}

TEST_CASE("request: bytes that are not UTF-8 are malformed_json wherever they stand") {
  for (const auto* bad :
       {"\xFF", "\x80", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC3", "\xE2\x82"}) {
    check_refused("{\"id\":\"1"s + bad + "\",\"type\":\"ping\"}", ErrorCode::malformed_json, "");
    check_refused("{\"id\":\"1\",\"type\":\"ping\",\"x"s + bad + "\":1}", ErrorCode::malformed_json, "");
    check_refused("{\"id\":\"1\",\"type\":\"ping\",\"x\":[\""s + bad + "\"]}", ErrorCode::malformed_json, "");
  }
}

TEST_CASE("request: deep nesting is malformed_json and leaves the reader usable") {
  for (const auto& [open, close] : {std::pair("["s, "]"s), std::pair("{\"x\":"s, "}"s)}) {
    std::string deep;
    for (int i = 0; i < 10'000; ++i) deep += open;
    deep += "1";
    for (int i = 0; i < 10'000; ++i) deep += close;
    check_refused(R"({"id":"1","type":"ping","x":)" + deep + "}", ErrorCode::malformed_json, "");
    CHECK(accepted(R"({"id":"2","type":"ping"})").id == "2");
  }
  const std::string shallow = std::string(500, '[') + std::string(500, ']');
  CHECK(accepted(R"({"id":"1","type":"ping","x":)" + shallow + "}").id == "1");
}

TEST_CASE("request: an unknown type names itself and keeps the id") {
  check_refused(R"({"id":"7","type":"pong"})", ErrorCode::unknown_type, "7");
  check_refused(R"({"id":"7","type":""})", ErrorCode::unknown_type, "7");
  check_refused(R"({"id":"7","type":"Ping"})", ErrorCode::unknown_type, "7");
  check_refused(R"({"id":"7","type":"status "})", ErrorCode::unknown_type, "7");
  CHECK(refusal_of(R"({"id":"7","type":"pong"})").error.message.find("\"pong\"") != std::string::npos);
  const auto lengthy = refusal_of(R"({"id":"7","type":")" + std::string(60'000, 'x') + "\"}");
  CHECK(lengthy.error.message.size() < 1024);
}

TEST_CASE("request: a type that is absent is missing_field, one that is no string bad_field") {
  check_refused(R"({"id":"7"})", ErrorCode::missing_field, "7");
  for (const auto* type : {"1", "null", "true", "[]", "{}"}) {
    check_refused(R"({"id":"7","type":)"s + type + "}", ErrorCode::bad_field, "7");
  }
  check_refused("{}", ErrorCode::missing_field, "");
}

TEST_CASE("request: without a usable id, the answer's is empty") {
  check_refused(R"({"type":"ping"})", ErrorCode::missing_field, "");
  for (const auto* id : {"1", "1.5", "null", "true", "[\"1\"]", "{\"id\":\"1\"}"}) {
    check_refused(R"({"id":)"s + id + R"(,"type":"ping"})", ErrorCode::bad_field, "");
    check_refused(R"({"id":)"s + id + R"(,"type":"pong"})", ErrorCode::unknown_type, "");
  }
}

TEST_CASE("request: any string is an id, escapes are read") {
  CHECK(accepted(R"({"id":"","type":"ping"})").id.empty());
  CHECK(accepted(R"({"id":"a\"b\\c\/d\n\u0000\u00fc\ud83d\ude00","type":"ping"})").id == "a\"b\\c/d\n\0ü😀"s);
  CHECK(accepted(R"({"\u0069d":"x","t\u0079pe":"p\u0069ng"})").id == "x");
  check_refused(R"({"id":"\u00e9\u0000","type":"pong"})", ErrorCode::unknown_type, "é\0"s);
}

TEST_CASE("request: an id of 8 KiB passes, one byte more is bad_field") {
  const std::string id(max_id_bytes, 'x');
  CHECK(accepted(R"({"id":")" + id + R"(","type":"ping"})").id == id);
  check_refused(R"({"id":")" + id + R"(x","type":"ping"})", ErrorCode::bad_field, "");
  check_refused(R"({"id":")" + id + R"(x","type":"pong"})", ErrorCode::unknown_type, "");
  // Bytes of the text count, not those of its escapes.
  std::string escaped;
  for (std::size_t i = 0; i < max_id_bytes; ++i) escaped += "\\u0001";
  CHECK(accepted(R"({"id":")" + escaped + R"(","type":"ping"})").id == std::string(max_id_bytes, '\x01'));
}

TEST_CASE("request: a field that a verb needs") {
  check_refused(R"({"id":"1","type":"verify"})", ErrorCode::missing_field, "1");
  check_refused(R"({"id":"1","type":"verify","model":null})", ErrorCode::bad_field, "1");
  check_refused(R"({"id":"1","type":"plan","n_ctx":1})", ErrorCode::missing_field, "1");
  check_refused(R"({"id":"1","type":"pull"})", ErrorCode::missing_field, "1");
  check_refused(R"({"id":"1","type":"pull","name":"a"})", ErrorCode::missing_field, "1");
  check_refused(R"({"id":"1","type":"pull","source":"/a.gguf"})", ErrorCode::missing_field, "1");
  const auto refusal = refusal_of(R"({"id":"1","type":"verify"})");
  CHECK(refusal.error.message.find("\"model\"") != std::string::npos);
}

TEST_CASE("request: a field of the wrong kind is bad_field and named") {
  const struct {
    const char* fields;
    const char* named;
  } cases[] = {
      {R"("type":"load","model":1)", "model"},
      {R"("type":"load","model":["a"])", "model"},
      {R"("type":"load","wait":"true")", "wait"},
      {R"("type":"load","wait":1)", "wait"},
      {R"("type":"status","model":{})", "model"},
      {R"("type":"subscribe","since":"1")", "since"},
      {R"("type":"subscribe","since":-1)", "since"},
      {R"("type":"subscribe","since":1.0)", "since"},
      {R"("type":"subscribe","since":1e3)", "since"},
      {R"("type":"subscribe","models":"a")", "models"},
      {R"("type":"subscribe","models":{"a":1})", "models"},
      {R"("type":"subscribe","models":["a",1])", "models"},
      {R"("type":"subscribe","models":[null])", "models"},
      {R"("type":"subscribe","progress":0)", "progress"},
      {R"("type":"pull","model":"a","sha256":1)", "sha256"},
      {R"("type":"verify","model":1)", "model"},
      {R"("type":"plan","model":"a","n_ctx":"8192")", "n_ctx"},
      {R"("type":"plan","model":"a","n_ctx":4294967296)", "n_ctx"},
      {R"("type":"plan","model":"a","n_ctx":18446744073709551615)", "n_ctx"},
      {R"("type":"plan","model":"a","n_ctx":-1)", "n_ctx"},
      {R"("type":"plan","model":"a","kv_unified":"yes")", "kv_unified"},
  };
  for (const auto& [fields, named] : cases) {
    const std::string line = R"({"id":"1",)"s + fields + "}";
    check_refused(line, ErrorCode::bad_field, "1");
    CHECK(refusal_of(line).error.message.find('"' + std::string(named) + '"') != std::string::npos);
  }
}

TEST_CASE("request: a list with something else in it is no list of strings") {
  for (const char* models : {"[\"a\",5]", "[null]"}) {
    const std::string line = R"({"id":"1","type":"subscribe","models":)"s + models + "}";
    CHECK(refusal_of(line).error.message == "the field \"models\" must be an array of strings");
  }
}

TEST_CASE("request: integers up to 64 bits, greater ones are malformed_json") {
  const auto request = accepted(R"({"id":"1","type":"subscribe","since":18446744073709551615})");
  CHECK(std::get<request::Subscribe>(request.body).since == 18'446'744'073'709'551'615U);
  const auto plan = accepted(R"({"id":"1","type":"plan","model":"a","n_ctx":4294967295})");
  CHECK(std::get<request::Plan>(plan.body).n_ctx == 4'294'967'295U);
  check_refused(R"({"id":"1","type":"subscribe","since":18446744073709551616})", ErrorCode::malformed_json,
                "");
  check_refused(R"({"id":"1","type":"ping","x":)" + std::string(5000, '9') + "}", ErrorCode::malformed_json,
                "");
}

TEST_CASE("request: null is the same as absent where a field may be absent") {
  const auto request =
      accepted(R"({"id":"1","type":"subscribe","since":null,"models":null,"progress":null})");
  CHECK(request == Request{"1", request::Subscribe{}});
}

TEST_CASE("request: unknown keys are passed over") {
  const auto request =
      accepted(R"({"x":{"id":"no","type":"drain"},"id":"1","type":"ping","model":7,"y":[1]})");
  CHECK(request == Request{"1", request::Ping{}});
}

TEST_CASE("request: of a key that stands twice, the first counts") {
  const auto request =
      accepted(R"({"id":"1","id":"2","type":"load","type":"drain","model":"a","model":"b"})");
  CHECK(request == Request{"1", request::Load{.model = "a"}});
}

}  // namespace
}  // namespace ggufd
