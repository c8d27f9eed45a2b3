// What the tests of a reload share: a model that is loaded, and another configuration for it.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/model.h"
#include "support.h"

namespace ggufd::model::test {

using Lines = std::vector<std::string>;
using Outcome = Result<ModelState>;

// Remembers what its waiters are told.
struct Waiting {
  std::shared_ptr<std::vector<Outcome>> told = std::make_shared<std::vector<Outcome>>();

  Model::Waiter waiter() const {
    return [to = told](Outcome outcome) { to->push_back(std::move(outcome)); };
  }
  bool is_told() const { return !told->empty(); }
  bool is(ModelState state) const { return told->size() == 1 && told->front() == state; }
  bool is(ErrorCode code) const {
    return told->size() == 1 && !told->front() && told->front().error().code == code;
  }
};

// From the end of what was loaded to the new.
inline const Lines again = {"restarting", "restarting:mmap", "restarting:kv_cache", "capabilities", "ready"};

inline Lines operator+(Lines left, const Lines& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

// A model in a local file, and new bytes for it on a server, once that may go.
struct Subject {
  House house;
  std::string old_bytes = small_gguf(1);
  std::string new_bytes = small_gguf(2);
  std::atomic<bool> is_gone = false;
  HttpServer server{[this](auto& exchange) {
    exchange.wait_for_go();
    if (is_gone) return exchange.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    exchange.send(answer(new_bytes));
  }};
  std::unique_ptr<Model> model =
      std::make_unique<Model>(house.services, in_place(house.file(old_bytes)), true);

  // The file is hashed once, and is not doubted then.
  Subject() { settle(house.files + "/m.gguf"); }

  config::ModelConfig with_context(std::uint32_t n_ctx) const {
    config::ModelConfig next = model->config();
    next.n_ctx = n_ctx;
    return next;
  }
  config::ModelConfig with_new_bytes() const { return from_url(server.url("/m"), new_bytes); }
  void wait_for(const Waiting& waiting) {
    REQUIRE(run_until(house.loop, [&] { return waiting.is_told(); }));
  }
  void load() {
    const Waiting loaded;
    model->load(loaded.waiter());
    wait_for(loaded);
    REQUIRE(loaded.is(ModelState::ready));
    house.log.events.clear();
  }
  void unload(UnloadReason reason = UnloadReason::request) {
    const Waiting unloaded;
    model->unload(reason, unloaded.waiter());
    wait_for(unloaded);
    CHECK(unloaded.is(ModelState::uninitialized));
  }
  Waiting settled() {
    Waiting waiting;
    model->when_settled(waiting.waiter());
    return waiting;
  }
  Waiting reconfigure(config::ModelConfig next, bool has_new_engine = false) {
    model->reconfigure(std::move(next), has_new_engine);
    return settled();
  }
  void until_asked(int requests = 1) {
    REQUIRE(run_until(house.loop, [&] { return server.requests() == requests; }));
  }
  void turns(int count) {
    for (int i = 0; i < count; ++i) uv_run(house.loop.raw(), UV_RUN_ONCE);
  }
  Lines story() const { return house.log.story(); }
  std::uint32_t told_context() const {
    std::uint32_t n_ctx = 0;
    for (const auto& event : house.log.events) {
      if (const auto* can = std::get_if<status::Capabilities>(&event.status)) n_ctx = can->n_ctx;
    }
    return n_ctx;
  }
  std::string serves() {
    loop::test::Client client(house.runtime + "/infer.sock");
    REQUIRE(run_until(house.loop, [&] {
      client.receive();
      return client.has_ended;
    }));
    return client.received;
  }
};

}  // namespace ggufd::model::test
