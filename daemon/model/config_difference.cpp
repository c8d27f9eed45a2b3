#include "model/config_difference.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
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

// Of all models, or of the one that is named.
void compare_models(const config::Config& running, const config::Config& read,
                    std::optional<std::string_view> model, Keys& keys) {
  const auto is_meant = [&](const config::ModelConfig& one) { return !model || one.name == *model; };
  for (std::size_t i = 0; i < read.models.size(); ++i) {
    if (!is_meant(read.models[i])) continue;
    if (const config::ModelConfig* known = find_model(running, read.models[i].name)) {
      compare(*known, read.models[i], fmt::format("models[{}].", i), keys);
    } else {
      keys.push_back(fmt::format("models[{}] (new)", i));
    }
  }
  for (const config::ModelConfig& one : running.models) {
    if (!is_meant(one) || find_model(read, one.name) != nullptr) continue;
    keys.push_back(fmt::format("models (without {})", one.name));
  }
}

// What is bound, opened or set up at the start, and asked for by nobody afterwards.
bool is_pending(std::string_view key) {
  return key == "models_home" || key.starts_with("admin.") || key.starts_with("http.") || key == "log.format";
}

}  // namespace

const config::ModelConfig* find_model(const config::Config& config, std::string_view name) {
  const auto found = std::ranges::find(config.models, name, &config::ModelConfig::name);
  return found == config.models.end() ? nullptr : &*found;
}

ConfigDifference difference(const config::Config& running, const config::Config& read) {
  Keys keys;
  compare_models(running, read, std::nullopt, keys);
  compare(running, read, "", keys);
  ConfigDifference result;
  for (std::string& key : keys) {
    (is_pending(key) ? result.pending : result.applicable).push_back(std::move(key));
  }
  return result;
}

ConfigDifference difference(const config::Config& running, const config::Config& read,
                            std::string_view model) {
  ConfigDifference result;
  compare_models(running, read, model, result.applicable);
  return result;
}

void take_over(const config::Config& read, config::Config& running) {
  config::Config next = read;
  next.models_home = std::move(running.models_home);
  next.admin = std::move(running.admin);
  next.http = std::move(running.http);
  next.log.format = running.log.format;
  running = std::move(next);
}

void take_over(const config::Config& read, config::Config& running, std::string_view model) {
  const config::ModelConfig* next = find_model(read, model);
  const auto place = std::ranges::find(running.models, model, &config::ModelConfig::name);
  if (next == nullptr) {
    if (place != running.models.end()) running.models.erase(place);
  } else if (place != running.models.end()) {
    *place = *next;
  } else {
    running.models.push_back(*next);
  }
  if (find_model(running, running.default_model) != nullptr) return;
  running.default_model = read.default_model;
  if (find_model(running, running.default_model) != nullptr) return;
  running.default_model = running.models.empty() ? "" : running.models.front().name;
}

}  // namespace ggufd::model
