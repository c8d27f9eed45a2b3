// What each request does.
#pragma once

#include <functional>
#include <string>

#include "admin/server.h"
#include "model/models.h"

namespace ggufd::admin {

class Requests final : public RequestHandler {
 public:
  // `drain` begins the daemon's stop. All references outlive this.
  Requests(loop::Loop& loop, model::Models& models, Server& server, const StatusLog& log,
           std::function<void()> drain);

  void handle(Request request, const loop::PeerCredentials& from, Reply reply) override;

 private:
  void serve(const request::Ping&, Reply reply);
  void serve(const request::Status& request, Reply reply);
  void serve(const request::Load& request, Reply reply);
  void serve(const request::Unload& request, Reply reply);
  void serve(const request::Cancel& request, Reply reply);
  void serve(const request::Drain&, Reply reply);
  // Every other verb.
  void serve(const auto& request, Reply reply);

  // The named model, the default one where none is named.
  Result<model::Model*> model_of(const std::optional<std::string>& name) const;
  void unload(const std::optional<std::string>& name, bool wait, bool only_a_load, Reply reply);

  loop::Loop& loop_;
  model::Models& models_;
  Server& server_;
  const StatusLog& log_;
  std::function<void()> drain_;
  const std::uint64_t started_ms_;
};

}  // namespace ggufd::admin
