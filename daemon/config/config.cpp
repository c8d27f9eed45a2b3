#include "config/config.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <simdjson.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "config/cross_checks.h"
#include "config/json_fault.h"
#include "config/object_reader.h"
#include "config/quote.h"

namespace ggufd::config {

namespace {

std::unexpected<std::vector<Mistake>> only_mistake(std::string message) {
  return std::unexpected(std::vector{Mistake{"", std::move(message)}});
}

std::string syntax_message(std::string_view text, simdjson::error_code code) {
  const auto fault = find_json_fault(text);
  if (!fault) return fmt::format("the file is not JSON: {}", simdjson::error_message(code));
  const auto [line, column] = position_at(text, fault->offset);
  return fmt::format("the file is not JSON: line {}, column {}: {}", line, column, fault->message);
}

std::string too_large_message() {
  return fmt::format("the file is larger than {} bytes; is it a configuration?", max_config_bytes);
}

Error file_error(const std::string& path, int error_number) {
  Error error = system_error(fmt::format("reading the configuration {}", path), error_number);
  if (error_number == ENOENT)
    error.message += "; write one (docs/configuration.md), or name another with --config";
  return error;
}

// A descriptor that is closed at the end of the scope.
class OpenFile {
 public:
  // A FIFO without a writer would block; O_NONBLOCK opens it and lets the check for a regular file refuse it.
  explicit OpenFile(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~OpenFile() {
    if (fd_ >= 0) close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int fd() const { return fd_; }

 private:
  int fd_;
};

Result<std::string> read_file(const std::string& path) {
  const OpenFile file(path);
  if (file.fd() < 0) return std::unexpected(file_error(path, errno));
  struct stat status{};
  if (fstat(file.fd(), &status) != 0) return std::unexpected(file_error(path, errno));
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::io, fmt::format("the configuration {} is not a regular file", path));
  }
  // One byte more than may be there tells a file that is too large from one that just fits.
  std::string text(max_config_bytes + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = read(file.fd(), text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::unexpected(file_error(path, errno));
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  text.resize(size);
  return text;
}

}  // namespace

std::string to_string(const Mistake& mistake) {
  return fmt::format("{}: {}",
                     mistake.json_pointer.empty() ? "the file" : escape_controls(mistake.json_pointer),
                     escape_controls(mistake.message));
}

std::expected<Config, std::vector<Mistake>> parse_config(std::string_view text,
                                                         const Environment& environment,
                                                         const FurtherCheck& further_check) {
  if (text.size() > max_config_bytes) return only_mistake(too_large_message());
  const simdjson::padded_string padded(text);
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  const auto code = parser.parse(padded).get(root);
  if (code != simdjson::SUCCESS) return only_mistake(syntax_message(text, code));

  Config config;
  std::vector<Mistake> mistakes;
  ObjectReader(environment, mistakes).read_section(root, "", config);
  check_across(config, mistakes);
  if (further_check) std::ranges::move(further_check(config), std::back_inserter(mistakes));
  if (!mistakes.empty()) return std::unexpected(std::move(mistakes));
  if (config.default_model.empty() && !config.models.empty())
    config.default_model = config.models.front().name;
  return config;
}

std::expected<Config, std::vector<Mistake>> load_config(const std::string& path,
                                                        const Environment& environment,
                                                        const FurtherCheck& further_check) {
  const auto text = read_file(path);
  if (!text) return only_mistake(text.error().message);
  return parse_config(*text, environment, further_check);
}

}  // namespace ggufd::config
