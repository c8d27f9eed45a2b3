// Where a download's bytes go: into a file (file_writer.h), or into a comparison with one (comparison.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "fetch/byte_ranges.h"

namespace ggufd::fetch {

class Target {
 public:
  // Bytes of the file at `offset`. False: none was taken, and on_room follows.
  virtual bool offer(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  // Nothing will be offered at `end` for now.
  virtual void seal(std::uint64_t end) = 0;

  // Everything that was taken, what was there before included.
  virtual const ByteRanges& accepted() const = 0;
  // What of it is in the file: can be read, and stays whatever becomes of the download.
  virtual const ByteRanges& settled() const = 0;
  // How much of it would survive a crash: is recorded as finished.
  virtual std::uint64_t safe_bytes() const = 0;
  // safe_bytes() should grow soon, because nothing more is fetched before it does.
  virtual void make_safe() = 0;

  // A refused offer may be made again. Must not destroy the target.
  void set_on_room(std::function<void()> on_room) { on_room_ = std::move(on_room); }
  // settled() or safe_bytes() has grown. Must not destroy the target.
  void set_on_settled(std::function<void()> on_settled) { on_settled_ = std::move(on_settled); }

 protected:
  ~Target() = default;

  void tell_room() const {
    if (const auto on_room = on_room_) on_room();  // a copy: it may be replaced by what it does
  }
  void tell_settled() const {
    if (const auto on_settled = on_settled_) on_settled();
  }

 private:
  std::function<void()> on_room_;
  std::function<void()> on_settled_;
};

}  // namespace ggufd::fetch
