// Transfers from their begin to their end: what arrives, what is refused, what fails.
#include "support.h"

namespace ggufd::fetch {
namespace {

using namespace test;

TEST_CASE("a transfer brings the head and the whole body, then ends once") {
  const std::string body = some_bytes(3 << 20);
  HttpServer server([&](auto& exchange) { exchange.send(answer(body, "200 OK", "X-Thing:  a b \r\n")); });
  Client client;
  client.run({.url = server.url("/file")});
  REQUIRE(client.sink.end);
  REQUIRE(client.sink.heads.size() == 1);
  const ResponseHead& head = client.sink.heads.front();
  CHECK(head.status == 200);
  CHECK(head.effective_url == server.url("/file"));
  CHECK(head.header("x-thing") == "a b");
  CHECK_FALSE(head.header("x-other"));
  CHECK(head.content_length() == body.size());
  CHECK(client.sink.body == body);
}

TEST_CASE("a length that is no number is none") {
  ResponseHead head;
  for (const char* text : {"", "x", "-1", "1 2", "5, 5", "99999999999999999999"}) {
    head.headers["content-length"] = text;
    CHECK_FALSE(head.content_length());
  }
  head.headers["content-length"] = "18446744073709551615";
  CHECK(head.content_length() == UINT64_MAX);
}

TEST_CASE("a body in chunks is whole, and what follows it is no second head") {
  for (const std::string trailer : {"", "X-Sum: 1\r\n", " \r\n"}) {
    CAPTURE(trailer);
    HttpServer server([&](auto& exchange) {
      exchange.send(head_of("200 OK", "Transfer-Encoding: chunked\r\n"));
      exchange.send("3\r\nabc\r\n2\r\nde\r\n0\r\n" + trailer + "\r\n");
    });
    Client client;
    client.run({.url = server.url("/file")});
    CHECK(client.sink.end.has_value());
    CHECK(client.sink.heads.size() == 1);
    CHECK(client.sink.body == "abcde");
  }
}

TEST_CASE("a line of blanks does not end the head") {
  HttpServer server([&](auto& exchange) {
    exchange.send("HTTP/1.1 200 OK\r\nX-First: 1\r\n \r\nContent-Length: 2\r\n\r\nok");
  });
  Client client;
  client.run({.url = server.url("/file")});
  REQUIRE(client.sink.heads.size() == 1);
  CHECK(client.sink.heads.front().content_length() == 2U);
}

TEST_CASE("control characters of a header are blanks") {
  HttpServer server(
      [&](auto& exchange) { exchange.send(answer("ok", "200 OK", "X-Odd: \x01 a\x1B[2Jb\rc\x7F\r\n")); });
  Client client;
  client.run({.url = server.url("/file")});
  REQUIRE(client.sink.heads.size() == 1);
  CHECK(client.sink.heads.front().header("x-odd") == "a [2Jb c");
}

TEST_CASE("heads before the one that counts are passed over") {
  HttpServer server([&](auto& exchange) {
    if (exchange.path == "/old") return exchange.send(redirect_to("/new"));
    exchange.send("HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n" + answer("new", "200 OK", "X-New: 1\r\n"));
  });
  Client client;
  client.run({.url = server.url("/old")});
  CHECK(client.sink.end.has_value());
  REQUIRE(client.sink.heads.size() == 1);
  const ResponseHead& head = client.sink.heads.front();
  CHECK(head.status == 200);
  CHECK(head.effective_url == server.url("/new"));
  CHECK(head.header("x-new") == "1");
  CHECK_FALSE(head.header("x-early"));
  CHECK_FALSE(head.header("location"));
  CHECK(client.sink.body == "new");
}

TEST_CASE("a redirection that leads nowhere is the sink's to judge, before its body") {
  for (const char* location : {"", "Location:\r\n", "Location: \r\n", "location: /x\r\nLocation: \r\n"}) {
    CAPTURE(location);
    HttpServer server([&](auto& exchange) { exchange.send(answer("not a model", "302 Found", location)); });
    Client client;
    client.sink.at_head = [&]() -> Result<void> {
      if (client.sink.heads.back().status == 200) return {};
      return fail(ErrorCode::http_status, "not 200");
    };
    client.run({.url = server.url("/file")});
    CHECK(client.sink.error() == ErrorCode::http_status);
    CHECK(client.sink.body == "");
  }
}

TEST_CASE("plain http to another host is refused before it is connected to") {
  HttpServer server([&](auto& exchange) {
    // All addresses: it leads here, and is not a loopback address by its text.
    if (exchange.path == "/away") return exchange.send(redirect_to(server.url("/x", "0.0.0.0")));
    exchange.send(answer("ok"));
  });
  const std::string elsewhere = server.url("/file", "0.0.0.0");
  SUBCASE("by redirection") {
    Client client;
    client.run({.url = server.url("/away")});
    CHECK(client.sink.error() == ErrorCode::bad_source);
    CHECK(client.sink.end.error().message.find("allow_plain_http") != std::string::npos);
    CHECK(client.sink.heads.empty());
    CHECK(server.requests() == 1);
    CHECK(server.connections() == 1);
  }
  SUBCASE("and not to this one, with user and password") {
    Client client;
    client.run({.url = server.url("/x", "u:p@127.0.0.1")});
    CHECK(client.sink.end.has_value());
    CHECK(client.sink.body == "ok");
  }
  SUBCASE("by itself") {
    Client client;
    client.run({.url = elsewhere});
    CHECK(client.sink.error() == ErrorCode::bad_source);
    CHECK(server.connections() == 0);
  }
  SUBCASE("on a connection that was kept") {
    Client client;
    client.run({.url = elsewhere, .allow_plain_http = true});
    CHECK(client.sink.end.has_value());
    client.sink = {};
    client.run({.url = elsewhere});
    CHECK(client.sink.error() == ErrorCode::bad_source);
    CHECK(server.requests() == 1);
  }
  SUBCASE("unless it is allowed") {
    Client client;
    client.run({.url = server.url("/away"), .allow_plain_http = true});
    CHECK(client.sink.end.has_value());
    CHECK(client.sink.body == "ok");
  }
  SUBCASE("with credentials that look like a loopback host") {
    Client client;
    client.run({.url = "http://127.0.0.1@0.0.0.0:" + std::to_string(server.port()) + "/file"});
    CHECK(client.sink.error() == ErrorCode::bad_source);
    CHECK(server.requests() == 0);
  }
}

TEST_CASE("redirections to other schemes, and in circles, are refused") {
  HttpServer server([&](auto& exchange) {
    exchange.send(redirect_to(exchange.path == "/file" ? "file:///etc/passwd" : "/round"));
  });
  {
    Client client;
    client.run({.url = server.url("/file")});
    CHECK(client.sink.error() == ErrorCode::bad_source);
    CHECK(client.sink.body == "");
    const std::string& sentence = client.sink.end.error().message;
    CHECK(sentence.find("no https or http address") != std::string::npos);
    CHECK(sentence.find("allow_plain_http") == std::string::npos);
  }
  Client client;
  client.run({.url = server.url("/round")});
  CHECK(client.sink.error() == ErrorCode::http_status);
  CHECK(server.requests() < 20);
}

TEST_CASE("the sink's refusal of the head is the end, and no body comes") {
  HttpServer server([&](auto& exchange) { exchange.send(answer("no such file", "404 Not Found")); });
  Client client;
  client.sink.at_head = [] { return fail(ErrorCode::http_status, "not here"); };
  client.run({.url = server.url("/file")});
  CHECK(client.sink.heads.front().status == 404);
  CHECK(client.sink.end == std::unexpected(Error{ErrorCode::http_status, "not here"}));
  CHECK(client.sink.body == "");
}

TEST_CASE("a server that fails is a network error") {
  HttpServer server([&](auto& exchange) {
    if (exchange.path == "/cut") exchange.send(head_of("200 OK", "Content-Length: 10\r\n") + "12345");
    if (exchange.path == "/garbage") exchange.send("this is not HTTP\r\n\r\n");
    if (exchange.path == "/reset") return exchange.reset();
    exchange.close();
  });
  for (const char* path : {"/cut", "/garbage", "/reset", "/nothing"}) {
    CAPTURE(path);
    Client client;
    client.run({.url = server.url(path)});
    CHECK(client.sink.error() == ErrorCode::network);
    CHECK(client.sink.end.error().message.find(server.url(path)) != std::string::npos);
  }
}

TEST_CASE("where nobody listens it is a network error") {
  const std::string url = HttpServer([](auto&) {}).url("/file");
  Client client;
  client.run({.url = url});
  CHECK(client.sink.error() == ErrorCode::network);
}

TEST_CASE("certificate authorities that cannot be read are a tls error") {
  HttpServer server([](auto&) {});
  Client client;
  client.run(
      {.url = "https://127.0.0.1:" + std::to_string(server.port()) + "/", .ca_file = "/nonexistent/ca.pem"});
  CHECK(client.sink.error() == ErrorCode::tls);
}

TEST_CASE("a transfer that brings nothing for the stall timeout ends") {
  HttpServer server([&](auto& exchange) {
    if (exchange.path == "/body") exchange.send(head_of("200 OK", "Content-Length: 10\r\n") + "1");
    exchange.wait_for_close();
  });
  for (const char* path : {"/head", "/body"}) {
    CAPTURE(path);
    const Stopwatch watch;
    Client client;
    client.run({.url = server.url(path), .stall_timeout_s = 1});
    CHECK(client.sink.error() == ErrorCode::network);
    CHECK(watch.elapsed_ms() >= 900);
  }
}

TEST_CASE("a paused transfer is no stall; the bytes that were not taken come again") {
  const std::string body = some_bytes(2 << 20);
  HttpServer server([&](auto& exchange) { exchange.send(answer(body)); });
  Client client;
  int refusals = 0;
  loop::Timer later(client.loop, [&] { client.transfer->resume(); });
  client.sink.at_body = [&] {
    if (++refusals % 7 != 1) return TransferSink::Taken::all;
    // The first pause outlasts the stall timeout.
    later.start_once(refusals == 1 ? 1'500 : 0);
    return TransferSink::Taken::nothing;
  };
  client.run({.url = server.url("/file"), .stall_timeout_s = 1});
  CHECK(client.sink.end.has_value());
  CHECK(client.sink.body == body);
  CHECK(refusals > 7);
}

TEST_CASE("a head that does not end is refused") {
  for (const bool are_interim : {false, true}) {
    CAPTURE(are_interim);
    HttpServer server([&](auto& exchange) {
      exchange.send(are_interim ? "" : "HTTP/1.1 200 OK\r\n");
      const std::string line = "X-Many: " + std::string(1000, 'x') + "\r\n";
      // 64 MiB, far more than is taken; sending ends when the client closes.
      for (int i = 0; i < 65'536; ++i) {
        exchange.send(are_interim ? "HTTP/1.1 103 Early Hints\r\n" + line + "\r\n" : line);
      }
      exchange.close();
    });
    Client client;
    client.run({.url = server.url("/file")});
    CHECK(client.sink.error() == ErrorCode::network);
    CHECK(client.sink.heads.empty());
  }
}

TEST_CASE("a deadline is a timer that cancels") {
  HttpServer server([&](auto& exchange) { exchange.wait_for_close(); });
  Client client;
  loop::Timer deadline(client.loop, [&] { client.transfer->cancel(); });
  deadline.start_once(50);
  client.run({.url = server.url("/file")});
  CHECK(client.sink.error() == ErrorCode::cancelled);
}

TEST_CASE("connections are kept for later transfers, and closed with curl") {
  HttpServer server([&](auto& exchange) { exchange.send(answer("ok")); });
  Client client;
  for (int i = 0; i < 3; ++i) {
    client.sink.ends = 0;
    client.sink.heads.clear();
    client.run({.url = server.url("/file")});
    CHECK(client.sink.end.has_value());
  }
  CHECK(server.requests() == 3);
  CHECK(server.connections() == 1);
  // A kept connection does not keep the loop running.
  client.loop.run();
}

TEST_CASE("transfers at a time do not mix") {
  HttpServer server([&](auto& exchange) { exchange.send(answer(std::string(300'000, exchange.path[1]))); });
  loop::Loop loop;
  CurlLoop curl(loop);
  std::array<Sink, 10> sinks;
  std::vector<std::unique_ptr<Transfer>> transfers;
  for (std::size_t i = 0; i < sinks.size(); ++i) {
    transfers.push_back(curl.start({.url = server.url("/" + std::to_string(i))}, sinks[i]));
  }
  REQUIRE(run_until(
      loop, [&] { return std::ranges::all_of(sinks, [](const Sink& sink) { return sink.ends == 1; }); }));
  for (std::size_t i = 0; i < sinks.size(); ++i) {
    CHECK(sinks[i].body == std::string(300'000, static_cast<char>('0' + i)));
  }
}

}  // namespace
}  // namespace ggufd::fetch
