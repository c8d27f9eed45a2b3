"""ggufctl doctor: with and without a daemon, on and off the network, and what a person does about its findings."""

import json
import os
import signal
import unittest

import ggufd
from origin import Origin

DONE, FAILED = 0, 1


class DoctorTest(ggufd.DaemonTest):
    def doctor(self, *arguments):
        """Exit code, the findings by (group, name), and the whole answer."""
        code, out, errors = ggufd.run_program("ggufctl", "--runtime-dir", self.runtime_dir, "--store", self.store,
                                              "--config", self.folder / "config.json", "doctor", "--json", *arguments,
                                              folder=self.folder)
        self.assertEqual(errors, "")
        answer = json.loads(out)
        self.assertEqual(code, DONE if answer["ok"] else FAILED)
        self.assertEqual(answer["ok"], all(check["result"] != "fail" for check in answer["checks"]))
        for check in answer["checks"]:
            self.assertEqual(set(check), {"group", "name", "result", "found", "advice"})
            self.assertIn(check["result"], ("ok", "warn", "fail", "skip"))
            self.assertEqual(bool(check["advice"]), check["result"] in ("warn", "fail"), check)
        return code, {(check["group"], check["name"]): check for check in answer["checks"]}, answer

    def configure(self, config):
        path = self.folder / "config.json"
        path.write_text(json.dumps(config))
        path.chmod(0o600)

    def finding(self, group, name, *arguments):
        return self.doctor(*arguments)[1][group, name]


class WithoutADaemon(DoctorTest):
    def test_it_looks_itself(self):
        file = self.model()
        self.configure(self.config_for(file.path, file))
        code, findings, _ = self.doctor()
        self.assertEqual(code, DONE)
        self.assertEqual(findings["reached", "answer"]["result"], "warn")
        self.assertEqual(findings["configuration", "file"]["result"], "ok")
        self.assertEqual(findings["memory", "tiny"]["result"], "ok", findings["memory", "tiny"])
        self.assertFalse(self.store.exists() and any(self.store.iterdir()), "it changes nothing")

    def test_every_mistake_of_the_configuration_is_told(self):
        self.configure({"models": [{"name": "m", "sorce": "/m.gguf"}], "evict": "no"})
        code, findings, _ = self.doctor()
        self.assertEqual(code, FAILED)
        self.assertIn("source", findings["configuration", "/models/0/sorce"]["found"])
        self.assertEqual(findings["configuration", "/evict"]["result"], "fail")

    def test_a_model_that_does_not_fit(self):
        file = self.model()
        config = self.config_for(file.path, file)
        config["memory_headroom_bytes"] = 1 << 49
        self.configure(config)
        check = self.finding("memory", "tiny")
        self.assertEqual(check["result"], "fail", check)


