#include "ctl/session.h"
#include "ctl/verb.h"
#include "protocol/health_report.h"

namespace ggufd::ctl {
namespace {

class HealthVerb final : public Verb {
 public:
  const char* name() const override { return "health"; }
  const char* summary() const override { return "the health document; exit code 0 where it says ok"; }
  const char* example() const override { return "ggufctl health | jq -r .availability.name"; }
  const char* exit_codes() const override {
    return "0  the document's status is ok\n"
           "1  it is starting or unhealthy\n"
           "3  no daemon is there";
  }
  void bind(Parameters&) override {}

  int run(Context& context) override {
    auto session = Session::open(context);
    if (!session) return session.error();
    const auto status = session->ask<answer::Status>(request::Status{});
    if (!status) return status.error();
    const HealthReport report = health_report(*status);
    context.out.write(to_json(report) + "\n");
    return report.of_default.status == Health::ok ? done : failed;
  }
};

}  // namespace

std::unique_ptr<Verb> make_health() {
  return std::make_unique<HealthVerb>();
}

}  // namespace ggufd::ctl
