#include "ctl/configured.h"
#include "ctl/inspect_report.h"
#include "ctl/model_headers.h"
#include "ctl/verb.h"

namespace ggufd::ctl {
namespace {

class InspectVerb final : public Verb {
 public:
  const char* name() const override { return "inspect"; }
  const char* summary() const override {
    return "what a GGUF's header says, and everything that is wrong with it";
  }
  const char* example() const override {
    return "ggufctl inspect ~/models/qwen3-4b.gguf --tensors\n"
           "ggufctl inspect hf:Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf    (fetches the header only)";
  }
  const char* exit_codes() const override {
    return "0  the file is sound\n"
           "1  it has defects, is not whole, or could not be read";
  }
  void bind(Parameters& parameters) override {
    parameters.required("FILE|URL|MODEL", word_,
                        "a GGUF file, a source as in the configuration, or a model's name");
    parameters.flag("--tensors", lists_tensors_, "list every tensor");
  }

  int run(Context& context) override {
    const Configured configured = read_configured(context);
    const auto place = find_model(context, configured, word_);
    if (!place) return complain(context, place.error());
    const auto headers =
        read_headers(context, configured.config ? configured.config->fetch : config::FetchConfig(), *place);
    if (!headers) return complain(context, headers.error());
    context.out.write(context.options.json ? inspect_json(*headers)
                                           : inspect_text(*headers, lists_tensors_, context.terminal));
    return headers->is_sound() ? done : failed;
  }

 private:
  static int complain(Context& context, const Error& error) {
    context.complain(error.message);
    return failed;
  }

  std::string word_;
  bool lists_tensors_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_inspect() {
  return std::make_unique<InspectVerb>();
}

}  // namespace ggufd::ctl
