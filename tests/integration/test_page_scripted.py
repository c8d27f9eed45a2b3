"""The status page in a browser, beside a scripted daemon: for what a real one rarely says, and for how it looks."""

import re
import unittest

import browser
import ggufd
import process
from browser import CONNECTION, EVENTS, STATE, STEPS, words_are
from scripted_daemon import GIB, ScriptedDaemon, model

# What a text's colour is on the ground that it stands on, as WCAG 2.1 computes it (section 1.4.3).
CONTRASTS = """(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => numbers(colour).slice(0, 3).map((each) => each / 255)
    .map((each) => (each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, i) => sum + each * [0.2126, 0.7152, 0.0722][i], 0);
  const groundOf = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!hasText || element.getClientRects().length === 0) continue;
    found.push([element.textContent.slice(0, 40), contrast(getComputedStyle(element).color, groundOf(element)), 4.5]);
  }
  for (const part of document.querySelectorAll('.track > span:not([data-c=free]), .meter > span')) {
    if (part.getClientRects().length === 0) continue;
    const colour = getComputedStyle(part).backgroundColor;
    found.push([part.dataset.c ?? 'bar', contrast(colour, groundOf(part.closest('.panel'))), 3]);
  }
  return found;
})()"""

SHARE = {"total_bytes": GIB, "path": "/models/m.gguf"}
ALL_STEPS = {
    "checking_local": {"path": "/models/m.gguf"},
    "download": {"downloaded_bytes": GIB, "total_bytes": GIB, "source_url": "https://example.org/m.gguf", "bytes_per_second": 1 << 20,
                 "resumed_bytes": 0, "connections": 8},
    "verify": SHARE | {"verified_bytes": GIB},
    "quarantine": {"path": "/p", "quarantine_path": "/q", "expected_sha256": "ab" * 32, "actual_sha256": "cd" * 32},
    "mmap": SHARE | {"resident_bytes": GIB, "integrity": "hashed"},
    "kv_cache": {"n_ctx": 8192, "bytes": GIB, "kv_type_k": "f16", "kv_type_v": "q8_0"},
    "engine_start": {"backend": "llama-server", "pid": 4711, "attempt": 1},
    "warm_up": {}}


