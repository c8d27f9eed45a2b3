#include "http/metrics.h"

#include <fmt/format.h>

#include <algorithm>

namespace ggufd::http {
namespace {

void write_models(Exposition& out, const answer::Status& status) {
  out.family("ggufd_models", "gauge", "Models by state.");
  for (std::size_t i = 0; i < EnumNames<ModelState>.size(); ++i) {
    const auto count =
        std::ranges::count(status.models, static_cast<ModelState>(i), &answer::ModelStatus::state);
    out.sample({{"state", EnumNames<ModelState>[i]}}, static_cast<std::uint64_t>(count));
  }
  out.family("ggufd_model_state", "gauge", "1 for the state that a model is in, 0 for the others.");
  for (const auto& model : status.models) {
    for (std::size_t i = 0; i < EnumNames<ModelState>.size(); ++i) {
      const bool is_in = model.state == static_cast<ModelState>(i);
      out.sample({{"model", model.name}, {"state", EnumNames<ModelState>[i]}}, std::uint64_t{is_in});
    }
  }
  out.family("ggufd_model_availability", "gauge",
             "0 none, 10 to 30 on its way, 200 ready, 300 with a warning, 500 error.");
  for (const auto& model : status.models) {
    out.sample({{"model", model.name}}, std::uint64_t{model.availability.code});
  }
}

void write_loads(Exposition& out, const answer::Status& status) {
  out.family("ggufd_model_loads_total", "counter", "Loads of a model that reached ready.");
  for (const auto& model : status.models) out.sample({{"model", model.name}}, model.load_count);
  out.family("ggufd_model_load_seconds", "gauge", "Time of the last load that reached ready.");
  for (const auto& model : status.models) {
    if (model.load_ms) out.sample({{"model", model.name}}, static_cast<double>(*model.load_ms) / 1000);
  }
  out.family("ggufd_model_warm_up_seconds", "gauge", "Time of its warm-up.");
  for (const auto& model : status.models) {
    if (model.warm_up_ms) out.sample({{"model", model.name}}, static_cast<double>(*model.warm_up_ms) / 1000);
  }
  out.family("ggufd_model_restarts_left", "gauge", "Restarts that a model's budget still has.");
  for (const auto& model : status.models) {
    out.sample({{"model", model.name}}, std::uint64_t{model.engine.restarts_left});
  }
}

void write_memory(Exposition& out, const answer::Status& status) {
  out.family("ggufd_model_file_bytes", "gauge", "Size of a model's file.");
  for (const auto& model : status.models) {
    if (model.bytes) out.sample({{"model", model.name}}, *model.bytes);
  }
  out.family("ggufd_model_memory_bytes", "gauge", "What a model holds: its mapped file, its KV cache.");
  for (const auto& model : status.models) {
    out.sample({{"model", model.name}, {"kind", "mapped"}}, model.memory.mapped);
    out.sample({{"model", model.name}, {"kind", "kv"}}, model.memory.kv);
  }
}

void write_clients(Exposition& out, const MetricsSources& from) {
  out.family("ggufd_subscribers", "gauge", "Connections to the admin socket that get events.");
  out.sample(from.status.subscribers);
  out.family("ggufd_event_streams", "gauge", "Connections that read /events.");
  out.sample(from.event_streams);
  out.family("ggufd_events_published_total", "counter", "Events that were published.");
  out.sample(from.status.seq);
  out.family("ggufd_lagged_readers_total", "counter", "How often a reader was told that it has lost events.");
  out.sample(from.lagged_readers);
  out.family("ggufd_requests_total", "counter",
             "Answers on the admin socket, by verb and outcome; verb unreadable where there was none.");
  for (const auto& [key, count] : from.answers) {
    const std::string_view verb = key.verb ? name_of(*key.verb) : "unreadable";
    const std::string_view outcome = key.error ? name_of(*key.error) : "ok";
    out.sample({{"verb", verb}, {"outcome", outcome}}, count);
  }
  out.family("ggufd_http_requests_total", "counter", "Answers over HTTP, by path and status code.");
  for (const auto& [key, count] : from.pages) {
    out.sample({{"path", key.first}, {"code", fmt::to_string(key.second)}}, count);
  }
}

}  // namespace

std::string metrics_text(const MetricsSources& from) {
  Exposition out;
  out.family("ggufd_build_info", "gauge", "Always 1; what runs.");
  out.sample({{"version", GGUFD_VERSION}}, std::uint64_t{1});
  out.family("ggufd_start_time_seconds", "gauge", "When the daemon started, in seconds since 1970.");
  out.sample(static_cast<std::uint64_t>(from.started_unix_s));
  write_models(out, from.status);
  write_loads(out, from.status);
  write_memory(out, from.status);
  from.events.write(out);
  write_clients(out, from);
  out.family(
      "ggufd_loop_turn_seconds", "histogram",
      "How long the event loop was busy before it waited again: what comes meanwhile is late by that.");
  out.histogram({}, from.turn_seconds);
  return out.text();
}

}  // namespace ggufd::http
