// ggufctl on a terminal: a pseudo-terminal, and a child that has it as its output.
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <cstdlib>
#include <functional>

#include "ctl/human.h"
#include "ctl/terminal.h"
#include "tests/unit/ctl/support.h"

namespace ggufd::ctl {

using namespace test;

namespace {

constexpr const char* hide_cursor = "\x1b[?25l";
constexpr const char* show_cursor = "\x1b[?25h";

class PseudoTerminal {
 public:
  explicit PseudoTerminal(unsigned short columns, unsigned short rows = 24) {
    master_ = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(master_ >= 0);
    REQUIRE(grantpt(master_) == 0);
    REQUIRE(unlockpt(master_) == 0);
    slave_ = open(ptsname(master_), O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(slave_ >= 0);
    resize(columns, rows);
  }
  PseudoTerminal(const PseudoTerminal&) = delete;
  PseudoTerminal& operator=(const PseudoTerminal&) = delete;
  ~PseudoTerminal() {
    close(slave_);
    close(master_);
  }
  void resize(unsigned short columns, unsigned short rows = 24) {
    const winsize size{.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    REQUIRE(ioctl(master_, TIOCSWINSZ, &size) == 0);
  }
  int slave() const { return slave_; }
  // What has been written so far, once `part` is among it; all of it after 20 s.
  const std::string& read_until(std::string_view part) {
    while (!contains(text_, part)) {
      pollfd polled{.fd = master_, .events = POLLIN, .revents = 0};
      if (poll(&polled, 1, 20'000) <= 0) break;
      char buffer[4096];
      const ssize_t count = read(master_, buffer, sizeof buffer);
      if (count <= 0) break;
      text_.append(buffer, static_cast<std::size_t>(count));
    }
    return text_;
  }
  void forget() { text_.clear(); }

 private:
  int master_ = -1;
  int slave_ = -1;
  std::string text_;
};

const Variables unicode_terminal{{"TERM", "xterm"}, {"LANG", "C.UTF-8"}};

// ggufctl in a child of its own, for its signals.
class Child {
 public:
  Child(const FakeDaemon& daemon, const PseudoTerminal& terminal, std::vector<const char*> arguments,
        Variables variables = unicode_terminal) {
    const std::string socket = daemon.socket();
    arguments.insert(arguments.end(), {"--socket", socket.c_str()});
    const config::Environment environment = environment_of(std::move(variables));
    pid_ = fork();
    if (pid_ != 0) return;
    signal(SIGPIPE, SIG_IGN);
    _exit(run(arguments, {.environment = environment, .out = terminal.slave(), .err = terminal.slave()}));
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  void signal_it(int number) const { kill(pid_, number); }
  int exit_code() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  void wait_for_stop() const {
    int status = 0;
    waitpid(pid_, &status, WUNTRACED);
    CHECK(WIFSTOPPED(status));
  }

 private:
  pid_t pid_ = -1;
};

// Loads half of the model, then does as it is told.
FakeDaemon::Script half_way(std::function<void(Peer&)> rest = [](Peer& peer) { peer.wait_for_end(); }) {
  return [rest = std::move(rest)](Peer& peer) {
    peer.send(event(1, download(500)));
    rest(peer);
  };
}

}  // namespace

TEST_CASE("live: a picture is drawn in place, and the cursor is back in the end") {
  PseudoTerminal terminal(60);
  const FakeDaemon daemon(half_way([](Peer& peer) {
    peer.send(event(2, ready()));
    peer.send(event(3, status::Draining{}, {}));
  }));
  Child child(daemon, terminal, {"watch"});
  const int code = child.exit_code();
  CHECK(code == done);
  const std::string text = terminal.read_until(show_cursor);
  CHECK(contains(text, hide_cursor));
  CHECK(contains(text, "ggufd\x1b[0m  \x1b[33mdraining"));
  CHECK(text.ends_with(show_cursor));
}

TEST_CASE("live: Ctrl-C gives the cursor back and tells the signal") {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    PseudoTerminal terminal(60);
    const FakeDaemon daemon(half_way());
    Child child(daemon, terminal, {"watch"});
    const std::string picture = terminal.read_until("50%");
    CHECK(contains(picture, "█"));
    child.signal_it(number);
    const int code = child.exit_code();
    CHECK(code == by_signal + number);
    const std::string text = terminal.read_until(show_cursor);
    CHECK(text.ends_with(show_cursor));
  }
}

TEST_CASE("live: the times of the phases stay above the picture") {
  PseudoTerminal terminal(60);
  const FakeDaemon daemon(half_way([](Peer& peer) {
    peer.send(event(4, status::LoadingModel{phase::WarmUp{}}));
    peer.send(event(9, ready()));
    peer.wait_for_end();
  }));
  const Child child(daemon, terminal, {"watch"}, {{"TERM", "xterm"}, {"NO_COLOR", "1"}});
  const std::string text = terminal.read_until("m  ready");
  CHECK(contains(text, "m ready in 1.5 s: download over 300 ms, warm_up 500 ms\r\n"));
}

TEST_CASE("live: a daemon that has gone is waited for, and the picture goes on with the next one") {
  PseudoTerminal terminal(60);
  std::int64_t pid = 0;
  const FakeDaemon daemon([&](Peer& peer) {
    ++pid;
    peer.send(event(1, pid == 1 ? download(500) : download(900)));
    const auto ping = peer.read_request();
    if (ping) peer.answer(ping->id, answer::Ping{.version = "1", .pid = pid});
    if (pid > 1) peer.wait_for_end();
  });
  Child child(daemon, terminal, {"watch"}, {{"TERM", "xterm"}, {"NO_COLOR", "1"}});
  const std::string gone = terminal.read_until("the daemon has gone; waiting for it");
  CHECK(contains(gone, "50%"));
  CHECK(contains(gone, "ggufd  gone  the daemon has gone; waiting for it"));
  terminal.forget();
  const std::string back = terminal.read_until("90%");
  CHECK(contains(back, "90%"));
  child.signal_it(SIGINT);
  const int code = child.exit_code();
  CHECK(code == by_signal + SIGINT);
  const std::string text = terminal.read_until(show_cursor);
  CHECK(text.ends_with(show_cursor));
}

TEST_CASE("live: whoever leaves a load or a pull is told that it goes on, and how to end it") {
  for (const char* verb : {"load", "pull"}) {
    PseudoTerminal terminal(200);
    const FakeDaemon daemon(half_way([](Peer& peer) { peer.wait_for_end(); }));
    Child child(daemon, terminal, {verb, "m"});
    terminal.read_until("50%");
    child.signal_it(SIGINT);
    const int code = child.exit_code();
    CHECK(code == by_signal + SIGINT);
    const std::string text = terminal.read_until("cancel m");
    CHECK(contains(
        text,
        fmt::format("ggufctl: the daemon goes on with the {} of m; to end it: ggufctl --socket {} cancel m",
                    verb, daemon.socket())));
    CHECK(text.find(show_cursor) < text.find("goes on"));
  }
}

TEST_CASE("live: a verify of which the daemon tells nothing has a clock") {
  PseudoTerminal terminal(60);
  const FakeDaemon daemon(half_way());
  Child child(daemon, terminal, {"verify", "m"}, {{"TERM", "xterm"}, {"NO_COLOR", "1"}});
  CHECK(contains(terminal.read_until("0:01 so far"), "m  verify  0:01 so far"));
}

TEST_CASE("live: a new size is drawn for at once") {
  PseudoTerminal terminal(60);
  const FakeDaemon daemon(half_way());
  const Child child(daemon, terminal, {"watch"});
  const std::string before = terminal.read_until("50%");
  CHECK(contains(before, "download"));
  terminal.forget();
  terminal.resize(12);
  child.signal_it(SIGWINCH);
  const std::string text = terminal.read_until("50%");
  CHECK(contains(text, "50%"));
  CHECK_FALSE(contains(text, "download"));
}

TEST_CASE("live: a stop gives the cursor back, and the picture comes again after it") {
  PseudoTerminal terminal(60);
  const FakeDaemon daemon(half_way());
  const Child child(daemon, terminal, {"watch"});
  terminal.read_until("50%");
  child.signal_it(SIGTSTP);
  child.wait_for_stop();
  const std::string before = terminal.read_until(show_cursor);
  CHECK(contains(before, show_cursor));
  terminal.forget();
  child.signal_it(SIGCONT);
  const std::string text = terminal.read_until("50%");
  CHECK(contains(text, hide_cursor));
}

TEST_CASE("live: warnings and errors stay above the picture") {
  PseudoTerminal terminal(40);
  const FakeDaemon daemon(half_way([](Peer& peer) {
    peer.send(event(2, status::Warning{.code = "slow", .message = "the disk is slow"}));
    peer.send(event(3, failure("a long sentence about what has gone wrong in the end")));
    peer.wait_for_end();
  }));
  const Child child(daemon, terminal, {"watch"}, {{"TERM", "xterm"}, {"NO_COLOR", "1"}});
  const std::string text = terminal.read_until("m  error");
  CHECK(contains(text, "m: warning: the disk is slow (slow)"));
  CHECK(contains(text, "m: error: a long sentence about what has gone wrong in the end (network)"));
}

TEST_CASE("live: NO_COLOR takes the colours, TERM=dumb the redrawing, another locale the characters") {
  PseudoTerminal terminal(60);
  const FakeDaemon daemon(half_way());
  {
    const Child child(daemon, terminal, {"watch"}, {{"TERM", "xterm"}, {"NO_COLOR", "1"}, {"LANG", "C"}});
    const std::string text = terminal.read_until("50%");
    CHECK_FALSE(contains(text, "m\x1b["));
    CHECK(contains(text, "[=="));
  }
  PseudoTerminal dumb(60);
  const Child child(daemon, dumb, {"watch"}, {{"TERM", "dumb"}});
  const std::string text = dumb.read_until("left");
  CHECK(contains(text, "left"));
  CHECK_FALSE(contains(text, "\x1b"));
}

TEST_CASE("live: twenty columns are enough for a picture and a table") {
  PseudoTerminal terminal(20);
  const FakeDaemon daemon(
      answering(status_of({model_status("a-model-with-a-long-name", ModelState::ready)})));
  Child child(daemon, terminal, {"status"}, {{"TERM", "xterm"}, {"NO_COLOR", "1"}, {"LANG", "C.UTF-8"}});
  const int code = child.exit_code();
  CHECK(code == done);
  const std::string text = terminal.read_until("ready");
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = text.find("\r\n", begin);
    CHECK(columns_of(text.substr(begin, end - begin)) <= 20);
    if (end == std::string::npos) break;
    begin = end + 2;
  }
}

TEST_CASE("terminal: the locale is the first variable that is set") {
  CHECK(is_utf8_locale(environment_of({{"LANG", "de_DE.UTF-8"}})));
  CHECK(is_utf8_locale(environment_of({{"LC_ALL", "C.utf8"}, {"LANG", "C"}})));
  CHECK_FALSE(is_utf8_locale(environment_of({{"LC_CTYPE", "C"}, {"LANG", "de_DE.UTF-8"}})));
  CHECK_FALSE(is_utf8_locale(environment_of({})));
}

TEST_CASE("terminal: a size that it does not know is what the environment says") {
  const PseudoTerminal terminal(0, 0);
  const Terminal found =
      terminal_of(terminal.slave(), environment_of({{"TERM", "xterm"}, {"COLUMNS", "33"}}));
  CHECK(found.columns == 33);
  CHECK(found.rows == 24);
  CHECK(found.is_live);
  CHECK(terminal_of(terminal.slave(), environment_of({{"COLUMNS", "-1"}})).columns == 80);
}

}  // namespace ggufd::ctl
