#include "service/service_manager.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <string_view>
#include <utility>

namespace ggufd::service {
namespace {

constexpr std::uint64_t retry_ms = 100;
// Messages that wait for a manager that does not read; more are not kept.
constexpr std::size_t max_waiting = 64;
constexpr std::string_view watchdog_message = "WATCHDOG=1";
constexpr std::string_view status_prefix = "STATUS=";

std::optional<std::uint64_t> number(const config::Environment& environment, const char* name) {
  const auto text = environment(name);
  std::uint64_t value = 0;
  if (!text) return std::nullopt;
  const auto [end, failure] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (failure != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return value;
}

// sd_watchdog_enabled(3): it is meant for the process that $WATCHDOG_PID names, where that is set, and twice
// within $WATCHDOG_USEC is what it recommends.
std::optional<std::uint64_t> watchdog_interval(const config::Environment& environment) {
  if (environment("WATCHDOG_PID") && number(environment, "WATCHDOG_PID") != getpid()) return std::nullopt;
  const auto limit_us = number(environment, "WATCHDOG_USEC");
  if (!limit_us || *limit_us == 0) return std::nullopt;
  return std::max<std::uint64_t>(*limit_us / 2000, 1);
}

std::uint64_t monotonic_us() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace

ServiceManager::ServiceManager(loop::Loop& loop, const config::Config& config,
                               const config::Environment& environment)
    : config_(config),
      socket_(environment),
      watchdog_interval_ms_(watchdog_interval(environment)),
      progress_(loop, [this] { tell_status(); }),
      watchdog_(loop, [this] { send(std::string(watchdog_message)); }),
      retry_(loop, [this] { send_waiting(); }) {}

void ServiceManager::ready() {
  is_up_ = true;
  send(fmt::format("READY=1\n{}{}", status_prefix, status_value()));
  if (is_listening() && watchdog_interval_ms_) watchdog_.start_repeating(*watchdog_interval_ms_);
}

void ServiceManager::reload_began() {
  if (is_up_) send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us()));
}

void ServiceManager::reload_ended() {
  if (is_up_) send(fmt::format("READY=1\n{}{}", status_prefix, status_value()));
}

void ServiceManager::stopping() {
  is_up_ = false;
  progress_.stop();
  send(fmt::format("STOPPING=1\n{}{}", status_prefix, status_value()));
}

void ServiceManager::close() {
  is_closed_ = true;
  waiting_.clear();
  progress_.stop();
  watchdog_.stop();
  retry_.stop();
}

void ServiceManager::follow(StatusLine::Change change) {
  if (!is_listening() || change == StatusLine::Change::none) return;
  if (change == StatusLine::Change::status) return tell_status();
  if (!progress_.is_running()) progress_.start_once(progress_interval_ms);
}

// Before ready() it would be about a daemon that is not there yet.
void ServiceManager::tell_status() {
  if (!is_up_) return;
  progress_.stop();
  const std::string before = last_status_;
  if (const std::string line = status_value(); line != before) send(std::string(status_prefix) + line);
}

std::string ServiceManager::status_value() {
  last_status_ = notify_value(line_.text(config_.models.size()));
  return last_status_;
}

void ServiceManager::send(std::string lines) {
  if (!is_listening()) return;
  if (waiting_.empty() && socket_.send(lines) != NotifySocket::Sent::not_now) return;
  const auto is_status = [](std::string_view text) { return text.starts_with(status_prefix); };
  // A sign of life is of no use later, and of two lines of status the second is the true one.
  if (lines == watchdog_message) return;
  if (!waiting_.empty() && is_status(lines) && is_status(waiting_.back())) waiting_.pop_back();
  if (waiting_.size() < max_waiting) waiting_.push_back(std::move(lines));
  if (!retry_.is_running()) retry_.start_once(retry_ms);
}

void ServiceManager::send_waiting() {
  while (!waiting_.empty() && socket_.send(waiting_.front()) != NotifySocket::Sent::not_now)
    waiting_.pop_front();
  if (!waiting_.empty()) retry_.start_once(retry_ms);
}

}  // namespace ggufd::service
