"""The configuration read again, by SIGHUP and the request `reload`: what is applied model by model, who comes and goes, and
what waits for the next start."""

import json
import pathlib
import signal
import unittest

import ggufd
import process
import reloading
import story
import web
from origin import Origin

FAKE_LLAMA_SERVER = pathlib.Path(__file__).resolve().parent.parent / "support" / "fake_llama_server.py"


class OfWhatIsLoaded(reloading.ReloadTest):
    def test_a_changed_context_begins_that_model_again_and_no_other(self):
        self.serve()
        before = self.untouched("two")
        self.entries[0]["n_ctx"] = 512
        self.write()
        answer = self.reload(wait=True)
        self.assertEqual(answer["state"], "ready")
        self.assertEqual(self.told("one"), ["restarting:checking_local", *reloading.AGAIN])
        restarts = [event for event in self.client.events if event["status"] == "restarting"]
        self.assertEqual({event["reason"] for event in restarts}, {"reload"})
        self.assertEqual(self.line()["n_ctx"], 512)
        self.assertEqual(self.model_status("one")["load_count"], 2)
        self.assertEqual(self.told("two"), [])
        self.assertEqual(self.untouched("two"), before)
        samples = web.parse_metrics(self.ask("/metrics").text)
        self.assertEqual(samples["ggufd_restarts_total", (("model", "one"), ("reason", "reload"))], 1)
        self.stop(self.daemon)

    def test_sighup_is_the_same_and_nothing_new_is_nothing(self):
        self.serve()
        before = self.untouched("one"), self.untouched("two")
        self.write()
        self.daemon.signal(signal.SIGHUP)
        self.reload()
        self.assertEqual(self.client.events, [])
        self.assertEqual((self.untouched("one"), self.untouched("two")), before)
        self.entries[1]["n_ctx"] = 512
        self.write()
        self.daemon.signal(signal.SIGHUP)
        self.client.until_status("ready", model="two")
        self.assertEqual(self.told("two"), ["restarting:checking_local", *reloading.AGAIN])
        self.assertEqual(self.told("one"), [])
        self.assertEqual(self.untouched("one"), before[0])
        self.stop(self.daemon)

    def test_without_waiting_the_answer_comes_at_once(self):
        self.serve()
        self.entries[1]["n_ctx"] = 512
        self.write()
        self.assertEqual(self.reload(model="two")["state"], "ready")
        self.client.until_status("ready", model="two")
        self.assertEqual(self.line("infer.two.sock")["n_ctx"], 512)
        self.stop(self.daemon)

    def test_another_default_model_takes_over_the_socket(self):
        self.serve()
        self.assertEqual(self.line()["model"], "one")
        inode = (self.runtime_dir / "infer.two.sock").stat().st_ino
        self.write(default_model="two")
        self.assertEqual(self.reload()["state"], "ready")
        self.assertEqual((self.told("one"), self.told("two")), (["ready"], ["ready"]))
        self.assertEqual([event["infer_socket"] for event in self.client.events],
                         [str(self.runtime_dir / "infer.one.sock"), str(self.runtime_dir / "infer.sock")])
        self.assertEqual(self.line()["model"], "two")
        self.assertEqual((self.runtime_dir / "infer.sock").stat().st_ino, inode)
        self.assertEqual(self.sockets(), ["infer.one.sock", "infer.sock", "infer.two.sock"])
        self.assertEqual(self.model_status("two")["load_count"], 1)
        self.assertEqual(self.client.ask("status")["default_model"], "two")
        self.assertEqual(self.ask("/health").json()["model"], "two")
        with self.daemon.connect() as late:
            late.ask("ping")
            self.assertEqual([event["model"] for event in late.events], ["one", "two", "one", "two"])
        self.write()
        self.assertEqual(self.reload()["state"], "ready")
        self.assertEqual(self.line()["model"], "one")
        self.stop(self.daemon)

    def test_a_default_model_that_is_not_ready_has_no_socket_yet(self):
        self.entries[1]["load"] = "manual"
        self.daemon = self.start(self.config())
        self.client = self.connect(self.daemon)
        self.client.until_status("ready", model="one")
        self.write(default_model="two")
        self.assertEqual(self.reload()["state"], "uninitialized")
        self.assertEqual(self.sockets(), ["infer.one.sock"])
        self.assertEqual(self.client.ask("load", wait=True)["state"], "ready")
        self.assertEqual(self.line()["model"], "two")
        self.stop(self.daemon)

    def test_what_concerns_only_loading_holds_without_a_restart(self):
        self.serve()
        before = self.untouched("one")
        self.entries[0] |= {"load_timeout_s": 7, "load": "manual"}
        self.entries[1] |= {"idle_unload_s": 1}
        self.write()
        self.reload()
        self.assertEqual(self.client.until_status("unloaded")["reason"], "idle")
        self.assertEqual(self.told("one"), [])
        self.assertEqual(self.untouched("one"), before)
        self.stop(self.daemon)


