#include "engine/resident.h"

#include <unordered_map>
#include <utility>

#include "loop/listener.h"
#include "loop/timer.h"

namespace ggufd::engine {

std::string engine_socket_path(const std::string& runtime_folder, std::string_view model) {
  // Not longer than the public name, which was checked to fit into a socket address.
  return std::string(runtime_folder).append("/.").append(model).append(".sock");
}

namespace {

// How long a connection may keep its side open after it got its line. Closing at once would reset a client
// that is still sending its request, and it could lose the line.
constexpr std::uint64_t linger_ms = 1000;

class Resident final : public Engine {
 public:
  Resident(loop::Loop& loop, ResidentOffer offer)
      : loop_(loop), n_ctx_(offer.n_ctx), line_(std::make_shared<std::string>(to_json(offer) + "\n")) {}

  Result<void> listen(const std::string& socket_path) {
    auto listener = loop::Listener::listen(
        loop_, socket_path,
        [this](std::unique_ptr<loop::Stream> stream, loop::PeerCredentials) { serve(std::move(stream)); });
    if (!listener) return std::unexpected(listener.error());
    listener_ = std::move(*listener);
    return {};
  }

  status::Capabilities capabilities() const override {
    return {.backend = Backend::resident, .n_ctx = n_ctx_};
  }
  const std::string& socket_path() const override { return listener_->path(); }
  Use use() const override { return {.is_busy = !connections_.empty(), .last_ms = last_used_ms_}; }

 private:
  struct Connection {
    std::unique_ptr<loop::Stream> stream;
    std::unique_ptr<loop::Timer> linger;
  };

  void serve(std::unique_ptr<loop::Stream> stream) {
    const std::uint64_t id = next_id_++;
    last_used_ms_ = loop_.now_ms();
    auto linger = std::make_unique<loop::Timer>(loop_, [this, id] { connections_.erase(id); });
    linger->start_once(linger_ms);
    Connection& connection = connections_[id] = {std::move(stream), std::move(linger)};
    const uv_buf_t line = uv_buf_init(line_->data(), static_cast<unsigned>(line_->size()));
    connection.stream->write({&line, 1}, line_, [](bool) {});
    connection.stream->end_writing();
    connection.stream->start_reading([](std::string_view) {}, [this, id] { connections_.erase(id); });
  }

  loop::Loop& loop_;
  std::uint32_t n_ctx_;
  std::shared_ptr<std::string> line_;
  std::unique_ptr<loop::Listener> listener_;
  std::unordered_map<std::uint64_t, Connection> connections_;
  std::uint64_t next_id_ = 0;
  std::uint64_t last_used_ms_ = 0;
};

}  // namespace

Result<std::unique_ptr<Engine>> start_resident(loop::Loop& loop, const std::string& socket_path,
                                               ResidentOffer offer) {
  offer.message =
      "The model is in memory; this engine does not infer. Configure llama-server to generate text.";
  auto resident = std::make_unique<Resident>(loop, std::move(offer));
  if (auto listening = resident->listen(socket_path); !listening) return std::unexpected(listening.error());
  return resident;
}

}  // namespace ggufd::engine