class Scripted(browser.BrowserTest):
    def daemon(self, *models, **more):
        daemon = ScriptedDaemon(list(models), **more)
        self.addCleanup(daemon.__exit__)
        return daemon.__enter__()

    def download(self, daemon, of, done, total, **more):
        daemon.tell("loading_model", of, phase="download", downloaded_bytes=done, total_bytes=total, connections=2,
                    source_url="https://example.org/m.gguf", bytes_per_second=1 << 20, resumed_bytes=0, **more)

    def busy_scene(self):
        """Every tone, every colour of a timeline, and something for the doctor to say."""
        doctor = {"ok": False, "checks": [
            {"group": "store", "name": "space", "result": "fail", "found": "2 GiB free", "advice": "make room"},
            {"group": "store", "name": "mode", "result": "ok", "found": "0700", "advice": ""},
            {"group": "machine", "name": "SHA-NI", "result": "warn", "found": "no", "advice": "hashing is slow"},
            {"group": "machine", "name": "GPU", "result": "skip", "found": "", "advice": ""}]}
        ready = model("steady", "ready", load_ms=4100, load_count=1, memory={"mapped": GIB, "kv": GIB}, sha256="ab" * 32, bytes=GIB)
        daemon = self.daemon(ready, model("busy"), model("broken"), model("shaky"), model("idle"), doctor=doctor)
        for i, (phase, details) in enumerate(ALL_STEPS.items()):
            daemon.tell("loading_model", "steady", phase=phase, seconds_ago=70 - i, **details)
        daemon.tell("ready", "steady", load_ms=4100, seconds_ago=60)
        daemon.tell("error", "broken", code="network", message="no byte for 30 s", retry_in_ms=60_000)
        daemon.tell("restarting", "shaky", reason="engine_exit", attempt=2, restarts_left=1)
        daemon.tell("warning", code="bad_config", message="nothing was changed")
        self.download(daemon, "busy", 300 << 20, GIB, eta_s=700)
        return daemon

    def test_colours_have_enough_contrast_light_and_dark(self):
        tab = self.look(self.busy_scene().url)
        tab.wait_for(f"{EVENTS}.length === 13")
        tab.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        grounds = set()
        for scheme in ("light", "dark"):
            tab.prefer(prefers_color_scheme=scheme)
            grounds.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
            found = tab.evaluate(CONTRASTS)
            self.assertGreater(len(found), 60)
            self.assertEqual([each for each in found if each[1] < each[2]], [], scheme)
        self.assertEqual(len(grounds), 2)

    def test_what_a_screen_reader_is_given(self):
        daemon = self.busy_scene()
        tab = self.look(daemon.url)
        tab.wait_for("document.getElementById('checks').childElementCount > 0")
        tab.wait_for(f"{EVENTS}.length === 13")
        tree = tab.accessibility_tree()
        roles = [role for role, _, _ in tree]
        for landmark in ("banner", "main", "contentinfo"):
            self.assertEqual(roles.count(landmark), 1, landmark)
        headings = [(properties["level"], name) for role, name, properties in tree if role == "heading"]
        names = ["steady", "busy", "broken", "shaky", "idle"]
        self.assertEqual(headings, [(1, "ggufd 9.9.9"), (2, "Models"), *((3, name) for name in names), (2, "Memory"), (2, "Doctor"),
                                    (3, "store"), (3, "machine"), (2, "Events")])
        bars = [(name, properties) for role, name, properties in tree if role == "progressbar"]
        self.assertEqual([name for name, _ in bars], ["busy: download"])
        self.assertEqual((bars[0][1]["value"], bars[0][1]["valuemin"], bars[0][1]["valuemax"]), (29, 0, 100))
        self.assertEqual(tab.evaluate("document.querySelector('.meter:not([hidden])').getAttribute('aria-valuetext')"),
                         "300.0 MiB of 1.0 GiB, 29 %")
        articles = [name for role, name, _ in tree if role == "article"]
        self.assertEqual(articles, names)
        for role in ("button", "link"):
            self.assertNotIn("", [name for each, name, _ in tree if each == role])

    def test_changes_are_said_and_progress_is_not(self):
        daemon = self.daemon(model("tiny"))
        tab = self.look(daemon.url)
        tab.wait_for(words_are(CONNECTION, "live"))
        news = "document.getElementById('news').textContent"
        self.assertEqual(tab.evaluate("document.getElementById('news').getAttribute('aria-live')"), "polite")
        for done in (0, 100, 200):
            self.download(daemon, "tiny", done << 20, GIB)
        tab.wait_for("document.querySelector('.meter').getAttribute('aria-valuenow') === '19'")
        self.assertEqual(tab.evaluate(news), "")
        daemon.tell("error", "tiny", code="tls", message="the certificate has expired")
        tab.wait_for(words_are(news, "tiny: error tls: the certificate has expired"))

    def test_by_keyboard(self):
        tab = self.look(self.busy_scene().url)
        tab.wait_for("document.getElementById('checks').childElementCount > 0")
        focused = []
        for _ in range(40):
            tab.press("Tab", 9)
            name, outline = tab.evaluate("[document.activeElement.textContent.slice(0, 20), "
                                         "getComputedStyle(document.activeElement).outlineStyle]")
            if tab.evaluate("document.activeElement === document.body"):
                break
            focused.append(name.strip())
            self.assertEqual(outline, "solid", name)
        self.assertEqual(focused[0], "To the models")
        self.assertEqual(focused.count("Details"), 5)
        self.assertIn("Look again", focused)
        self.assertEqual(focused[-5:], ["health", "ready", "metrics", "status", "events"])

    def test_less_motion(self):
        daemon = self.daemon(model("tiny"))
        tab = self.look(daemon.url)
        daemon.tell("loading_model", "tiny", phase="warm_up")
        tab.wait_for(words_are(STATE, "warm up"))
        animation = "getComputedStyle(document.querySelector('.meter > span')).animationName"
        self.assertEqual(tab.evaluate(animation), "wander")
        tab.prefer(prefers_reduced_motion="reduce")
        self.assertEqual(tab.evaluate(animation), "none")

    def test_foreign_text_is_text(self):
        """Names, paths and messages come from files, servers and engines."""
        evil = "<img src=x onerror=\"document.title='owned'\"><script>window.owned = 1</script>"
        doctor = {"ok": False, "checks": [{"group": evil, "name": evil, "result": "fail", "found": evil, "advice": evil}]}
        daemon = self.daemon(model(evil, engine={"restarts": 1, "restarts_left": 2, "last_exit": evil, "stderr_tail": evil}), doctor=doctor)
        daemon.memory["limits"][0]["name"] = evil
        daemon.tell("loading_model", evil, phase=evil)
        daemon.tell("error", evil, code=evil, message=evil)
        daemon.tell(evil, evil)
        tab = self.look(daemon.url)
        tab.wait_for(f"{EVENTS}.length === 3 && document.getElementById('checks').childElementCount > 0")
        self.assertEqual(tab.evaluate("document.querySelectorAll('img, main script').length"), 0)
        self.assertEqual(tab.evaluate("window.owned ?? null"), None)
        self.assertEqual(tab.evaluate("document.querySelector('.name').textContent"), evil)

    def test_a_download_of_unknown_size(self):
        daemon = self.daemon(model("split"))
        tab = self.look(daemon.url)
        self.download(daemon, "split", 5 << 20, None)
        tab.wait_for("document.querySelector('.now').textContent.includes('5.0 MiB of an unknown size')")
        self.assertIsNone(tab.evaluate("document.querySelector('.meter').getAttribute('aria-valuenow')"))
        self.download(daemon, "split", 6 << 20, 12 << 20)
        tab.wait_for("document.querySelector('.meter').getAttribute('aria-valuenow') === '50'")

    def test_a_reader_that_has_lagged(self):
        daemon = self.daemon(model("tiny"))
        tab = self.look(daemon.url)
        daemon.tell("loading_model", "tiny", phase="mmap", resident_bytes=1, total_bytes=2)
        tab.wait_for(words_are(STATE, "mmap"))
        daemon.pass_on({"id": "admin", "type": "status", "status": "lagged", "missed": 1536})
        daemon.seq += 1536
        daemon.tell("ready", "tiny", load_ms=5000)
        tab.wait_for(words_are(STATE, "ready"))
        self.assertIn("1536 events were missed", tab.evaluate(EVENTS)[1])

    def test_a_connection_that_is_lost_goes_on_where_it_was(self):
        """The daemon is the same: nothing is told twice."""
        daemon = self.daemon(model("tiny"))
        daemon.tell("unloaded", "tiny", reason="request")
        tab = self.look(daemon.url)
        tab.wait_for(f"{EVENTS}.length === 1")
        daemon.hang_up()
        tab.wait_for(f"{EVENTS}.length === 2 && {EVENTS}[0].includes('the connection was lost')")
        daemon.tell("unloaded", "tiny", reason="idle")
        tab.wait_for(f"{EVENTS}.length === 3 && {EVENTS}[0].includes('not loaded: idle')")
        tab.wait_for(words_are(CONNECTION, "live"))
        self.assertEqual(daemon.asked_since, [0, 1])

    def test_a_daemon_of_another_life_is_told_from_its_begin(self):
        daemon = self.daemon(model("tiny"))
        daemon.tell("ready", "tiny", load_ms=5)
        daemon.tell("unloaded", "tiny", reason="request")
        tab = self.look(daemon.url)
        tab.wait_for(words_are(STATE, "not loaded"))
        daemon.begin_again()
        daemon.tell("ready", "tiny", load_ms=7)
        process.wait_until(lambda: len(daemon.asked_since) == 2, None, ggufd.LIMIT_S, "the page to come back")
        tab.wait_for(words_are(STATE, "ready"))
        self.assertEqual(daemon.asked_since, [0, 0])

    def test_what_is_not_known_yet_is_passed_over(self):
        daemon = self.daemon(model("tiny"))
        tab = self.look(daemon.url)
        daemon.tell("dreaming", "tiny", depth=3)
        tab.wait_for(words_are(STATE, "dreaming"))
        daemon.tell("loading_model", "tiny", phase="polishing")
        tab.wait_for(words_are(STATE, "polishing"))

    def test_what_status_alone_tells(self):
        """The events are too long ago."""
        loading = model("loading", "loading", seconds_ago=30, phase="mmap")
        ready = model("ready", "ready", load_ms=5000, warm_up_ms=1000, load_count=2)
        warned = model("warned", "ready", load_ms=5000, availability={"code": 300, "name": "WARNING", "message": "no mlock"})
        failed = model("failed", "error", availability={"code": 500, "name": "ERROR", "message": "the disk is full"})
        tab = self.look(self.daemon(loading, ready, warned, failed).url)
        tab.wait_for("document.title === '1 error, 2/4 ready · ggufd'")
        tab.wait_for("document.querySelectorAll('.model').length === 4")
        states = tab.evaluate("[...document.querySelectorAll('.model .state')].map(state => state.textContent)")
        self.assertEqual(states, ["loading", "ready", "ready, with a warning", "error"])
        keys = tab.evaluate("[...document.querySelectorAll('.model')].map(card => card.querySelector('.keys').innerText)")
        self.assertEqual(keys[1], "load 4.0 s\nwarm up 1.0 s")
        problems = tab.evaluate("[...document.querySelectorAll('.problem')].map(problem => problem.textContent)")
        self.assertEqual(problems, ["", "", "no mlock", "the disk is full"])

    def test_a_load_whose_begin_nobody_has_seen(self):
        daemon = self.daemon(model("tiny", "loading", seconds_ago=30, phase="mmap"))
        daemon.tell("loading_model", "tiny", phase="mmap", resident_bytes=1, total_bytes=2, seconds_ago=10)
        tab = self.look(daemon.url)
        tab.wait_for(words_are(STATE, "mmap"))
        steps = [re.fullmatch(r"(\w+) ([\d.]+) s(…?)", words).groups() for words in tab.evaluate(STEPS)]
        self.assertEqual([(name, is_open) for name, _, is_open in steps], [("before", ""), ("mmap", "…")])
        self.assertGreaterEqual(float(steps[0][1]), 19.9)
        self.assertGreaterEqual(float(steps[1][1]), 10)

    def test_events_are_the_last_200_newest_first(self):
        daemon = self.daemon(model("tiny"))
        for i in range(150):
            daemon.tell("unloaded", "tiny", reason=f"round_{i}")
            daemon.tell("warning", "tiny", code="c", message=f"number {i}")
        tab = self.look(daemon.url)
        tab.wait_for(f"{EVENTS}.length === 200")
        told = tab.evaluate(EVENTS)
        self.assertIn("number 149", told[0])
        self.assertIn("round 50", told[-1])
        daemon.tell("unloaded", "tiny", reason="last")
        tab.wait_for(f"{EVENTS}[0].includes('not loaded: last')")
        self.assertEqual(tab.evaluate(f"{EVENTS}.length"), 200)

    def test_the_doctor_is_asked_again(self):
        daemon = self.daemon(doctor={"ok": True, "checks": [{"group": "g", "name": "n", "result": "ok", "found": "f", "advice": ""}]})
        tab = self.look(daemon.url)
        words = "document.getElementById('doctor-words').textContent"
        tab.wait_for(words_are(words, "Nothing to complain about."))
        daemon.doctor["checks"][0]["result"] = "fail"
        tab.evaluate("document.getElementById('look-again').click()")
        tab.wait_for(words_are(words, "1 failed"))

if __name__ == "__main__":
    unittest.main()
