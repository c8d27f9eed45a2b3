#include "engine/llama_host.h"

#include <string_view>
#include <utility>

#include "engine/launcher.h"

namespace ggufd::engine {
namespace {

std::string value_of_path(const std::vector<std::string>& environment) {
  constexpr std::string_view name = "PATH=";
  for (const std::string& variable : environment) {
    if (variable.starts_with(name)) return variable.substr(name.size());
  }
  return "";
}

}  // namespace

LlamaHost::LlamaHost(loop::Loop& on_loop, fetch::CurlLoop& with_curl,
                     std::vector<std::string> own_environment, std::string in_folder,
                     std::optional<rlim_t> limit)
    : loop(on_loop),
      curl(with_curl),
      path_variable(value_of_path(own_environment)),
      environment(engine_environment(own_environment)),
      runtime_folder(std::move(in_folder)),
      open_files(limit),
      probe(on_loop, environment) {}

}  // namespace ggufd::engine
