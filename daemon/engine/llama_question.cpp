#include "engine/llama_question.h"

#include <fmt/core.h>

#include <memory>
#include <span>
#include <utility>

namespace ggufd::engine {
namespace {

class Question final : public loop::Operation, private fetch::TransferSink {
 public:
  Question(fetch::CurlLoop& curl, const LlamaAddress& address, const LlamaQuestion& question,
           std::move_only_function<void(Result<LlamaAnswer>)> done)
      : path_(question.path), done_(std::move(done)) {
    const std::string host =
        address.socket_path.empty() ? fmt::format("127.0.0.1:{}", address.port) : "127.0.0.1";
    transfer_ = curl.start({.url = fmt::format("http://{}{}", host, question.path),
                            .bearer_token = question.api_key,
                            .follow_redirects = false,
                            .receive_buffer_bytes = std::size_t{16} * 1024,
                            .unix_socket = address.socket_path,
                            .post_json = question.post,
                            .limit_ms = question.limit_ms,
                            .keeps_connection = false},
                           *this);
  }

  void cancel() override { transfer_->cancel(); }

 private:
  Result<void> on_head(const fetch::ResponseHead& head) override {
    answer_.status = head.status;
    return {};
  }

  Taken on_body(std::span<const std::byte> bytes) override {
    const std::size_t room = max_llama_answer_bytes + 1 - answer_.body.size();
    answer_.body.append(reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), room));
    if (answer_.body.size() > max_llama_answer_bytes) transfer_->cancel();
    return Taken::all;
  }

  void on_end(Result<void> result) override {
    auto done = std::exchange(done_, nullptr);
    if (!done) return;
    if (answer_.body.size() > max_llama_answer_bytes) {
      return done(fail(ErrorCode::engine_failed, fmt::format("its answer to {} has more than {} bytes", path_,
                                                             max_llama_answer_bytes)));
    }
    if (result) return done(std::move(answer_));
    if (result.error().code == ErrorCode::cancelled) return done(std::unexpected(result.error()));
    done(fail(ErrorCode::engine_failed, fmt::format("no answer to {}: {}", path_, result.error().message)));
  }

  const std::string path_;
  std::move_only_function<void(Result<LlamaAnswer>)> done_;
  LlamaAnswer answer_;
  std::unique_ptr<fetch::Transfer> transfer_;
};

}  // namespace

loop::OperationPtr ask_llama(fetch::CurlLoop& curl, const LlamaAddress& address,
                             const LlamaQuestion& question,
                             std::move_only_function<void(Result<LlamaAnswer>)> done) {
  return std::make_unique<Question>(curl, address, question, std::move(done));
}

}  // namespace ggufd::engine
