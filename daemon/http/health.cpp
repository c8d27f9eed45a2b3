#include "http/health.h"

#include <fmt/format.h>

#include <algorithm>
#include <msgpack.hpp>
#include <string>

#include "protocol/health_report.h"

namespace ggufd::http {
namespace {

constexpr unsigned ok = 200;
constexpr unsigned service_unavailable = 503;

struct StringSink {
  std::string& out;
  void write(const char* bytes, std::size_t size) { out.append(bytes, size); }
};

std::string packed(const Availability& availability) {
  std::string out;
  StringSink sink{out};
  msgpack::packer<StringSink> packer(sink);
  packer.pack_map(2);
  packer.pack(std::string("s"));
  packer.pack_uint32(availability.code);
  packer.pack(std::string("m"));
  if (availability.message.value) {
    packer.pack(*availability.message.value);
  } else {
    packer.pack_nil();
  }
  return out;
}

}  // namespace

Page health_page(const answer::Status& status, bool is_ready, Form form) {
  Page page{.status = is_ready ? ok : service_unavailable};
  const HealthReport report = health_report(status);
  const Availability& availability = report.of_default.availability;
  switch (form) {
    case Form::json:
      page.content_type = json_type;
      page.body = to_json(report) + "\n";
      break;
    case Form::msgpack:
      page.content_type = msgpack_type;
      page.body = packed(availability);
      break;
    case Form::text:
      page.content_type = text_type;
      page.body = fmt::format("{} {}", availability.name, availability.message.value.value_or(""));
      break;
  }
  return page;
}

Page ready_page(std::span<const Health> boot_models, bool is_ready, bool is_draining) {
  const bool is_unhealthy = std::ranges::find(boot_models, Health::unhealthy) != boot_models.end();
  Page page{.status = is_ready && !is_draining ? ok : service_unavailable, .content_type = text_type};
  page.body = is_draining ? "draining\n" : is_ready ? "ready\n" : is_unhealthy ? "unhealthy\n" : "starting\n";
  return page;
}

}  // namespace ggufd::http
