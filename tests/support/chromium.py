"""Chromium without a window, driven over a pipe by its DevTools protocol (https://chromedevtools.github.io/devtools-protocol/).

    with Chromium(folder) as browser:
        tab = browser.open("http://127.0.0.1:9100/")
        tab.wait_for("document.title === 'ready'")

Only the standard library is used. `find()` says where the program is, None where it is not here.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import time

import process

LIMIT_S = 60  # for one thing to happen
_LIBRARY = pathlib.Path("/usr/lib/chromium")

# The protocol is spoken on the descriptors 3 and 4. Ours may have any numbers, those two included.
_ON_3_AND_4 = """
import fcntl, os, sys
ours = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, descriptor in zip((3, 4), ours):
    os.dup2(descriptor, number)
    os.close(descriptor)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find():
    """The program itself rather than Debian's script around it, which reads settings of the machine."""
    for program in (_LIBRARY / "chromium", _LIBRARY / "headless_shell", _LIBRARY / "chromium-headless-shell"):
        if program.is_file() and os.access(program, os.X_OK):
            return program
    for name in ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return pathlib.Path(found)
    return None


class DevToolsError(Exception):
    """The browser refuses a command, or a script in the page has failed."""


class Chromium:
    """One browser. Start it from the main thread (process.tied_to_us says why)."""

    def __init__(self, folder):
        self._folder = pathlib.Path(folder)
        self._ids = itertools.count(1)
        self._pending = b""
        self._answers: dict[int, dict] = {}
        self._tabs: dict[str, Tab] = {}
        self._start(find())

    def _start(self, program):
        if program is None:
            raise FileNotFoundError("there is no Chromium here; ./dev test installs one")
        environment = {"HOME": str(self._folder), "PATH": os.environ["PATH"], "TZ": "UTC", "LANG": "C.UTF-8"}
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        arguments = [
            "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={self._folder / 'profile'}", "--disable-gpu",
            "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--disable-lcd-text",
            "--force-color-profile=srgb", "--lang=en-US", "about:blank"]
        if os.geteuid() == 0:
            arguments.insert(0, "--no-sandbox")
        self._stderr = (self._folder / "chromium.log").open("wb")
        self.process = subprocess.Popen(
            process.tied_to_us([sys.executable, "-c", _ON_3_AND_4, str(to_browser), str(from_browser), str(program), *arguments]),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._stderr, env=environment,
            pass_fds=(to_browser, from_browser))
        os.close(to_browser)
        os.close(from_browser)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        with contextlib.suppress(OSError, DevToolsError):
            self.call("Browser.close")
        process.end(self.process)
        os.close(self._in)
        os.close(self._out)
        self._stderr.close()

    def call(self, method, session=None, limit_s=LIMIT_S, **parameters):
        """Sends a command and returns its result; events that come before it go to their tabs."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + limit_s
        while number not in self._answers:
            self._read(deadline, method)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise DevToolsError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _read(self, deadline, what):
        if not select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError(f"Chromium did not answer {what} in time; it said:\n{self._log()}")
        data = os.read(self._in, 1 << 20)
        if not data:
            raise DevToolsError(f"Chromium has ended; it said:\n{self._log()}")
        *messages, self._pending = (self._pending + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._answers[message["id"]] = message
            elif message.get("sessionId") in self._tabs:
                self._tabs[message["sessionId"]].events.append((message["method"], message["params"]))

    def _log(self):
        return (self._folder / "chromium.log").read_text(errors="replace")[-4000:]

    def open(self, url, width=1200, height=900):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = self._tabs[session] = Tab(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(f"{domain}.enable")
        tab.resize(width, height)
        # Behind its events the navigation's own answer would do, but what is wrong with the address stands in that.
        if error := tab.call("Page.navigate", url=url).get("errorText"):
            raise DevToolsError(f"{url}: {error}")
        return tab


class Tab:
    """A page. `events` has every (method, parameters) that the browser has told of it."""

    def __init__(self, browser, session, target):
        self._browser = browser
        self._session = session
        self._target = target
        self.events: list[tuple[str, dict]] = []

    def call(self, method, **parameters):
        return self._browser.call(method, self._session, **parameters)

    def close(self):
        self._browser.call("Target.closeTarget", targetId=self._target)

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, **features):
        """prefer(prefers_color_scheme="dark")"""
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def evaluate(self, expression):
        """The value of an expression in the page; a promise is waited for."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            thrown = result["exceptionDetails"]
            raise DevToolsError(thrown.get("exception", {}).get("description") or thrown["text"])
        return result["result"].get("value")

    def wait_for(self, expression, limit_s=LIMIT_S):
        """Waits until the document has changed so that `expression` holds, and returns its value."""
        try:
            return self.evaluate("""new Promise((resolve, reject) => {
              const look = () => {
                const value = (() => { try { return (%s); } catch (error) { return null; } })();
                if (!value) return;
                observer.disconnect();
                clearTimeout(timer);
                resolve(value);
              };
              const observer = new MutationObserver(look);
              const timer = setTimeout(() => { observer.disconnect(); reject(new Error('too late')); }, %d);
              observer.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
              look();
            })""" % (expression, limit_s * 1000))
        except DevToolsError as error:
            text = self.evaluate("document.body.innerText")
            raise AssertionError(f"waited for {expression}: {error}; the page says:\n{text}") from None

    def told(self, method):
        self.evaluate("0")  # what was told until now is there when this is answered
        return [parameters for name, parameters in self.events if name == method]

    def accessibility_tree(self):
        """What a screen reader is given, in its order: (role, name, {property: value}) of each node that is not ignored; the
        node's own value is the property "value"."""
        nodes = {node["nodeId"]: node for node in self.call("Accessibility.getFullAXTree")["nodes"]}
        found, to_visit = [], [next(number for number, node in nodes.items() if "parentId" not in node)]
        while to_visit:
            node = nodes[to_visit.pop()]
            to_visit += reversed([child for child in node.get("childIds", []) if child in nodes])
            if not node["ignored"]:
                properties = {each["name"]: each["value"].get("value") for each in node.get("properties", [])}
                properties["value"] = node.get("value", {}).get("value")
                found.append((node["role"]["value"], node.get("name", {}).get("value", ""), properties))
        return found

    def press(self, key, code):
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def screenshot(self):
        """What of the page is on the screen, as PNG."""
        shot = self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])
