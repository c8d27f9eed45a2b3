"""The status page in a browser, beside a real daemon.

With UPDATE_DOCS=1 in the environment the picture in the docs is made anew."""

import json
import os
import pathlib
import unittest

import browser
import ggufd
from browser import CONNECTION, EVENTS, STATE, STEPS, words_are
from origin import Origin, refused_port

PICTURE = pathlib.Path(__file__).resolve().parents[2] / "docs/images/page.png"
PICTURE_MAX_BYTES = 150_000

# Keeps what the bar has shown, as a number and as a width.
WATCH_THE_DOWNLOAD = """(() => {
  window.seen = [];
  const meter = document.querySelector('.meter');
  new MutationObserver(() => {
    if (meter.getAttribute('aria-label') !== 'tiny: download' || !meter.hasAttribute('aria-valuenow')) return;
    seen.push([Number(meter.getAttribute('aria-valuenow')), parseFloat(meter.firstElementChild.style.width)]);
  }).observe(meter, {attributes: true, subtree: true, attributeFilter: ['style']});
})()"""


class RealDaemon(browser.BrowserTest):
    def test_a_load_from_its_begin_to_ready(self):
        model_file = self.model(size_mb=16)
        with Origin(self.web) as origin:
            origin.throttle(f"/{model_file.name}", 6 << 20)
            config = self.config_for(origin.url(model_file.name), model_file, load="manual", fetch={"connections": 1})
            daemon, address = self.start_tcp(config)
            tab = self.look(f"http://{address}/")
            tab.wait_for(words_are(STATE, "not loaded"))
            self.assertEqual(tab.evaluate("document.title"), "0/1 ready · ggufd")
            tab.evaluate(WATCH_THE_DOWNLOAD)
            with daemon.connect() as client:
                client.ask("load")
            tab.wait_for("Number(document.querySelector('.meter').getAttribute('aria-valuenow')) >= 10")
            late = self.look(f"http://{address}/")
            for each in (tab, late):
                each.wait_for(words_are(STATE, "ready"))
        self.assert_rises(tab.evaluate("seen"))
        for each in (tab, late):
            self.assert_tells_a_load(each)
        self.assertIn("tiny: ready, loaded in", tab.evaluate("document.getElementById('news').textContent"))

    def assert_tells_a_load(self, tab):
        tab.wait_for("document.title === '1/1 ready · ggufd'")
        self.assertEqual(tab.evaluate(CONNECTION), "live")
        self.assertTrue(tab.evaluate("document.querySelector('.meter').hidden"))
        # One was opened in the middle; what had been before, the daemon still knew.
        steps = {words.rsplit(" ", 2)[0]: float(words.split()[-2]) for words in tab.evaluate(STEPS)}
        self.assertEqual(list(steps)[:2], ["checking local", "download"])
        self.assertLessEqual({"mmap", "kv cache"}, set(steps))
        self.assertGreater(steps["download"], 1)
        told = tab.evaluate(EVENTS)
        self.assertEqual(sum(" download" in words for words in told), 1, "progress is one row")
        self.assertIn("started, version", told[-1])
        self.assertIn("ready, loaded in", told[0])
        tab.wait_for("document.getElementById('memory-keys').textContent.startsWith('tiny ')")
        self.assertRegex(tab.evaluate("document.getElementById('memory-keys').innerText"), r"everything else \d.*\n.*free for models \d")

    def assert_rises(self, seen):
        values, widths = zip(*seen)
        self.assertEqual(list(values), sorted(values))
        self.assertGreaterEqual(len(set(values)), 4, seen)
        self.assertEqual(list(widths), sorted(widths))

    def test_a_daemon_that_is_lost_and_comes_back(self):
        self.may_lose_connection = True
        model_file = self.model()
        config = self.config_for(model_file.path, model_file)
        daemon, address = self.start_tcp(config)
        tab = self.look(f"http://{address}/")
        tab.wait_for(words_are(STATE, "ready"))
        daemon.kill()
        tab.wait_for(words_are(CONNECTION, "connection lost; trying again"))
        tab.wait_for("document.title === 'lost · ggufd'")
        second, _ = self.start_tcp(config, address)
        tab.wait_for(words_are(CONNECTION, "live"))
        tab.wait_for("document.title === '1/1 ready · ggufd'")
        tab.wait_for(f"{EVENTS}.some(words => words.includes('the connection was lost'))")
        self.stop(second)
        tab.wait_for(words_are(CONNECTION, "ggufd has stopped; waiting for the next one"))
        self.start_tcp(config, address)
        tab.wait_for(words_are(CONNECTION, "live"))

    def test_models_come_and_go_by_a_reload(self):
        first, second = self.model("a.gguf"), self.model("b.gguf", seed=2)
        entries = [{"name": name, "source": str(file.path), "engine": "resident"} for name, file in (("a", first), ("b", second))]
        daemon, address = self.start_tcp({"models": entries, "memory_headroom_bytes": 0})
        tab = self.look(f"http://{address}/")
        tab.wait_for("document.title === '2/2 ready · ggufd'")
        config = json.loads(daemon.config_file.read_text())
        daemon.config_file.write_text(json.dumps(config | {"models": entries[:1]}))
        with daemon.connect() as client:
            client.ask("reload", wait=True)
        tab.wait_for("document.title === '1/1 ready · ggufd'")
        self.assertEqual(tab.evaluate("[...document.querySelectorAll('.model .name')].map(name => name.textContent)"), ["a"])

    def test_without_a_model(self):
        _, address = self.start_tcp({"models": []})
        tab = self.look(f"http://{address}/")
        tab.wait_for(words_are(CONNECTION, "live"))
        self.assertFalse(tab.evaluate("document.getElementById('no-models').hidden"))
        self.assertEqual(tab.evaluate("document.title"), "0/0 ready · ggufd")
        # What doctor finds is there as well: that no model is configured, if nothing else.
        tab.wait_for("!document.getElementById('doctor').hidden")
        tab.wait_for("document.getElementById('doctor').textContent.includes('no model is configured')")

    def test_fifty_models_on_a_narrow_screen(self):
        path = self.folder / ("a-long-folder-name-without-a-space-" * 5) / "missing.gguf"
        entries = [{"name": f"m{i:02}" + "x" * 61, "source": str(path), "engine": "resident"} for i in range(50)]
        _, address = self.start_tcp({"models": entries, "memory_headroom_bytes": 0})
        tab = self.look(f"http://{address}/", width=320, height=640)
        tab.wait_for("document.title === '50 errors, 0/50 ready · ggufd'")
        tab.wait_for("document.querySelectorAll('.model .problem:not([hidden])').length === 50")
        self.assertEqual(tab.evaluate("document.documentElement.scrollWidth"), 320, "nothing stands out of the screen")
        self.assertIn("missing.gguf", tab.evaluate("document.querySelector('.problem').textContent"))


