"""The clients of docs/clients: what they show of a recorded session that comes in awkward pieces, and of a real daemon."""

import contextlib
import json
import os
import re
import shutil
import sys
import threading
import unittest

import ggufd
import replay
import story
from clients import programs
from origin import Origin

GOLDEN = programs.ROOT / "tests/golden"
LINES_MAX = 59


def event(status, seq=None, **details):
    numbered = {} if seq is None else {"seq": seq, "ts": "2026-05-18T01:00:00.000Z"}
    return {"id": "admin", "type": "status", "status": status, **details, **numbered}


@contextlib.contextmanager
def importing(folder):
    """Modules of that folder can be imported."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def session():
    return [json.loads(line) for line in replay.SESSION.read_bytes().splitlines()]


class Session(unittest.TestCase):
    """The recorded session has what a client should have met once."""

    def test_it_tells_every_status_and_every_phase(self):
        events = [frame for frame in session() if frame["type"] == "status"]
        known = [one for one in events if one["status"] in {*story.STATUS_KEYS, "lagged"} and one.get("phase") != "defragment"]
        self.assertEqual({one["status"] for one in known}, {*story.STATUS_KEYS, "lagged"})
        self.assertEqual({one["phase"] for one in known if one["status"] == "loading_model"}, set(story.PHASE_KEYS))
        for one in known:
            if one["status"] != "lagged":
                story.check_shape(one)

    def test_it_has_what_is_awkward(self):
        frames = session()
        self.assertIn(None, [frame.get("total_bytes", 0) for frame in frames])
        self.assertIn("🦙", replay.SESSION.read_text())
        self.assertEqual({frame["type"] for frame in frames}, {"status", "response", "forecast"})
        self.assertIn("hibernating", [frame.get("status") for frame in frames])
        self.assertIn("defragment", [frame.get("phase") for frame in frames])
        self.assertTrue(any(frame["status"] == "warning" and "model" not in frame for frame in frames if "status" in frame))

    def test_its_numbers_rise_by_one_until_it_lags(self):
        frames = session()
        lagged = next(index for index, frame in enumerate(frames) if frame.get("status") == "lagged")
        story.check_sequence([frame for frame in frames[:lagged] if frame["type"] == "status"])

    def test_the_pieces_are_all_of_it_and_cut_through_characters(self):
        data = replay.SESSION.read_bytes()
        pieces = list(replay.pieces(data))
        self.assertEqual(b"".join(pieces), data)
        self.assertGreater(sum(piece[0] >= 0x80 for piece in pieces), 4)


class Files(unittest.TestCase):
    def test_each_client_is_short(self):
        for program in (programs.Python, programs.TypeScript, programs.Neovim):
            with self.subTest(program.file.name):
                self.assertLessEqual(len(program.file.read_text().splitlines()), LINES_MAX)

    def test_the_extension_has_the_typescript_client_as_it_stands(self):
        self.assertEqual((programs.CLIENTS / "vscode/src/ggufd.ts").read_bytes(), programs.TypeScript.file.read_bytes())

    def test_the_lock_file_has_exact_versions_and_no_host(self):
        wanted = json.loads((programs.CLIENTS / "vscode/package.json").read_text())["devDependencies"]
        text = (programs.CLIENTS / "vscode/package-lock.json").read_text()
        packages = json.loads(text)["packages"]
        self.assertEqual({name: packages[f"node_modules/{name}"]["version"] for name in wanted}, wanted)
        self.assertTrue(all("integrity" in package for path, package in packages.items() if path))
        self.assertNotIn("://", text)

    def test_the_readme_names_every_client(self):
        text = (programs.CLIENTS / "README.md").read_text()
        for name in ("python/ggufd_client.py", "typescript/ggufd.ts", "lua/ggufd.lua", "vscode/"):
            self.assertIn(f"({name})", text)

    def test_the_typescript_in_the_readme_compiles(self):
        programs.need_typescript()
        example = re.search(r"```ts\n(.*?)```", (programs.CLIENTS / "README.md").read_text(), re.DOTALL)[1]
        folder = programs.folder_of_this_process()
        shutil.copy(programs.TypeScript.file, folder)
        (folder / "example.ts").write_text(example)
        programs.build(folder, programs.NODE, programs.TSC, "--noEmit", "--strict", "--skipLibCheck", "--target", "es2022",
                       "--module", "node16", "--typeRoots", programs.NODE_MODULES / "@types", "example.ts")


class Client:
    """What holds for each client."""

    def make(self):
        raise NotImplementedError

    def setUp(self):
        super().setUp()
        own = self.folder / "client"
        own.mkdir()
        self.program = self.make(own)

    def open(self, environment=None, **options):
        shown = self.program.start(environment or ggufd.environment(self.folder, GGUFD_RUNTIME_DIR=self.runtime_dir), **options)
        self.addCleanup(shown.close)
        if isinstance(self.program, programs.Neovim):
            self.addCleanup(self.program.close)
        return shown

    def serve(self):
        return self.enterContext(replay.Replay(self.runtime_dir / "admin.sock"))

    def test_the_recorded_session(self):
        server = self.serve()
        shown = self.open()
        if self.program.begins_gone:
            shown.until(self.program.gone)
        server.accept()
        server.play(replay.SESSION.read_bytes())
        server.hang_up()
        shown.until(self.program.gone)
        text = "\n".join(shown.lines) + "\n"
        path = GOLDEN / self.program.expected
        if os.environ.get("UPDATE_GOLDEN"):
            path.write_text(text)
        self.assertEqual(text, path.read_text())
        self.comes_back(server, shown)

    def comes_back(self, server, shown):
        """A daemon that has gone on without us, and one that has begun anew."""
        last = max(frame.get("seq", 0) for frame in session())
        server.accept()
        now = event("ready", last + 2, load_ms=5, model="tiny")
        server.tell(now)
        if self.program.asks_since:
            request = server.request()
            self.assertEqual((request["type"], request["since"]), ("subscribe", last))
            server.tell({"id": request["id"], "type": "response", "seq": last + 2},
                        event("restarting", last + 1, reason="reload", model="tiny"), now)
            shown.until("^tiny: restarting$")
        shown.until("tiny: ready")
        server.tell(event("lagged", missed=7), event("unloaded", 3, reason="request", model="tiny"))
        shown.until("tiny: unloaded")
        server.accept()
        if self.program.asks_since:
            self.assertEqual(server.request()["since"], 3)
        server.tell(event("error", 4, code="io", message="no", model="tiny"))

    def test_where_the_socket_is(self):
        with replay.Replay(self.folder / "xdg/ggufd/admin.sock") as server:
            self.open(ggufd.environment(self.folder, XDG_RUNTIME_DIR=self.folder / "xdg"))
            server.accept()

    def test_a_real_daemon(self):
        file = self.model(size_mb=1)
        with Origin(self.web) as origin:
            origin.fault("/model.gguf", throttle_bytes_per_second=2_000_000, stall_at=file.size_bytes // 2)
            config = self.config_for(origin.url("model.gguf"), file, fetch={"connections": 1})
            shown = self.open()
            shown.until(self.program.gone)
            daemon = self.start(config)
            shown.until(r"tiny: download [1-9]\d?%")
            origin.clear("/model.gguf")
            shown.until("tiny: ready")
            daemon.kill()
            shown.until(self.program.gone)
            daemon = self.start(config)
            shown.until("tiny: ready")
            self.program.ask(shown, "unload", "tiny")
            shown.until("tiny: unloaded")
            self.program.ask(shown, "load", "tiny")
            shown.until("tiny: ready")
            self.finish(shown)
            self.stop(daemon)
            shown.until(self.program.gone)

    def finish(self, shown):
        """What else a real daemon is asked."""


class CommandLine(Client):
    """What holds for those that ask from their command line."""

    def test_no_daemon_and_no_such_model(self):
        environment = ggufd.environment(self.folder, GGUFD_RUNTIME_DIR=self.runtime_dir)
        done = self.program.run("load", "tiny", environment=environment)
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is no daemon", done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def finish(self, shown):
        done = self.program.run("load", "nobody")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nobody", done.stderr)


class Python(CommandLine, ggufd.DaemonTest):
    def make(self, folder):
        return programs.Python(folder)

    def test_the_class_as_a_plugin_uses_it(self):
        with importing(programs.Python.file.parent):
            import ggufd_client
        server = self.serve()
        player = threading.Thread(target=lambda: (server.accept(), server.play(replay.SESSION.read_bytes()), server.hang_up()))
        player.start()
        self.addCleanup(player.join)
        client = ggufd_client.Ggufd(str(self.runtime_dir / "admin.sock"))
        views = []
        for one in client.events():
            if one is None:
                break
            views.append({name: told["status"] for name, told in client.models.items()})
        self.assertEqual(views[-1], dict.fromkeys(("tiny", "chat", "spare", "broken"), "unloaded"))
        self.assertIn({"tiny": "ready", "chat": "ready", "spare": "ready", "broken": "error"}, views)
        self.assertEqual(client.models, {}, "nothing is known of a daemon that is gone")


class TypeScript(CommandLine, ggufd.DaemonTest):
    def make(self, folder):
        return programs.TypeScript(folder)


class Neovim(Client, ggufd.DaemonTest):
    def make(self, folder):
        return programs.Neovim(folder)

    def test_its_commands(self):
        server = self.serve()
        shown = self.open()
        server.accept()
        server.tell(event("ready", 1, load_ms=5, model="tiny"))
        shown.until("^tiny: ready$")
        for command, verb, model in (("GgufdLoad chat", "load", "chat"), ("GgufdUnload", "unload", None),
                                     ("GgufdCancel", "cancel", None)):
            self.program.command(command)
            request = server.request()
            self.assertEqual((request["type"], request.get("model")), (verb, model))
        server.tell({"id": "load", "type": "error", "code": "unknown_model", "message": "there is no chat"})
        shown.until("^error: ggufd: there is no chat$")
        server.hang_up()
        shown.until(self.program.gone)
        self.program.command("GgufdLoad")
        shown.until("^error: ggufd: no daemon$")


class VsCode(Client, ggufd.DaemonTest):
    def make(self, folder):
        return programs.VsCode(folder, late="real" in self.id())

    def lead(self):
        """A model that is ready, and the fake daemon that has told so."""
        server = self.serve()
        shown = self.open()
        server.accept()
        server.tell(event("ready", 1, load_ms=5, model="tiny"))
        shown.until("tiny: ready")
        return server, shown

    def answer(self, server, verb, **fields):
        request = server.request()
        self.assertEqual(request["type"], verb)
        server.tell({"id": request["id"], "type": "response", **fields})
        return request

    def test_its_commands(self):
        server, shown = self.lead()
        models = [{"name": "tiny", "state": "ready"}, {"name": "chat", "state": "uninitialized"}]
        for verb in ("load", "unload"):
            self.program.ask(shown, verb, "chat")
            self.answer(server, "status", models=models)
            self.assertEqual(self.answer(server, verb, state="ready")["model"], "chat")
            shown.until(f'"done","ggufd.{verb}"')
            self.assertEqual(json.loads(shown.lines[-2]), ["output", f"chat: {verb} leads to ready"])

    def test_the_only_model_is_not_asked_for_and_a_refusal_is_shown(self):
        server, shown = self.lead()
        self.program.ask(shown, "load", None)
        self.answer(server, "status", models=[{"name": "tiny", "state": "ready"}])
        request = server.request()
        self.assertEqual(request["model"], "tiny")
        server.tell({"id": request["id"], "type": "error", "code": "busy", "message": "it is being unloaded"})
        shown.until('"error","ggufd: it is being unloaded"')

    def test_what_the_doctor_found_is_written_into_the_output_channel(self):
        server, shown = self.lead()
        self.program.order(shown, "command", "ggufd.doctor")
        check = {"group": "store", "name": "space", "result": "warn", "found": "1 GB is free", "advice": "make room"}
        self.answer(server, "doctor", ok=True, checks=[check, check | {"name": "folder", "result": "ok", "advice": ""}])
        shown.until('"done"')
        output = [json.loads(line)[1] for line in shown.lines if line.startswith('["output",')]
        self.assertEqual(output, ["warn  store, space: 1 GB is free", "      make room", "ok    store, folder: 1 GB is free"])
        self.assertIn('["output shown"]', shown.lines)

    def test_the_cancel_button(self):
        server, shown = self.lead()
        server.tell(event("loading_model", 2, phase="warm_up", model="chat"))
        shown.until('"progress","ggufd: chat","warm_up"')
        self.program.order(shown, "cancel", "ggufd: chat")
        self.assertEqual(self.answer(server, "cancel", state="uninitialized")["model"], "chat")
        server.tell(event("unloaded", 3, reason="cancelled", model="chat"))
        shown.until('"close","ggufd: chat"')

    def test_its_end_closes_everything(self):
        server, shown = self.lead()
        server.tell(event("loading_model", 2, phase="warm_up", model="chat"))
        shown.until('"progress","ggufd: chat","warm_up"')
        self.program.order(shown, "dispose")
        shown.until('"close","ggufd: chat"')
        shown.child.stdin.close()
        self.assertEqual(shown.child.wait(ggufd.LIMIT_S), 0, "nothing keeps it running")

    def test_another_socket(self):
        _, shown = self.lead()
        with replay.Replay(self.folder / "other/admin.sock") as other:
            self.program.order(shown, "setting", "ggufd.socket", str(self.folder / "other/admin.sock"))
            shown.until(self.program.gone)
            other.accept()
            other.tell(event("ready", 1, load_ms=5, model="other"))
            shown.until("other: ready")

    def finish(self, shown):
        self.program.order(shown, "command", "ggufd.doctor")
        shown.until('"done","ggufd.doctor"')
        self.assertTrue(any(re.match(r'\["(output|error)",', line) for line in shown.lines[-50:]))
        while self.titles(shown, "open") != self.titles(shown, "close"):
            shown.until('"close"')
        self.assertTrue(self.titles(shown, "close"))

    def titles(self, shown, word):
        return [json.loads(line)[1] for line in shown.lines if line.startswith(f'["{word}",')]


if __name__ == "__main__":
    unittest.main()