class OfTheEngine(reloading.ReloadTest):
    """"one" is run by a llama-server, "two" is not."""

    def setUp(self):
        super().setUp()
        self.entries[0]["engine"] = "llama-server"
        self.llama_server = {"binary": str(FAKE_LLAMA_SERVER)}

    def config(self, **more):
        return super().config(llama_server=self.llama_server, **more)

    def test_models_that_it_runs_begin_again_and_no_others(self):
        self.serve()
        before = self.untouched("two")
        pid = self.model_status("one")["engine"]["pid"]
        self.llama_server["threads"] = 2
        self.write()
        self.assertEqual(self.reload(wait=True)["state"], "ready")
        self.assertEqual(self.told("one"), ["restarting:checking_local", "restarting", "restarting:mmap", "restarting:kv_cache",
                                            "restarting:engine_start", "restarting:warm_up", "capabilities", "ready"])
        self.assertNotEqual(self.model_status("one")["engine"]["pid"], pid)
        self.assertEqual((self.told("two"), self.untouched("two")), ([], before))
        self.client.events.clear()
        self.reload(wait=True)
        self.assertEqual(self.client.events, [])
        self.stop(self.daemon)

    def test_a_program_that_is_not_there_leaves_the_one_that_serves(self):
        self.serve()
        before = self.untouched("one")
        self.llama_server["binary"] = str(self.folder / "none")
        self.write()
        refused = self.client.ask("reload", wait=True)
        self.assertEqual((refused["type"], refused["code"]), ("error", "engine_not_found"))
        self.assertEqual(self.told("one"), ["warning:reload_failed", "ready"])
        self.assertEqual((self.untouched("one"), self.sockets()), (before, ["infer.one.sock", "infer.sock", "infer.two.sock"]))
        self.stop(self.daemon)

    def test_an_error_of_the_engine_is_loaded_again_once_its_program_is_right(self):
        self.llama_server["binary"] = str(self.folder / "none")
        self.serve()
        self.assertEqual(self.told("one"), [])
        self.assertEqual(self.model_status("one")["state"], "error")
        self.llama_server["binary"] = str(FAKE_LLAMA_SERVER)
        self.write()
        self.assertEqual(self.reload(wait=True)["state"], "ready")
        self.assertEqual(self.told("one")[0], "restarting:checking_local")
        self.stop(self.daemon)


