#include "engine/llama_program.h"

#include <memory>
#include <utility>

#include "loop/offload.h"

namespace ggufd::engine {
namespace {

class LlamaSearch final : public loop::Operation {
 public:
  LlamaSearch(LlamaHost& host, const std::string& binary, LlamaProgramDone done)
      : host_(host), done_(std::move(done)) {
    step_ = loop::offload<std::string>(
        host_.loop,
        [binary, path_variable = host_.path_variable](loop::CancelToken) {
          return find_llama_server(binary, path_variable);
        },
        [this](Result<std::string> path) { found(std::move(path)); });
  }

  void cancel() override {
    if (step_) step_->cancel();
  }

 private:
  void found(Result<std::string> path) {
    if (!path) return end(std::unexpected(std::move(path.error())));
    step_ = host_.probe.probe(*path, [this, path = *path](Result<LlamaBuild> build) {
      end(map_result(std::move(build),
                     [&](LlamaBuild known) { return LlamaProgram{path, std::move(known)}; }));
    });
  }

  // The step is calling: it is destroyed when the turn ends, not under its own feet.
  void end(Result<LlamaProgram> program) {
    host_.loop.at_end_of_turn([ended = std::move(step_)] {});
    std::exchange(done_, nullptr)(std::move(program));
  }

  LlamaHost& host_;
  LlamaProgramDone done_;
  loop::OperationPtr step_;
};

}  // namespace

loop::OperationPtr find_llama_program(LlamaHost& host, const std::string& binary, LlamaProgramDone done) {
  return std::make_unique<LlamaSearch>(host, binary, std::move(done));
}

}  // namespace ggufd::engine
