#include "engine/llama_use.h"

#include <memory>
#include <utility>

#include "engine/unix_peers.h"
#include "loop/offload.h"

namespace ggufd::engine {
namespace {

// In this order: our own question is a connection, too.
class UseLook final : public loop::Operation {
 public:
  UseLook(LlamaHost& host, LlamaAddress address, std::string api_key, const std::string& socket_path,
          std::move_only_function<void(LlamaUse)> done)
      : host_(host), address_(std::move(address)), api_key_(std::move(api_key)), done_(std::move(done)) {
    step_ = loop::offload<std::optional<std::size_t>>(
        host.loop,
        [socket_path](loop::CancelToken) -> Result<std::optional<std::size_t>> {
          return count_connections(socket_path);
        },
        [this](Result<std::optional<std::size_t>> connections) {
          if (connections) use_.connections = *connections;
          ask();
        });
  }

  void cancel() override { step_->cancel(); }

 private:
  void ask() {
    step_ = ask_llama(
        host_.curl, address_,
        {.path = "/slots", .post = {}, .api_key = api_key_, .limit_ms = host_.times.answer_limit_ms},
        [this](const Result<LlamaAnswer>& answer) {
          if (answer && answer->status == 200) use_.slots = parse_llama_slots(answer->body);
          std::exchange(done_, nullptr)(use_);  // may destroy this
        });
  }

  LlamaHost& host_;
  const LlamaAddress address_;
  const std::string api_key_;
  std::move_only_function<void(LlamaUse)> done_;
  LlamaUse use_;
  loop::OperationPtr step_;
};

}  // namespace

loop::OperationPtr look_at_use(LlamaHost& host, const LlamaAddress& address, const std::string& api_key,
                               const std::string& socket_path, std::move_only_function<void(LlamaUse)> done) {
  return std::make_unique<UseLook>(host, address, api_key, socket_path, std::move(done));
}

}  // namespace ggufd::engine
