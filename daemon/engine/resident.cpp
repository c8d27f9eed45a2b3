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
      : loop_(loop), n_ctx_(offer.n_ctx), line_(to_json(offer) + "\n"), stopped_(loop, [this] {
          std::exchange(on_stopped_, nullptr)();  // may destroy this
        }) {}

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
  void set_user(EngineUser&) override {}  // nothing happens to it by itself
  const std::string& socket_path() const override { return listener_->path(); }
  std::optional<std::uint64_t> warm_up_ms() const override { return std::nullopt; }
  answer::EngineStatus status() const override { return {.backend = Backend::resident}; }
  Use use() const override { return {.is_busy = !connections_.empty(), .last_ms = last_used_ms_}; }
  void watch_use(std::uint64_t) override {}  // it knows at any time
  void stop(std::move_only_function<void()> on_stopped) override {
    on_stopped_ = std::move(on_stopped);
    listener_.reset();
    connections_.clear();
    stopped_.start_once(0);
  }

 private:
  // Gets the line, which a fresh socket's buffer always takes at once, and may then close in its own time.
  class Connection final : public loop::StreamUser {
   public:
    Connection(Resident& resident, std::uint64_t id, std::unique_ptr<loop::Stream> stream)
        : resident_(resident),
          id_(id),
          stream_(std::move(stream)),
          linger_(resident.loop_, [this] { resident_.connections_.erase(id_); }) {
      std::string& line = resident_.line_;
      const iovec piece{line.data(), line.size()};
      stream_->try_write({&piece, 1});
      stream_->end_writing();
      stream_->start_reading(*this);
      linger_.start_once(linger_ms);
    }

    void on_bytes(std::string_view) override {}
    void on_end() override { resident_.connections_.erase(id_); }
    void on_room() override {}
    void on_gone() override {}

   private:
    Resident& resident_;
    const std::uint64_t id_;
    std::unique_ptr<loop::Stream> stream_;
    loop::Timer linger_;
  };

  void serve(std::unique_ptr<loop::Stream> stream) {
    const std::uint64_t id = next_id_++;
    last_used_ms_ = loop_.now_ms();
    connections_.try_emplace(id, *this, id, std::move(stream));
  }

  loop::Loop& loop_;
  std::uint32_t n_ctx_;
  std::string line_;
  std::unique_ptr<loop::Listener> listener_;
  std::unordered_map<std::uint64_t, Connection> connections_;
  std::uint64_t next_id_ = 0;
  std::uint64_t last_used_ms_ = 0;
  loop::Timer stopped_;
  std::move_only_function<void()> on_stopped_;
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
