#include "engine/launcher.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ranges>

#include "engine/session_keeper.h"

namespace ggufd::engine {
namespace {

constexpr std::string_view verb = "__launch";
constexpr std::string_view as_it_is = "-";
constexpr int usage_error = 64;
constexpr int first_given = 3;  // after standard input, output and error
constexpr int descriptors_max = 1024;

// `ggufd __launch <parent's pid> <open files or "-"> <number of descriptors> <program> [argument...]`
struct Order {
  pid_t parent = 0;
  std::optional<rlim_t> open_files;
  int descriptor_count = 0;
  char** command = nullptr;  // ends with a null pointer, as argv does

  int lifeline() const { return first_given + descriptor_count; }
};

template <class T>
bool read_number(std::string_view text, T& value) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failure == std::errc() && end == text.data() + text.size();
}

std::optional<Order> read_order(int argc, char** argv) {
  if (argc < 6) return std::nullopt;
  Order order{.command = argv + 5};
  if (!read_number(argv[2], order.parent)) return std::nullopt;
  if (argv[3] != as_it_is && !read_number(argv[3], order.open_files.emplace())) return std::nullopt;
  if (!read_number(argv[4], order.descriptor_count)) return std::nullopt;
  if (order.descriptor_count < 0 || order.descriptor_count > descriptors_max) return std::nullopt;
  return order;
}

int failed(const char* doing, int error_number) {
  fmt::print(stderr, "ggufd: {}: {}\n", doing, std::strerror(error_number));
  return launch_failed;
}

bool limit_resources(const Order& order) {
  constexpr rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  if (setrlimit(RLIMIT_CORE, &no_core) != 0) return false;
  if (!order.open_files) return true;
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return false;
  files.rlim_cur = std::min(*order.open_files, files.rlim_max);
  return setrlimit(RLIMIT_NOFILE, &files) == 0;
}

// An ignored signal stays ignored in the program that is executed, and so does the mask.
void reset_signals() {
  for (int number = 1; number < NSIG; ++number) std::signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// The number of what failed, 0 where nothing did.
int put_in_order(const Order& order) {
  if (getsid(0) != getpid() && setsid() < 0) return errno;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return errno;
  // The parent may have ended before the line above; whoever has adopted us will not end.
  if (getppid() != order.parent) return ESRCH;
  if (!limit_resources(order)) return errno;
  if (close_range(static_cast<unsigned>(order.lifeline()) + 1, ~0U, 0) != 0) return errno;
  umask(077);
  reset_signals();
  return 0;
}

}  // namespace

loop::ChildOptions launcher_command(const Launch& launch, pid_t parent) {
  loop::ChildOptions options;
  // In the child that is about to execute it, this is still our own binary: also where its file has been
  // replaced meanwhile.
  options.program = "/proc/self/exe";
  options.arguments = {std::string(verb), std::to_string(parent),
                       launch.open_files ? std::to_string(*launch.open_files) : std::string(as_it_is),
                       std::to_string(launch.descriptors.size()), launch.program};
  options.arguments.insert(options.arguments.end(), launch.arguments.begin(), launch.arguments.end());
  options.environment = launch.environment;
  options.stop_grace_ms = launch.stop_grace_ms;
  options.descriptors = launch.descriptors;
  options.has_lifeline = true;
  options.has_input = launch.has_input;
  return options;
}

std::optional<int> launch_if_asked(int argc, char** argv) {
  if (argc < 2 || argv[1] != verb) return std::nullopt;
  const auto order = read_order(argc, argv);
  if (!order || fcntl(order->lifeline(), F_GETFD) < 0) {
    fmt::print(stderr, "ggufd: {} is how ggufd starts its engines; it is of no use by hand\n", verb);
    return usage_error;
  }
  if (const int error_number = put_in_order(*order); error_number != 0) {
    return failed("preparing to start an engine", error_number);
  }
  if (!start_session_keeper(order->lifeline())) return failed("starting the keeper of an engine", errno);
  close(order->lifeline());
  execv(order->command[0], order->command);
  const int error_number = errno;
  return failed(fmt::format("cannot run {}", order->command[0]).c_str(), error_number);
}

bool is_for_engines(std::string_view variable_name) {
  constexpr auto names = std::to_array<std::string_view>({"PATH", "HOME", "LD_LIBRARY_PATH"});
  constexpr auto prefixes = std::to_array<std::string_view>(
      {"GGML_", "VK_", "HIP_", "ROCR_", "ROCM_", "HSA_", "CUDA_", "NVIDIA_", "MESA_", "RADV_"});
  return std::ranges::find(names, variable_name) != names.end() ||
         std::ranges::any_of(prefixes,
                             [&](std::string_view prefix) { return variable_name.starts_with(prefix); });
}

std::vector<std::string> engine_environment(std::span<const std::string> ours) {
  std::vector<std::string> allowed;
  for (const std::string& variable : ours) {
    const std::size_t end_of_name = variable.find('=');
    if (end_of_name == std::string::npos) continue;
    if (is_for_engines(std::string_view(variable).substr(0, end_of_name))) allowed.push_back(variable);
  }
  return allowed;
}

std::vector<std::string> own_environment() {
  std::vector<std::string> variables;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  return variables;
}

}  // namespace ggufd::engine
