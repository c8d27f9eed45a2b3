// Who computes the plans: the daemon, which knows what its models hold, or this process from a header.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>

#include "config/config.h"
#include "ctl/configured.h"
#include "ctl/context.h"
#include "protocol/answer.h"
#include "protocol/error.h"

namespace ggufd::ctl {

// The command line's part of a plan's settings; what is absent is the configuration's.
struct PlanFlags {
  std::optional<std::uint32_t> n_ctx;
  std::optional<std::uint32_t> n_seq;
  std::optional<bool> kv_unified;
  std::optional<std::string> kv_type_k;
  std::optional<std::string> kv_type_v;
  std::optional<std::uint32_t> n_ubatch;
  std::optional<bool> swa_full;
};

// What is to be other than the flags say.
struct PlanChange {
  std::optional<std::uint32_t> n_ctx;
  std::optional<std::string> kv_types;  // of K and V
};

struct Planned {
  answer::Plan plan;
  std::string document;  // as JSON, one line without its end: as the daemon sent it, where it did
};

class Planning {
 public:
  virtual ~Planning() = default;

  virtual Result<Planned> plan(const PlanChange& change) = 0;
  // The model, as it was asked for; not yet fit to be shown.
  virtual std::string title() const = 0;
  // The daemon's last error as it came; empty where there was none.
  virtual std::string error_document() const { return ""; }
};

// The plan of a configured model whose files are here, as it is configured. Asks neither the daemon nor the
// network: `not_in_store` where it would have to.
Result<answer::Plan> plan_of_stored(Context& context, const Configured& configured,
                                    const config::ModelConfig& model);

// A model that a daemon has is planned by that one; everything else here, from its file, the store or its
// source. Otherwise says why not and gives the exit code.
std::expected<std::unique_ptr<Planning>, int> open_planning(Context& context, const std::string& word,
                                                            const PlanFlags& flags);

}  // namespace ggufd::ctl
