#include "model/config_difference.h"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>
#include <type_traits>

namespace ggufd::model {
namespace {

using Keys = std::vector<std::string>;

struct AnyVisitor {
  void operator()(std::string_view, auto&, std::string_view, const config::Rule& = {}) const {}
};
template <class T>
concept Section = requires(T& section) { std::remove_const_t<T>::fields(section, AnyVisitor{}); };

// f(member of `right`) where it is the member with that key and of that type.
template <class T, class Right, class F>
void with_member(const Right& right, std::string_view key, F&& f) {
  Right::fields(right,
                [&](std::string_view other, const auto& member, std::string_view, const config::Rule& = {}) {
                  if constexpr (std::is_same_v<decltype(member), const T&>) {
                    if (other == key) f(member);
                  }
                });
}

// The keys, each behind `prefix`, whose values differ. Models are compared by their names.
template <Section T>
void compare(const T& left, const T& right, const std::string& prefix, Keys& keys) {
  T::fields(left, [&]<class Member>(std::string_view key, const Member& member, std::string_view,
                                    const config::Rule& = {}) {
    with_member<Member>(right, key, [&](const Member& other) {
      if constexpr (std::is_same_v<Member, std::vector<config::ModelConfig>>) {
        return;
      } else if constexpr (Section<Member>) {
        compare(member, other, fmt::format("{}{}.", prefix, key), keys);
      } else {
        if (member != other) keys.push_back(fmt::format("{}{}", prefix, key));
      }
    });
  });
}

const config::ModelConfig* find(const std::vector<config::ModelConfig>& models, const std::string& name) {
  const auto found = std::ranges::find(models, name, &config::ModelConfig::name);
  return found == models.end() ? nullptr : &*found;
}

void compare_models(const std::vector<config::ModelConfig>& running,
                    const std::vector<config::ModelConfig>& read, Keys& keys) {
  for (std::size_t i = 0; i < read.size(); ++i) {
    const config::ModelConfig* known = find(running, read[i].name);
    if (known == nullptr) {
      keys.push_back(fmt::format("models[{}] (new)", i));
    } else {
      compare(*known, read[i], fmt::format("models[{}].", i), keys);
    }
  }
  for (const config::ModelConfig& model : running) {
    if (find(read, model.name) == nullptr) keys.push_back(fmt::format("models (without {})", model.name));
  }
}

bool is_applicable(std::string_view key) {
  return key.starts_with("fetch.") || key == "auto_pull" || key == "scrub_interval_h" || key == "log.level";
}

}  // namespace

ConfigDifference difference(const config::Config& running, const config::Config& read) {
  Keys keys;
  compare_models(running.models, read.models, keys);
  compare(running, read, "", keys);
  ConfigDifference result;
  for (std::string& key : keys) {
    (is_applicable(key) ? result.applicable : result.pending).push_back(std::move(key));
  }
  return result;
}

void take_over(const config::Config& read, config::Config& running) {
  running.fetch = read.fetch;
  running.auto_pull = read.auto_pull;
  running.scrub_interval_h = read.scrub_interval_h;
  running.log.level = read.log.level;
}

}  // namespace ggufd::model
