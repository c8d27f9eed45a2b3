"""What docs/kubernetes holds works: manifests are sound, the job's script fills a store that pods can read and leave alone, the
gateway carries inference out of the pod."""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

import documents
import engine
import ggufd
import nginx
import process
import web
from origin import Origin

try:
    import yaml
except ImportError:
    yaml = None

KUBERNETES = documents.ROOT / "docs/kubernetes"


def manifests(name):
    return [each for each in yaml.safe_load_all((KUBERNETES / name).read_text()) if each]


def of_kind(name, kind):
    found = [each for each in manifests(name) if each["kind"] == kind]
    if len(found) != 1:
        raise AssertionError(f"{name} has {len(found)} of {kind}")
    return found[0]


def container(pod, name):
    return next(each for each in pod["containers"] + pod.get("initContainers", []) if each["name"] == name)


@unittest.skipUnless(yaml, "python3-yaml is not installed")
class Manifests(unittest.TestCase):
    VERSIONS = {"ConfigMap": "v1", "Service": "v1", "PersistentVolumeClaim": "v1", "Deployment": "apps/v1",
                "StatefulSet": "apps/v1", "Job": "batch/v1", "PodDisruptionBudget": "policy/v1",
                "NetworkPolicy": "networking.k8s.io/v1"}

    def pods(self):
        for name in ("deployment.yaml", "statefulset.yaml", "pull-job.yaml"):
            for each in manifests(name):
                if "template" in each.get("spec", {}):
                    yield name, each

    def servers(self):
        return ((name, each) for name, each in self.pods() if each["kind"] != "Job")

    def test_kinds_and_names(self):
        seen = set()
        for path in sorted(KUBERNETES.glob("*.yaml")):
            for each in manifests(path.name):
                self.assertEqual(each["apiVersion"], self.VERSIONS[each["kind"]])
                key = (each["kind"], each["metadata"]["name"])
                self.assertNotIn(key, seen)
                self.assertRegex(key[1], r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
                seen.add(key)
        self.assertGreaterEqual(len(seen), 8)

    def test_selectors_find_the_pods(self):
        labels = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in self.pods()}
        for name, each in self.servers():
            self.assertEqual(each["spec"]["selector"]["matchLabels"].items() - labels[name].items(), set())
        for name in ("deployment.yaml", "statefulset.yaml"):
            for each in manifests(name):
                selector = each.get("spec", {}).get("selector", {})
                wanted = selector if each["kind"] == "Service" else selector.get("matchLabels", {})
                self.assertLessEqual(wanted.items(), labels[name].items())
        ports = {port["name"] for _, each in self.servers() for one in each["spec"]["template"]["spec"]["containers"]
                 for port in one["ports"]}
        for name in ("deployment.yaml", "statefulset.yaml"):
            for service in (each for each in manifests(name) if each["kind"] == "Service"):
                self.assertLessEqual({port["targetPort"] for port in service["spec"]["ports"]}, ports)

    def test_every_volume_is_there_and_used(self):
        for name, each in self.pods():
            pod = each["spec"]["template"]["spec"]
            mounted = {mount["name"] for one in pod["containers"] + pod.get("initContainers", [])
                       for mount in one["volumeMounts"]}
            volumes = {volume["name"] for volume in pod["volumes"]}
            volumes |= {claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])}
            self.assertEqual(mounted, volumes, name)
        maps = {each["metadata"]["name"] for path in KUBERNETES.glob("*.yaml") for each in manifests(path.name)
                if each["kind"] in ("ConfigMap", "PersistentVolumeClaim")}
        for name, each in self.pods():
            for volume in each["spec"]["template"]["spec"]["volumes"]:
                for kind, key in (("configMap", "name"), ("persistentVolumeClaim", "claimName")):
                    if kind in volume:
                        self.assertIn(volume[kind][key], maps, name)

    def test_probes_let_a_download_end(self):
        for name, each in self.servers():
            with self.subTest(name):
                one = container(each["spec"]["template"]["spec"], "ggufd")
                ports = {port["name"] for port in one["ports"]}
                for probe, path in (("startupProbe", "/metrics"), ("livenessProbe", "/metrics"), ("readinessProbe", "/ready")):
                    self.assertEqual(one[probe]["httpGet"]["path"], path)
                    self.assertIn(one[probe]["httpGet"]["port"], ports)

    def test_there_is_time_to_drain(self):
        for name, each in self.servers():
            with self.subTest(name):
                pod = each["spec"]["template"]["spec"]
                command = container(pod, "ggufd")["lifecycle"]["preStop"]["exec"]["command"][-1]
                # A signal behind a request to drain is a second wish, and ends the daemon at once.
                self.assertNotIn("--no-wait", command)
                pause_s = int(re.search(r"sleep (\d+); ggufctl drain$", command)[1])
                config = json.loads(self.config_of(each, name)["config.json"])
                grace_s = config["llama_server"]["stop_grace_s"]
                self.assertGreater(pod["terminationGracePeriodSeconds"], pause_s + 2 * grace_s + 5)

    @staticmethod
    def config_of(each, name):
        volumes = each["spec"]["template"]["spec"]["volumes"]
        wanted = next(volume["configMap"]["name"] for volume in volumes if "configMap" in volume)
        maps = manifests(name) + manifests("config.yaml")
        return next(one["data"] for one in maps if one["kind"] == "ConfigMap" and one["metadata"]["name"] == wanted)

    def test_containers_are_confined(self):
        for name, each in self.pods():
            pod = each["spec"]["template"]["spec"]
            self.assertTrue(pod["securityContext"]["runAsNonRoot"], name)
            self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertFalse(pod["automountServiceAccountToken"])
            for one in pod["containers"] + pod.get("initContainers", []):
                context = one["securityContext"]
                self.assertEqual((context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"],
                                  context["capabilities"]), (False, True, {"drop": ["ALL"]}))

    def test_all_of_them_are_one_user(self):
        users = {each["spec"]["template"]["spec"]["securityContext"]["runAsUser"] for _, each in self.pods()}
        self.assertEqual(len(users), 1)
        served = of_kind("deployment.yaml", "Deployment")["spec"]["template"]["spec"]
        self.assertNotIn("fsGroup", served["securityContext"])
        store = next(mount for mount in container(served, "ggufd")["volumeMounts"] if mount["name"] == "store")
        self.assertTrue(store["readOnly"])

    def test_configurations_are_accepted(self):
        for name, keys in (("config.yaml", ("config.json", "pull.json")), ("statefulset.yaml", ("config.json",))):
            data = of_kind(name, "ConfigMap")["data"]
            for key in keys:
                with self.subTest(f"{name} {key}"):
                    path = pathlib.Path(tempfile.mkdtemp()) / key
                    self.addCleanup(shutil.rmtree, path.parent)
                    path.write_text(data[key])
                    code, _, errors = ggufd.run_program("ggufd", "--check-config", "--config", path, folder=path.parent)
                    self.assertEqual((code, errors), (0, ""))

    def test_job_and_pods_mean_the_same_models(self):
        data = of_kind("config.yaml", "ConfigMap")["data"]
        facts = [{(model["name"], model["source"], model["sha256"]) for model in json.loads(data[key])["models"]}
                 for key in ("config.json", "pull.json")]
        self.assertEqual(facts[0], facts[1])
        script = container(of_kind("pull-job.yaml", "Job")["spec"]["template"]["spec"], "pull")["args"][0]
        self.assertEqual(re.search(r"for model in (.*?);", script)[1].split(), sorted(name for name, _, _ in facts[0]))


