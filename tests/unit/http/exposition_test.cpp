#include "http/exposition.h"

#include <doctest/doctest.h>

#include <string>

namespace ggufd::http {

TEST_CASE("a family is its help, its type and its samples") {
  Exposition out;
  out.family("things_total", "counter", "Things so far.");
  out.sample(7);
  out.sample({{"kind", "a"}, {"of", "b"}}, std::uint64_t{18'446'744'073'709'551'615U});
  out.sample({{"kind", "c"}}, 0.25);
  CHECK(out.text() ==
        "# HELP things_total Things so far.\n# TYPE things_total counter\nthings_total 7\n"
        "things_total{kind=\"a\",of=\"b\"} 18446744073709551615\nthings_total{kind=\"c\"} 0.25\n");
}

TEST_CASE("what would end a label's value is escaped") {
  Exposition out;
  out.family("x", "gauge", "X.");
  out.sample({{"l", "a\"b\\c\nd"}}, std::uint64_t{1});
  CHECK(out.text().ends_with("x{l=\"a\\\"b\\\\c\\nd\"} 1\n"));
}

TEST_CASE("a histogram's buckets count what is at or below each bound") {
  Histogram histogram;
  for (const double seconds : {0.0, 0.001, 0.002, 7.0, 4000.0}) histogram.observe(seconds);
  CHECK(histogram.count() == 5);
  CHECK(histogram.sum() == doctest::Approx(4007.003));
  CHECK(histogram.at_most(0) == 2);
  CHECK(histogram.at_most(1) == 3);
  CHECK(histogram.at_most(Histogram::bounds.size() - 1) == 4);
  Exposition out;
  out.family("t_seconds", "histogram", "T.");
  out.histogram({{"phase", "verify"}}, histogram);
  const std::string text = out.text();
  CHECK(text.find("t_seconds_bucket{phase=\"verify\",le=\"0.001\"} 2\n") != std::string::npos);
  CHECK(text.find("t_seconds_bucket{phase=\"verify\",le=\"10\"} 4\n") != std::string::npos);
  CHECK(text.find("t_seconds_bucket{phase=\"verify\",le=\"+Inf\"} 5\n") != std::string::npos);
  CHECK(text.find("t_seconds_count{phase=\"verify\"} 5\n") != std::string::npos);
}

}  // namespace ggufd::http
