// Whole connections to the admin socket: what clients send in whatever pieces, what is published meanwhile,
// who reads how much, who goes when. Whatever happens: each line is answered once, everything that is sent is
// a frame, and a client that only reads has seen every event.
//
// An input is steps, each ended by the byte 0xFF: the first byte says what is done, and by which client.
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/server.h"
#include "admin/status_log.h"
#include "protocol/frame.h"

namespace {

using namespace ggufd;
using namespace ggufd::admin;

void require(bool condition, std::source_location where = std::source_location::current()) {
  if (condition) return;
  std::fprintf(stderr, "line %u does not hold\n", where.line());
  std::abort();
}

class Folder {
 public:
  Folder() { require(mkdtemp(path_.data()) != nullptr); }
  ~Folder() { rmdir(path_.c_str()); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string socket() const { return path_ + "/s"; }

 private:
  std::string path_ = "/tmp/ggufd-fuzz-XXXXXX";
};

// A program at the other end. It never blocks.
class Client {
 public:
  explicit Client(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    require(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(fd_); }

  void send(std::string_view bytes) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    for (ssize_t i = 0; i < sent; ++i) {
      is_refused |= ++line_bytes > max_frame_bytes + 1;
      if (bytes[static_cast<std::size_t>(i)] != '\n') continue;
      line_bytes = 0;
      lines_sent += is_refused ? 0 : 1;
    }
    is_refused |= line_bytes > max_frame_bytes;
  }
  // Takes at most so much, and checks what it is. False once there is nothing more to take now.
  bool receive(std::size_t most_bytes) {
    std::array<char, 16 * 1024> buffer;
    const ssize_t count = recv(fd_, buffer.data(), std::min(most_bytes, buffer.size()), MSG_DONTWAIT);
    if (count <= 0) return false;
    partial_.append(buffer.data(), static_cast<std::size_t>(count));
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = partial_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      take(std::string_view(partial_).substr(begin, end - begin));
    }
    partial_.erase(0, begin);
    return true;
  }
  void end_sending() {
    shutdown(fd_, SHUT_WR);
    has_ended_sending = true;
  }

  std::size_t lines_sent = 0;
  std::size_t line_bytes = 0;  // of the line that has not ended
  bool is_refused = false;     // it has sent a line that is too long
  bool has_ended_sending = false;
  std::size_t answers = 0;
  std::vector<std::uint64_t> seqs;

 private:
  void take(std::string_view line) {
    require(line.size() < max_frame_bytes);
    const auto frame = decode_frame(line);
    require(frame.has_value());
    require(!std::holds_alternative<UnknownFrame>(*frame));
    if (const auto* event = std::get_if<StatusEvent>(&*frame)) {
      if (event->seq != 0) seqs.push_back(event->seq);
    } else {
      ++answers;
    }
  }

  int fd_;
  std::string partial_;
};

// Answers some requests at once, the others when it is told to.
class Handler final : public RequestHandler {
 public:
  void handle(Request request, const loop::PeerCredentials&, Reply reply) override {
    if (verb_of(request) == Verb::ping) return reply(AnswerBody(answer::Ping{.version = "fuzz", .pid = 1}));
    kept.push_back(std::move(reply));
  }
  std::optional<std::string> unknown_model(const std::vector<std::string>& names) const override {
    const auto unknown = std::ranges::find(names, "?");
    return unknown == names.end() ? std::nullopt : std::optional(*unknown);
  }
  // The newest first: in no order that anybody could rely on.
  void answer_all() {
    while (!kept.empty()) {
      Reply reply = std::move(kept.back());
      kept.pop_back();
      reply(AnswerBody(answer::State{ModelState::ready}));
    }
  }

  std::vector<Reply> kept;
};

class Scene {
 public:
  explicit Scene(const std::string& path) : path_(path) {
    require(server_.listen(path_, handler_).has_value());
    observer_ = connect();
    clients_[0] = connect();
    clients_[1] = connect();
  }

  void step(std::string_view what) {
    const auto code = static_cast<unsigned char>(what.front());
    std::unique_ptr<Client>& client = clients_[code & 1];
    what.remove_prefix(1);
    switch ((code >> 1) % 8) {
      case 0:
      case 1:
        client->send(what);
        break;
      case 2:
        for (int i = 0; i < 70; ++i) client->send(what);
        break;
      case 3:
        publish(what);
        break;
      case 4:
        client->receive(what.size() * 64 + 1);
        break;
      case 5:
        client->end_sending();
        break;
      case 6:
        client = connect();
        break;
      case 7:
        handler_.answer_all();
        break;
    }
    // The observer has everything before the next step: it is never behind but within one.
    do turn();
    while (observer_->receive(SIZE_MAX));
  }

  // Everybody reads all that there is.
  void finish() {
    for (bool goes_on = true; goes_on;) {
      goes_on = !handler_.kept.empty();
      handler_.answer_all();
      for (int i = 0; i < 3; ++i) turn();
      for (Client* client : {observer_.get(), clients_[0].get(), clients_[1].get()}) {
        while (client->receive(SIZE_MAX)) goes_on = true;
      }
    }
    // The observer has missed nothing, and nothing came twice.
    require(observer_->seqs.size() == log_.seq());
    for (std::size_t i = 0; i < observer_->seqs.size(); ++i) require(observer_->seqs[i] == i + 1);
    for (const auto& client : clients_) {
      const bool all = client->answers == client->lines_sent;
      require(all || (client->is_refused && client->answers <= client->lines_sent + 1));
    }
  }

 private:
  std::unique_ptr<Client> connect() {
    auto client = std::make_unique<Client>(path_);
    turn();
    return client;
  }
  void turn() {
    for (int i = 0; i < 3; ++i) uv_run(loop_.raw(), UV_RUN_NOWAIT);
  }
  void publish(std::string_view what) {
    const std::string model = what.size() % 2 == 0 ? "a" : "b";
    const std::size_t count = what.starts_with('*') ? 40 : 1;
    for (std::size_t i = 0; i < count; ++i) {
      switch (what.size() % 5) {
        case 0:
          log_.publish(model, status::Ready{});
          break;
        case 1:
          log_.publish(model, status::Warning{"something", std::string(what.size() * 100, 'w')});
          break;
        case 2:
          log_.publish(status::Warning{"something", "of the daemon"});
          break;
        default:
          log_.publish(model, status::LoadingModel{phase::Download{.downloaded_bytes = i}});
      }
    }
  }

  const std::string path_;
  loop::Loop loop_;
  Handler handler_;
  StatusLog log_{"b", [this] { server_.published(); }};
  Server server_{loop_, {}, log_};
  std::unique_ptr<Client> observer_;
  std::array<std::unique_ptr<Client>, 2> clients_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  std::signal(SIGPIPE, SIG_IGN);
  spdlog::set_level(spdlog::level::off);
  std::string_view input(reinterpret_cast<const char*>(data), size);
  Scene scene(folder.socket());
  for (int steps = 0; !input.empty() && steps < 200; ++steps) {
    const std::size_t end = input.find('\xff');
    const std::string_view what = input.substr(0, end);
    if (!what.empty()) scene.step(what);
    input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
  }
  scene.finish();
  return 0;
}
