// HTTP: what there is at which path, on http.sock and on `http.tcp`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/server.h"
#include "admin/status_log.h"
#include "config/config.h"
#include "http/answer.h"
#include "http/endpoint.h"
#include "http/event_metrics.h"
#include "http/metrics.h"
#include "http/shared_page.h"
#include "http/turn_watch.h"
#include "loop/operation.h"
#include "loop/timer.h"
#include "model/admission.h"
#include "model/models.h"
#include "protocol/answer.h"

namespace ggufd::http {

// Has the daemon look at itself, as the request `doctor` does, and tells what was found: once, on the loop's
// thread.
using Doctor = std::function<void(std::move_only_function<void(Result<answer::Doctor>)>)>;

class Server final : private Site {
 public:
  // Connections at a time, the endpoints together; of these at most so many are event streams, so that there
  // is always room for who asks how the daemon is.
  static constexpr unsigned max_connections = 256;
  static constexpr std::size_t max_event_streams = 128;
  // How often a stream that has nothing to say says so.
  static constexpr std::uint64_t keep_alive_ms = 15'000;
  // How long what a doctor has found is told again.
  static constexpr std::uint64_t doctor_kept_ms = 10'000;

  // All references outlive this. Without a `doctor` there is no /doctor.
  Server(loop::Loop& loop, const model::Models& models, admin::StatusLog& log, const admin::Server& admin,
         const model::Admission& memory, config::HttpConfig config, Doctor doctor = {});
  ~Server();

  // Binds `path`, which must be free, and `http.tcp` where it is set. The error says what could not be bound.
  Result<void> listen(const std::string& path);

  // An event was published: it is counted, and event streams are woken at the end of the turn.
  void published(const StatusEvent& event);
  // There is no such model any more.
  void forget(const std::string& model) { event_metrics_.forget(model); }

  // Takes nobody new, and ends when everything that was asked is answered and every stream has told its last
  // event; who has not read it by `limit_ms` is cut off.
  void close(std::uint64_t limit_ms);

 private:
  Answer answer(const Question& question) override;
  void on_idle() override { turn_ends_soon(); }
  Answer answer_uncounted(const Question& question);
  Page page(const Question& question);
  // Why a request is not answered; nothing where it is.
  std::optional<Page> refusal(const Question& question) const;
  Answer events(const Question& question);
  Page metrics();
  void make_status(Reply reply);
  void make_doctor(Reply reply);
  answer::Status status() const;
  bool is_ready() const;
  // Of the models that are brought up with the daemon.
  std::vector<Health> boot_healths() const;

  std::size_t streams() const;
  void count(std::string_view path, unsigned status);
  LaterPage counted(std::string_view path, LaterPage later);
  void turn_ends_soon();
  void end_turn();

  loop::Loop& loop_;
  const model::Models& models_;
  admin::StatusLog& log_;
  const admin::Server& admin_;
  const model::Admission& memory_;
  const config::HttpConfig config_;
  const Doctor doctor_;
  const Timestamp started_;

  EventMetrics event_metrics_;
  PageCounts pages_;
  TurnWatch turns_;
  SharedPage status_page_;
  SharedPage doctor_page_;
  loop::OperationPtr reading_;  // the machine's memory, for the status page
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
  loop::Timer keep_alive_;
  loop::Timer close_limit_;
  const std::shared_ptr<char> alive_ = std::make_shared<char>();  // for the task that may outlive us
  bool turn_end_is_due_ = false;
  bool is_closing_ = false;
};

}  // namespace ggufd::http
