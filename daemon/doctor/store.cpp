#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>

#include "config/places.h"
#include "doctor/checks.h"
#include "doctor/model_bytes.h"
#include "doctor/store_folder.h"
#include "doctor/text.h"
#include "fetch/journal.h"
#include "memory/budget.h"
#include "store/removal.h"

namespace ggufd::doctor {
namespace {

using memory::amount;

// Without one it was stopped before the first bytes were written, and is begun anew: that is no damage.
bool has_damaged_journal(const store::ListedPartial& partial) {
  const std::string path = store::join(partial.path, store::Partial::journal_name);
  return access(path.c_str(), F_OK) == 0 && !fetch::peek_journal(partial.path);
}

void judge_partials(const store::Collection& collection, Timestamp now, Group& group) {
  if (collection.partials.empty()) return group.ok("partials", "no download is unfinished");
  std::uint64_t bytes = 0;
  std::size_t old = 0;
  std::size_t damaged = 0;
  Timestamp oldest = now;
  for (const store::ListedPartial& partial : collection.partials) {
    bytes += partial.size_bytes;
    if (partial.modified_at.ms < oldest.ms) oldest = partial.modified_at;
    if (!partial.is_in_use && now.ms - partial.modified_at.ms > store::partial_age_max_ms) ++old;
    if (!partial.is_in_use && has_damaged_journal(partial)) ++damaged;
  }
  const std::string found = fmt::format("{}, {}, the oldest changed {}",
                                        count_of(collection.partials.size(), "unfinished download"),
                                        amount(bytes), ago(oldest, now));
  if (damaged > 0) {
    group.fail(
        "partials",
        fmt::format("{}; {} with a journal that cannot be read: begun anew, not continued", found, damaged),
        "the next load begins it anew; look at the disk if that comes again");
  } else if (old > 0) {
    group.warn("partials", found, "`ggufctl gc` removes what nobody went on with for a week");
  } else {
    group.ok("partials", found);
  }
}

// Bytes that a model of the configuration was to have, refused, and still not here.
bool is_still_missing(const store::QuarantineRecord& record, const store::Collection& collection,
                      const std::set<std::string>& wanted) {
  if (!wanted.contains(record.expected)) return false;
  return std::ranges::none_of(collection.models, [&](const store::ListedModel& model) {
    return model.is_complete && std::ranges::any_of(model.shards, [&](const store::Digest& digest) {
             return digest.to_hex() == record.expected;
           });
  });
}

void judge_quarantine(const store::Collection& collection, const std::set<std::string>& wanted, Timestamp now,
                      Group& group) {
  if (collection.quarantine.empty()) return group.ok("quarantine", "nothing was refused");
  std::uint64_t bytes = 0;
  const store::ListedQuarantine* latest = &collection.quarantine.front();
  const store::ListedQuarantine* blocking = nullptr;
  for (const store::ListedQuarantine& item : collection.quarantine) {
    bytes += item.size_bytes;
    if (item.put_away_at.ms > latest->put_away_at.ms) latest = &item;
    if (item.record && is_still_missing(*item.record, collection, wanted)) blocking = &item;
  }
  const auto why = [](const store::ListedQuarantine& item) {
    return item.record ? item.record->reason : std::string("its evidence is missing");
  };
  const std::string found =
      fmt::format("{}, {}; the last {}: {}", count_of(collection.quarantine.size(), "file"), amount(bytes),
                  ago(latest->put_away_at, now), why(*latest));
  if (blocking != nullptr) {
    return group.fail("quarantine",
                      fmt::format("{} served {} instead of {}, which a model still waits for",
                                  blocking->record->url.empty() ? "its source" : blocking->record->url,
                                  blocking->record->actual, blocking->record->expected),
                      "compare sha256 with what the publisher says; correct it, or name another source");
  }
  group.warn("quarantine", found,
             "look at the .json beside each file, then remove them: `ggufctl gc --quarantine --all`");
}

void judge_problems(const store::Collection& collection, Group& group) {
  if (collection.problems.empty()) return group.ok("contents", "everything in it can be read");
  for (const std::string& problem : collection.problems) {
    if (collection.are_manifests_known) {
      group.warn("contents", problem, "remove or repair it");
    } else {
      group.fail("contents", problem,
                 "remove or repair it: `ggufctl gc` removes nothing until every manifest "
                 "can be read");
    }
  }
}

void check_models(const store::BlobStore& store, const config::Config& config, Timestamp now,
                  answer::Doctor& report, ToFetch& to_fetch) {
  Group group(report, "models");
  for (const config::ModelConfig& model : config.models) {
    check_model_bytes(store, config, model, now, group, to_fetch);
  }
}

void check_contents(const store::BlobStore& store, const std::optional<config::Config>& config, Timestamp now,
                    Group& group) {
  const auto collection = store::list_store(store);
  if (!collection) return group.fail("contents", collection.error().message, "make the store readable");
  std::set<std::string> wanted;
  if (config) {
    for (const config::ModelConfig& model : config->models)
      wanted.insert(model.sha256.begin(), model.sha256.end());
  }
  judge_problems(*collection, group);
  judge_partials(*collection, now, group);
  judge_quarantine(*collection, wanted, now, group);
}

}  // namespace

void check_store(const Subject& subject, const std::optional<config::Config>& config,
                 answer::Doctor& report) {
  Group group(report, "store");
  const auto place = config::find_store_folder(subject.places, config ? config->models_home : "",
                                               subject.environment, subject.uid);
  if (!place) return group.fail("folder", place.error().message, "name one with models_home or --store");
  const store::BlobStore store(place->path);
  // The models' own group follows, and says first what is to be fetched.
  answer::Doctor models;
  ToFetch to_fetch;
  if (config) check_models(store, *config, subject.now, models, to_fetch);
  const bool has_contents = check_store_folder(place->path, to_fetch.models > 0, group);
  if (const auto magic = file_system_magic(place->path)) judge_file_system(*magic, group);
  if (const auto free_bytes = free_bytes_at(place->path)) judge_space(to_fetch, *free_bytes, group);
  if (has_contents) check_contents(store, config, subject.now, group);
  report.ok = report.ok && models.ok;
  std::ranges::move(models.checks, std::back_inserter(report.checks));
}

}  // namespace ggufd::doctor