class WithADaemon(DoctorTest):
    def test_the_daemon_answers(self):
        file = self.model()
        config = self.config_for(file.path, file)
        self.configure(config)
        daemon, client, outcome = self.bring_up(config)
        self.assert_ready(outcome, daemon)
        code, findings, answer = self.doctor()
        self.assertEqual(code, DONE, [check for check in answer["checks"] if check["result"] == "fail"])
        self.assertEqual(findings["reached", "protocol"]["result"], "ok")
        self.assertEqual(findings["configuration", "running"]["result"], "ok")
        self.assertIn(str(daemon.process.pid), findings["runtime", "lock"]["found"])
        self.assertIn("0600", findings["runtime", "admin.sock"]["found"])
        self.assertEqual(findings["models", "tiny"]["result"], "ok", findings["models", "tiny"])
        self.assertEqual(findings["daemon", "tiny"]["result"], "ok")
        by_itself = client.ask("doctor")
        self.assertEqual(by_itself["type"], "response")
        self.assertIn(("store", "folder"), {(check["group"], check["name"]) for check in by_itself["checks"]})

    def test_many_ask_at_once(self):
        file = self.model()
        _, client, _ = self.bring_up(self.config_for(file.path, file))
        ids = [f"d{number}" for number in range(50)]
        client.send(b"".join(json.dumps({"id": each, "type": "doctor"}).encode() + b"\n" for each in ids))
        answered = set()
        while len(answered) < len(ids):
            frame = client.read_frame()
            self.assertIsNotNone(frame)
            if frame["type"] == "response":
                answered.add(frame["id"])
        self.assertEqual(answered, set(ids))

    def test_who_waits_when_the_daemon_stops_is_told(self):
        program = self.folder / "never-answers"
        program.write_text("#!/bin/sh\nexec sleep 600\n")
        program.chmod(0o755)
        daemon = self.start({"models": [], "llama_server": {"binary": str(program)}})
        client = self.connect(daemon)
        client.send(b'{"id":"d","type":"doctor"}\n')
        self.assertEqual(client.ask("ping")["type"], "response", "the daemon has begun to look")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(client.answer("d")["code"], "cancelled")
        self.assertEqual(daemon.wait(), 0)

    def test_two_hundred_failed_models_are_all_told_by_status(self):
        models = [{"name": f"model-{number}", "source": f"/nowhere/{number}.gguf"} for number in range(200)]
        daemon = self.start({"models": models})
        client = self.connect(daemon)
        failed = set()
        while len(failed) < len(models):
            failed.add(client.until_status("error")["model"])
        answer = client.ask("status")
        self.assertEqual(answer["type"], "response", answer)
        self.assertEqual([model["name"] for model in answer["models"]], [model["name"] for model in models])
        self.assertEqual({model["state"] for model in answer["models"]}, {"error"})
        for verb in ("status", "health", "wait", "verify"):
            code, _, errors = ggufd.run_program("ggufctl", "--socket", daemon.admin_socket, verb, folder=self.folder)
            self.assertNotIn("frame", errors)
            self.assertEqual(code, DONE if verb == "status" else FAILED, errors)

    def test_three_hundred_models_fit_into_a_frame(self):
        models = [{"name": f"model-{number}", "source": f"/nowhere/{number}.gguf", "load": "manual"} for number in range(300)]
        client = self.connect(self.start({"models": models}))
        answer = client.ask("doctor")
        self.assertEqual(answer["type"], "response", answer)
        self.assertFalse(answer["ok"])
        self.assertEqual(answer["checks"][-1]["name"], "left out")


class Broken(DoctorTest):
    """Something is broken, doctor says how to mend it, it is mended, and doctor is content."""

    def setUp(self):
        super().setUp()
        self.file = self.model()
        self.configure(self.config_for(self.file.path, self.file))

    def test_a_runtime_folder_that_others_may_write(self):
        self.runtime_dir.mkdir(exist_ok=True)
        self.runtime_dir.chmod(0o777)
        check = self.finding("runtime", "folder")
        self.assertEqual(check["result"], "fail")
        self.assertEqual(check["advice"], f"chmod 0700 {self.runtime_dir}")
        self.runtime_dir.chmod(0o700)
        self.assertEqual(self.finding("runtime", "folder")["result"], "ok")

    @unittest.skipUnless(os.geteuid() == 0, "only root can give a folder away")
    def test_root_looks_at_a_service_as_its_user_finds_it(self):
        nobody = 65534
        self.runtime_dir.mkdir(exist_ok=True)
        os.chown(self.runtime_dir, nobody, nobody)
        os.chown(self.folder / "config.json", nobody, nobody)
        self.runtime_dir.chmod(0o700)
        self.assertEqual(self.finding("runtime", "folder")["result"], "ok")
        self.assertEqual(self.finding("configuration", "owner")["result"], "ok")
        self.runtime_dir.chmod(0o777)
        self.assertEqual(self.finding("runtime", "folder")["advice"], f"chmod 0700 {self.runtime_dir}")

    def test_a_file_that_is_gone(self):
        away = self.file.path.rename(self.file.path.with_suffix(".away"))
        check = self.finding("models", "tiny")
        self.assertEqual(check["result"], "fail")
        self.assertIn(str(self.file.path), check["found"])
        away.rename(self.file.path)
        self.assertNotEqual(self.finding("models", "tiny")["result"], "fail")

    def test_a_daemon_that_was_killed(self):
        daemon = self.start(self.config_for(self.file.path, self.file))
        self.connect(daemon)
        daemon.process.kill()
        daemon.process.wait()
        self.assertEqual(self.finding("runtime", "admin.sock")["result"], "warn")
        self.assertIn("free", self.finding("runtime", "lock")["found"])

    def test_a_daemon_that_hangs(self):
        daemon = self.start(self.config_for(self.file.path, self.file))
        self.connect(daemon)
        daemon.signal(signal.SIGSTOP)
        try:
            code, out, _ = ggufd.run_program("ggufctl", "--runtime-dir", self.runtime_dir, "doctor", folder=self.folder)
        finally:
            daemon.signal(signal.SIGCONT)
        self.assertEqual(code, FAILED)
        self.assertIn("does not answer in time", " ".join(out.split()))


