// Who gets memory: every load asks here before it takes any. One after the other, so that no two are promised
// the same bytes; where there is too little, models that were not used for longest may have to make room.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "loop/loop.h"
#include "loop/operation.h"
#include "memory/budget.h"

namespace ggufd::model {

// Makes room where the configuration lets it: all the models together.
class Evictor {
 public:
  struct Candidate {
    std::string model;
    std::uint64_t last_used_ms = 0;  // of the loop's clock
  };

  // Models that are ready and not being used.
  virtual std::vector<Candidate> candidates() const = 0;
  // Unloads one of them; `on_done` comes once, when its memory is given back, or it never will be.
  virtual void evict(const std::string& model, std::function<void()> on_done) = 0;

 protected:
  ~Evictor() = default;
};

class Admission;

// What one model was promised and what it has taken of that. Destroying it, on the loop, gives it back: last,
// after the memory itself. It may outlive the admission.
class MemoryPromise {
 public:
  MemoryPromise(const MemoryPromise&) = delete;
  MemoryPromise& operator=(const MemoryPromise&) = delete;
  ~MemoryPromise();

  // So much of its files, or of anonymous memory, has an address by now.
  void mapped(std::uint64_t bytes);
  // So much anonymous memory is in use, so that the kernel's numbers show it; all that was promised at most.
  void taken(std::uint64_t bytes);
  // Its files' pages are locked: the kernel's numbers show these, too.
  void locked();
  // It will be given back soon: those who find too little wait for it.
  void leaving();

 private:
  friend class Admission;
  struct Entry;
  struct Ledger;
  MemoryPromise(std::shared_ptr<Ledger> ledger, std::shared_ptr<Entry> entry);

  std::shared_ptr<Ledger> ledger_;
  std::shared_ptr<Entry> entry_;
};

struct AdmissionRequest {
  memory::Need need;  // of all of the model, what it has taken already included
  // The sentence of out_of_memory_budget.
  std::function<std::string(const memory::Need&, const memory::Room&)> shortage;
};

class Admission {
 public:
  // `config` is read anew for each decision: memory_headroom_bytes and evict.
  Admission(loop::Loop& loop, const config::Config& config, memory::SystemFolders system = {});
  ~Admission();
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // Null: nobody. It must outlive its being set.
  void set_evictor(Evictor* evictor) { evictor_ = evictor; }

  // A promise of nothing yet, for a model of that name.
  std::shared_ptr<MemoryPromise> promise(const std::string& model);

  // Makes it a promise of so much, where there is room: now, or once models were evicted or have gone that
  // are leaving. `out_of_memory_budget` where there is none; the promise is then what it was. A machine that
  // does not tell its memory admits all.
  [[nodiscard]] loop::OperationPtr ask(const std::shared_ptr<MemoryPromise>& promise,
                                       AdmissionRequest request,
                                       std::move_only_function<void(Result<void>)> on_done);

  // What there is for a model now, from limits that were read just now.
  memory::Room room_for(const std::string& model, const memory::Limits& limits) const;
  const memory::SystemFolders& system() const { return system_; }

 private:
  struct Ask;
  class AskOperation;
  using Entry = MemoryPromise::Entry;
  using Ledger = MemoryPromise::Ledger;

  memory::Room room_for(const Entry* own, const memory::Limits& limits) const;
  void look();
  void judge(const Result<memory::Limits>& limits);
  bool make_room(const Ask& ask, const memory::Room& room);
  void end(const std::shared_ptr<Ask>& ask, Result<void> result);

  loop::Loop& loop_;
  const config::Config& config_;
  memory::SystemFolders system_;
  Evictor* evictor_ = nullptr;
  std::shared_ptr<Ledger> ledger_;
  std::deque<std::shared_ptr<Ask>> asks_;  // the first is being decided
  loop::OperationPtr reading_;             // the limits, for the first
  bool is_waiting_ = false;                // for memory to be given back
};

}  // namespace ggufd::model
