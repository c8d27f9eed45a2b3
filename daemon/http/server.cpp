#include "http/server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <numeric>
#include <utility>

#include "http/accept.h"
#include "http/health.h"
#include "http/host_check.h"
#include "http/index_page.h"
#include "http/status_page.h"
#include "loop/offload.h"

namespace ggufd::http {
namespace {

constexpr std::string_view methods = "GET, HEAD";
constexpr std::array<std::string_view, 7> paths{"/",       "/health", "/ready", "/metrics",
                                                "/events", "/status", "/doctor"};

Page sentence(unsigned status, std::string text) {
  return {.status = status, .content_type = text_type, .body = std::move(text) + "\n"};
}

}  // namespace

Server::Server(loop::Loop& loop, const model::Models& models, admin::StatusLog& log,
               const admin::Server& admin, const model::Admission& memory, config::HttpConfig config,
               Doctor doctor)
    : loop_(loop),
      models_(models),
      log_(log),
      admin_(admin),
      memory_(memory),
      config_(std::move(config)),
      doctor_(std::move(doctor)),
      started_(Timestamp::now()),
      turns_(loop),
      status_page_(
          loop, [this](Reply reply) { make_status(std::move(reply)); }, 0),
      doctor_page_(
          loop, [this](Reply reply) { make_doctor(std::move(reply)); }, doctor_kept_ms),
      keep_alive_(loop,
                  [this] {
                    for (const auto& endpoint : endpoints_) endpoint->keep_streams_alive();
                    if (streams() == 0) keep_alive_.stop();
                  }),
      close_limit_(loop, [this] { endpoints_.clear(); }) {}

Server::~Server() = default;

Result<void> Server::listen(const std::string& path) {
  // Those of one endpoint leave the other its half.
  const unsigned limit = config_.tcp.empty() ? max_connections : max_connections / 2;
  Site& self = *this;
  auto socket = ListenSocket::at_path(path);
  if (!socket) return std::unexpected(socket.error());
  auto local = Endpoint::start(loop_, std::move(*socket), Door::unix_socket, limit, self);
  if (!local) return std::unexpected(local.error());
  endpoints_.push_back(std::move(*local));
  if (config_.tcp.empty()) return {};
  auto tcp_socket = ListenSocket::at_address(config_.tcp);
  if (!tcp_socket) return std::unexpected(tcp_socket.error());
  auto tcp = Endpoint::start(loop_, std::move(*tcp_socket), Door::tcp, limit, self);
  if (!tcp) return std::unexpected(tcp.error());
  endpoints_.push_back(std::move(*tcp));
  spdlog::info("HTTP on {}", endpoints_.back()->name());
  return {};
}

// --- What there is

Answer Server::answer(const Question& question) {
  Answer answer = answer_uncounted(question);
  if (auto* later = std::get_if<LaterPage>(&answer)) return counted(question.path, std::move(*later));
  const auto* page = std::get_if<Page>(&answer);
  count(question.path, page == nullptr ? 200 : page->status);
  return answer;
}

Answer Server::answer_uncounted(const Question& question) {
  if (auto refused = refusal(question)) return std::move(*refused);
  if (question.path == "/events" && question.method == "GET") return events(question);
  if (question.path == "/status") return [this](Reply reply) { status_page_.ask(std::move(reply)); };
  if (question.path == "/doctor" && doctor_) {
    return [this](Reply reply) { doctor_page_.ask(std::move(reply)); };
  }
  return page(question);
}

std::optional<Page> Server::refusal(const Question& question) const {
  if (question.door == Door::tcp && !is_our_host(config_, question.host)) {
    return sentence(403,
                    "the Host of this request is not this machine's; ask for 127.0.0.1 or localhost, or set "
                    "http.allow_remote");
  }
  if (question.method != "GET" && question.method != "HEAD") {
    Page page =
        sentence(405, "only GET and HEAD are served; requests that change something go to admin.sock");
    page.allow = methods;
    page.closes = question.has_body;
    return page;
  }
  if (question.has_body) {
    Page page = sentence(413, "a request here has no body");
    page.closes = true;
    return page;
  }
  return std::nullopt;
}

Page Server::page(const Question& question) {
  if (question.path == "/") return index_page(question.if_none_match);
  if (question.path == "/health") return health_page(status(), is_ready(), form_for(question.accept));
  if (question.path == "/ready") return ready_page(boot_healths(), is_ready(), log_.is_draining());
  if (question.path == "/metrics") return metrics();
  if (question.path == "/events") return {.content_type = "text/event-stream"};  // HEAD
  if (question.path == "/doctor")
    return sentence(404, "this daemon does not look at itself; run: ggufctl doctor");
  return sentence(
      404, "there is nothing here; /, /health, /ready, /metrics, /events, /status and /doctor are served");
}

Answer Server::events(const Question& question) {
  if (streams() >= max_event_streams) {
    return sentence(
        503, fmt::format("{} event streams are open, as many as are served at a time", max_event_streams));
  }
  if (!keep_alive_.is_running() && !is_closing_) keep_alive_.start_repeating(keep_alive_ms);
  const auto since = question.last_event_id ? parse_event_id(*question.last_event_id) : std::nullopt;
  return std::make_unique<EventStream>(log_, since);
}

Page Server::metrics() {
  const answer::Status status = this->status();
  return {.content_type = metrics_type,
          .body = metrics_text({.status = status,
                                .events = event_metrics_,
                                .turn_seconds = turns_.seconds(),
                                .answers = admin_.answers(),
                                .pages = pages_,
                                .lagged_readers = log_.lagged_readers(),
                                .event_streams = streams(),
                                .started_unix_s = started_.ms / 1000})};
}

// The models are looked at when the numbers are there, so that both are of one moment.
void Server::make_status(Reply reply) {
  reading_ = loop::offload<memory::Limits>(
      loop_, [system = memory_.system()](loop::CancelToken) { return memory::read_limits(system); },
      [this, reply = std::move(reply)](Result<memory::Limits> limits) mutable {
        StatusDocument document{.version = GGUFD_VERSION,
                                .started = started_,
                                .now = Timestamp::now(),
                                .doctor = static_cast<bool>(doctor_),
                                .status = status(),
                                .memory = machine_memory(nullptr)};
        if (limits) {
          const MemoryNumbers numbers{.limits = *limits, .room = memory_.room_for("", *limits)};
          document.memory = machine_memory(&numbers);
        }
        reply(status_page(document));
      });
}

void Server::make_doctor(Reply reply) {
  doctor_([reply = std::move(reply)](Result<answer::Doctor> found) mutable {
    if (!found) return reply(sentence(500, found.error().message));
    reply({.content_type = json_type, .body = to_json(*found) + "\n"});
  });
}

answer::Status Server::status() const {
  answer::Status status{.subscribers = admin_.subscribers(), .seq = log_.seq()};
  if (const model::Model* model = models_.default_model()) status.default_model = model->name();
  status.models = models_.statuses();
  return status;
}

bool Server::is_ready() const {
  return std::ranges::all_of(models_.all(), [](const auto& model) {
    return model->config().load != config::Load::boot || model->state() == ModelState::ready;
  });
}

std::vector<Health> Server::boot_healths() const {
  std::vector<Health> healths;
  for (const auto& model : models_.all()) {
    if (model->config().load == config::Load::boot) healths.push_back(model->status().health);
  }
  return healths;
}

std::size_t Server::streams() const {
  return std::transform_reduce(endpoints_.begin(), endpoints_.end(), std::size_t{0}, std::plus<>{},
                               [](const auto& endpoint) { return endpoint->streams(); });
}

void Server::count(std::string_view path, unsigned status) {
  const bool is_known = std::ranges::count(paths, path) > 0;
  ++pages_[{is_known ? std::string(path) : "other", status}];
}

// The same, counted when it is given.
LaterPage Server::counted(std::string_view path, LaterPage later) {
  return [this, path = std::string(path), later = std::move(later)](Reply reply) mutable {
    later([this, path, reply = std::move(reply)](Page page) mutable {
      count(path, page.status);
      reply(std::move(page));
    });
  };
}

// --- Events, and the end

void Server::published(const StatusEvent& event) {
  event_metrics_.observe(event, std::chrono::steady_clock::now());
  if (streams() > 0) turn_ends_soon();
}

void Server::turn_ends_soon() {
  if (std::exchange(turn_end_is_due_, true)) return;
  loop_.at_end_of_turn([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) end_turn();
  });
}

// The only place, besides time-outs, where the endpoints are made to write, and freed.
void Server::end_turn() {
  turn_end_is_due_ = false;
  for (const auto& endpoint : endpoints_) endpoint->wake_streams();
  if (!is_closing_) return;
  if (!std::ranges::all_of(endpoints_, [](const auto& endpoint) { return endpoint->is_idle(); })) return;
  endpoints_.clear();
  close_limit_.stop();
}

void Server::close(std::uint64_t limit_ms) {
  is_closing_ = true;
  turns_.stop();
  keep_alive_.stop();
  close_limit_.start_once(limit_ms);
  for (const auto& endpoint : endpoints_) endpoint->end_soon();
  turn_ends_soon();
}

}  // namespace ggufd::http
