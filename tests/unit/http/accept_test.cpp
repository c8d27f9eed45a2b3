#include "http/accept.h"

#include <doctest/doctest.h>

namespace ggufd::http {

TEST_CASE("JSON is what is sent where nothing else is asked for") {
  CHECK(form_for(std::nullopt) == Form::json);
  CHECK(form_for("") == Form::json);
  CHECK(form_for("*/*") == Form::json);
  CHECK(form_for("application/*") == Form::json);
  CHECK(form_for("image/png") == Form::json);
  CHECK(form_for("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8") == Form::json);
}

TEST_CASE("a form is chosen by its name, in any case, with any parameters") {
  CHECK(form_for("application/msgpack") == Form::msgpack);
  CHECK(form_for("Application/MsgPack") == Form::msgpack);
  CHECK(form_for(" text/plain ; charset=utf-8 ") == Form::text);
  CHECK(form_for("text/*") == Form::text);
  CHECK(form_for("image/png, text/plain") == Form::text);
}

TEST_CASE("the highest quality wins, then the more precise name, then JSON") {
  CHECK(form_for("application/json;q=0.5, application/msgpack") == Form::msgpack);
  CHECK(form_for("text/plain;q=0.125, application/msgpack;q=0.124") == Form::text);
  CHECK(form_for("text/plain;q=0.9, application/msgpack;q=1.0") == Form::msgpack);
  CHECK(form_for("text/plain, */*") == Form::text);
  CHECK(form_for("text/plain, application/json") == Form::json);
  CHECK(form_for("*/*, text/plain;q=0") == Form::json);
  CHECK(form_for("application/json;q=0, */*;q=0.1") == Form::msgpack);
  CHECK(form_for("application/json;q=0, application/*") == Form::msgpack);
}

TEST_CASE("what cannot be read asks for nothing") {
  CHECK(form_for(",,;;,") == Form::json);
  CHECK(form_for("text/plain;q=x") == Form::json);
  CHECK(form_for("text/plain;q=0x5") == Form::json);
  CHECK(form_for("text/plain;q=") == Form::json);
  CHECK(form_for("/*") == Form::json);
}

}  // namespace ggufd::http
