#include "ctl/import_progress.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "ctl/description.h"
#include "ctl/human.h"
#include "ctl/scene.h"

namespace ggufd::ctl {

ImportProgress::ImportProgress(Context& context, std::string name, std::uint64_t total_bytes)
    : context_(context), name_(std::move(name)), total_bytes_(total_bytes) {}

// The line goes: what is said next takes its place.
ImportProgress::~ImportProgress() {
  if (drawn_at_) context_.out.write(redrawn(1, {}));
}

void ImportProgress::show(std::uint64_t done_bytes) {
  if (!context_.terminal.is_live) return;
  const auto now = Clock::now();
  if (!drawn_at_ || now - *drawn_at_ >= std::chrono::milliseconds(100)) draw(done_bytes, now);
}

void ImportProgress::draw(std::uint64_t done_bytes, Clock::time_point now) {
  Description line{
      .subject = name_, .label = "import", .colour = Colour::cyan, .fraction = {}, .details = {}};
  const double done = static_cast<double>(done_bytes);
  line.fraction = total_bytes_ == 0 ? 1 : std::min(done / static_cast<double>(total_bytes_), 1.0);
  line.details = {human_part(done_bytes, total_bytes_)};
  const double seconds = std::chrono::duration<double>(now - begun_at_).count();
  if (seconds > 0) line.details.push_back(human_bytes(static_cast<std::uint64_t>(done / seconds)) + "/s");
  const std::size_t columns = std::max<std::size_t>(context_.terminal.columns, 2) - 1;
  context_.out.write(
      redrawn(drawn_at_ ? 1 : 0, {live_line(line, columns_of(name_), columns, context_.terminal.style)}));
  drawn_at_ = now;
}

}  // namespace ggufd::ctl