class Picture(browser.BrowserTest):
    """For the docs; and what is on it is what the page shows of three models at once."""

    def test_three_models(self):
        sizes_mb = {"chat": 64, "embed": 24, "draft": 8}
        files = {name: self.model(f"{name}.gguf", size_mb=size_mb, seed=size_mb) for name, size_mb in sizes_mb.items()}
        with Origin(self.web) as origin:
            sources = {"chat": origin.url("chat.gguf"), "embed": str(files["embed"].path),
                       "draft": f"http://127.0.0.1:{refused_port()}/draft.gguf"}
            entries = [{"name": name, "source": sources[name], "sha256": files[name].sha256, "engine": "resident"} for name in files]
            origin.fault("/chat.gguf", stall_at=40 << 20)
            origin.throttle("/chat.gguf", 24 << 20)
            _, address = self.start_tcp({"models": entries, "memory_headroom_bytes": 0, "fetch": {"retries": 0, "connections": 1}})
            tab = self.look(f"http://{address}/", width=960, height=920)
            tab.wait_for("document.title === '1 error, 1/3 ready · ggufd'")
            tab.wait_for("Number(document.querySelector('.meter').getAttribute('aria-valuenow')) >= 50")
            tab.prefer(prefers_color_scheme="light", prefers_reduced_motion="reduce")
            picture = tab.screenshot()
            if os.environ.get("UPDATE_DOCS"):
                PICTURE.parent.mkdir(exist_ok=True)
                PICTURE.write_bytes(picture)
            self.assertLess(len(picture), PICTURE_MAX_BYTES)
        self.assertLess(PICTURE.stat().st_size, PICTURE_MAX_BYTES)

if __name__ == "__main__":
    unittest.main()
