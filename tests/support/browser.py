"""Tests that look at the status page in a browser."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import tempfile
import unittest

import chromium
import ggufd
import process
import web

# Expressions of the page.
STATE = "document.querySelector('.model .state').textContent"
CONNECTION = "document.getElementById('connection').textContent"
EVENTS = "[...document.querySelectorAll('#events li')].map(item => item.innerText.replaceAll('\\n', ' '))"
STEPS = "[...document.querySelectorAll('.model .keys li')].map(item => item.textContent)"

OWN_PATHS = {"/", "/status", "/events", "/doctor"}


def words_are(where, words):
    return f"{where} === {json.dumps(words)}"


class BrowserTest(web.HttpTest):
    """One browser for the class, a tab of its own for each page. No page may complain of anything."""

    @classmethod
    def setUpClass(cls):
        if chromium.find() is None:
            raise unittest.SkipTest("Chromium is not here: apt-get install chromium-headless-shell")
        cls.browser_folder = pathlib.Path(tempfile.mkdtemp(prefix="ggufd-"))
        cls.addClassCleanup(shutil.rmtree, cls.browser_folder, ignore_errors=True)
        cls.browser = chromium.Chromium(cls.browser_folder)
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        super().setUp()
        self.may_lose_connection = False

    def look(self, url, **options):
        tab = self.browser.open(url, **options)
        self.addCleanup(tab.close)
        self.addCleanup(self.assert_well_behaved, tab, url)
        return tab

    def assert_well_behaved(self, tab, url):
        self.assertEqual(tab.told("Runtime.exceptionThrown"), [])
        self.assertEqual([call for call in tab.told("Runtime.consoleAPICalled") if call["type"] in ("error", "warning", "assert")], [])
        entries = [told["entry"] for told in tab.told("Log.entryAdded")]
        if self.may_lose_connection:  # which Chromium itself writes down
            entries = [entry for entry in entries if entry["source"] != "network"]
        self.assertEqual(entries, [])
        urls = [told["request"]["url"] for told in tab.told("Network.requestWillBeSent")]
        own = {url.rstrip("/") + path for path in OWN_PATHS}
        self.assertEqual([asked for asked in urls if asked not in own and not asked.startswith("data:")], [])

    def start_tcp(self, config, address="127.0.0.1:0"):
        daemon = self.start(config | {"http": {"tcp": address}})
        found = process.wait_until(lambda: re.search(r"HTTP on (\S+)", daemon.stderr()), daemon.process, ggufd.LIMIT_S, "the port")
        return daemon, found[1]
