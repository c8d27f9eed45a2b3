// What each request does.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "admin/doctor_run.h"
#include "admin/server.h"
#include "config/config.h"
#include "model/models.h"
#include "model/reload.h"

namespace ggufd::admin {

// What requests ask of the daemon itself.
struct DaemonCommands {
  std::function<void()> drain;  // begins its stop
  // Reads the configuration again, and applies all of it or what it says of the one model.
  std::function<void(std::optional<std::string> model, model::Reload::Waiter)> reload;
  std::function<void(DoctorRuns::Waiter)> doctor;
};

class Requests final : public RequestHandler {
 public:
  // All references outlive this.
  Requests(loop::Loop& loop, model::Models& models, Server& server, const StatusLog& log,
           const config::Config& config, DaemonCommands commands);

  void handle(Request request, const loop::PeerCredentials& from, Reply reply) override;
  std::optional<std::string> unknown_model(const std::vector<std::string>& names) const override;

 private:
  void serve(const request::Ping&, Reply reply);
  void serve(const request::Status& request, Reply reply);
  void serve(const request::Load& request, Reply reply);
  void serve(const request::Unload& request, Reply reply);
  void serve(const request::Cancel& request, Reply reply);
  void serve(const request::Reload& request, Reply reply);
  void reloaded(const std::optional<std::string>& name, bool wait, Reply reply);
  void all_reloaded(Reply reply);
  void serve(const request::Pull& request, Reply reply);
  void serve(const request::Verify& request, Reply reply);
  void serve(const request::Plan& request, Reply reply);
  void serve(const request::Doctor&, Reply reply);
  void serve(const request::Drain&, Reply reply);
  // Every other verb.
  void serve(const auto& request, Reply reply);

  // The named model, the default one where none is named.
  Result<model::Model*> model_of(const std::optional<std::string>& name) const;
  // Told to the client where it is to begin something and the daemon is ending everything.
  std::optional<Error> refusal() const;

  loop::Loop& loop_;
  model::Models& models_;
  Server& server_;
  const StatusLog& log_;
  const config::Config& config_;
  DaemonCommands commands_;
  const std::uint64_t started_ms_;
};

}  // namespace ggufd::admin
