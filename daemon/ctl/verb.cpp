#include "ctl/verb.h"

#include <initializer_list>
#include <utility>

namespace ggufd::ctl {
namespace {

using Make = std::unique_ptr<Verb> (*)();

VerbGroup group_of(const char* title, std::initializer_list<Make> makes) {
  VerbGroup group{.title = title, .verbs = {}};
  for (const Make make : makes) group.verbs.push_back(make());
  return group;
}

}  // namespace

std::vector<VerbGroup> all_verbs() {
  std::vector<VerbGroup> groups;
  groups.push_back(group_of("What the daemon is doing", {make_status, make_watch, make_wait, make_health}));
  groups.push_back(group_of("What it is to do", {make_load, make_unload, make_reload, make_cancel, make_pull,
                                                 make_verify, make_drain}));
  groups.push_back(group_of("When something is wrong", {make_doctor}));
  groups.push_back(group_of("A model, before it is loaded", {make_inspect, make_plan}));
  groups.push_back(group_of("The store of models", {make_import, make_ls, make_rm, make_gc}));
  groups.push_back(group_of("For your shell", {make_completion}));
  return groups;
}

}  // namespace ggufd::ctl
