// One subject's findings on their way into the report.
#pragma once

#include <string>
#include <utility>

#include "protocol/answer.h"

namespace ggufd::doctor {

class Group {
 public:
  // The report outlives this.
  Group(answer::Doctor& report, std::string name) : report_(report), name_(std::move(name)) {}

  // `name` is what is checked, `found` a clause or a sentence, `advice` what to do.
  void ok(std::string name, std::string found) { add(std::move(name), Outcome::ok, std::move(found), ""); }
  void warn(std::string name, std::string found, std::string advice) {
    add(std::move(name), Outcome::warn, std::move(found), std::move(advice));
  }
  void fail(std::string name, std::string found, std::string advice) {
    report_.ok = false;
    add(std::move(name), Outcome::fail, std::move(found), std::move(advice));
  }
  // What could not be looked at, or does not matter here, and why.
  void skip(std::string name, std::string found) {
    add(std::move(name), Outcome::skip, std::move(found), "");
  }

 private:
  using Outcome = answer::Check::Outcome;

  void add(std::string name, Outcome result, std::string found, std::string advice) {
    report_.checks.push_back({name_, std::move(name), result, std::move(found), std::move(advice)});
  }

  answer::Doctor& report_;
  std::string name_;
};

}  // namespace ggufd::doctor
