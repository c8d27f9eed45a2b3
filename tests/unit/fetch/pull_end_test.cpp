// What a pull leaves behind that brings nothing.
#include "pull_support.h"

namespace ggufd::fetch {
namespace {

using namespace test;
using Request = FileServer::Request;

TEST_CASE("where nothing has arrived nothing is left") {
  FileServer server("", [](HttpServer::Exchange& exchange, const Request& request) {
    if (request.method == "HEAD" && request.path == "/m.gguf") return false;
    exchange.send(answer("", "404 Not Found"));
    return true;
  });
  Pulling pulling;
  pulling.services.hub.endpoint = server.url("");
  Caller caller;
  std::optional<store::Digest> digest = digest_of("the model");
  std::string url = server.url();
  SUBCASE("where the file is asked for") {}
  SUBCASE("where its digest is asked for before") {
    digest.reset();
  }
  SUBCASE("where the hub knows of none") {
    url = "hf:org/repo/m.gguf";
  }
  pulling.join(caller, {url}, digest);
  pulling.wait(caller);
  CHECK(caller.error() == ErrorCode::http_status);
  CHECK_FALSE(std::filesystem::exists(pulling.partial_folder(digest.value_or(digest_of(url)))));
}

TEST_CASE("a disk without room for the first byte leaves nothing") {
  const std::string file = some_bytes(3 << 20);
  FileServer server(file, [](HttpServer::Exchange& exchange, const Request&) {
    exchange.send(head_of("200 OK", "Content-Length: " + std::to_string(3 << 20) + "\r\n"));
    exchange.wait_for_close();
    return true;
  });
  Pulling pulling;
  const FileSizeLimit limit(1 << 20);
  Caller caller;
  pulling.join(caller, {server.url()}, digest_of(file));
  pulling.wait(caller);
  CHECK(caller.error() == ErrorCode::disk_full);
  CHECK_FALSE(std::filesystem::exists(pulling.partial_folder(digest_of(file))));
}

TEST_CASE("cancelled before the first byte it leaves nothing, and the next one gets the file") {
  const std::string file = some_bytes(1000);
  FileServer server(file);
  server.set_bend([](HttpServer::Exchange& exchange, const Request& request) {
    if (request.number == 0) exchange.wait_for_close();
    return request.number == 0;
  });
  Pulling pulling;
  Caller caller;
  pulling.join(caller, {server.url()}, digest_of(file));
  REQUIRE(run_until(pulling.loop, [&] { return !server.requests().empty(); }));
  caller.operation->cancel();
  pulling.wait(caller);
  pulling.loop.run();
  CHECK_FALSE(std::filesystem::exists(pulling.partial_folder(digest_of(file))));
  Caller again;
  pulling.join(again, {server.url()}, digest_of(file));
  pulling.check_is(again, file);
}

}  // namespace
}  // namespace ggufd::fetch
