// The document of `GET /status`: the answer to the request `status`, and what else the page at `/` shows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "http/answer.h"
#include "memory/budget.h"
#include "protocol/answer.h"
#include "protocol/fields.h"

namespace ggufd::http {

// The memory that models live in: the machine's, or what a cgroup lets this process have of it. Limits of the
// address space are not among it.
struct MachineMemory {
  Nullable<std::uint64_t> total_bytes;
  Nullable<std::uint64_t> available_bytes;
  std::uint64_t held_bytes = 0;
  std::uint64_t headroom_bytes = 0;
  std::vector<answer::MemoryLimit> limits;

  static void fields(auto& self, auto&& f) {
    f("total_bytes", self.total_bytes, "the machine's, or the smallest memory.max above the daemon");
    f("available_bytes", self.available_bytes, "what the tightest limit leaves");
    f("held_bytes", self.held_bytes, "what models hold or have been promised and the kernel counts as free");
    f("headroom_bytes", self.headroom_bytes, "what the configuration wants left free");
    f("limits", self.limits, "each limit with what it leaves");
  }
};

// What was read just now, and what of it is spoken for.
struct MemoryNumbers {
  memory::Limits limits;
  memory::Room room;
};
// `numbers` is null where the machine does not tell its memory; what depends on it is then null.
MachineMemory machine_memory(const MemoryNumbers* numbers);

struct StatusDocument {
  std::string version;
  Timestamp started;
  Timestamp now;
  bool doctor = false;
  answer::Status status;
  MachineMemory memory;

  static void fields(auto& self, auto&& f) {
    f("version", self.version, "the daemon's version");
    f("started", self.started, "when the daemon started");
    f("now", self.now, "what time it is there");
    f("doctor", self.doctor, "/doctor is there");
    answer::Status::fields(self.status, f);
    f("memory", self.memory, "what there is for models");
  }
};

Page status_page(const StatusDocument& document);

}  // namespace ggufd::http
