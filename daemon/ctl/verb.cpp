#include "ctl/verb.h"

#include <utility>

namespace ggufd::ctl {

std::vector<std::unique_ptr<Verb>> all_verbs() {
  std::vector<std::unique_ptr<Verb>> verbs;
  for (const auto make : {make_status, make_watch, make_wait, make_health, make_load, make_unload,
                          make_reload, make_cancel, make_pull, make_verify, make_drain, make_doctor, make_inspect,
                          make_plan, make_import, make_ls, make_rm, make_gc}) {
    verbs.push_back(make());
  }
  return verbs;
}

}  // namespace ggufd::ctl
