// A machine, a user and a daemon's places, made of files: what the doctor looks at.
#pragma once

#include <doctest/doctest.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>

#include "doctor/examine.h"
#include "doctor/subject.h"
#include "store/blob_store.h"
#include "store/manifest.h"

namespace ggufd::doctor::test {

using Outcome = answer::Check::Outcome;

inline const answer::Check& check_of(const answer::Doctor& report, std::string_view group,
                                     std::string_view name) {
  const auto found = std::ranges::find_if(
      report.checks, [&](const answer::Check& check) { return check.group == group && check.name == name; });
  if (found == report.checks.end()) FAIL("there is no check " << group << "/" << name);
  return *found;
}

// Everything in order until a test spoils it. Removed with all that is in it.
class Scene {
 public:
  Scene() {
    std::string form = std::filesystem::temp_directory_path().string() + "/ggufd-doctor-XXXXXX";
    REQUIRE(mkdtemp(form.data()) != nullptr);
    folder_ = std::filesystem::canonical(form).string();
    // Another user may look for what lies in it.
    chmod(folder_.c_str(), 0755);
    variables = {{"HOME", folder_ + "/home"}};
    put("root/proc/meminfo",
        "MemTotal: 16000000 kB\nMemAvailable: 12000000 kB\nHugePages_Free: 0\nHugepagesize: 2048 kB\n");
    put("root/proc/locks", "");
    put("root/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu sse4_2 sha_ni avx2 avx512f amx_tile\n");
    put("root/proc/self/cgroup", "0::/service\n");
    put("root/proc/self/status", "CapEff:\t0000000000000000\n");
    set_limits("unlimited", "1048576");
    put("root/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
    put("root/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    put("root/etc/ssl/certs/ca-certificates.crt", "-----BEGIN CERTIFICATE-----\n");
    configure(R"({"models": []})");
    make_folder("run", 0700);
    make_folder("store", 0755);
  }
  ~Scene() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  std::string operator/(const std::string& name) const { return folder_ + "/" + name; }

  void put(const std::string& name, const std::string& content, mode_t mode = 0600) const {
    const std::filesystem::path path = folder_ + "/" + name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
    REQUIRE(chmod(path.c_str(), mode) == 0);
  }
  void make_folder(const std::string& name, mode_t mode) const {
    std::filesystem::create_directories(folder_ + "/" + name);
    REQUIRE(chmod((folder_ + "/" + name).c_str(), mode) == 0);
  }
  void configure(const std::string& json, mode_t mode = 0600) const { put("config.json", json, mode); }
  // One model "m", with keys of its own: R"("source": "/m.gguf", "mlock": true)".
  void configure_model(const std::string& keys, const std::string& others = "") const {
    configure(
        fmt::format(R"({{"models": [{{"name": "m", {}}}]{}{}}})", keys, others.empty() ? "" : ", ", others));
  }
  void set_limits(const std::string& memlock, const std::string& open_files) const {
    put("root/proc/self/limits",
        fmt::format("Limit                     Soft Limit           Hard Limit           Units     \n"
                    "Max open files            {0:<20} {0:<20} files     \n"
                    "Max locked memory         {1:<20} {1:<20} bytes     \n",
                    open_files, memlock));
  }

  store::BlobStore store() const { return store::BlobStore(folder_ + "/store"); }
  // A blob and, with its stamp, what find() believes.
  store::Digest add_blob(const std::string& content) const {
    const auto digest = store::sha256_of(content);
    REQUIRE(digest);
    auto partial = store().open_partial(*digest);
    REQUIRE(partial);
    REQUIRE(pwrite(partial->fd(), content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()));
    REQUIRE(store().commit(std::move(*partial), *digest, content.size(), "https://example.org/m.gguf"));
    return *digest;
  }

  Subject subject() const {
    Subject subject{.places = {.runtime_dir = folder_ + "/run",
                               .config = folder_ + "/config.json",
                               .store = folder_ + "/store"},
                    .environment = [variables = variables](const char* name) -> std::optional<std::string> {
                      const auto found = variables.find(name);
                      return found == variables.end() ? std::nullopt : std::optional(found->second);
                    },
                    .uid = geteuid(),
                    .now = Timestamp::now(),
                    .system_root = folder_ + "/root",
                    .running = running,
                    .engine = engine,
                    .plans = plans};
    return subject;
  }
  answer::Doctor look() const { return examine(subject()); }
  answer::Check look(std::string_view group, std::string_view name) const {
    return check_of(look(), group, name);
  }

  std::map<std::string, std::string> variables;
  std::optional<config::Config> running;
  std::optional<Result<FoundEngine>> engine;
  std::vector<PlannedModel> plans;

 private:
  std::string folder_;
};

// An effective user without rights, where the tests run as root; another user is in no position to write
// everywhere anyway.
class WithoutRights {
 public:
  WithoutRights() : was_root_(geteuid() == 0) {
    if (was_root_) REQUIRE(seteuid(65534) == 0);
  }
  ~WithoutRights() {
    if (was_root_ && seteuid(0) != 0) abort();
  }
  WithoutRights(const WithoutRights&) = delete;
  WithoutRights& operator=(const WithoutRights&) = delete;

 private:
  bool was_root_;
};

// What a plan says that a test is about.
inline PlannedModel planned(std::uint64_t total_bytes, std::uint64_t available_bytes,
                            std::string name = "m") {
  answer::Plan plan{.n_ctx = 8192, .weights_bytes = total_bytes / 2};
  plan.total_bytes.value = total_bytes;
  plan.available_bytes.value = available_bytes;
  plan.fits.value = total_bytes <= available_bytes;
  plan.limits = {{"MemAvailable", available_bytes}};
  return {std::move(name), std::move(plan)};
}

#define CHECK_FINDING(check, outcome, words)                                              \
  do {                                                                                    \
    const answer::Check found_check = (check);                                            \
    CHECK_MESSAGE(found_check.result == (outcome), found_check.found);                    \
    CHECK_MESSAGE(found_check.found.find(words) != std::string::npos, found_check.found); \
    CHECK((found_check.result == Outcome::ok || found_check.result == Outcome::skip) ==   \
          found_check.advice.empty());                                                    \
  } while (false)

}  // namespace ggufd::doctor::test
