#include "http/exposition.h"

#include <algorithm>
#include <iterator>
#include <numeric>

namespace ggufd::http {

void Histogram::observe(double seconds) {
  ++count_;
  sum_ += seconds;
  const auto bound = std::ranges::lower_bound(bounds, seconds);
  if (bound != bounds.end()) ++buckets_[static_cast<std::size_t>(bound - bounds.begin())];
}

std::uint64_t Histogram::at_most(std::size_t index) const {
  const auto end = buckets_.begin() + static_cast<std::ptrdiff_t>(index) + 1;
  return std::accumulate(buckets_.begin(), end, std::uint64_t{0});
}

void Exposition::family(std::string_view name, std::string_view type, std::string_view help) {
  family_ = name;
  fmt::format_to(fmt::appender(out_), "# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

void Exposition::label(const Label& label) {
  fmt::format_to(fmt::appender(out_), "{}=\"", label.first);
  for (const char c : label.second) {
    if (c == '\\' || c == '"') out_.push_back('\\');
    if (c == '\n') {
      out_.append(std::string_view("\\n"));
    } else {
      out_.push_back(c);
    }
  }
  out_.push_back('"');
}

void Exposition::name(std::string_view suffix, std::span<const Label> labels, const Label* last) {
  fmt::format_to(fmt::appender(out_), "{}{}", family_, suffix);
  if (!labels.empty() || last != nullptr) {
    out_.push_back('{');
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (i > 0) out_.push_back(',');
      label(labels[i]);
    }
    if (last != nullptr) {
      if (!labels.empty()) out_.push_back(',');
      label(*last);
    }
    out_.push_back('}');
  }
  out_.push_back(' ');
}

void Exposition::sample(Labels labels, std::uint64_t value) {
  name("", {labels.begin(), labels.size()});
  fmt::format_to(fmt::appender(out_), "{}\n", value);
}

void Exposition::sample(Labels labels, double value) {
  name("", {labels.begin(), labels.size()});
  fmt::format_to(fmt::appender(out_), "{}\n", value);
}

void Exposition::histogram(Labels labels, const Histogram& histogram) {
  const std::span<const Label> own(labels.begin(), labels.size());
  for (std::size_t i = 0; i < Histogram::bounds.size(); ++i) {
    const std::string bound = fmt::format("{}", Histogram::bounds[i]);
    const Label le{"le", bound};
    name("_bucket", own, &le);
    fmt::format_to(fmt::appender(out_), "{}\n", histogram.at_most(i));
  }
  const Label all{"le", "+Inf"};
  name("_bucket", own, &all);
  fmt::format_to(fmt::appender(out_), "{}\n", histogram.count());
  name("_sum", own);
  fmt::format_to(fmt::appender(out_), "{}\n", histogram.sum());
  name("_count", own);
  fmt::format_to(fmt::appender(out_), "{}\n", histogram.count());
}

}  // namespace ggufd::http
