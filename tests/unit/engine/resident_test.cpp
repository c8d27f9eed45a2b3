// The engine without inference: what a connection gets, and that no client can hold it up.
#include "engine/resident.h"

#include <simdjson.h>

#include "tests/unit/loop/support.h"

namespace ggufd::engine {
namespace {

using loop::test::Client;
using loop::test::run_until;
using loop::test::TempFolder;

// As the daemon does: writing to a client that has gone is an error, not a signal.
const bool is_sigpipe_ignored = std::signal(SIGPIPE, SIG_IGN) != SIG_ERR;

struct Running {
  TempFolder folder;
  loop::Loop loop;
  std::string path = engine_socket_path(folder.file("").substr(0, folder.file("").size() - 1), "m");
  std::unique_ptr<Engine> engine = start();

  std::unique_ptr<Engine> start() {
    auto started = start_resident(
        loop, path,
        {.model = "m", .architecture = "llama", .n_ctx = 4096, .mapped_bytes = 1'000, .kv_bytes = 2'000});
    REQUIRE(started);
    return std::move(*started);
  }
  // Until the client has read end of file.
  void drain(Client& client) {
    REQUIRE(run_until(loop, [&] {
      client.receive();
      return client.has_ended;
    }));
  }
};

TEST_CASE("a connection gets one JSON line, then end of file") {
  Running running;
  Client client(running.path);
  running.drain(client);
  REQUIRE(client.received.ends_with('\n'));
  CHECK(client.received.find('\n') == client.received.size() - 1);
  simdjson::dom::parser parser;
  const simdjson::dom::object offer = parser.parse(client.received);
  CHECK(std::string_view(offer["engine"]) == "resident");
  CHECK(std::string_view(offer["model"]) == "m");
  CHECK(std::string_view(offer["architecture"]) == "llama");
  CHECK(std::uint64_t(offer["n_ctx"]) == 4096);
  CHECK(std::uint64_t(offer["mapped_bytes"]) == 1'000);
  CHECK(std::uint64_t(offer["kv_bytes"]) == 2'000);
  CHECK_FALSE(bool(offer["generate"]));
  CHECK(std::string_view(offer["message"]).find("does not infer") != std::string_view::npos);
}

TEST_CASE("it says what it can") {
  const Running running;
  const status::Capabilities capabilities = running.engine->capabilities();
  CHECK(capabilities.backend == Backend::resident);
  CHECK(capabilities.n_ctx == 4096);
  CHECK_FALSE(capabilities.generate);
  CHECK(running.engine->socket_path() == running.path);
}

TEST_CASE("a client that sends before and after it has read keeps its line") {
  Running running;
  Client client(running.path);
  client.send("GET /health HTTP/1.1\r\n\r\n");
  running.drain(client);
  client.send("more");
  CHECK(client.received.ends_with("}\n"));
}

TEST_CASE("a client that has ended its half before it is served gets its line") {
  Running running;
  Client client(running.path);
  client.end_sending();
  running.drain(client);
  CHECK(client.received.ends_with("}\n"));
}

TEST_CASE("a client that has gone before it is served does no harm") {
  Running running;
  {
    const Client gone(running.path);
  }
  Client client(running.path);
  running.drain(client);
  CHECK(client.received.ends_with("}\n"));
}

TEST_CASE("a client that never closes is closed") {
  Running running;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const sockaddr_un address = loop::test::unix_address(running.path);
  REQUIRE(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  // Its own half stays open; sending fails once the other end has gone altogether.
  CHECK(run_until(running.loop, [fd] { return send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE; }));
  close(fd);
}

TEST_CASE("many clients are served at a time, with one that does not read among them") {
  Running running;
  const Client silent(running.path);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(std::make_unique<Client>(running.path));
  for (const auto& client : clients) running.drain(*client);
  for (const auto& client : clients) CHECK(client->received == clients.front()->received);
}

TEST_CASE("an engine goes with clients connected; its socket goes with it") {
  Running running;
  Client served(running.path);
  running.drain(served);
  Client waiting(running.path);
  REQUIRE(run_until(running.loop, [&] {
    waiting.receive();
    return !waiting.received.empty();
  }));
  running.engine.reset();
  CHECK_FALSE(std::filesystem::exists(running.path));
  running.loop.run();
  waiting.receive();
  CHECK(waiting.has_ended);
}

TEST_CASE("a socket that is taken is an error that names it") {
  Running running;
  const auto second = start_resident(running.loop, running.path, {});
  REQUIRE_FALSE(second);
  CHECK(second.error().message.find(running.path) != std::string::npos);
  CHECK(std::filesystem::exists(running.path));
}

}  // namespace
}  // namespace ggufd::engine
