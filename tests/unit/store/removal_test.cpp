#include "store/removal.h"

#include <algorithm>

#include "store/model_lock.h"
#include "store/shard_links.h"
#include "support.h"

namespace ggufd::store {
namespace {

using namespace test;

std::vector<RemovalKind> kinds_of(const RemovalPlan& plan) {
  std::vector<RemovalKind> kinds;
  for (const Removal& item : plan.items) kinds.push_back(item.kind);
  return kinds;
}

bool says(const RemovalPlan& plan, std::string_view part) {
  return std::ranges::any_of(plan.stays, [&](const std::string& text) { return contains(text, part); });
}

RemovalPlan plan_of(const Blobs& blobs, const std::string& model) {
  auto plan = plan_model_removal(blobs.store, model);
  REQUIRE(plan);
  return std::move(*plan);
}

Result<void> remove(const Blobs& blobs, const std::string& model, const RemovalPlan& plan) {
  return remove_model(blobs.store, model, plan, [](const Removal&) {});
}

RemovalPlan garbage(const Blobs& blobs, GarbageRules rules = {}) {
  rules.now = Timestamp::now();
  const auto collection = list_store(blobs.store);
  REQUIRE(collection);
  return plan_garbage(*collection, rules, blobs.store);
}

std::size_t remove_all(const Blobs& blobs, const RemovalPlan& plan) {
  for (const Removal& item : plan.items) CHECK(remove_garbage(blobs.store, item));
  return plan.items.size();
}

TEST_CASE("rm takes a model's manifest, its links and its blobs") {
  const Blobs blobs;
  const Digest one = blobs.add("one");
  const Digest two = blobs.add("two");
  blobs.name("m", {one, two});
  REQUIRE(link_shards(blobs.store, "m", {{"w-1.gguf", one}, {"w-2.gguf", two}}));
  const RemovalPlan plan = plan_of(blobs, "m");
  CHECK(kinds_of(plan) ==
        std::vector{RemovalKind::manifest, RemovalKind::links, RemovalKind::blob, RemovalKind::blob});
  CHECK(plan.size_bytes() > 6);
  std::size_t told = 0;
  CHECK(remove_model(blobs.store, "m", plan, [&](const Removal&) { ++told; }));
  CHECK(told == 4);
  CHECK_FALSE(exists(blobs.store.manifest_path("m")));
  CHECK_FALSE(exists(blobs.store.root() + "/links/m"));
  CHECK_FALSE(exists(blobs.store.blob_folder(one)));
  CHECK_FALSE(exists(blobs.store.blob_folder(two)));
}

TEST_CASE("rm leaves a blob that another model needs, and says so") {
  const Blobs blobs;
  const Digest one = blobs.add("one");
  const Digest shared = blobs.add("shared");
  blobs.name("m", {one, shared});
  blobs.name("other", {shared});
  const RemovalPlan plan = plan_of(blobs, "m");
  CHECK(says(plan, "another model needs it"));
  REQUIRE(remove(blobs, "m", plan));
  CHECK(exists(blobs.store.blob_path(shared)));
  CHECK_FALSE(exists(blobs.store.blob_path(one)));
}

TEST_CASE("rm of a model that is in use removes nothing") {
  const Blobs blobs;
  const Digest one = blobs.add("one");
  const Digest two = blobs.add("two");
  blobs.name("m", {one, two});
  const RemovalPlan plan = plan_of(blobs, "m");
  {
    const auto loaded = blobs.store.find(two);
    const auto removed = remove(blobs, "m", plan);
    REQUIRE_FALSE(removed);
    CHECK(removed.error().code == ErrorCode::busy);
    CHECK(contains(removed.error().message, "is in use"));
  }
  CHECK(exists(blobs.store.manifest_path("m")));
  CHECK_FALSE(blobs.store.find(one)->value().needs_hash);
  CHECK_FALSE(blobs.store.find(two)->value().needs_hash);
  {
    const auto lock = ModelLock::try_lock(blobs.store.root(), "m");
    CHECK(remove(blobs, "m", plan).error().code == ErrorCode::busy);
  }
  CHECK(remove(blobs, "m", plan));
}

TEST_CASE("rm looks again whether somebody has come to need the blob since it was planned") {
  const Blobs blobs;
  const Digest one = blobs.add("one");
  blobs.name("m", {one});
  const RemovalPlan plan = plan_of(blobs, "m");
  blobs.name("late", {one});
  CHECK(remove(blobs, "m", plan).error().code == ErrorCode::busy);
  CHECK(exists(blobs.store.manifest_path("m")));
  CHECK(exists(blobs.store.blob_path(one)));
}

TEST_CASE("rm of what is no model, or of one without its blob or with a bad manifest") {
  const Blobs blobs;
  CHECK(plan_model_removal(blobs.store, "m").error().code == ErrorCode::not_in_store);
  CHECK(plan_model_removal(blobs.store, "../m").error().code == ErrorCode::bad_field);
  blobs.name("m", {digest_of("gone")});
  CHECK(kinds_of(plan_of(blobs, "m")) == std::vector{RemovalKind::manifest});
  const Digest one = blobs.add("one");
  put(blobs.store.manifest_path("m"), "{");
  const RemovalPlan plan = plan_of(blobs, "m");
  CHECK(says(plan, "stay until gc"));
  REQUIRE(remove(blobs, "m", plan));
  CHECK_FALSE(exists(blobs.store.manifest_path("m")));
  CHECK(exists(blobs.store.blob_path(one)));
}

TEST_CASE("rm keeps blobs where another manifest cannot be read") {
  const Blobs blobs;
  blobs.name("m", {blobs.add("one")});
  blobs.name("other", {digest_of("x")});
  put(blobs.store.manifest_path("other"), "{");
  const RemovalPlan plan = plan_of(blobs, "m");
  CHECK(kinds_of(plan) == std::vector{RemovalKind::manifest});
  CHECK(says(plan, "another model may need them"));
}

TEST_CASE("a clean store has no garbage") {
  const Blobs blobs;
  blobs.name("m", {blobs.add("one")});
  CHECK(garbage(blobs).items.empty());
  CHECK(garbage(blobs).stays.empty());
}

TEST_CASE("gc takes a blob that nobody needs, wants or uses") {
  const Blobs blobs;
  const Digest lost = blobs.add("lost");
  const Digest wanted = blobs.add("wanted");
  const Digest used = blobs.add("used");
  const auto mine = blobs.store.find(used);
  const RemovalPlan plan = garbage(blobs, {.wanted_blobs = {wanted}});
  REQUIRE(plan.items.size() == 1);
  CHECK(plan.items.front().digest == lost);
  CHECK(says(plan, "it is in use"));
  remove_all(blobs, plan);
  CHECK_FALSE(exists(blobs.store.blob_folder(lost)));
  CHECK(exists(blobs.store.blob_path(wanted)));
  CHECK(exists(blobs.store.blob_path(used)));
}

TEST_CASE("gc leaves what came to be in use, or to be named, after it was planned") {
  const Blobs blobs;
  const Digest used = blobs.add("used");
  const Digest named = blobs.add("named");
  const RemovalPlan plan = garbage(blobs);
  REQUIRE(plan.items.size() == 2);
  const auto mine = blobs.store.find(used);
  blobs.name("m", {named});
  for (const Removal& item : plan.items)
    CHECK(remove_garbage(blobs.store, item).error().code == ErrorCode::busy);
  CHECK(exists(blobs.store.blob_path(used)));
  CHECK_FALSE(blobs.store.find(named)->value().needs_hash);
}

TEST_CASE("gc takes no blob where it does not know what is needed") {
  const Blobs blobs;
  blobs.add("lost");
  REQUIRE(link_shards(blobs.store, "m", {{"w.gguf", digest_of("lost")}}));
  const RemovalPlan plan = garbage(blobs, {.unknown_wants = "the configuration cannot be read"});
  CHECK(plan.items.empty());
  CHECK(says(plan, "no blob goes: the configuration cannot be read"));
  std::filesystem::create_directory(blobs.store.root() + "/manifests");
  put(blobs.store.manifest_path("broken"), "{");
  CHECK(garbage(blobs).items.empty());
  CHECK(says(garbage(blobs), "a manifest could not be read"));
}

TEST_CASE("gc takes partials that nobody will go on with") {
  const Blobs blobs;
  const auto make = [&](const std::string& content, std::int64_t age_ms) {
    const Digest key = digest_of(content);
    partial_with(blobs.store, key, content);
    set_age(blobs.store.partial_folder(key) + "/data.tmp", age_ms);
    set_age(blobs.store.partial_folder(key), age_ms);
    return key;
  };
  const Digest lost = make("lost", 0);
  const Digest by_digest = make("by digest", day_ms);
  const Digest by_source = make("by source", day_ms);
  const Digest old = make("old", 8 * day_ms);
  const Digest written = make("written", 8 * day_ms);
  const auto writer = blobs.store.open_partial(written);
  REQUIRE(writer);
  const GarbageRules rules{.wanted_blobs = {by_digest, old},
                           .is_wanted_partial = [&](const ListedPartial& p) { return p.key == by_source; }};
  const RemovalPlan plan = garbage(blobs, rules);
  CHECK(remove_all(blobs, plan) == 2);
  CHECK_FALSE(exists(blobs.store.partial_folder(lost)));
  CHECK_FALSE(exists(blobs.store.partial_folder(old)));
  CHECK(exists(blobs.store.partial_folder(by_digest)));
  CHECK(exists(blobs.store.partial_folder(by_source)));
  CHECK(exists(blobs.store.partial_folder(written)));
  CHECK(says(plan, "it is being written"));
}

TEST_CASE("gc leaves a partial that somebody has gone on with since") {
  const Blobs blobs;
  partial_with(blobs.store, digest_of("x"), "x");
  const RemovalPlan plan = garbage(blobs);
  REQUIRE(plan.items.size() == 1);
  const auto writer = blobs.store.open_partial(digest_of("x"));
  CHECK(remove_garbage(blobs.store, plan.items.front()).error().code == ErrorCode::busy);
  CHECK(exists(writer->data_path()));
}

TEST_CASE("gc takes leftovers that are old enough, and nothing of a blob that came meanwhile") {
  const Blobs blobs;
  const Digest one = blobs.add("one");
  blobs.name("m", {one});
  const std::string temporary = blobs.store.root() + "/manifests/.m.json.0123456789abcdef";
  put(temporary, "{");
  std::filesystem::remove(blobs.store.blob_path(one));
  CHECK(garbage(blobs).items.empty());
  set_age(temporary, day_ms);
  set_age(blobs.store.blob_folder(one), day_ms);
  const RemovalPlan plan = garbage(blobs);
  REQUIRE(plan.items.size() == 2);
  blobs.add("one");
  CHECK(remove_garbage(blobs.store, plan.items[0]));
  CHECK(remove_garbage(blobs.store, plan.items[1]).error().code == ErrorCode::busy);
  CHECK_FALSE(exists(temporary));
  CHECK_FALSE(blobs.store.find(one)->value().needs_hash);
}

TEST_CASE("gc takes an old blob folder without its data") {
  const Blobs blobs;
  const Digest one = blobs.add("one");
  std::filesystem::remove(blobs.store.blob_path(one));
  set_age(blobs.store.blob_folder(one), day_ms);
  CHECK(remove_all(blobs, garbage(blobs)) == 1);
  CHECK_FALSE(exists(blobs.store.blob_folder(one)));
}

TEST_CASE("gc takes the links of models that are not there") {
  const Blobs blobs;
  const Digest one = blobs.add("one");
  for (const char* model : {"here", "configured", "gone"})
    REQUIRE(link_shards(blobs.store, model, {{"w.gguf", one}}));
  blobs.name("here", {one});
  CHECK(remove_all(blobs, garbage(blobs, {.wanted_models = {"configured"}})) == 1);
  CHECK(exists(blobs.store.root() + "/links/here/w.gguf"));
  CHECK(exists(blobs.store.root() + "/links/configured/w.gguf"));
  CHECK_FALSE(exists(blobs.store.root() + "/links/gone"));
}

TEST_CASE("gc takes quarantined files only where it is told to, by age or all") {
  const Blobs blobs;
  const QuarantineEvidence evidence{.url = "", .reason = "bad", .expected = "", .actual = ""};
  const auto fresh = blobs.store.quarantine(partial_with(blobs.store, digest_of("x"), "x"), evidence);
  REQUIRE(fresh);
  const std::string old = blobs.store.quarantine_folder() + "/20200101T000000Z-bad.bin";
  put(old, "old");
  set_age(old, 31 * day_ms);
  CHECK(garbage(blobs).items.empty());
  CHECK(remove_all(blobs, garbage(blobs, {.quarantine = GarbageRules::Quarantine::old})) == 1);
  CHECK_FALSE(exists(old));
  CHECK(exists(*fresh));
  CHECK(remove_all(blobs, garbage(blobs, {.quarantine = GarbageRules::Quarantine::all})) == 1);
  CHECK(std::filesystem::is_empty(blobs.store.quarantine_folder()));
}

TEST_CASE("a store that another one holds open is swept all the same, and what has gone is no error") {
  const Blobs blobs;
  blobs.add("lost");
  partial_with(blobs.store, digest_of("x"), "x");
  const RemovalPlan plan = garbage(blobs);
  CHECK(remove_all(blobs, plan) == 2);
  CHECK(remove_all(blobs, plan) == 2);
  CHECK(garbage(blobs).items.empty());
}

}  // namespace
}  // namespace ggufd::store