class WhoComesAndGoes(reloading.ReloadTest):
    def test_a_new_model_is_loaded_and_one_that_is_left_out_goes(self):
        self.serve()
        before = self.untouched("two")
        self.entries = [self.entry("three"), self.entry("two"), self.entry("by-hand", "one", load="manual")]
        self.write()
        self.assertEqual(self.reload(wait=True)["state"], "ready")
        self.assertEqual(self.line()["model"], "three", "the first is the default one where none is named")
        process.wait_until(lambda: "one" not in self.names(), self.daemon.process, ggufd.LIMIT_S, "the model to go")
        self.assertEqual(self.told("one"), ["unloading", "unloaded"])
        [unloaded] = [event for event in self.client.events if event["status"] == "unloaded"]
        self.assertEqual(unloaded["reason"], "reload")
        self.assertEqual(self.names(), ["three", "two", "by-hand"])
        self.assertEqual(self.sockets(), ["infer.sock", "infer.three.sock", "infer.two.sock"])
        self.assertEqual(self.snapshot_models(), {"two", "three"})
        self.assertEqual([model["model"] for model in self.ask("/health").json()["models"]], ["three", "two", "by-hand"])
        self.assertEqual(self.ask("/ready").status, 200)
        self.assertNotIn('"one"', self.ask("/metrics").text)
        for verb in ("load", "unload", "status", "verify", "plan"):
            self.assertEqual(self.client.ask(verb, model="one")["code"], "unknown_model")
        self.assertEqual(self.client.ask("subscribe", models=["one"])["code"], "unknown_model")
        self.assertEqual((self.told("two"), self.untouched("two")), ([], before))
        self.stop(self.daemon)

    def test_what_is_told_of_a_model_that_has_gone_is_remembered(self):
        self.serve()
        seq = self.client.ask("status")["seq"]
        del self.entries[1]
        self.write()
        self.assertEqual(self.reload(model="two", wait=True)["state"], "uninitialized")
        with self.daemon.connect() as late:
            late.ask("ping")
            late.events.clear()
            late.ask("subscribe", since=seq)
            self.assertEqual(late.until_status("unloaded")["model"], "two")
        self.stop(self.daemon)

    def test_a_model_that_comes_back_is_loaded(self):
        self.serve()
        both = list(self.entries)
        for _ in range(3):  # whether it has gone by then, or has not
            self.entries = both[:1]
            self.write()
            self.reload()
            self.entries = both
            self.write()
            self.assertEqual(self.reload(model="two", wait=True)["state"], "ready")
            self.assertEqual(self.line("infer.two.sock")["model"], "two")
        self.assertEqual(self.names(), ["one", "two"])
        self.assertEqual(self.told("one"), [])
        self.stop(self.daemon)

    def test_one_that_is_being_loaded_goes_and_its_waiters_are_told(self):
        with Origin(self.web) as origin:
            origin.fault("/three.gguf", stall_at=1 << 20)
            self.entries.append(self.entry("three", load="manual") |
                                {"source": origin.url("three.gguf"), "sha256": self.files["three"].sha256})
            self.daemon = self.start(self.config())
            self.client = self.connect(self.daemon)
            self.client.send(b'{"id":"l","type":"load","model":"three","wait":true}\n'
                             b'{"id":"p","type":"pull","model":"three"}\n')
            origin.wait_until_stalled("/three.gguf")
            del self.entries[2]
            self.write()
            self.reload()
            for request in ("l", "p"):
                self.assertEqual(self.client.answer(request)["code"], "cancelled")
            process.wait_until(lambda: "three" not in self.names(), self.daemon.process, ggufd.LIMIT_S, "the model to go")
            self.stop(self.daemon)

    def test_all_of_them_may_go(self):
        self.serve()
        self.entries = []
        self.write()
        self.assertNotIn("state", self.reload(wait=True))
        process.wait_until(lambda: not self.names(), self.daemon.process, ggufd.LIMIT_S, "the models to go")
        self.assertEqual(self.sockets(), [])
        self.assertEqual(self.client.ask("load")["code"], "unknown_model")
        with self.daemon.connect() as late:
            self.assertEqual(late.read_frame()["status"], "starting")
        self.stop(self.daemon)

    def test_a_stop_while_one_goes(self):
        self.serve()
        del self.entries[1]
        self.write()
        self.client.send(b'{"id":"r","type":"reload"}\n{"id":"d","type":"drain"}\n')
        self.assertEqual(self.daemon.wait(), 0)


class OfOneModel(reloading.ReloadTest):
    def test_nothing_else_of_the_file_is_applied(self):
        self.serve()
        self.entries = [self.entry("two", n_ctx=512), self.entry("one", n_ctx=512), self.entry("three")]
        self.write(default_model="three", log={"format": "json"}, auto_pull=False)
        self.assertEqual(self.reload(model="one", wait=True)["state"], "ready")
        self.assertEqual(self.line()["n_ctx"], 512)
        self.assertEqual((self.told("two"), self.names()), ([], ["one", "two"]))
        self.assertEqual(story.warnings(self.client.events), [])
        self.assertEqual(self.reload(model="three", wait=True)["state"], "ready")
        self.assertEqual((self.told("two"), self.names()), ([], ["one", "two", "three"]))
        self.assertEqual(self.line()["model"], "one")
        self.assertEqual(self.client.ask("reload", model="nobody")["code"], "unknown_model")
        self.reload(wait=True)
        self.assertEqual(self.client.events[-1]["status"], "ready")
        self.assertEqual(self.client.events[-1]["model"], "two", "all that has changed is waited for")
        self.assertEqual(self.line()["model"], "three")
        self.assertEqual(story.warnings(self.client.events), ["reload_incomplete"])
        self.stop(self.daemon)

    def test_one_that_the_file_does_not_have_goes(self):
        self.serve()
        self.entries = [self.entry("two", n_ctx=512)]
        self.write()
        self.assertEqual(self.reload(model="one", wait=True)["state"], "uninitialized")
        self.assertEqual(self.told("one")[-1], "unloaded")
        self.assertEqual(self.names(), ["two"])
        self.assertEqual(self.line()["n_ctx"], 256, "the one that is left is the default one")
        self.assertEqual(self.client.ask("reload", model="one")["code"], "unknown_model")
        self.stop(self.daemon)


