// The public names of an engine's private socket.
#include "engine/published_socket.h"

#include <fstream>

#include "engine/resident.h"
#include "tests/unit/loop/support.h"

namespace ggufd::engine {
namespace {

using loop::test::Client;
using loop::test::run_until;
using loop::test::TempFolder;

struct Published {
  TempFolder folder;
  loop::Loop loop;
  std::string path = folder.file(".engine.m.sock");
  std::string name = folder.file("infer.m.sock");
  std::string default_name = folder.file("infer.sock");
  std::unique_ptr<Engine> engine = start(path);

  std::unique_ptr<Engine> start(const std::string& at) {
    auto started = start_resident(loop, at, {.model = at});
    REQUIRE(started);
    return std::move(*started);
  }
  PublishedSocket publish() const {
    auto published = PublishedSocket::publish(path, {default_name, name});
    REQUIRE(published);
    return std::move(*published);
  }
  std::string line_from(const std::string& at) {
    Client client(at);
    REQUIRE(run_until(loop, [&] {
      client.receive();
      return client.has_ended;
    }));
    return client.received;
  }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(std::filesystem::path(path).parent_path()), {}));
  }
};

TEST_CASE("each public name leads to the engine, and goes with what published it") {
  Published house;
  {
    const PublishedSocket published = house.publish();
    CHECK(house.line_from(house.default_name).find(house.path) != std::string::npos);
    CHECK(house.line_from(house.name) == house.line_from(house.path));
    CHECK(house.files() == 3);
  }
  CHECK(house.files() == 1);
  CHECK(std::filesystem::exists(house.path));
}

TEST_CASE("what stands at a public name is replaced: a file, a left-over socket, the same socket") {
  Published house;
  std::ofstream(house.default_name) << "a file";
  std::filesystem::create_hard_link(house.path, house.name);
  std::ofstream(house.name + ".new") << "left over";
  PublishedSocket published = house.publish();
  CHECK(house.line_from(house.default_name) == house.line_from(house.path));
  CHECK(house.files() == 3);
  published.unpublish();
  CHECK(house.files() == 1);
  published.unpublish();
}

TEST_CASE("another engine's name changes hands without a moment in which nobody answers") {
  Published house;
  const PublishedSocket first = house.publish();
  const std::string other = house.folder.file(".engine.n.sock");
  const auto engine = house.start(other);
  const auto second = PublishedSocket::publish(other, {house.default_name});
  REQUIRE(second);
  CHECK(house.line_from(house.default_name) == house.line_from(other));
  CHECK(house.line_from(house.name) == house.line_from(house.path));
}

TEST_CASE("publishing that fails leaves no name behind") {
  Published house;
  std::filesystem::create_directory(house.name);
  const auto published = PublishedSocket::publish(house.path, {house.default_name, house.name});
  REQUIRE_FALSE(published);
  CHECK(published.error().code == ErrorCode::io);
  CHECK(published.error().message.find(house.name) != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(house.default_name));
  CHECK(house.files() == 2);
}

TEST_CASE("a socket that is not there cannot be published") {
  Published house;
  house.engine.reset();
  CHECK_FALSE(PublishedSocket::publish(house.path, {house.name}));
  CHECK(house.files() == 0);
}

TEST_CASE("what is published moves with its owner") {
  Published house;
  PublishedSocket first = house.publish();
  PublishedSocket second = std::move(first);
  first.unpublish();
  CHECK(house.files() == 3);
  PublishedSocket third;
  third = std::move(second);
  CHECK(house.files() == 3);
  third = PublishedSocket();
  CHECK(house.files() == 1);
}

}  // namespace
}  // namespace ggufd::engine
