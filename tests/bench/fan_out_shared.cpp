#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "protocol/frame.h"
#include "tests/bench/fan_out_bench.h"

namespace ggufd::bench {
namespace {

constexpr std::size_t stamps_bytes = Stamps::capacity * sizeof(std::uint64_t);

phase::Download download(std::uint64_t index) {
  // As many digits in the first frame as in the last.
  return {.downloaded_bytes = 1'000'000'000 + index * 1024,
          .total_bytes = {2'497'280'256},
          .source_url = "https://huggingface.co/Qwen/Qwen3-4B-GGUF/resolve/main/Qwen3-4B-Q4_K_M.gguf",
          .bytes_per_second = 104'857'600,
          .eta_s = 12,
          .resumed_bytes = 0,
          .connections = 8};
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) give_up(path + " is too long for a socket's name");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

int unix_socket() {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  require(fd >= 0, "socket");
  return fd;
}

}  // namespace

void give_up(std::string_view what) {
  fmt::print(stderr, "fan_out_bench: {}\n", what);
  std::exit(1);
}

void require(bool is_good, std::string_view what) {
  if (!is_good) give_up(fmt::format("{}: {}", what, std::strerror(errno)));
}

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

// --- Stamps

Stamps::Stamps(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  require(fd >= 0, path);
  require(ftruncate(fd, static_cast<off_t>(stamps_bytes)) == 0, path);
  void* mapped = mmap(nullptr, stamps_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  require(mapped != MAP_FAILED, path);
  close(fd);
  ns_ = static_cast<std::uint64_t*>(mapped);
}

Stamps::~Stamps() {
  munmap(ns_, stamps_bytes);
}

void Stamps::set(std::uint64_t index, std::uint64_t ns) {
  if (index >= capacity) give_up("more events than there are stamps");
  std::atomic_ref(ns_[index]).store(ns, std::memory_order_relaxed);
}

std::uint64_t Stamps::at(std::uint64_t index) const {
  return std::atomic_ref(ns_[index]).load(std::memory_order_relaxed);
}

// --- Events

Status progress_event(std::uint64_t index) {
  return status::LoadingModel{download(index)};
}

Status change_event(std::uint64_t index) {
  if (index % 2 == 0) return progress_event(index);
  status::Restarting restarting{.phase = download(index), .reason = RestartReason::reload};
  // What `"restarting"` and `"reason":"reload"` are longer than `"loading_model"`.
  constexpr std::size_t longer_by = 14;
  auto& url = std::get<phase::Download>(*restarting.phase).source_url;
  url.resize(url.size() - longer_by);
  return restarting;
}

std::string change_frame(std::uint64_t index) {
  return encoded(StatusEvent{change_event(index), bench_model, index + 1, Timestamp::now()});
}

// --- Commands

std::string Commands::read_input() {
  std::string bytes(4096, '\0');
  ssize_t size = 0;
  do {
    size = ::read(STDIN_FILENO, bytes.data(), bytes.size());
  } while (size < 0 && errno == EINTR);
  require(size >= 0, "stdin");
  bytes.resize(static_cast<std::size_t>(size));
  return bytes;
}

Command Commands::parse(std::string_view line) {
  std::istringstream words{std::string(line)};
  Command command;
  words >> command.verb >> command.count >> command.pace;
  return command;
}

void answer(const std::string& line) {
  fmt::print("{}\n", line);
  require(std::fflush(stdout) == 0, "stdout");
}

void answer_started() {
  answer(R"({"started":true})");
}

void answer_published(std::uint64_t begin_ns) {
  answer(fmt::format(R"({{"begin_ns":{}}})", begin_ns));
}

// --- Sockets

// Waits where the backlog is full.
int connect_to(const std::string& path) {
  const int fd = unix_socket();
  const sockaddr_un address = address_of(path);
  int status = 0;
  do {
    status = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  } while (status != 0 && errno == EINTR);
  require(status == 0, path);
  return fd;
}

int listen_on(const std::string& path) {
  const int fd = unix_socket();
  const sockaddr_un address = address_of(path);
  require(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0, path);
  require(listen(fd, SOMAXCONN) == 0, path);
  return fd;
}

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    require(written >= 0, "write");
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace ggufd::bench
