// Pages that are not there at once, over real sockets.
#include "http/endpoint.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "loop/timer.h"

namespace ggufd::http {
namespace {

// Far longer than anything here takes; a test that gets there has failed.
constexpr std::uint64_t limit_ms = 20'000;

Page page_of(std::string body) {
  return {.content_type = text_type, .body = std::move(body)};
}

// Keeps who wants a page until the test has one.
struct PatientSite final : Site {
  std::vector<Reply> waiting;
  bool is_at_once = false;
  bool is_idle = false;

  Answer answer(const Question& question) override {
    if (question.path == "/now") return page_of("now");
    return LaterPage([this](Reply reply) {
      if (is_at_once) return reply(page_of("at once"));
      waiting.push_back(std::move(reply));
    });
  }
  void on_idle() override { is_idle = true; }
};

struct House {
  std::string folder = (std::filesystem::temp_directory_path() / "ggufd-http-XXXXXX").string();
  std::string path;
  loop::Loop loop;
  PatientSite site;
  std::unique_ptr<Endpoint> endpoint;

  House() {
    REQUIRE(mkdtemp(folder.data()) != nullptr);
    path = folder + "/http.sock";
    auto socket = ListenSocket::at_path(path);
    REQUIRE(socket);
    auto started = Endpoint::start(loop, std::move(*socket), Door::unix_socket, 16, site);
    REQUIRE(started);
    endpoint = std::move(*started);
  }
  ~House() {
    endpoint.reset();
    std::filesystem::remove_all(folder);
  }

  void run_until(const std::function<bool()>& reached) {
    bool is_late = false;
    loop::Timer limit(loop, [&is_late] { is_late = true; });
    limit.start_once(limit_ms);
    while (!reached()) {
      REQUIRE_FALSE(is_late);
      uv_run(loop.raw(), UV_RUN_ONCE);
    }
  }
};

// The far end; it never blocks, since the loop is on the same thread.
class Asker {
 public:
  explicit Asker(const House& house) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    house.path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  ~Asker() { leave(); }
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  void ask(const std::string& path) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n";
    REQUIRE(write(fd_, request.data(), request.size()) == static_cast<ssize_t>(request.size()));
  }
  void leave() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }
  // All that has come until now.
  const std::string& heard() {
    std::array<char, 4096> block{};
    for (ssize_t count = 0; (count = read(fd_, block.data(), block.size())) > 0;) {
      heard_.append(block.data(), static_cast<std::size_t>(count));
    }
    return heard_;
  }
  bool has_heard(std::string_view text) { return heard().find(text) != std::string::npos; }

 private:
  int fd_;
  std::string heard_;
};

}  // namespace

TEST_CASE("a page that comes later is sent when it comes") {
  House house;
  Asker asker(house);
  asker.ask("/later");
  house.run_until([&] { return house.site.waiting.size() == 1; });
  CHECK(asker.heard().empty());
  house.site.waiting.front()(page_of("here it is"));
  house.run_until([&] { return asker.has_heard("here it is"); });
  CHECK(asker.heard().starts_with("HTTP/1.1 200 "));
}

TEST_CASE("a page that comes later may come at once") {
  House house;
  house.site.is_at_once = true;
  Asker asker(house);
  asker.ask("/later");
  house.run_until([&] { return asker.has_heard("at once"); });
}

TEST_CASE("who waits for a page holds up nobody, and is asked again behind it") {
  House house;
  Asker waiting(house);
  Asker other(house);
  waiting.ask("/later");
  waiting.ask("/now");
  house.run_until([&] { return house.site.waiting.size() == 1; });
  other.ask("/now");
  house.run_until([&] { return other.has_heard("now"); });
  house.endpoint->wake_streams();
  house.endpoint->keep_streams_alive();
  CHECK(waiting.heard().empty());
  house.site.waiting.front()(page_of("here it is"));
  house.run_until([&] { return waiting.has_heard("now"); });
  CHECK(waiting.heard().find("here it is") < waiting.heard().find("now"));
}

TEST_CASE("who goes before the page comes harms nobody") {
  House house;
  Asker leaver(house);
  leaver.ask("/later");
  house.run_until([&] { return house.site.waiting.size() == 1; });
  leaver.leave();
  house.site.waiting.front()(page_of("for nobody"));
  Asker other(house);
  other.ask("/now");
  house.run_until([&] { return other.has_heard("now"); });
}

TEST_CASE("an endpoint that ends tells who waits so, and drops a page that comes afterwards") {
  House house;
  Asker asker(house);
  asker.ask("/later");
  house.run_until([&] { return house.site.waiting.size() == 1; });
  house.endpoint->end_soon();
  house.run_until([&] { return asker.has_heard("stopping"); });
  CHECK(asker.heard().starts_with("HTTP/1.1 503 "));
  house.run_until([&] { return house.site.is_idle; });
  house.site.waiting.front()(page_of("too late"));
  house.endpoint.reset();
  CHECK_FALSE(asker.has_heard("too late"));
}

TEST_CASE("a page that comes when the endpoint has gone is dropped") {
  House house;
  Asker asker(house);
  asker.ask("/later");
  house.run_until([&] { return house.site.waiting.size() == 1; });
  house.endpoint.reset();
  house.site.waiting.front()(page_of("too late"));
  CHECK_FALSE(asker.has_heard("too late"));
}

}  // namespace ggufd::http
