// Shows how a model comes up: await_model [MODEL]. Exit code 0 once it is ready, 1 where it can't be.
#include <fmt/core.h>
#include <protocol/client.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;

static std::string socket_path() {
  if (const char* folder = std::getenv("GGUFD_RUNTIME_DIR")) return std::string(folder) + "/admin.sock";
  if (const char* folder = std::getenv("XDG_RUNTIME_DIR")) return std::string(folder) + "/ggufd/admin.sock";
  return fmt::format("/tmp/ggufd-{}/admin.sock", geteuid());
}

static std::string describe(const ggufd::LoadPhase& phase) {
  const auto name = ggufd::name_of(ggufd::kind_of(phase));
  const auto part = [&](auto done, auto total) {
    return total > 0 ? fmt::format("{} {} %", name, done * 100 / total) : std::string(name);
  };
  if (const auto* download = std::get_if<ggufd::phase::Download>(&phase))
    return part(download->downloaded_bytes, download->total_bytes.value.value_or(0));
  if (const auto* verify = std::get_if<ggufd::phase::Verify>(&phase)) return part(verify->verified_bytes, verify->total_bytes);
  if (const auto* mmap = std::get_if<ggufd::phase::Mmap>(&phase)) return part(mmap->resident_bytes, mmap->total_bytes);
  return std::string(name);
}

// The exit code, once the event decides it.
static std::optional<int> show(const ggufd::StatusEvent& event, const std::string& model) {
  if (event.model != model) return std::nullopt;
  if (const auto* phase = ggufd::phase_of(event)) fmt::print("{}: {}\n", model, describe(*phase));
  if (const auto* ready = std::get_if<ggufd::status::Ready>(&event.status))
    return fmt::print("{}: ready in {} ms\n", model, ready->load_ms), 0;
  if (const auto* failed = std::get_if<ggufd::status::Failed>(&event.status); failed && !failed->retry_in_ms)
    return fmt::print("{}: {}\n", model, failed->message), 1;
  return std::nullopt;
}

int main(int argc, char** argv) {
  auto client = ggufd::Client::connect(socket_path(), ggufd::deadline_in(5s));
  if (!client) return fmt::print(stderr, "{}\n", client.error().error.message), 3;
  std::vector<ggufd::StatusEvent> events;  // what comes first: how things stand
  const auto status = client->ask<ggufd::answer::Status>(ggufd::request::Status{}, ggufd::deadline_in(5s),
                                                         [&](const auto& event) { events.push_back(event); });
  if (!status) return fmt::print(stderr, "{}\n", status.error().error.message), 1;
  const std::string model = argc > 1 ? argv[1] : status->default_model.value_or("");
  for (const auto& event : events)
    if (const auto code = show(event, model)) return *code;
  while (const auto frame = client->read_frame(ggufd::no_deadline))
    if (const auto* event = std::get_if<ggufd::StatusEvent>(&*frame))
      if (const auto code = show(*event, model)) return *code;
  return 1;
}