class Online(DoctorTest):
    def setUp(self):
        super().setUp()
        self.file = self.model()
        self.origin = self.enterContext(Origin(self.web))

    def test_without_being_asked_it_asks_nobody(self):
        self.configure(self.config_for(self.origin.url("model.gguf"), self.file))
        self.assertEqual(self.finding("sources", "sources")["result"], "skip")
        self.assertEqual(self.origin.requests("/model.gguf"), [])

    def test_a_source_that_serves_ranges(self):
        self.configure(self.config_for(self.origin.url("model.gguf"), self.file))
        check = self.finding("sources", "tiny", "--online")
        self.assertEqual(check["result"], "ok", check)
        self.assertIn("serves ranges", check["found"])
        self.assertEqual(self.finding("sources", "clock", "--online")["result"], "ok")

    def test_a_source_without_ranges(self):
        self.origin.fault("/model.gguf", chunked=True)
        self.configure(self.config_for(self.origin.url("model.gguf"), self.file))
        self.assertEqual(self.finding("sources", "tiny", "--online")["result"], "warn")

    def test_a_source_of_another_size(self):
        config = self.config_for(self.origin.url("model.gguf"), self.file)
        config["models"][0]["size_bytes"] = self.file.size_bytes + 1
        self.configure(config)
        check = self.finding("sources", "tiny", "--online")
        self.assertEqual(check["result"], "fail")
        self.assertIn("size_bytes says", check["found"])

    def test_a_source_that_is_not_there(self):
        self.configure(self.config_for(self.origin.url("none.gguf"), self.file))
        check = self.finding("sources", "tiny", "--online")
        self.assertEqual(check["result"], "fail")
        self.assertIn("404", check["found"])

    def test_nobody_listens(self):
        self.configure(self.config_for("http://127.0.0.1:1/model.gguf", self.file))
        self.assertEqual(self.finding("sources", "tiny", "--online")["result"], "fail")


class ForPeople(DoctorTest):
    def test_it_is_grouped_and_uncoloured_in_a_pipe(self):
        code, out, errors = ggufd.run_program("ggufctl", "--runtime-dir", self.runtime_dir, "doctor", folder=self.folder)
        self.assertEqual((code, errors), (DONE, ""))
        self.assertNotIn("\x1b", out)
        self.assertIn("\nconfiguration\n", out)
        self.assertTrue(all(len(line) <= 80 for line in out.splitlines() if "/" not in line))
        self.assertRegex(out.splitlines()[-1], r"^\d+ ok, \d+ to look at, 0 failed, \d+ skipped$")


if __name__ == "__main__":
    unittest.main()
