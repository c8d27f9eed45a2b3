#include "page_tables.h"

#include <utility>

#include "field_table.h"
#include "protocol/frame.h"
#include "protocol/state.h"

namespace ggufd {
namespace {

template <class Message>
std::pair<const std::string, std::string> table_of(const char* name) {
  return {name, field_table<Message>()};
}

}  // namespace

std::map<std::string, std::string> field_tables() {
  return {
      table_of<status::Starting>("starting"),
      table_of<status::Capabilities>("capabilities"),
      table_of<status::Ready>("ready"),
      table_of<status::Restarting>("restarting"),
      table_of<status::Unloading>("unloading"),
      table_of<status::Unloaded>("unloaded"),
      table_of<status::Failed>("error"),
      table_of<status::Warning>("warning"),
      table_of<status::Lagged>("lagged"),
      table_of<phase::CheckingLocal>("checking_local"),
      table_of<phase::Download>("download"),
      table_of<phase::Verify>("verify"),
      table_of<phase::Quarantine>("quarantine"),
      table_of<phase::Mmap>("mmap"),
      table_of<phase::KvCache>("kv_cache"),
      table_of<phase::EngineStart>("engine_start"),
      table_of<request::Status>("request status"),
      table_of<request::Subscribe>("request subscribe"),
      table_of<request::Load>("request load"),
      table_of<request::Pull>("request pull"),
      table_of<request::Verify>("request verify"),
      table_of<request::Plan>("request plan"),
      table_of<answer::Ping>("answer ping"),
      table_of<answer::Status>("answer status"),
      table_of<answer::ModelStatus>("answer status model"),
      table_of<answer::ModelMemory>("answer status memory"),
      table_of<answer::EngineStatus>("answer status engine"),
      table_of<answer::Subscribe>("answer subscribe"),
      table_of<answer::State>("answer state"),
      table_of<answer::Blob>("answer blob"),
      table_of<answer::Plan>("answer plan"),
      table_of<answer::PlanKv>("answer plan kv"),
      table_of<answer::MemoryLimit>("answer plan limit"),
      table_of<answer::Doctor>("answer doctor"),
      table_of<answer::Check>("answer doctor check"),
      table_of<Availability>("availability"),
      table_of<HealthDocument>("health"),
  };
}

}  // namespace ggufd
