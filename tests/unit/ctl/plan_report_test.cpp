// What `plan` says of fixed numbers.
#include "ctl/plan_report.h"

#include "ctl/human.h"
#include "inspect_support.h"

namespace ggufd::ctl {

using namespace test;
using answer::Plan;

namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30;
constexpr std::uint64_t mib = std::uint64_t{1} << 20;
constexpr Terminal plain{.columns = 80, .rows = 24, .style = {}};

Plan plan_of(std::uint32_t n_ctx, std::uint64_t kv_bytes, const std::string& type = "f16") {
  Plan plan{
      .architecture = "qwen3",
      .name = {"Qwen3 4B"},
      .n_ctx = n_ctx,
      .n_seq = 1,
      .kv_unified = true,
      .kv_type_k = type,
      .kv_type_v = type,
      .n_ubatch = 512,
      .weights_bytes = 2 * gib,
      .kv_bytes = {kv_bytes},
      .kv = {answer::PlanKv{
          .attention_bytes = kv_bytes, .recurrent_bytes = 0, .cells = n_ctx, .swa_cells = 0, .streams = 1}},
      .compute_bytes = {512 * mib},
      .total_bytes = {2 * gib + 512 * mib + kv_bytes},
      .available_bytes = {5 * gib},
      .limits = {{"MemAvailable", 6 * gib}, {"memory.max of the cgroup /a/b", 8 * gib}},
      .fits = {},
      .largest_n_ctx = {20'480},
      .headroom_bytes = 512 * mib,
      .held_bytes = 512 * mib,
      .kv_unknown = {}};
  plan.fits = {*plan.total_bytes.value <= *plan.available_bytes.value};
  return plan;
}

Plan unknown_cache() {
  Plan plan = plan_of(8192, 0);
  plan.architecture = "novel";
  plan.name = {};
  plan.kv_bytes = {};
  plan.kv = {};
  plan.total_bytes = {};
  plan.fits = {};
  plan.largest_n_ctx = {};
  plan.kv_unknown = "the architecture novel is not known";
  return plan;
}

PlanReport fitting() {
  return {.title = "qwen3-4b",
          .plan = plan_of(8192, gib),
          .others = {plan_of(32'768, 4 * gib)},
          .smaller = {plan_of(8192, 544 * mib, "q8_0"), plan_of(8192, 288 * mib, "q4_0")}};
}

}  // namespace

TEST_CASE("plan: the whole report on 80 columns without colour") {
  CHECK(plan_text(fitting(), plain) ==
        R"(qwen3-4b
qwen3, Qwen3 4B, 1 sequence, batches of 512

n_ctx               8192 f16  32768 f16  8192 q8_0  8192 q4_0
weights              2.0 GiB    2.0 GiB    2.0 GiB    2.0 GiB
KV cache             1.0 GiB    4.0 GiB  544.0 MiB  288.0 MiB
  cells                 8192      32768       8192       8192
compute, at least  512.0 MiB  512.0 MiB  512.0 MiB  512.0 MiB
total                3.5 GiB    6.5 GiB    3.0 GiB    2.8 GiB
available            5.0 GiB    5.0 GiB    5.0 GiB    5.0 GiB
left                 1.5 GiB   -1.5 GiB    2.0 GiB    2.2 GiB
fits                     yes         no        yes        yes

[###############################================--------.......................]
# weights  = KV cache  - compute  . left

LIMIT                             LEAVES
MemAvailable                     6.0 GiB
memory.max of the cgroup /a/b    8.0 GiB
less the headroom              512.0 MiB
less what other models hold    512.0 MiB

fits: 3.5 GiB of the 5.0 GiB that are available; up to n_ctx 20480 would
)");
}

TEST_CASE("plan: what does not fit says what would") {
  PlanReport report = fitting();
  report.plan = plan_of(32'768, 4 * gib);
  report.others.clear();
  report.smaller[0].largest_n_ctx = {40'960};
  report.smaller[1].largest_n_ctx = {40'960};
  const std::string text = plan_text(report, plain);
  CHECK(contains(text,
                 "[########################====================================|===========------]\n"
                 "# weights  = KV cache  - compute  | end of what is available\n"));
  CHECK(contains(text,
                 "\ndoes not fit: 6.5 GiB where 5.0 GiB are available\n"
                 "what would fit: n_ctx 20480 with a cache of f16, 40960 with q8_0\n"));
}

TEST_CASE("plan: where no context fits, that is said") {
  PlanReport report = fitting();
  report.plan = plan_of(32'768, 4 * gib);
  for (Plan* plan : {&report.plan, &report.smaller[0], &report.smaller[1]}) plan->largest_n_ctx = {0};
  CHECK(contains(plan_text(report, plain), "not even the shortest context would fit"));
}

TEST_CASE("plan: an unknown cache is unknown, with the reason, and no guess") {
  const std::string text =
      plan_text({.title = "m.gguf", .plan = unknown_cache(), .others = {}, .smaller = {}}, plain);
  CHECK(contains(text, "\nKV cache             unknown\n"));
  CHECK(contains(text, "\ntotal                unknown\n"));
  CHECK(contains(text, "\nfits                 unknown\n"));
  CHECK(contains(text, "\nnovel, 1 sequence"));
  CHECK(contains(text, "\nthe KV cache is unknown: the architecture novel is not known\n"));
  CHECK(contains(text, "\nwhether it fits can't be known"));
  CHECK_FALSE(contains(text, "= KV cache"));
}

TEST_CASE("plan: what is known may be too much already") {
  Plan plan = unknown_cache();
  plan.weights_bytes = 9 * gib;
  plan.fits = {false};
  CHECK(contains(plan_text({.title = "m", .plan = plan, .others = {}, .smaller = {}}, plain),
                 "does not fit: what is known of it alone is more, where 5.0 GiB are available\n"));
}

TEST_CASE("plan: a machine that does not tell its memory leaves the verdict open") {
  Plan plan = plan_of(8192, gib);
  plan.available_bytes = {};
  plan.fits = {};
  plan.limits.clear();
  const std::string text = plan_text({.title = "m", .plan = plan, .others = {}, .smaller = {}}, plain);
  CHECK(contains(text, "the machine does not tell its memory"));
  CHECK_FALSE(contains(text, "LIMIT"));
}

TEST_CASE("plan: the cache's parts are shown where there are some") {
  PlanReport report = fitting();
  report.plan.n_seq = 4;
  report.plan.kv_unified = false;
  report.plan.kv.value->swa_cells = 1024;
  report.plan.kv.value->streams = 4;
  report.plan.kv.value->recurrent_bytes = 3 * mib;
  const std::string text = plan_text(report, plain);
  CHECK(contains(text, "4 sequences with a cache each"));
  CHECK(contains(text, "\n  cells, window         1024"));
  CHECK(contains(text, "\n  streams                  4"));
  CHECK(contains(text, "\n  state              3.0 MiB"));
  CHECK_FALSE(contains(plan_text(fitting(), plain), "streams"));
}

TEST_CASE("plan: columns that there is no room for go, the first stays") {
  for (const std::size_t columns : {20U, 30U, 45U, 80U}) {
    const Terminal terminal{.columns = columns, .rows = 24, .style = {.utf8 = true}};
    const std::string text = plan_text(fitting(), terminal);
    for (const std::string& line : lines_of(text)) {
      CAPTURE(line);
      CHECK(columns_of(line) <= columns);
    }
    CHECK(contains(text, "8192 f16"));
    CHECK(contains(text, "q4_0") == (columns == 80));
    CHECK(contains(text, "32768 f16") == (columns >= 45));
  }
}

TEST_CASE("plan: bars") {
  const Style ascii{};
  const Style utf8{.utf8 = true};
  const Plan plan = plan_of(8192, gib);
  CHECK(plan_bar(plan, 22, ascii) == "[########====--......]");
  CHECK(plan_bar(plan, 22, utf8) == "▕████████▓▓▓▓░░······▏");
  CHECK(plan_bar(plan_of(8192, 4 * gib), 15, ascii) == "[####======|=-]");
  CHECK(plan_bar(plan_of(8192, 4 * gib), 15, utf8) == "▕████▓▓▓▓▓▓┃▓░▏");
  Plan full = plan;
  full.available_bytes = full.total_bytes;
  CHECK(plan_bar(full, 16, ascii) == "[########====--]");
  CHECK(plan_bar(unknown_cache(), 22, ascii) == "[########--..........]");
  Plan nothing;
  nothing.available_bytes = {0};
  CHECK(plan_bar(nothing, 10, ascii) == "[........]");
  CHECK(columns_of(plan_bar(plan, 0, utf8)) == 10);
  CHECK(contains(plan_bar(plan, 22, {.utf8 = false, .colour = true}), "\x1b[36m########\x1b[0m"));
}

TEST_CASE("plan: the document is the plan's, with the others where there are any") {
  const Plan plan = plan_of(8192, gib);
  const std::string document = to_json(plan);
  CHECK(plan_json(document, {}) == document + "\n");
  const std::string both = plan_json(document, {plan_of(256, mib), plan_of(512, mib)});
  CHECK(both == document.substr(0, document.size() - 1) + ",\"others\":[" + to_json(plan_of(256, mib)) + "," +
                    to_json(plan_of(512, mib)) + "]}\n");
}

}  // namespace ggufd::ctl
