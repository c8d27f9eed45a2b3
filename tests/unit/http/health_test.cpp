#include "http/health.h"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <variant>

namespace ggufd::http {
namespace {

answer::ModelStatus model(const std::string& name, ModelState state) {
  const ModelView view{.state = state, .gave_up = state == ModelState::error};
  answer::ModelStatus status{.name = name, .state = state, .availability = availability_of(view)};
  status.health = health_of(view);
  return status;
}

answer::Status one(ModelState state) {
  answer::Status status;
  status.models.push_back(model("tiny", state));
  status.default_model = "tiny";
  return status;
}

answer::Status broken(std::string why) {
  answer::Status status = one(ModelState::error);
  status.models.front().availability.message.value = std::move(why);
  return status;
}

}  // namespace

TEST_CASE("the JSON is the default model's document, with all of them in `models`") {
  answer::Status status;
  status.models = {model("a", ModelState::loading), model("b", ModelState::ready)};
  status.models[1].engine.backend = Backend::resident;
  status.default_model = "b";
  const Page page = health_page(status, false, Form::json);
  CHECK(page.status == 503);
  CHECK(page.content_type == "application/json");
  const std::string b =
      R"("status":"ok","model":"b","backend":"resident","warm_up_state":"ready","state":"ready",)"
      R"("availability":{"code":200,"name":"ENABLED","message":null})";
  const std::string a =
      R"("status":"starting","model":"a","backend":null,"warm_up_state":"loading","state":"loading",)"
      R"("availability":{"code":10,"name":"DOWNLOADING","message":null})";
  CHECK(page.body == "{" + b + R"(,"models":[{)" + a + "},{" + b + "}]}\n");
  CHECK(health_page(status, true, Form::json).status == 200);
}

TEST_CASE("without a model there is none to name") {
  CHECK(
      health_page({}, true, Form::json).body ==
      R"({"status":"starting","model":null,"backend":null,"warm_up_state":"loading","state":"uninitialized",)"
      R"("availability":{"code":0,"name":"NONE","message":null},"models":[]})"
      "\n");
}

TEST_CASE("MessagePack is the availability's code and message") {
  const Page ready = health_page(one(ModelState::ready), true, Form::msgpack);
  CHECK(ready.content_type == "application/msgpack");
  CHECK(ready.body == "\x82\xa1s\xcc\xc8\xa1m\xc0");                                             // uint 8
  CHECK(health_page({}, true, Form::msgpack).body == std::string("\x82\xa1s\x00\xa1m\xc0", 7));  // fixint
  CHECK(health_page(broken("no"), false, Form::msgpack).body ==
        std::string("\x82\xa1s\xcd\x01\xf4\xa1m\xa2no"));
  const std::string lengthy(40, 'x');
  CHECK(health_page(broken(lengthy), false, Form::msgpack).body ==
        "\x82\xa1s\xcd\x01\xf4\xa1m\xd9\x28" + lengthy);  // str 8
}

TEST_CASE("text is the name, a space and the message") {
  CHECK(health_page(one(ModelState::ready), true, Form::text).body == "ENABLED ");
  CHECK(health_page(broken("it broke"), false, Form::text).body == "ERROR it broke");
}

TEST_CASE("ready says in one word what is in the way") {
  const auto words = [](Health boot_model, bool is_ready, bool is_draining) {
    const std::array boot_models = {Health::starting, boot_model};
    const Page page = ready_page(boot_models, is_ready, is_draining);
    return std::to_string(page.status) + " " + page.body;
  };
  CHECK(words(Health::ok, true, false) == "200 ready\n");
  CHECK(words(Health::ok, true, true) == "503 draining\n");
  CHECK(words(Health::starting, false, false) == "503 starting\n");
  CHECK(words(Health::unhealthy, false, false) == "503 unhealthy\n");
}

}  // namespace ggufd::http
