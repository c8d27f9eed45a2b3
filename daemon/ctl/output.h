// Text onto a descriptor: standard output, standard error.
#pragma once

#include <string_view>

namespace ggufd::ctl {

class Output {
 public:
  // The descriptor stays its owner's.
  explicit Output(int descriptor) : descriptor_(descriptor) {}

  // Writes all of it, waiting as long as that takes. After a failure nothing more is written, and this and
  // all later calls return false.
  bool write(std::string_view text);
  bool has_failed() const { return error_number_ != 0; }
  // errno of the failure; EPIPE: whoever read has gone, which is no mishap worth a message.
  int error_number() const { return error_number_; }
  // To be told when the reader goes while nothing is written (poll(2) without events).
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
  int error_number_ = 0;
};

}  // namespace ggufd::ctl
