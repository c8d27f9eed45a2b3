#include "doctor/fit.h"

#include "support.h"

namespace ggufd::doctor::test {
namespace {

answer::Doctor report_of(std::size_t models, Outcome outcome) {
  answer::Doctor report{.ok = outcome != Outcome::fail};
  for (std::size_t i = 0; i < models; ++i) {
    report.checks.push_back({"models", fmt::format("model-{}", i), outcome, std::string(300, 'x'),
                             outcome == Outcome::ok ? "" : std::string(300, 'y')});
  }
  return report;
}

TEST_CASE("a report that fits stays as it is") {
  const auto report = report_of(3, Outcome::fail);
  CHECK(fitted(report, to_json(report).size()) == report);
}

TEST_CASE("what is in order is counted first") {
  auto report = report_of(1000, Outcome::ok);
  report.checks.push_back({"models", "bad", Outcome::fail, "it is bad", "mend it"});
  report.ok = false;
  const auto small = fitted(report, 64 * 1024);
  CHECK(!small.ok);
  REQUIRE(small.checks.size() == 2);
  CHECK(small.checks.front().found == "1000 checks");
  CHECK(small.checks.back() == report.checks.back());
}

TEST_CASE("a thousand failures are cut, then counted") {
  for (const std::size_t models : {100U, 1000U, 10'000U}) {
    CAPTURE(models);
    const auto small = fitted(report_of(models, Outcome::fail), 64 * 1024);
    CHECK(to_json(small).size() <= 64 * 1024);
    CHECK(to_json(small).size() > 32 * 1024);
    CHECK(!small.ok);
  }
}

TEST_CASE("failures are told rather than warnings") {
  auto report = report_of(1000, Outcome::warn);
  report.checks.push_back({"models", "bad", Outcome::fail, "it is bad", "mend it"});
  const auto small = fitted(report, 2048);
  CHECK(to_json(small).size() <= 2048);
  CHECK(std::ranges::any_of(small.checks, [](const auto& check) { return check.name == "bad"; }));
}

}  // namespace
}  // namespace ggufd::doctor::test
