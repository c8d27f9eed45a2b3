// From a hub's source to the file that it stands for: what is asked, what is sent, what the answers mean.
#include "fetch/resolve.h"

#include <filesystem>
#include <fstream>

#include "resolve_support.h"

namespace ggufd::fetch {
namespace {

using namespace test;
using ggufd::test::Recorder;

TEST_CASE("a hub's file is pinned to its commit, with the size and the digest that the hub publishes") {
  Recorder hub([](auto& exchange) {
    exchange.send(head_only("302 Found", lfs_fields() + "Location: https://cdn.invalid/signed?x=1\r\n"));
  });
  Question question(hub.server.url(""));
  const RemoteFile file = question.file("hf:org/repo/d/f.gguf@main");
  CHECK(file.url == hub.server.url("/org/repo/resolve/" + commit + "/d/f.gguf"));
  CHECK(file.revision == commit);
  CHECK(file.size_bytes == 1'234'567U);
  CHECK(file.sha256 == store::Digest::parse(digest));
  CHECK(file.bearer_token == "");
  CHECK(hub.at(0).method == "HEAD");
  CHECK(hub.at(0).path == "/org/repo/resolve/main/d/f.gguf");
  CHECK(hub.at(0).header("Accept-Encoding") == "identity");
  CHECK(hub.at(0).header("Authorization") == "(none)");
  CHECK(hub.server.requests() == 1);
}

TEST_CASE("a file that the hub keeps itself has a size and no digest") {
  HttpServer hub([](auto& exchange) {
    exchange.send(head_of("200 OK", "X-Repo-Commit: " + commit + "\r\nContent-Length: 99\r\nETag: \"" +
                                        std::string(40, 'e') + "\"\r\n"));
  });
  Question question(hub.url(""));
  const RemoteFile file = question.file("hf:org/repo/f.gguf");
  CHECK(file.revision == commit);
  CHECK(file.size_bytes == 99U);
  CHECK_FALSE(file.sha256);
}

TEST_CASE("sizes that say nothing of the file are not taken") {
  std::string fields;
  SUBCASE("of an encoded form") {
    fields = "Content-Length: 99\r\nContent-Encoding: gzip\r\n";
  }
  SUBCASE("of nothing") {
    fields = "Content-Length: 0\r\n";
  }
  SUBCASE("absent") {
    fields = "";
  }
  SUBCASE("no number") {
    fields = "X-Linked-Size: many\r\nContent-Length: 99\r\n";
  }
  SUBCASE("of a redirect's own body") {
    fields = "Content-Length: 99\r\nLocation: https://cdn.invalid/\r\n";
  }
  const bool is_redirect = fields.find("Location") != std::string::npos;
  HttpServer server(
      [&](auto& exchange) { exchange.send(head_of(is_redirect ? "302 Found" : "200 OK", fields)); });
  Question question;
  CHECK_FALSE(question.file(server.url("/f.gguf")).size_bytes);
}

TEST_CASE("redirects on the hub are followed, with the token, to the answer that counts") {
  Recorder hub([&](auto& exchange) {
    if (exchange.path.starts_with("/old"))
      return exchange.send(
          head_only("307 Temporary Redirect", "Location: /new/repo/resolve/main/f.gguf\r\n"));
    exchange.send(head_only("302 Found", lfs_fields() + "Location: https://cdn.invalid/\r\n"));
  });
  Question question(hub.server.url(""));
  question.hub.token = "hf_secret";
  const RemoteFile file = question.file("hf:old/repo/f.gguf");
  CHECK(file.url == hub.server.url("/old/repo/resolve/" + commit + "/f.gguf"));
  CHECK(file.sha256 == store::Digest::parse(digest));
  CHECK(hub.at(1).path == "/new/repo/resolve/main/f.gguf");
  CHECK(hub.at(1).header("Authorization") == "Bearer hf_secret");
  CHECK(hub.server.requests() == 2);
}

TEST_CASE("another host is not asked, whatever it is called") {
  Recorder other([](auto& exchange) { exchange.send(head_only("200 OK", "")); });
  std::string location;
  SUBCASE("by port") {
    location = other.server.url("/x");
  }
  SUBCASE("by name") {
    location = other.server.url("/x", "localhost");
  }
  SUBCASE("without a scheme") {
    location = other.server.url("/x").substr(5);
  }
  Recorder hub([&](auto& exchange) {
    exchange.send(head_only("302 Found", lfs_fields() + "Location: " + location + "\r\n"));
  });
  Question question(hub.server.url(""));
  question.hub.token = "hf_secret";
  CHECK(question.file("hf:org/repo/f.gguf").sha256);
  CHECK(other.server.requests() == 0);
}

TEST_CASE("redirects in circles end") {
  HttpServer hub([](auto& exchange) { exchange.send(head_only("302 Found", "Location: /round\r\n")); });
  Question question(hub.url(""));
  const Failure failure = question.failure("hf:org/repo/f.gguf");
  CHECK(failure.error.code == ErrorCode::http_status);
  CHECK_FALSE(failure.is_passing);
  CHECK(contains(failure, "hf:org/repo/f.gguf@main"));
  CHECK(hub.requests() == 6);
}

TEST_CASE("a commit that is none is not put into a URL") {
  for (const std::string& told : {std::string("../../x"), std::string(40, 'G'), std::string("main")}) {
    CAPTURE(told);
    HttpServer hub([&](auto& exchange) { exchange.send(head_only("200 OK", lfs_fields(told))); });
    Question question(hub.url(""));
    const RemoteFile file = question.file("hf:org/repo/f.gguf@v1");
    CHECK(file.url == hub.url("/org/repo/resolve/v1/f.gguf"));
    CHECK(file.revision == "");
  }
}

TEST_CASE("a file at a commit whose digest is known needs no asking") {
  const std::string pinned(40, 'a');
  Recorder hub([](auto& exchange) { exchange.send(head_only("200 OK", lfs_fields())); });
  Question question(hub.server.url(""));
  question.hub.token = "hf_secret";
  SUBCASE("known") {
    question.ask_for_digest = false;
    const RemoteFile file = question.file("hf:org/repo/f.gguf@" + pinned);
    CHECK(file.url == hub.server.url("/org/repo/resolve/" + pinned + "/f.gguf"));
    CHECK(file.revision == pinned);
    CHECK(file.bearer_token == "hf_secret");
    CHECK(hub.server.requests() == 0);
  }
  SUBCASE("not known; and what the hub calls it does not unpin it") {
    const RemoteFile file = question.file("hf:org/repo/f.gguf@" + pinned);
    CHECK(file.revision == pinned);
    CHECK(file.sha256);
    CHECK(hub.server.requests() == 1);
  }
  SUBCASE("known, but at a branch") {
    question.ask_for_digest = false;
    CHECK(question.file("hf:org/repo/f.gguf").revision == commit);
    CHECK(hub.server.requests() == 1);
  }
}

TEST_CASE("a hub's refusal says what to do, and names the file and not the token") {
  struct Case {
    const char* status;
    const char* error_code;
    const char* advice;
  };
  for (const auto& [status, error_code, advice] :
       {Case{"401 Unauthorized", "", "or the token"},
        Case{"401 Unauthorized", "RepoNotFound", "or the token"},
        Case{"401 Unauthorized", "GatedRepo", "/org/repo first"},
        Case{"403 Forbidden", "GatedRepo", "must be accepted"}, Case{"403 Forbidden", "", "the token"},
        Case{"404 Not Found", "RepoNotFound", "no such repository"},
        Case{"404 Not Found", "RevisionNotFound", "no revision v9"},
        Case{"404 Not Found", "EntryNotFound", "no such file"}, Case{"404 Not Found", "", "no such file"},
        Case{"451 Unavailable", "", "legal"}, Case{"302 Found", "", "leads nowhere"}}) {
    CAPTURE(status);
    CAPTURE(error_code);
    const std::string fields = *error_code == '\0' ? "" : "X-Error-Code: " + std::string(error_code) + "\r\n";
    HttpServer hub([&](auto& exchange) { exchange.send(head_only(status, fields)); });
    Question question(hub.url(""));
    question.hub.token = "hf_secret";
    const Failure failure = question.failure("hf:org/repo/f.gguf@v9");
    CHECK(failure.error.code == ErrorCode::http_status);
    CHECK_FALSE(failure.is_passing);
    CHECK(contains(failure, advice));
    CHECK(contains(failure, "hf:org/repo/f.gguf@v9"));
    CHECK(contains(failure, std::string("HTTP ") + std::string(status).substr(0, 3)));
    CHECK_FALSE(contains(failure, "hf_secret"));
  }
}

TEST_CASE("where no token was sent, a refusal says how to give one") {
  for (const char* error_code : {"RepoNotFound", "GatedRepo"}) {
    HttpServer hub([&](auto& exchange) {
      exchange.send(head_only("401 Unauthorized", "X-Error-Code: " + std::string(error_code) + "\r\n"));
    });
    Question question(hub.url(""));
    const Failure failure = question.failure("hf:org/repo/f.gguf");
    CHECK(contains(failure, "HF_TOKEN"));
    CHECK(contains(failure, "fetch.hf_token_file"));
  }
}

TEST_CASE("a hub that is busy is asked again when it says so") {
  HttpServer hub([](auto& exchange) {
    exchange.send(head_only("429 Too Many Requests", "RateLimit: \"resolvers\";r=0;t=55\r\n"));
  });
  Question question(hub.url(""));
  const Failure failure = question.failure("hf:org/repo/f.gguf");
  CHECK(failure.is_passing);
  CHECK(failure.wait_ms == 55'000U);
  CHECK(contains(failure, "hf:org/repo/f.gguf@main"));
}

TEST_CASE("a hub without HEAD is left to the GET") {
  HttpServer hub([](auto& exchange) { exchange.send(head_only("405 Method Not Allowed", "")); });
  Question question(hub.url(""));
  const RemoteFile file = question.file("hf:org/repo/f.gguf");
  CHECK(file.url == hub.url("/org/repo/resolve/main/f.gguf"));
  CHECK(file.revision == "");
  CHECK_FALSE(file.size_bytes);
}

TEST_CASE("a hub that is not there is a fault of the network") {
  const std::string gone = HttpServer([](auto&) {}).url("");
  Question question(gone);
  const Failure failure = question.failure("hf:org/repo/f.gguf");
  CHECK(failure.error.code == ErrorCode::network);
  CHECK(failure.is_passing);
}

TEST_CASE("offline, no hub is asked, and plain URLs are") {
  Recorder server([](auto& exchange) { exchange.send(head_only("200 OK", "")); });
  Question question(server.server.url(""));
  question.hub.is_offline = true;
  SUBCASE("hub") {
    const Failure failure = question.failure("hf:org/repo/f.gguf@" + commit);
    CHECK(failure.error.code == ErrorCode::not_in_store);
    CHECK_FALSE(failure.is_passing);
    CHECK(contains(failure, "HF_HUB_OFFLINE"));
    CHECK(server.server.requests() == 0);
  }
  SUBCASE("plain") {
    CHECK(question.file(server.server.url("/f.gguf")).size_bytes == 7U);
    CHECK(server.server.requests() == 1);
  }
}

TEST_CASE("an endpoint that is no place for a hub is refused before it is asked") {
  for (const char* endpoint :
       {"hub", "ftp://hub", "https://user:secret@hub", "https://hub?x=secret", "http://hub.invalid"}) {
    CAPTURE(endpoint);
    Question question(endpoint);
    question.hub.token = "hf_secret";
    const Failure failure = question.failure("hf:org/repo/f.gguf");
    CHECK(failure.error.code == ErrorCode::bad_source);
    CHECK(contains(failure, "HF_ENDPOINT"));
    CHECK_FALSE(contains(failure, "secret"));
  }
}

TEST_CASE("a token that can't be one is refused and not shown") {
  for (const char* token : {"hf\r\nX: 1", "hf x", "hf\x7F", "hf\xC3\xA9"}) {
    Question question;
    question.hub.token = token;
    const Failure failure = question.failure("hf:org/repo/f.gguf");
    CHECK(failure.error.code == ErrorCode::io);
    CHECK(contains(failure, "HF_TOKEN"));
    CHECK_FALSE(contains(failure, token));
  }
}

TEST_CASE("a token file that others may read ends it before anything is sent") {
  Recorder hub([](auto& exchange) { exchange.send(head_only("200 OK", lfs_fields())); });
  loop::test::TempFolder folder;
  Question question(hub.server.url(""));
  question.hub.token_file = folder.file("token");
  std::ofstream(question.hub.token_file) << "hf_secret\n";
  SUBCASE("open") {
    std::filesystem::permissions(question.hub.token_file, std::filesystem::perms(0640));
    const Failure failure = question.failure("hf:org/repo/f.gguf");
    CHECK(failure.error.code == ErrorCode::io);
    CHECK_FALSE(failure.is_passing);
    CHECK(contains(failure, "chmod 600 " + question.hub.token_file));
    CHECK_FALSE(contains(failure, "hf_secret"));
    CHECK(hub.server.requests() == 0);
  }
  SUBCASE("closed") {
    std::filesystem::permissions(question.hub.token_file, std::filesystem::perms(0600));
    CHECK(question.file("hf:org/repo/f.gguf").bearer_token == "hf_secret");
    CHECK(hub.at(0).header("Authorization") == "Bearer hf_secret");
  }
}

}  // namespace
}  // namespace ggufd::fetch
