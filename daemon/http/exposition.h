// Writes Prometheus' text format, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace ggufd::http {

// How many observations lie at or below each bound. Seconds.
class Histogram {
 public:
  // From a millisecond to an hour: what a phase takes, and what a turn of the loop must not.
  static constexpr std::array<double, 13> bounds{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1,
                                                 5,     10,    60,   300,  900, 3600};

  void observe(double seconds);

  std::uint64_t count() const { return count_; }
  double sum() const { return sum_; }
  // Observations at or below bounds[index].
  std::uint64_t at_most(std::size_t index) const;

 private:
  std::array<std::uint64_t, bounds.size()> buckets_{};
  std::uint64_t count_ = 0;
  double sum_ = 0;
};

class Exposition {
 public:
  using Label = std::pair<std::string_view, std::string_view>;
  using Labels = std::initializer_list<Label>;

  // Opens a family: its samples follow, and belong to it until the next one. `type` is counter, gauge or
  // histogram; `help` is one line.
  void family(std::string_view name, std::string_view type, std::string_view help);

  void sample(std::uint64_t value) { sample({}, value); }
  void sample(Labels labels, std::uint64_t value);
  void sample(Labels labels, double value);
  void histogram(Labels labels, const Histogram& histogram);

  std::string text() const { return fmt::to_string(out_); }

 private:
  void name(std::string_view suffix, std::span<const Label> labels, const Label* last = nullptr);
  void label(const Label& label);

  fmt::memory_buffer out_;
  std::string family_;
};

}  // namespace ggufd::http
