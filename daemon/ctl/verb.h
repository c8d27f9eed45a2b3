// A verb of ggufctl: its name, its part of the command line, what it does. A file each; all_verbs() lists
// them.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "ctl/context.h"
#include "ctl/parameters.h"

namespace ggufd::ctl {

class Verb {
 public:
  virtual ~Verb() = default;

  virtual const char* name() const = 0;
  // One line of the help.
  virtual const char* summary() const = 0;
  // Command lines, one a line, shown at the end of the verb's help. Each verb has one (a test holds it to
  // that).
  virtual const char* example() const { return ""; }
  // What the exit codes mean, "0  the model is ready", a line each, where that says more than the general
  // meaning in ctl/context.h.
  virtual const char* exit_codes() const { return ""; }
  // Binds the verb's members; they hold the command line's values when run() is called.
  virtual void bind(Parameters& parameters) = 0;
  // Returns the exit code. Says itself what went wrong.
  virtual int run(Context& context) = 0;
};

// Verbs that go together, under one heading of the help.
struct VerbGroup {
  const char* title;
  std::vector<std::unique_ptr<Verb>> verbs;
};

// In the order of the help.
std::vector<VerbGroup> all_verbs();

std::unique_ptr<Verb> make_status();
std::unique_ptr<Verb> make_watch();
std::unique_ptr<Verb> make_wait();
std::unique_ptr<Verb> make_health();
std::unique_ptr<Verb> make_load();
std::unique_ptr<Verb> make_unload();
std::unique_ptr<Verb> make_reload();
std::unique_ptr<Verb> make_cancel();
std::unique_ptr<Verb> make_pull();
std::unique_ptr<Verb> make_verify();
std::unique_ptr<Verb> make_drain();
std::unique_ptr<Verb> make_doctor();
std::unique_ptr<Verb> make_inspect();
std::unique_ptr<Verb> make_plan();
std::unique_ptr<Verb> make_import();
std::unique_ptr<Verb> make_ls();
std::unique_ptr<Verb> make_rm();
std::unique_ptr<Verb> make_gc();
std::unique_ptr<Verb> make_completion();

}  // namespace ggufd::ctl
