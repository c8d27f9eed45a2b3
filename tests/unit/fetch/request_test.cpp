// What a transfer asks for, whom it asks, and to whom it shows its token.
#include <fcntl.h>

#include <cstdlib>
#include <filesystem>

#include "support.h"

namespace ggufd::fetch {
namespace {

using namespace test;
using ggufd::test::Recorder;

// A variable of the environment while this lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { unsetenv(name_); }

 private:
  const char* name_;
};

void answer_ok(HttpServer::Exchange& exchange) {
  exchange.send(answer("ok"));
}

TEST_CASE("a whole file is asked for plainly, never compressed") {
  Recorder origin(answer_ok);
  Client client;
  client.run({.url = origin.server.url("/file"), .if_range = "\"a\""});
  const auto request = origin.at(0);
  CHECK(request.method == "GET");
  CHECK(request.header("Accept-Encoding") == "identity");
  for (const char* name : {"Range", "If-Range", "Authorization"}) CHECK(request.header(name) == "(none)");
}

TEST_CASE("a range is asked for with its last byte, and with the object that it must be of") {
  Recorder origin([](auto& exchange) {
    exchange.send(answer("56789", "206 Partial Content", "Content-Range: bytes 5-9/20\r\n"));
  });
  Client client;
  client.run({.url = origin.server.url("/file"), .range = ByteRange{5, 10}, .if_range = "\"a-b\""});
  CHECK(origin.at(0).header("Range") == "bytes=5-9");
  CHECK(origin.at(0).header("If-Range") == "\"a-b\"");
  CHECK(client.sink.heads.front().status == 206);
  CHECK(client.sink.heads.front().header("content-range") == "bytes 5-9/20");
  CHECK(client.sink.body == "56789");
}

TEST_CASE("a range beyond 2^32 is asked for as it is") {
  Recorder origin(answer_ok);
  Client client;
  client.run({.url = origin.server.url("/file"), .range = ByteRange{(1ULL << 40) - 1, 1ULL << 41}});
  CHECK(origin.at(0).header("Range") == "bytes=1099511627775-2199023255551");
}

TEST_CASE("a whole file where a range was asked for is the sink's to judge") {
  HttpServer server([](auto& exchange) { exchange.send(answer("whole")); });
  Client client;
  client.run({.url = server.url("/file"), .range = ByteRange{2, 4}});
  CHECK(client.sink.heads.front().status == 200);
  CHECK(client.sink.body == "whole");
}

TEST_CASE("a HEAD brings a head and no body, and leaves the connection in order") {
  Recorder origin([](auto& exchange) {
    if (exchange.method == "HEAD") return exchange.send(head_of("200 OK", "Content-Length: 1000000\r\n"));
    exchange.send(answer("ok"));
  });
  Client client;
  client.run({.url = origin.server.url("/file"), .is_head = true});
  CHECK(client.sink.end.has_value());
  CHECK(client.sink.heads.front().content_length() == 1'000'000U);
  CHECK(client.sink.body == "");
  client.sink = {};
  client.run({.url = origin.server.url("/file")});
  CHECK(client.sink.body == "ok");
  CHECK(origin.server.connections() == 1);
}

TEST_CASE("a redirect that is not to be followed is the head that counts") {
  Recorder origin([](auto& exchange) { exchange.send(redirect_to("/new")); });
  Client client;
  client.run({.url = origin.server.url("/old"), .is_head = true, .follow_redirects = false});
  REQUIRE(client.sink.heads.size() == 1);
  CHECK(client.sink.heads.front().status == 302);
  CHECK(client.sink.heads.front().header("location") == "/new");
  CHECK(client.sink.heads.front().effective_url == origin.server.url("/old"));
  CHECK(origin.server.requests() == 1);
}

TEST_CASE("a range and its condition are asked for again where a redirect leads") {
  Recorder origin([](auto& exchange) {
    if (exchange.path == "/old") return exchange.send(redirect_to("/new"));
    answer_ok(exchange);
  });
  Client client;
  client.run({.url = origin.server.url("/old"), .range = ByteRange{0, 2}, .if_range = "\"a\""});
  CHECK(origin.at(1).header("Range") == "bytes=0-1");
  CHECK(origin.at(1).header("If-Range") == "\"a\"");
}

// --- Tokens

TEST_CASE("a token goes to its own host, and with redirects on it") {
  Recorder origin([](auto& exchange) {
    if (exchange.path == "/old") return exchange.send(redirect_to("/new"));
    answer_ok(exchange);
  });
  Client client;
  client.run({.url = origin.server.url("/old"), .bearer_token = "hf_secret"});
  CHECK(origin.at(0).header("Authorization") == "Bearer hf_secret");
  CHECK(origin.at(1).header("Authorization") == "Bearer hf_secret");
  CHECK(client.sink.body == "ok");
}

TEST_CASE("a token goes to no other port and no other host, by however many redirects") {
  std::string elsewhere;
  Recorder other([](auto& exchange) {
    if (exchange.path == "/far") return exchange.send(redirect_to("/near"));
    answer_ok(exchange);
  });
  Recorder origin([&](auto& exchange) { exchange.send(redirect_to(elsewhere)); });
  SUBCASE("another port") {
    elsewhere = other.server.url("/near");
  }
  SUBCASE("another host and port") {
    elsewhere = other.server.url("/near", "localhost");
  }
  SUBCASE("twice") {
    elsewhere = other.server.url("/far");
  }
  Client client;
  client.run({.url = origin.server.url("/file"), .bearer_token = "hf_secret"});
  CHECK(origin.at(0).header("Authorization") == "Bearer hf_secret");
  CHECK(client.sink.body == "ok");
  REQUIRE(other.server.requests() >= 1);
  for (std::size_t i = 0; i < static_cast<std::size_t>(other.server.requests()); ++i)
    CHECK(other.at(i).head.find("hf_secret") == std::string::npos);
}

TEST_CASE("a token does not go to another name of the same address and port") {
  std::string elsewhere;
  Recorder origin([&](auto& exchange) {
    if (exchange.path == "/old") return exchange.send(redirect_to(elsewhere));
    answer_ok(exchange);
  });
  elsewhere = origin.server.url("/new", "localhost");
  Client client;
  client.run({.url = origin.server.url("/old"), .bearer_token = "hf_secret"});
  CHECK(client.sink.body == "ok");
  CHECK(origin.at(1).head.find("hf_secret") == std::string::npos);
}

TEST_CASE("a token does not stay with a connection that is used again") {
  Recorder origin(answer_ok);
  Client client;
  client.run({.url = origin.server.url("/file"), .bearer_token = "hf_secret"});
  client.sink = {};
  client.run({.url = origin.server.url("/file")});
  CHECK(origin.at(1).header("Authorization") == "(none)");
}

TEST_CASE("a token that is refused is shown once, and the refusal is the sink's to judge") {
  Recorder origin([](auto& exchange) {
    exchange.send(answer("no", "401 Unauthorized", "WWW-Authenticate: Bearer\r\n"));
  });
  Client client;
  client.run({.url = origin.server.url("/file"), .bearer_token = "hf_secret"});
  REQUIRE(client.sink.heads.size() == 1);
  CHECK(client.sink.heads.front().status == 401);
  CHECK(origin.server.requests() == 1);
}

// --- Proxies

TEST_CASE("the environment's proxy is not asked for this machine's own files") {
  Recorder proxy(answer_ok);
  Recorder origin(answer_ok);
  const Variable all("all_proxy", proxy.server.url(""));
  const Variable http("http_proxy", proxy.server.url(""));
  std::string none;
  SUBCASE("where it names no exceptions") {}
  SUBCASE("where it names others") {
    none = "example.org";
  }
  const Variable direct("NO_PROXY", none);
  for (const char* host : {"127.0.0.1", "localhost", "127.1.2.3"}) {
    CAPTURE(host);
    Client client;
    client.run({.url = origin.server.url("/file", host)});
    CHECK(proxy.server.requests() == 0);
  }
  CHECK(origin.server.requests() >= 2);
}

TEST_CASE("the environment's proxy is asked for other hosts, but for its exceptions") {
  Recorder proxy([](auto& exchange) { exchange.send(answer("by proxy")); });
  const Variable http("http_proxy", proxy.server.url(""));
  const auto requests_with = [&](const char* name, const std::string& value) {
    const Variable exceptions(name, value);
    const int before = proxy.server.requests();
    Client client;
    client.run({.url = "http://models.invalid/file", .allow_plain_http = true});
    return proxy.server.requests() - before;
  };
  CHECK(requests_with("NO_PROXY", "") == 1);
  CHECK(proxy.at(0).path == "http://models.invalid/file");
  CHECK(requests_with("NO_PROXY", "example.org") == 1);
  CHECK(requests_with("NO_PROXY", "example.org, models.invalid") == 0);
  CHECK(requests_with("no_proxy", ".invalid") == 0);
  CHECK(requests_with("no_proxy", " * ") == 0);
}

TEST_CASE("a proxy of the configuration is asked for this machine's files too, but for the exceptions") {
  Recorder proxy([](auto& exchange) { exchange.send(answer("by proxy")); });
  Recorder origin(answer_ok);
  const auto body_with = [&](const std::string& exceptions) {
    const Variable direct("NO_PROXY", exceptions);
    Client client;
    client.run({.url = origin.server.url("/file"), .proxy = proxy.server.url("")});
    return client.sink.body;
  };
  CHECK(body_with("") == "by proxy");
  CHECK(body_with("127.0.0.1") == "ok");
}

TEST_CASE("no error shows a proxy's password") {
  const std::string gone = HttpServer([](auto&) {}).url("");
  const std::string password = "user:secret@";
  for (const std::string& proxy :
       {"http://" + password + gone.substr(7), "http://" + password + "proxy.invalid:1",
        "odd://" + password + "h:1", "http://" + password + "h:port"}) {
    CAPTURE(proxy);
    const Variable https("https_proxy", proxy);
    Client client;
    client.run({.url = "https://models.invalid/file"});
    REQUIRE(client.sink.error());
    CHECK(client.sink.end.error().message.find("secret") == std::string::npos);
  }
}

// --- Connections

TEST_CASE("a handshake that the server breaks off is a fault of the network") {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  REQUIRE(bind(listener, raw, size) == 0);
  REQUIRE(listen(listener, 8) == 0);
  REQUIRE(getsockname(listener, raw, &size) == 0);
  bool resets = false;
  SUBCASE("by closing") {}
  SUBCASE("by a reset") {
    resets = true;
  }
  std::thread server([=] {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    std::array<char, 16> some;
    recv(fd, some.data(), some.size(), MSG_WAITALL);
    // With the rest of the hello unread, closing resets; to close in order it is read.
    std::array<char, 4096> rest;
    if (!resets) recv(fd, rest.data(), rest.size(), 0);
    ::close(fd);
  });
  Client client;
  client.run({.url = "https://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/"});
  server.join();
  ::close(listener);
  CHECK(client.sink.error() == ErrorCode::network);
}

TEST_CASE("no child inherits a connection") {
  HttpServer server(answer_ok);
  Client client;
  client.run({.url = server.url("/file")});
  int sockets = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0 || name.ss_family != AF_INET)
      continue;
    ++sockets;
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  }
  CHECK(sockets == 2);  // both ends
}

}  // namespace
}  // namespace ggufd::fetch
