// The files of a model that are not here, brought into the store one after the other, with one progress over
// all.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "fetch/pull.h"
#include "loop/loop.h"
#include "loop/operation.h"
#include "model/header_look.h"
#include "model/model_files.h"

namespace ggufd::model {

struct FileToPull {
  ModelFile file;
  // Where it is here already, its size; else it is pulled.
  std::optional<std::uint64_t> size_here_bytes;
  // What was here had a wrong digest and was put away: this is the fresh download that follows, the only one.
  bool was_put_away = false;
};

struct PullFilesRequest {
  std::string model;
  std::vector<FileToPull> files;            // at least one of them is not here
  std::optional<std::uint64_t> size_bytes;  // of all files, where it is known
  config::FetchConfig settings;
  // What is known of the model before its header is; file, files and sizes are filled in for each file.
  LookSettings look;
};

struct PullFilesCallbacks {
  // As those of fetch::PullCallbacks. download tells of all files together. Of a split model's files verify
  // is told before a quarantine only, of all bytes that are known, because all are verified together later.
  std::function<void(const LoadPhase&)> on_phase;
  std::function<void(const std::string& code, const std::string& message)> on_warning;
  // What was pulled, at its file's place; nothing at the places of those that were here.
  std::move_only_function<void(Result<std::vector<std::optional<fetch::Pulled>>>)> on_done;
};

class PullFiles final : public loop::Operation {
 public:
  // Pulls::join, or what stands for it.
  using Join = std::function<loop::OperationPtr(fetch::PullRequest, fetch::PullCallbacks)>;

  // Tells the first progress at once, before anything is asked for.
  PullFiles(loop::Loop& loop, Join join, PullFilesRequest request, PullFilesCallbacks callbacks);

  void cancel() override;

 private:
  void skip_what_is_here();
  void pull_next();
  void finish(Result<std::vector<std::optional<fetch::Pulled>>> result);
  fetch::PullRequest request_for(std::size_t index) const;
  fetch::PullCallbacks callbacks();

  void on_phase(const LoadPhase& phase);
  void on_warning(const std::string& code, const std::string& message);
  void on_pulled(Result<fetch::Pulled> result);

  phase::Download over_all(phase::Download one);
  phase::Verify over_all(phase::Verify one) const;
  Error still_wrong(const phase::Quarantine& quarantine) const;
  std::optional<std::uint64_t> total_bytes() const;
  // Of all files but the current one, as far as they are known.
  std::uint64_t other_files_bytes() const;
  bool is_split() const { return request_.files.size() > 1; }

  loop::Loop& loop_;
  Join join_;
  PullFilesRequest request_;
  PullFilesCallbacks callbacks_;
  std::size_t current_ = 0;  // the file that is being pulled
  loop::OperationPtr operation_;
  bool is_cancelled_ = false;
  std::optional<phase::Verify> untold_;  // of the current file of several
  std::optional<Error> reason_;          // why it was cancelled, where not by its owner
  bool has_warned_of_memory_ = false;

  std::vector<std::optional<std::uint64_t>> sizes_;  // of the files, as far as they are known
  std::uint64_t done_bytes_ = 0;                     // of the files that are here
  std::uint64_t resumed_bytes_ = 0;                  // of these, what was here when this began
  std::uint64_t resumed_now_bytes_ = 0;              // of the current one
  std::vector<std::optional<fetch::Pulled>> pulled_;
};

}  // namespace ggufd::model
