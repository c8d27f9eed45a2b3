// What a client may ask on the admin socket: one struct a verb (docs/protocol.md, "Requests").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "protocol/fields.h"

namespace ggufd {

enum class Verb : std::uint8_t {
  ping,
  status,
  subscribe,
  unsubscribe,
  load,
  unload,
  reload,
  cancel,
  pull,
  verify,
  plan,
  doctor,
  drain,
};
template <>
inline constexpr auto EnumNames<Verb> =
    std::to_array<std::string_view>({"ping", "status", "subscribe", "unsubscribe", "load", "unload", "reload",
                                     "cancel", "pull", "verify", "plan", "doctor", "drain"});

namespace request {

// A verb without parameters.
template <Verb>
struct Bare {
  static void fields(auto&, auto&&) {}
  friend bool operator==(const Bare&, const Bare&) = default;
};

// A verb about one model, the default one where none is named.
template <Verb>
struct OfModel {
  std::optional<std::string> model;
  std::optional<bool> wait;

  static void fields(auto& self, auto&& f) {
    f("model", self.model, "the model's name; the default model where absent");
    f("wait", self.wait, "true: answer when the state is reached, not at once");
  }
  friend bool operator==(const OfModel&, const OfModel&) = default;
};

using Ping = Bare<Verb::ping>;
using Unsubscribe = Bare<Verb::unsubscribe>;
using Doctor = Bare<Verb::doctor>;
using Drain = Bare<Verb::drain>;
using Load = OfModel<Verb::load>;
using Unload = OfModel<Verb::unload>;
using Reload = OfModel<Verb::reload>;
using Cancel = OfModel<Verb::cancel>;

struct Status {
  std::optional<std::string> model;

  static void fields(auto& self, auto&& f) {
    f("model", self.model, "only this model; all of them where absent");
  }
  friend bool operator==(const Status&, const Status&) = default;
};

struct Subscribe {
  std::optional<std::uint64_t> since;
  std::optional<std::vector<std::string>> models;
  std::optional<bool> progress;

  static void fields(auto& self, auto&& f) {
    f("since", self.since, "the last seq that the client has seen");
    f("models", self.models, "only events of these models");
    f("progress", self.progress, "false: no progress within a phase");
  }
  friend bool operator==(const Subscribe&, const Subscribe&) = default;
};

struct Pull {
  std::optional<std::string> model;
  std::optional<std::string> source;
  std::optional<std::string> sha256;
  std::optional<std::string> name;
  std::optional<bool> wait;

  static void fields(auto& self, auto&& f) {
    f("model", self.model, "a configured model");
    f("source", self.source, "or any source, as in the configuration");
    f("sha256", self.sha256, "its digest");
    f("name", self.name, "the name it gets in the store");
    f("wait", self.wait, "false: answer at once, not when it is done");
  }
  friend bool operator==(const Pull&, const Pull&) = default;
};

struct Verify {
  std::string model;

  static void fields(auto& self, auto&& f) { f("model", self.model, "the model whose blob is hashed again"); }
  friend bool operator==(const Verify&, const Verify&) = default;
};

struct Plan {
  std::string model;
  std::optional<std::uint32_t> n_ctx;
  std::optional<std::uint32_t> n_seq;
  std::optional<bool> kv_unified;
  std::optional<std::string> kv_type_k;
  std::optional<std::string> kv_type_v;
  std::optional<std::uint32_t> n_ubatch;
  std::optional<bool> swa_full;

  static void fields(auto& self, auto&& f) {
    f("model", self.model, "a configured model");
    f("n_ctx", self.n_ctx, "context length in tokens, else the configuration's; likewise below");
    f("n_seq", self.n_seq, "sequences served at a time");
    f("kv_unified", self.kv_unified, "one KV cache for all sequences");
    f("kv_type_k", self.kv_type_k, "element type of the keys");
    f("kv_type_v", self.kv_type_v, "element type of the values");
    f("n_ubatch", self.n_ubatch, "tokens computed at a time");
    f("swa_full", self.swa_full, "sliding-window layers keep the whole context");
  }
  friend bool operator==(const Plan&, const Plan&) = default;
};

}  // namespace request

// The alternatives stand in the order of Verb.
using RequestBody =
    std::variant<request::Ping, request::Status, request::Subscribe, request::Unsubscribe, request::Load,
                 request::Unload, request::Reload, request::Cancel, request::Pull, request::Verify,
                 request::Plan, request::Doctor, request::Drain>;
static_assert(std::variant_size_v<RequestBody> == EnumNames<Verb>.size());

struct Request {
  std::string id;
  RequestBody body;

  friend bool operator==(const Request&, const Request&) = default;
};

inline Verb verb_of(const Request& request) {
  return static_cast<Verb>(request.body.index());
}

}  // namespace ggufd
