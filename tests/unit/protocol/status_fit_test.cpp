// The answer to `status` has room for every model, whatever there is to say of each.
#include "protocol/status_fit.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "protocol/frame.h"

namespace ggufd {
namespace {

// A model of llama-server that has failed, with all that can be told of one.
answer::ModelStatus failed_model(std::size_t number, std::size_t name_bytes) {
  const std::string tail =
      number % 2 == 0 ? "" : "an old line\n" + std::string(2000, 'e') + "\nthe last line";
  answer::ModelStatus model{.name = "m" + std::to_string(number)};
  model.name.resize(name_bytes, 'n');
  model.state = ModelState::error;
  model.status = StatusKind::error;
  model.availability = {500, "ERROR", {"llama-server ended with exit code 1: " + std::string(300, 'm')}};
  model.health = Health::unhealthy;
  model.load_ms = 40'000;
  model.warm_up_ms = 800;
  model.bytes = 2'497'280'256;
  model.sha256 = std::string(64, 'a');
  model.engine = {Backend::llama_server, {}, 3, 0, "exit code 1", tail};
  return model;
}

answer::Status failed_models(std::size_t count, std::size_t name_bytes = 4) {
  answer::Status status{.default_model = "m0", .subscribers = 3, .seq = 4711};
  for (std::size_t i = 0; i < count; ++i) status.models.push_back(failed_model(i, name_bytes));
  return status;
}

// As a client gets it.
Result<answer::Status> answered(const answer::Status& status, std::string_view id = "1") {
  fmt::memory_buffer out;
  encode_answer(id, status, out);
  CHECK(out.size() <= max_frame_bytes);
  const auto frame = decode_frame({out.data(), out.size() - 1});
  REQUIRE(frame.has_value());
  if (const auto* error = std::get_if<ErrorFrame>(&*frame)) return std::unexpected(error->error);
  return decode_answer<answer::Status>(std::get<AnswerFrame>(*frame));
}

void check_all_are_there(const Result<answer::Status>& told, const answer::Status& status) {
  REQUIRE_MESSAGE(told.has_value(), told.error().message);
  REQUIRE(told->models.size() == status.models.size());
  CHECK(told->default_model == status.default_model);
  CHECK(told->seq == status.seq);
  for (std::size_t i = 0; i < told->models.size(); ++i) {
    CHECK(told->models[i].name == status.models[i].name);
    CHECK(told->models[i].state == status.models[i].state);
    CHECK(told->models[i].availability.code == status.models[i].availability.code);
    CHECK(told->models[i].engine.restarts == status.models[i].engine.restarts);
  }
}

TEST_CASE("status fit: what fits is told as it is") {
  const auto status = failed_models(20);
  CHECK(fitted(status, to_json(status).size()) == status);
  CHECK(fitted(status, to_json(status).size() - 1) != status);
  CHECK(answered(status).value() == status);
}

TEST_CASE("status fit: a hundred models keep the end of what their engines said, and the rest whole") {
  const auto status = failed_models(100);
  const auto told = answered(status);
  check_all_are_there(told, status);
  for (std::size_t i = 0; i < told->models.size(); ++i) {
    const answer::ModelStatus& model = told->models[i];
    CHECK(model.engine.stderr_tail->empty() == status.models[i].engine.stderr_tail->empty());
    CHECK((model.engine.stderr_tail->empty() || model.engine.stderr_tail->ends_with("the last line")));
    CHECK(model.engine.last_exit == "exit code 1");
    CHECK(model.availability.message.value->starts_with("llama-server ended with exit code 1: "));
    CHECK(model.sha256 == status.models[i].sha256);
  }
  // No more was cut than had to be: with cuts by a quarter, not more than that and a bit is left over.
  CHECK(to_json(*told).size() > max_frame_bytes / 2);
}

TEST_CASE("status fit: hundreds of models are all there, with their states") {
  for (const auto& status : {failed_models(250), failed_models(200, 64)}) {
    check_all_are_there(answered(status), status);
  }
}

TEST_CASE("status fit: an id at its worst leaves room for a model at its worst") {
  auto status = failed_models(1);
  status.models.front().engine.stderr_tail = std::string(50'000, '\x01');
  status.models.front().engine.last_exit = std::string(50'000, '\x02');
  status.models.front().availability.message.value = std::string(50'000, '\x03');
  check_all_are_there(answered(status, std::string(max_id_bytes, '\x01')), status);
}

TEST_CASE("status fit: cuts are between characters") {
  auto status = failed_models(1);
  std::string umlauts;
  while (umlauts.size() < 100'000) umlauts += "ü";
  for (const std::string& text : {umlauts, "x" + umlauts}) {
    status.models.front().engine.stderr_tail = text;
    status.models.front().availability.message.value = text;
    const auto told = answered(status);
    REQUIRE(told.has_value());
    CHECK(told->models.front().engine.stderr_tail->find("\uFFFD") == std::string::npos);
    CHECK(told->models.front().engine.stderr_tail->ends_with("üü"));
    CHECK(told->models.front().availability.message.value->find("\uFFFD") == std::string::npos);
    CHECK(told->models.front().availability.message.value->ends_with("ü…"));
  }
}

TEST_CASE("status fit: more models than a line has room for are an error that says what to do") {
  const auto told = answered(failed_models(1000));
  REQUIRE_FALSE(told.has_value());
  CHECK(told.error().code == ErrorCode::bad_field);
  CHECK(told.error().message.find("ask for one model at a time") != std::string::npos);
}

}  // namespace
}  // namespace ggufd
