#include "model/admission.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "loop/offload.h"

namespace ggufd::model {

// What a model was promised, and how much of it the kernel's numbers show already.
struct MemoryPromise::Entry {
  std::string model;
  memory::Need need;
  std::uint64_t mapped_bytes = 0;
  std::uint64_t taken_bytes = 0;
  bool is_locked = false;
  bool is_leaving = false;

  memory::Held held() const {
    const std::uint64_t anonymous = need.anonymous_bytes();
    return {.file_bytes = is_locked ? 0 : need.weights_bytes,
            .promised_bytes = anonymous - std::min(anonymous, taken_bytes),
            .unmapped_bytes = need.bytes() - std::min(need.bytes(), mapped_bytes)};
  }
  // What its end would give to others, of any limit.
  std::uint64_t gives_bytes() const { return need.bytes(); }
};

struct MemoryPromise::Ledger {
  std::vector<std::shared_ptr<Entry>> entries;
  std::function<void()> on_given_back;  // empty once the admission is gone
};

MemoryPromise::MemoryPromise(std::shared_ptr<Ledger> ledger, std::shared_ptr<Entry> entry)
    : ledger_(std::move(ledger)), entry_(std::move(entry)) {
  ledger_->entries.push_back(entry_);
}

MemoryPromise::~MemoryPromise() {
  std::erase(ledger_->entries, entry_);
  if (ledger_->on_given_back) ledger_->on_given_back();
}

void MemoryPromise::mapped(std::uint64_t bytes) {
  entry_->mapped_bytes += bytes;
}

void MemoryPromise::taken(std::uint64_t bytes) {
  entry_->taken_bytes = bytes;
}

void MemoryPromise::locked() {
  entry_->is_locked = true;
}

void MemoryPromise::leaving() {
  entry_->is_leaving = true;
}

struct Admission::Ask {
  std::shared_ptr<MemoryPromise> promise;
  AdmissionRequest request;
  std::move_only_function<void(Result<void>)> on_done;  // null once it was told, or nobody wants to know
};

class Admission::AskOperation final : public loop::Operation {
 public:
  AskOperation(Admission& admission, std::shared_ptr<Ask> ask)
      : admission_(admission), ask_(std::move(ask)) {}
  ~AskOperation() override {
    ask_->on_done = nullptr;
    admission_.end(ask_, {});
  }
  void cancel() override {
    admission_.loop_.at_end_of_turn([&admission = admission_, ask = std::weak_ptr(ask_)] {
      // Without an owner it has ended, and so may have the admission.
      if (const auto alive = ask.lock())
        admission.end(alive, fail(ErrorCode::cancelled, "the operation was cancelled"));
    });
  }

 private:
  Admission& admission_;
  std::shared_ptr<Ask> ask_;
};

Admission::Admission(loop::Loop& loop, const config::Config& config, memory::SystemFolders system)
    : loop_(loop), config_(config), system_(std::move(system)), ledger_(std::make_shared<Ledger>()) {
  ledger_->on_given_back = [this] {
    if (std::exchange(is_waiting_, false)) look();
  };
}

Admission::~Admission() {
  ledger_->on_given_back = nullptr;
}

std::shared_ptr<MemoryPromise> Admission::promise(const std::string& model) {
  auto entry = std::make_shared<Entry>();
  entry->model = model;
  return std::shared_ptr<MemoryPromise>(new MemoryPromise(ledger_, std::move(entry)));
}

loop::OperationPtr Admission::ask(const std::shared_ptr<MemoryPromise>& promise, AdmissionRequest request,
                                  std::move_only_function<void(Result<void>)> on_done) {
  auto ask = std::make_shared<Ask>(promise, std::move(request), std::move(on_done));
  asks_.push_back(ask);
  if (asks_.size() == 1) look();
  return std::make_unique<AskOperation>(*this, std::move(ask));
}

void Admission::look() {
  if (asks_.empty() || reading_) return;
  reading_ = loop::offload<memory::Limits>(
      loop_, [system = system_](loop::CancelToken) { return memory::read_limits(system); },
      [this](const Result<memory::Limits>& limits) {
        reading_.reset();
        judge(limits);
      });
}

void Admission::judge(const Result<memory::Limits>& limits) {
  if (asks_.empty()) return;
  const std::shared_ptr<Ask> ask = asks_.front();
  Entry& entry = *ask->promise->entry_;
  const memory::Need& need = ask->request.need;
  if (!limits) {
    spdlog::warn("{}: its memory was not checked: {}", entry.model, limits.error().message);
    entry.need = need;
    return end(ask, {});
  }
  const memory::Room room = room_for(&entry, *limits);
  if (room.fits(need)) {
    entry.need = need;
    return end(ask, {});
  }
  if (make_room(*ask, room)) {
    is_waiting_ = true;
    return;
  }
  end(ask, fail(ErrorCode::out_of_memory_budget, ask->request.shortage(need, room)));
}

// True where some is being made, so that it is worth waiting for what is given back.
bool Admission::make_room(const Ask& ask, const memory::Room& room) {
  const Entry& own = *ask.promise->entry_;
  const std::uint64_t missing = ask.request.need.bytes() - room.available_bytes();
  if (std::ranges::any_of(ledger_->entries, [](const auto& entry) { return entry->is_leaving; })) return true;
  if (config_.evict != config::Evict::lru || evictor_ == nullptr) return false;

  auto candidates = evictor_->candidates();
  std::ranges::sort(candidates, {}, &Evictor::Candidate::last_used_ms);
  std::vector<std::string> leaving;
  std::uint64_t gained = 0;
  for (const Evictor::Candidate& candidate : candidates) {
    if (gained >= missing) break;
    const auto entry =
        std::ranges::find(ledger_->entries, candidate.model, [](const auto& e) { return e->model; });
    if (entry == ledger_->entries.end() || candidate.model == own.model) continue;
    gained += std::min((*entry)->gives_bytes(), missing);
    leaving.push_back(candidate.model);
  }
  // Nobody has to go in vain.
  if (gained < missing) return false;
  for (const std::string& model : leaving) {
    spdlog::info("{} is unloaded to make room for {}", model, own.model);
    evictor_->evict(model, [ledger = std::weak_ptr(ledger_)] {
      if (const auto alive = ledger.lock(); alive && alive->on_given_back) alive->on_given_back();
    });
  }
  return true;
}

void Admission::end(const std::shared_ptr<Ask>& ask, Result<void> result) {
  const auto place = std::ranges::find(asks_, ask);
  if (place == asks_.end()) return;
  const bool was_first = place == asks_.begin();
  asks_.erase(place);
  if (was_first) {
    is_waiting_ = false;
    reading_.reset();
    look();
  }
  if (ask->on_done) std::exchange(ask->on_done, nullptr)(std::move(result));
}

memory::Room Admission::room_for(const std::string& model, const memory::Limits& limits) const {
  const auto own = std::ranges::find(ledger_->entries, model, [](const auto& entry) { return entry->model; });
  return room_for(own == ledger_->entries.end() ? nullptr : own->get(), limits);
}

memory::Room Admission::room_for(const Entry* own, const memory::Limits& limits) const {
  memory::Room room{.limits = memory::available_memory(limits),
                    .held = {},
                    .headroom_bytes = config_.memory_headroom_bytes};
  for (const auto& entry : ledger_->entries) {
    if (entry.get() != own) room.held += entry->held();
  }
  if (own != nullptr) {
    room.own_anonymous_bytes = std::min(own->taken_bytes, own->need.anonymous_bytes());
    room.own_mapped_bytes = own->mapped_bytes;
  }
  return room;
}

}  // namespace ggufd::model
