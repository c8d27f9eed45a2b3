// The requests about files, and `reload`, asked on the socket.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "requests_support.h"

namespace ggufd::admin {
namespace {

using namespace test;

answer::Blob blob_in(const std::string& line) {
  INFO(line);
  const Frame frame = frame_of(line);
  REQUIRE(std::holds_alternative<AnswerFrame>(frame));
  const auto blob = decode_answer<answer::Blob>(std::get<AnswerFrame>(frame));
  REQUIRE(blob.has_value());
  return *blob;
}

TEST_CASE("verify: the file's digest, size and path, whether the model is loaded or not") {
  Daemon daemon;
  const answer::Blob before = blob_in(daemon.ask("verify", ",\"model\":\"a\""));
  CHECK(before.path == daemon.folder.file("model.gguf"));
  CHECK(before.bytes == std::filesystem::file_size(before.path));
  daemon.ask("load", ",\"model\":\"a\",\"wait\":true");
  CHECK(blob_in(daemon.ask("verify", ",\"model\":\"a\"")) == before);
  CHECK(error_of(daemon.ask("verify", ",\"model\":\"gone\"")) == ErrorCode::bad_source);
  CHECK(error_of(daemon.ask("verify", ",\"model\":\"x\"")) == ErrorCode::unknown_model);
  CHECK(error_of(daemon.ask("verify")) == ErrorCode::missing_field);
}

TEST_CASE("pull: a source that cannot be reached, waited for or not") {
  Daemon daemon;
  // Nobody listens on port 1.
  const char* source = ",\"source\":\"http://127.0.0.1:1/m.gguf\",\"name\":\"n\"";
  CHECK(error_of(daemon.ask("pull", source)) == ErrorCode::network);
  const std::string begun = daemon.ask("pull", std::string(source) + ",\"wait\":false");
  CHECK_FALSE(error_of(begun).has_value());
  CHECK(begun.find("sha256") == std::string::npos);
  REQUIRE(daemon.until([&] { return !daemon.models.source_pulls().has("n"); }));
  REQUIRE(daemon.until([&] {
    daemon.peer->receive();
    return daemon.statuses_of("n").size() == 2;
  }));
  CHECK(daemon.statuses_of("n") == Kinds{StatusKind::error, StatusKind::error});
  CHECK(daemon.log.snapshot().find("\"n\"") == std::string::npos);
}

// Takes connections and says nothing.
struct SilentOrigin {
  SilentOrigin() {
    sockaddr_in address{
        .sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    socklen_t length = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(bind(fd, any, length) == 0);
    REQUIRE(listen(fd, 16) == 0);
    REQUIRE(getsockname(fd, any, &length) == 0);
    port = ntohs(address.sin_port);
  }
  SilentOrigin(const SilentOrigin&) = delete;
  SilentOrigin& operator=(const SilentOrigin&) = delete;
  ~SilentOrigin() { close(fd); }

  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int port = 0;
};

TEST_CASE("pull: of a source, it is cancelled and subscribed to by the name that the file gets") {
  Daemon daemon;
  const SilentOrigin silent;
  const std::string source =
      fmt::format(",\"source\":\"http://127.0.0.1:{}/m.gguf\",\"name\":\"n\"", silent.port);
  for (const char* wait : {"", ",\"wait\":true"}) {
    CHECK(error_of(daemon.ask("subscribe", ",\"models\":[\"n\"]")) == ErrorCode::unknown_model);
    CHECK(error_of(daemon.ask("cancel", ",\"model\":\"n\"")) == ErrorCode::unknown_model);
    const std::string pull_id = *wait == '\0' ? "first" : "second";
    daemon.peer->ask(pull_id, "pull", source);
    REQUIRE(daemon.until([&] { return daemon.models.source_pulls().has("n"); }));
    CHECK(daemon.log.snapshot().find("\"n\"") != std::string::npos);
    CHECK_FALSE(error_of(daemon.ask("subscribe", ",\"models\":[\"n\"]")).has_value());
    CHECK(daemon.state_answered("cancel", std::string(",\"model\":\"n\"") + wait) ==
          ModelState::uninitialized);
    REQUIRE(daemon.until([&] { return !daemon.models.source_pulls().has("n"); }));
    CHECK(error_of(daemon.answer_to(pull_id)) == ErrorCode::cancelled);
    CHECK(daemon.log.snapshot().find("\"n\"") == std::string::npos);
    daemon.ask("subscribe");
  }
  CHECK(daemon.statuses_of("n") == Kinds{StatusKind::unloaded, StatusKind::unloaded});
}

TEST_CASE("pull: what cannot be begun is refused, waited for or not") {
  Daemon daemon;
  for (const char* wait : {"", ",\"wait\":false"}) {
    const auto ask = [&](std::string fields) { return error_of(daemon.ask("pull", fields + wait)); };
    CHECK(ask("") == ErrorCode::missing_field);
    CHECK(ask(",\"model\":\"x\"") == ErrorCode::unknown_model);
    CHECK(ask(",\"model\":\"a\"") == ErrorCode::bad_field);  // used in place
    CHECK(ask(",\"source\":\"/m.gguf\",\"name\":\"n\"") == ErrorCode::bad_field);
  }
}

TEST_CASE("reload: the state of the model, or what is wrong with the file") {
  Daemon daemon;
  CHECK(daemon.state_answered("reload") == ModelState::uninitialized);
  CHECK(daemon.state_answered("reload", ",\"model\":\"a\"") == ModelState::uninitialized);
  CHECK(daemon.reloads == std::vector<std::optional<std::string>>{std::nullopt, "a"});
  CHECK(error_of(daemon.ask("reload", ",\"model\":\"../x\"")) == ErrorCode::unknown_model);
  CHECK(daemon.reloads.size() == 2);
  daemon.reloaded = fail(ErrorCode::bad_config, "it is bad");
  CHECK(error_of(daemon.ask("reload")) == ErrorCode::bad_config);
  CHECK(error_of(daemon.ask("reload", ",\"model\":\"a\",\"wait\":true")) == ErrorCode::bad_config);
  Daemon empty(false);
  CHECK_FALSE(error_of(empty.ask("reload")).has_value());
  CHECK_FALSE(error_of(empty.ask("reload", ",\"wait\":true")).has_value());
}

TEST_CASE("reload: at once the state that the change leads to, or the one that it has led to") {
  Daemon daemon;
  daemon.file.models[1].load = config::Load::boot;
  CHECK(daemon.state_answered("reload") == ModelState::ready);  // "b", the default model
  CHECK(daemon.statuses_of("b").empty());
  CHECK(daemon.state_answered("reload", ",\"wait\":true") == ModelState::ready);
  CHECK(daemon.statuses_of("b") == Kinds{StatusKind::capabilities, StatusKind::ready});
  daemon.file.models[1].n_ctx = 32;
  CHECK(daemon.state_answered("reload", ",\"model\":\"b\",\"wait\":true") == ModelState::ready);
  CHECK(daemon.statuses_of("b").back() == StatusKind::ready);
  CHECK(daemon.models.find("b")->status().load_count == 2);
  daemon.file.models[1].sources = daemon.file.models[2].sources;  // where there is no file
  CHECK(error_of(daemon.ask("reload", ",\"wait\":true")) == ErrorCode::bad_source);
  CHECK(daemon.models.find("b")->state() == ModelState::ready);
}

TEST_CASE("reload: who waits without a model waits for all that the file has changed") {
  Daemon daemon;
  daemon.file.models[0].load = config::Load::boot;  // "a", not the default one
  CHECK(daemon.state_answered("reload", ",\"wait\":true") == ModelState::uninitialized);  // "b", as ever
  CHECK(daemon.models.find("a")->state() == ModelState::ready);
  daemon.file.models[2].load = config::Load::boot;  // "gone", of which there is no file
  const std::string refused = daemon.ask("reload", ",\"wait\":true");
  CHECK(error_of(refused) == ErrorCode::bad_source);
  CHECK(std::get<ErrorFrame>(frame_of(refused)).error.message.starts_with("gone: "));
  // What was in error before is no fault of a reload that does not concern it.
  CHECK(daemon.state_answered("reload", ",\"wait\":true") == ModelState::uninitialized);
  daemon.file.models.erase(daemon.file.models.begin());
  CHECK(daemon.state_answered("reload", ",\"wait\":true") == ModelState::uninitialized);
  CHECK(daemon.models.statuses().size() == 2);
}

TEST_CASE("reload: a model that goes leads to uninitialized, and has gone when that is told to who waits") {
  for (const char* wait : {"", ",\"wait\":true"}) {
    Daemon daemon;
    daemon.ask("load", ",\"model\":\"a\",\"wait\":true");
    daemon.file.models.erase(daemon.file.models.begin());
    CHECK(daemon.state_answered("reload", std::string(",\"model\":\"a\"") + wait) ==
          ModelState::uninitialized);
    CHECK((daemon.statuses_of("a").back() == StatusKind::unloaded) == (*wait != '\0'));
    CHECK(error_of(daemon.ask("load", ",\"model\":\"a\"")) == ErrorCode::unknown_model);
    REQUIRE(daemon.until([&] { return daemon.models.statuses().size() == 2; }));
    CHECK(daemon.log.snapshot().find("\"a\"") == std::string::npos);
  }
}

}  // namespace
}  // namespace ggufd::admin
