#include "logging.h"

#include <spdlog/async.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <ctime>
#include <future>
#include <iterator>
#include <memory>
#include <thread>

#include "protocol/fields.h"

namespace ggufd {
namespace {

constexpr std::size_t waiting_lines = 4096;

spdlog::level::level_enum spdlog_level(config::LogLevel level) {
  switch (level) {
    case config::LogLevel::trace:
      return spdlog::level::trace;
    case config::LogLevel::debug:
      return spdlog::level::debug;
    case config::LogLevel::info:
      return spdlog::level::info;
    case config::LogLevel::warn:
      return spdlog::level::warn;
    case config::LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// What a message quotes may come from anywhere: a line stays a line, and moves no terminal's cursor.
class PrintableMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    unsigned char before = 0;
    for (const char c : message.payload) {
      const auto byte = static_cast<unsigned char>(c);
      // U+0080 to U+009F are control characters as well, and 0xC2 0x80 to 0xC2 0x9F in UTF-8.
      const bool is_control = byte < 0x20 || byte == 0x7F || (before == 0xC2 && byte >= 0x80 && byte < 0xA0);
      if (is_control) {
        if (byte >= 0x80) out.resize(out.size() - 1);
        fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
      } else {
        out.push_back(c);
      }
      before = byte;
    }
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<PrintableMessage>();
  }
};

// {"ts":"…","level":"info","message":"…"} a line.
class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    using namespace std::chrono;
    const Timestamp when{duration_cast<milliseconds>(message.time.time_since_epoch()).count()};
    fmt::memory_buffer line;
    JsonWriter json(line);
    json.begin_object();
    json.key("ts");
    write_value(json, when);
    json.key("level");
    json.value(to_view(message.level));
    json.key("message");
    json.value(std::string_view(message.payload.data(), message.payload.size()));
    json.end_object();
    line.push_back('\n');
    out.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<JsonFormatter>(); }

 private:
  static std::string_view to_view(spdlog::level::level_enum level) {
    const auto name = spdlog::level::to_string_view(level);
    return {name.data(), name.size()};
  }
};

}  // namespace

void start_logging(const config::LogConfig& config) {
  spdlog::init_thread_pool(waiting_lines, 1);
  auto logger = std::make_shared<spdlog::async_logger>(
      "ggufd", std::make_shared<spdlog::sinks::stderr_sink_mt>(), spdlog::thread_pool(),
      spdlog::async_overflow_policy::overrun_oldest);
  if (config.format == config::LogFormat::json) {
    logger->set_formatter(std::make_unique<JsonFormatter>());
  } else {
    auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
    formatter->add_flag<PrintableMessage>('*').set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %-5l %*");
    logger->set_formatter(std::move(formatter));
  }
  logger->set_level(spdlog_level(config.level));
  spdlog::set_default_logger(std::move(logger));
}

void set_log_level(config::LogLevel level) {
  spdlog::default_logger()->set_level(spdlog_level(level));
}

bool stop_logging() {
  // Shared, so that a thread that is stuck may end whenever it likes.
  const auto stopped = std::make_shared<std::promise<void>>();
  auto done = stopped->get_future();
  std::thread([stopped] {
    spdlog::shutdown();
    stopped->set_value();
  }).detach();
  return done.wait_for(log_limit) == std::future_status::ready;
}

}  // namespace ggufd