class TheRestOfTheFile(reloading.ReloadTest):
    def test_what_can_be_applied_is_and_what_waits_for_the_next_start_is_named(self):
        self.entries[1]["load"] = "manual"
        self.daemon = self.start(self.config())
        self.client = self.connect(self.daemon)
        self.client.until_status("ready", model="one")
        self.write(memory_headroom_bytes=1 << 49, models_home=str(self.folder / "elsewhere"), log={"format": "json"})
        self.reload()
        [warning] = [event for event in self.client.events if event["status"] == "warning"]
        self.assertEqual((warning["code"], warning.get("model")), ("reload_incomplete", None))
        self.assertEqual(warning["message"], "takes effect at the next start: models_home, log.format")
        self.assertEqual(self.client.ask("load", model="two", wait=True)["code"], "out_of_memory_budget")
        self.write()
        self.reload()
        self.assertEqual(self.client.ask("load", model="two", wait=True)["state"], "ready")
        self.stop(self.daemon)

    def test_fetching_is_decided_by_the_new_file(self):
        with Origin(self.web) as origin:
            self.entries = [self.entry("one", load="manual") |
                            {"source": origin.url("one.gguf"), "sha256": self.files["one"].sha256}]
            self.daemon = self.start(self.config())
            self.client = self.connect(self.daemon)
            self.assertEqual(self.reload()["state"], "uninitialized")
            self.write(auto_pull=False)
            self.reload()
            self.assertEqual(self.client.ask("load", wait=True)["code"], "not_in_store")
            self.write()
            self.reload()
            self.assertEqual(self.client.ask("load", wait=True)["state"], "ready")
            self.stop(self.daemon)

    def test_a_file_that_nobody_named_may_be_missing_until_it_was_there(self):
        self.daemon = self.start(None, is_named=False)
        self.client = self.connect(self.daemon)
        self.reload()
        self.assertEqual(self.names(), [])
        self.write()
        self.reload(wait=True)
        self.client.ask("ping")
        before = self.untouched("one"), self.untouched("two")
        kept = self.daemon.config_file.rename(self.folder / "kept.json")
        self.client.events.clear()
        self.assertEqual(self.client.ask("reload")["code"], "bad_config")
        [warning] = self.client.events
        self.assertEqual((warning["status"], warning["code"]), ("warning", "bad_config"))
        self.assertIn(str(self.daemon.config_file), warning["message"])
        self.assertEqual((self.untouched("one"), self.untouched("two")), before)
        kept.rename(self.daemon.config_file)
        self.reload()
        self.assertEqual((self.untouched("one"), self.untouched("two")), before)
        self.stop(self.daemon)

    def test_a_bad_file_changes_nothing(self):
        self.serve()
        before = self.untouched("one"), self.untouched("two")
        good = self.config()
        self.entries = [self.entry("three")]
        for text in ("{", json.dumps(self.config(auto_pul=False, evict=7))):
            self.daemon.config_file.write_text(text)
            answer = self.client.ask("reload")
            self.assertEqual((answer["type"], answer["code"]), ("error", "bad_config"), answer)
            [warning] = self.client.events
            self.assertEqual((warning["status"], warning["code"], warning["message"], warning.get("model")),
                             ("warning", "bad_config", answer["message"], None))
            self.client.events.clear()
        self.assertIn("/auto_pul", answer["message"])
        self.assertIn("/evict", answer["message"])
        self.assertEqual(self.client.ask("reload", model="three", wait=True)["code"], "bad_config")
        self.assertEqual(self.client.ask("reload", model="nobody")["code"], "bad_config")
        self.daemon.signal(signal.SIGHUP)
        self.client.until_status("warning")
        self.assertEqual(self.names(), ["one", "two"])
        self.daemon.config_file.write_text(json.dumps(good))
        self.client.ask("ping")
        self.client.events.clear()
        self.assertEqual(self.reload(wait=True)["state"], "ready")
        self.assertEqual(self.client.events, [])
        self.assertEqual((self.untouched("one"), self.untouched("two")), before)
        self.stop(self.daemon)


if __name__ == "__main__":
    unittest.main()
