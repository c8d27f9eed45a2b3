#include "doctor/examine.h"

#include <algorithm>
#include <iterator>

#include "doctor/checks.h"

namespace ggufd::doctor {

answer::Doctor examine(const Subject& subject) {
  answer::Doctor report;
  const auto config = check_configuration(subject, report);
  check_runtime(subject, config, report);
  check_store(subject, config, report);
  if (config) {
    check_network(subject, *config, report);
    check_engine(subject, *config, report);
    check_memory(subject, *config, report);
    check_machine(subject, *config, report);
  }
  check_other_stores(subject, config, report);
  return report;
}

void append(answer::Doctor& report, answer::Doctor from) {
  report.ok = report.ok && from.ok;
  std::ranges::move(from.checks, std::back_inserter(report.checks));
}

}  // namespace ggufd::doctor
