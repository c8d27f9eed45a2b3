#include "engine/byte_relay.h"

#include <string_view>
#include <utility>

#include "loop/connect.h"
#include "loop/timer.h"

namespace ggufd::engine {
namespace {

// What the streams of both ends can do.
struct RelayStream {
  RelayStream() = default;
  RelayStream(const RelayStream&) = delete;
  RelayStream& operator=(const RelayStream&) = delete;
  virtual ~RelayStream() = default;

  virtual void start_reading(loop::StreamUser& user) = 0;
  virtual void stop_reading() = 0;
  virtual Result<std::size_t> try_write(std::string_view bytes) = 0;
  virtual void wait_for_room() = 0;
  virtual void end_writing() = 0;
};

template <class S>
struct RelayStreamOf final : RelayStream {
  explicit RelayStreamOf(std::unique_ptr<S> of) : stream(std::move(of)) {}

  void start_reading(loop::StreamUser& user) override { stream->start_reading(user); }
  void stop_reading() override { stream->stop_reading(); }
  Result<std::size_t> try_write(std::string_view bytes) override {
    const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    return stream->try_write({&piece, 1});
  }
  void wait_for_room() override { stream->wait_for_room(); }
  void end_writing() override { stream->end_writing(); }

  std::unique_ptr<S> stream;
};

}  // namespace

class ByteRelay::Connection {
 public:
  Connection(ByteRelay& relay, std::uint64_t id, std::unique_ptr<loop::Stream> client)
      : relay_(relay),
        id_(id),
        client_(*this, engine_),
        engine_(*this, client_),
        linger_(relay.loop_, [this] { relay_.end(id_); }),
        connecting_(connect_loopback(relay.loop_, relay.port_, [this](auto engine) {
          if (!engine) return relay_.end(id_);
          engine_.attach(std::make_unique<RelayStreamOf<loop::TcpStream>>(std::move(*engine)));
          settle();
        })) {
    // Already now: whoever sends its request and goes is served all the same, and whoever only goes is
    // noticed.
    client_.attach(std::make_unique<RelayStreamOf<loop::Stream>>(std::move(client)));
  }

 private:
  // One end, and what waits for it to take: while anything does, the other end is not read.
  struct End final : loop::StreamUser {
    End(Connection& of, End& other_end) : connection(of), other(other_end) {}

    void attach(std::unique_ptr<RelayStream> connected);
    void take(std::string_view bytes);
    void flush();
    std::size_t write(std::string_view bytes);
    void go_deaf();
    void read_on();

    void on_bytes(std::string_view bytes) override;
    void on_end() override;
    void on_room() override;
    void on_gone() override;

    Connection& connection;
    End& other;
    std::unique_ptr<RelayStream> stream;  // none: not connected yet
    std::string waiting;
    bool has_ended = false;  // its sending
    bool was_told = false;   // that the other one has ended its sending
    bool is_deaf = false;    // takes nothing any more; what is for it is dropped
  };

  static void pass_on_end(const End& from, End& to);
  bool is_over() const;
  // After whatever has happened; may destroy the connection.
  void settle();

  ByteRelay& relay_;
  const std::uint64_t id_;
  End client_;
  End engine_;
  loop::Timer linger_;
  loop::OperationPtr connecting_;
};

// --- One end

void ByteRelay::Connection::End::attach(std::unique_ptr<RelayStream> connected) {
  stream = std::move(connected);
  stream->start_reading(*this);
  flush();
}

void ByteRelay::Connection::End::take(std::string_view bytes) {
  if (stream && waiting.empty() && !is_deaf) bytes.remove_prefix(write(bytes));
  if (bytes.empty() || is_deaf) return;
  waiting.append(bytes);
  other.stream->stop_reading();
  if (stream) stream->wait_for_room();
}

void ByteRelay::Connection::End::flush() {
  if (waiting.empty()) return;
  waiting.erase(0, write(waiting));
  if (!waiting.empty()) return stream->wait_for_room();
  waiting.shrink_to_fit();
  other.read_on();
}

std::size_t ByteRelay::Connection::End::write(std::string_view bytes) {
  const auto written = stream->try_write(bytes);
  if (written) return *written;
  go_deaf();
  return bytes.size();
}

// It may still be read from: an engine that has refused the rest of a request has answered why.
void ByteRelay::Connection::End::go_deaf() {
  is_deaf = true;
  waiting.clear();
  other.read_on();
}

void ByteRelay::Connection::End::read_on() {
  if (stream) stream->start_reading(*this);
}

void ByteRelay::Connection::End::on_bytes(std::string_view bytes) {
  connection.relay_.touch();
  other.take(bytes);
  connection.settle();
}

void ByteRelay::Connection::End::on_end() {
  has_ended = true;
  connection.settle();
}

void ByteRelay::Connection::End::on_room() {
  connection.relay_.touch();
  flush();
  connection.settle();
}

void ByteRelay::Connection::End::on_gone() {
  go_deaf();
  connection.settle();
}

// --- The connection

void ByteRelay::Connection::pass_on_end(const End& from, End& to) {
  if (!from.has_ended || !to.stream || !to.waiting.empty() || to.was_told) return;
  to.was_told = true;
  to.stream->end_writing();
}

bool ByteRelay::Connection::is_over() const {
  if (client_.was_told && engine_.was_told) return true;
  // Nobody reads the answer; what was asked has been passed on.
  if (client_.is_deaf && engine_.waiting.empty()) return true;
  return engine_.has_ended && engine_.is_deaf && client_.waiting.empty();
}

void ByteRelay::Connection::settle() {
  pass_on_end(client_, engine_);
  pass_on_end(engine_, client_);
  if (is_over()) return relay_.end(id_);
  if (engine_.has_ended || client_.is_deaf) linger_.start_once(relay_.linger_ms_);
}

// --- The relay

ByteRelay::ByteRelay(loop::Loop& loop, std::uint16_t port, std::uint64_t linger_ms)
    : loop_(loop), port_(port), linger_ms_(linger_ms) {}

ByteRelay::~ByteRelay() = default;

Result<std::unique_ptr<ByteRelay>> ByteRelay::start(loop::Loop& loop, std::string socket_path,
                                                    std::uint16_t port, std::uint64_t linger_ms) {
  std::unique_ptr<ByteRelay> relay(new ByteRelay(loop, port, linger_ms));
  auto listener =
      loop::Listener::listen(loop, std::move(socket_path),
                             [of = relay.get()](std::unique_ptr<loop::Stream> client, loop::PeerCredentials) {
                               of->carry(std::move(client));
                             });
  if (!listener) return std::unexpected(std::move(listener.error()));
  relay->listener_ = std::move(*listener);
  return relay;
}

void ByteRelay::carry(std::unique_ptr<loop::Stream> client) {
  touch();
  if (connections_.size() >= connections_max) return;  // dropping it closes it
  const std::uint64_t id = next_id_++;
  connections_.emplace(id, std::make_unique<Connection>(*this, id, std::move(client)));
}

void ByteRelay::end(std::uint64_t id) {
  touch();
  connections_.erase(id);
}

}  // namespace ggufd::engine