@unittest.skipUnless(yaml, "python3-yaml is not installed")
class Gateway(engine.EngineTest):
    def test_inference_passes_through_it(self):
        program = nginx.find()
        if program is None:
            self.skipTest("nginx is not installed, nor unpacked by ./dev")
        self.ready()
        text = of_kind("config.yaml", "ConfigMap")["data"]["nginx.conf"]
        for written, ours in (("/tmp/", f"{self.folder}/"), ("/run/ggufd/d", self.runtime_dir),
                              ("listen 8080;", f"listen unix:{self.folder}/gateway.sock;")):
            self.assertIn(written, text)
            text = text.replace(written, str(ours))
        path = self.folder / "nginx.conf"
        path.write_text(text)
        # One process, so that it stays the user who may connect to the socket, as in the pod.
        server = subprocess.Popen(process.tied_to_us(
            [program, "-c", str(path), "-p", str(self.folder), "-g", "daemon off; master_process off;"]))
        self.addCleanup(process.end, server)
        gateway = self.folder / "gateway.sock"
        process.wait_until(lambda: self.listens(gateway), server, ggufd.LIMIT_S, "the gateway")
        answer = self.complete_text(gateway)
        self.assertEqual((answer.status, answer.json()), (200, self.complete_text().json()))
        self.connect_again().ask("unload", wait=True)
        self.assertEqual(self.complete_text(gateway).status, 502)

    @staticmethod
    def listens(path):
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(path)) == 0

    def connect_again(self):
        client = ggufd.Client(self.runtime_dir / "admin.sock")
        self.addCleanup(client.close)
        return client


