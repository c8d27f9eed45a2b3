#include "doctor/service.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "doctor/group.h"

namespace ggufd::doctor {
namespace {

constexpr const char* unit_name = "ggufd.service";
constexpr std::size_t unit_output_bytes_max = 64 * 1024;

// "Key=value" a line.
std::string_view property(std::string_view properties, std::string_view key) {
  while (!properties.empty()) {
    const std::string_view line = properties.substr(0, properties.find('\n'));
    if (line.starts_with(key) && line.substr(key.size()).starts_with("=")) return line.substr(key.size() + 1);
    properties.remove_prefix(std::min(line.size() + 1, properties.size()));
  }
  return {};
}

bool is_installed(std::string_view properties) {
  return property(properties, "LoadState") != "not-found";
}

}  // namespace

// The properties are those of systemctl(1), "show".
void judge_unit(std::string_view properties, answer::Doctor& report) {
  Group group(report, "service");
  const std::string_view load = property(properties, "LoadState");
  const std::string_view active = property(properties, "ActiveState");
  const std::string_view enabled = property(properties, "UnitFileState");
  const std::string_view result = property(properties, "Result");
  const std::string_view restarts = property(properties, "NRestarts");
  if (!is_installed(properties)) return group.skip("systemd", fmt::format("{} is not installed", unit_name));
  if (load != "loaded") {
    return group.fail("systemd",
                      fmt::format("{} is {}", unit_name, load.empty() ? "in an unknown state" : load),
                      fmt::format("`systemctl status {}` says why", unit_name));
  }
  const std::string found =
      fmt::format("{} is {} ({}), {}", unit_name, active, property(properties, "SubState"),
                  enabled.empty() ? "not enabled" : enabled);
  if (active == "failed") {
    return group.fail("systemd", fmt::format("{}: {}", found, result),
                      fmt::format("`journalctl -u {0}` says why; then `systemctl restart {0}`", unit_name));
  }
  if (!restarts.empty() && restarts != "0") {
    return group.warn("systemd", fmt::format("{}; it was restarted {} times", found, restarts),
                      fmt::format("`journalctl -u {}` says why", unit_name));
  }
  if (active != "active" && active != "reloading" && active != "activating") {
    return group.warn("systemd", found, fmt::format("`systemctl start {}`", unit_name));
  }
  if (enabled != "enabled" && enabled != "static" && enabled != "indirect") {
    return group.warn("systemd", found + ": it does not come back after the next boot",
                      fmt::format("`systemctl enable {}`", unit_name));
  }
  group.ok("systemd", found);
}

void skip_unit(std::string why, answer::Doctor& report) {
  Group(report, "service").skip("systemd", std::move(why));
}

AskUnit::AskUnit(loop::Loop& loop, std::string systemctl, bool is_user, std::vector<std::string> environment,
                 Done on_done)
    : loop_(loop),
      systemctl_(std::move(systemctl)),
      environment_(std::move(environment)),
      on_done_(std::move(on_done)),
      is_user_(is_user),
      timer_(loop, [this] { conclude(); }) {
  ask();
}

void AskUnit::ask() {
  output_.clear();
  result_ = fail(ErrorCode::io, fmt::format("{} has not answered within {} s", systemctl_, limit_ms / 1000));
  std::vector<std::string> arguments{
      "show", unit_name, "--property=LoadState,ActiveState,SubState,Result,UnitFileState,NRestarts"};
  if (is_user_) arguments.insert(arguments.begin(), "--user");
  auto child = loop::start_child(
      loop_, {.program = systemctl_, .arguments = std::move(arguments), .environment = environment_},
      {.on_output =
           [this](std::string_view output) {
             output_ +=
                 output.substr(0, unit_output_bytes_max - std::min(output_.size(), unit_output_bytes_max));
           },
       .on_exit =
           [this](loop::ChildExit exit) {
             const bool is_told = exit.code == 0 && exit.signal_number == 0;
             answered(is_told ? Result<std::string>(std::move(output_))
                              : fail(ErrorCode::io,
                                     "systemctl could not tell: " + output_.substr(0, output_.find('\n'))));
           }});
  if (!child) return answered(std::unexpected(std::move(child.error())));
  child_ = std::move(*child);
  timer_.start_once(limit_ms);
}

void AskUnit::answered(Result<std::string> result) {
  result_ = std::move(result);
  timer_.start_once(0);
}

void AskUnit::conclude() {
  child_.reset();
  if (is_user_ && !(result_ && is_installed(*result_))) {
    // A service of the whole system is what most machines have, and everybody may ask for it.
    is_user_ = false;
    of_user_ = std::move(result_);
    return ask();
  }
  if (of_user_ && !result_) result_ = std::move(*of_user_);
  if (auto done = std::exchange(on_done_, nullptr)) done(std::move(result_));  // may destroy this
}

}  // namespace ggufd::doctor
