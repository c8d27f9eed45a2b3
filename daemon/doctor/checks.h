// The checks, a group each; their names are the report's (docs/doctor.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "doctor/subject.h"
#include "protocol/answer.h"
#include "store/blob_store.h"
#include "store/collection.h"

namespace ggufd::doctor {

// "configuration": the file, every mistake in it, who may write it, whether the daemon runs what it says. The
// configuration that the other checks are about: the file's, else the running one.
std::optional<config::Config> check_configuration(const Subject& subject, answer::Doctor& report);

// "runtime": folder, sockets, the length of their paths, the lock.
void check_runtime(const Subject& subject, const std::optional<config::Config>& config,
                   answer::Doctor& report);

// "store": folder, file system, what is wrong in it, partials, quarantine, and whether there is room for
// what is still to be fetched. "models": each one's bytes.
void check_store(const Subject& subject, const std::optional<config::Config>& config, answer::Doctor& report);

// "network": token, proxy, certificates.
void check_network(const Subject& subject, const config::Config& config, answer::Doctor& report);

// "engine": llama-server.
void check_engine(const Subject& subject, const config::Config& config, answer::Doctor& report);

// "memory": each plan, all boot models together, mlock, huge pages.
void check_memory(const Subject& subject, const config::Config& config, answer::Doctor& report);

// "machine": processor, graphics cards, kernel, open files.
void check_machine(const Subject& subject, const config::Config& config, answer::Doctor& report);

// "other stores": what could be imported.
void check_other_stores(const Subject& subject, const std::optional<config::Config>& config,
                        answer::Doctor& report);

}  // namespace ggufd::doctor