@unittest.skipUnless(yaml, "python3-yaml is not installed")
class SharedStore(ggufd.DaemonTest):
    """The job's own script and the pods' own configuration, with a small model from a local origin."""

    def configurations(self, model, url):
        data = of_kind("config.yaml", "ConfigMap")["data"]
        for key in ("pull.json", "config.json"):
            config = json.loads(data[key])
            config["models"][0] |= {"source": url, "sha256": model.sha256, "size_bytes": model.size_bytes, "engine": "resident"}
            config |= {"memory_headroom_bytes": 0, "http": {}, "fetch": {}, "log": {"format": "json"}}
            (self.folder / key).write_text(json.dumps(config))
            yield config

    def run_job(self):
        script = container(of_kind("pull-job.yaml", "Job")["spec"]["template"]["spec"], "pull")["args"][0]
        done = subprocess.run(
            process.tied_to_us(["/bin/sh", "-ec", script]), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=ggufd.LIMIT_S, check=False,
            env=ggufd.environment(self.folder, PATH=f"{ggufd.bin_dir()}:{os.environ['PATH']}", MODELS_HOME=self.store,
                                  GGUFD_CONFIG=self.folder / "pull.json", GGUFD_RUNTIME_DIR=self.folder / "job/d"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def state_of_store(self):
        return sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_ctime_ns) for path in self.store.rglob("*"))

    def test_the_job_fills_it_and_a_pod_serves_from_it_and_writes_nothing(self):
        model = self.model()
        with Origin(self.web) as origin:
            _, served = self.configurations(model, origin.url(model.name))
            self.run_job()
        before = self.state_of_store()
        self.assertTrue(before)
        daemon = self.start(served)
        client = self.connect(daemon)
        client.until_status("ready")
        self.complete(client, daemon)
        integrity = {event["integrity"] for event in client.events if event.get("phase") == "mmap"}
        self.assertLessEqual(integrity, {"stat-cached", "kernel-enforced"})
        self.assertEqual([event for event in client.events if event["status"] == "warning"], [])
        self.stop(daemon)
        self.assertEqual(self.state_of_store(), before)

    def test_a_model_that_the_job_has_not_brought_is_an_error(self):
        model = self.model()
        _, served = self.configurations(model, "https://models.example.org/tiny.gguf")
        outcome = self.connect(self.start(served)).until_outcome()
        self.assertEqual((outcome["status"], outcome["code"]), ("error", "not_in_store"))


class Probes(engine.EngineTest):
    def over_tcp(self, port, path):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ggufd.LIMIT_S)
        self.addCleanup(connection.close)
        return web.ask(connection, path, Host="10.42.0.7:9100").status  # as the kubelet asks

    def test_liveness_holds_while_a_model_is_fetched_and_when_it_has_failed(self):
        model = self.model()
        with Origin(self.web) as origin:
            origin.fault(f"/{model.name}", stall_at=1 << 20)
            config = self.config_for(origin.url(model.name), model, fetch={"retries": 0, "stall_timeout_s": 2})
            daemon = self.start(config | {"http": {"tcp": "127.0.0.1:0", "allow_remote": True}})
            client = self.connect(daemon)
            client.until_phase("download")
            origin.wait_until_stalled(f"/{model.name}")
            port = int(re.search(r"HTTP on \S+:(\d+)", daemon.stderr())[1])
            self.assertEqual([self.over_tcp(port, path) for path in ("/metrics", "/ready", "/health")], [200, 503, 503])
            self.assertEqual(client.until_status("error")["code"], "network")
        self.assertEqual([self.over_tcp(port, path) for path in ("/metrics", "/ready", "/health")], [200, 503, 503])


class Drain(engine.EngineTest):
    def drain(self, *options):
        code, _, errors = ggufd.run_program("ggufctl", "--runtime-dir", self.runtime_dir, "drain", *options, folder=self.folder)
        self.assertEqual((code, errors), (0, ""))

    def test_the_hook_ends_with_the_daemon(self):
        """So the signal that follows a preStop hook finds nobody whom it could cut short."""
        daemon, _ = self.ready()
        self.drain()
        self.assertEqual(daemon.wait(), 0)
        self.assertIn("unloading -> uninitialized", daemon.stderr())

    def test_a_hook_that_does_not_wait_would_have_the_signal_cut_it_short(self):
        daemon, client = self.ready("busy=60", self.config({"stop_grace_s": 60}, warm_up=False))
        request = web.UnixConnection(self.infer_socket)
        self.addCleanup(request.close)
        request.request("POST", "/completion", json.dumps(engine.PROMPT), {"Content-Type": "application/json"})
        self.drain("--no-wait")
        client.until_status("unloading")
        # Two within 50 ms are taken for one wish; the kubelet's comes later.
        process.wait_until(lambda: daemon.signal(signal.SIGTERM) or daemon.process.poll() is not None, None, ggufd.LIMIT_S / 2,
                           "the end")
        self.assertEqual(daemon.wait(), 0)
        self.assertNotIn("unloading -> uninitialized", daemon.stderr())


if __name__ == "__main__":
    unittest.main()
