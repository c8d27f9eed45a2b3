"""What docs/monitoring holds works: every metric, label and value exists, rules fire when they should, the dashboard is one."""

import json
import os
import re
import shutil
import subprocess
import unittest

import documents
import engine

try:
    import yaml
except ImportError:
    yaml = None

MONITORING = documents.ROOT / "docs/monitoring"
# What Prometheus itself adds.
SCRAPE_LABELS = {"job", "instance", "namespace", "pod"}


def enum_names(header, enum):
    text = (documents.ROOT / header).read_text()
    return set(re.findall(r'"([a-z0-9_-]+)"', re.search(rf"EnumNames<{enum}> =(.*?)\);", text, re.DOTALL)[1]))


def label_values():
    return {"state": enum_names("protocol/state.h", "ModelState"), "code": enum_names("protocol/error.h", "ErrorCode"),
            "phase": enum_names("protocol/load_phase.h", "PhaseKind"),
            "reason": enum_names("protocol/status_event.h", "RestartReason"), "kind": {"mapped", "kv"}}


def dashboard_expressions():
    board = json.loads((MONITORING / "grafana.json").read_text())
    targets = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return targets + [re.fullmatch(r"label_values\((.*), (\w+)\)", each["query"]["query"]).expand(r"sum by (\2) (\1)")
                      for each in board["templating"]["list"] if each["type"] == "query"]


def alert_expressions():
    rules = [rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
    return [rule["expr"] for rule in rules]


def find_promtool():
    places = [shutil.which("promtool"), documents.ROOT / "build/tools/prometheus/usr/bin/promtool"]
    return next((str(place) for place in places if place and os.access(place, os.X_OK)), None)


def complaints(expression, exposed, values):
    """What of a PromQL expression names nothing that `exposed`, {metric: labels}, has."""
    found = []
    for opening, closing in ("()", "{}", "[]"):
        if expression.count(opening) != expression.count(closing):
            found.append(f"{opening} and {closing} do not match")
    metrics = re.findall(r"\b(ggufd_[a-z_]+|up)\b(?:\{([^}]*)\})?", expression)
    if not metrics:
        found.append("no metric of ours")
    everything = set(SCRAPE_LABELS)
    for name, selector in metrics:
        if name not in exposed:
            found.append(f"the metric {name}")
            continue
        everything |= exposed[name]
        for label, operator, value in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', selector):
            if label not in exposed[name] | SCRAPE_LABELS:
                found.append(f"the label {label} of {name}")
            elif label in values and not value.startswith("$"):
                found += [f"the value {each} of {label}" for each in value.split("|") if each not in values[label]]
    for listed in re.findall(r"\b(?:by|on|ignoring|without|group_left|group_right) *\(([^)]*)\)", expression):
        found += [f"the label {label}" for label in re.findall(r"\w+", listed) if label not in everything]
    return found


class Metrics(engine.EngineTest):
    """A daemon that has been through everything that makes labels appear."""

    _exposed: dict[str, set[str]] = {}  # the same for all tests: {metric: labels}

    def exposed(self):
        if not self._exposed:
            self._exposed.update(self.look())
        return self._exposed

    def look(self):
        config = self.config(n_ctx=256)
        config["models"].append({"name": "missing", "source": str(self.folder / "missing.gguf")})
        daemon, client = self.run_engine(config=config)
        self.assertEqual(client.ask("load", model="tiny", wait=True)["type"], "response")
        self.assertEqual(client.ask("load", model="missing", wait=True)["code"], "bad_source")
        config["models"][0]["n_ctx"] = 512
        config["log"] = {"format": "json"}  # which waits for the next start: a warning
        daemon.config_file.write_text(json.dumps(config))
        self.assertEqual(client.ask("reload", wait=True)["state"], "ready")
        self.ask("/ready")
        self.metrics()
        exposed = {}
        for name, labels in self.metrics():
            exposed.setdefault(name, set()).update(label for label, _ in labels)
        return exposed

    def check(self, expressions):
        exposed, values = self.exposed(), label_values()
        exposed = exposed | {"up": set()}
        for expression in expressions:
            self.assertEqual(complaints(expression, exposed, values), [], expression)

    @unittest.skipUnless(yaml, "python3-yaml is not installed")
    def test_alerts_name_what_there_is(self):
        expressions = alert_expressions()
        self.assertGreaterEqual(len(expressions), 8)
        self.check(expressions)

    def test_the_dashboard_names_what_there_is(self):
        expressions = dashboard_expressions()
        self.assertGreaterEqual(len(expressions), 15)
        self.check(expressions)

    def test_documents_name_what_there_is_and_all_of_it(self):
        families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in self.exposed()}
        operating = (documents.ROOT / "docs/operating.md").read_text()
        self.assertEqual(sorted(name for name in families if f"`{name}" not in operating), [])
        for name in ("docs/operating.md", "docs/monitoring.md"):
            told = set(re.findall(r"\bggufd_[a-z_]+", (documents.ROOT / name).read_text()))
            self.assertEqual(sorted(told - families - set(self.exposed())), [], name)

    def test_every_metric_is_seen_on_the_dashboard(self):
        shown = " ".join(dashboard_expressions())
        families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in self.exposed()}
        self.assertEqual(sorted(name for name in families if name not in shown), [])

    def test_the_check_itself(self):
        exposed = {"ggufd_models": {"state"}, "up": set()}
        values = {"state": {"ready", "error"}}
        for expression, words in ((r"ggufd_model", "metric ggufd_model"), ('ggufd_models{stat="ready"}', "label stat of"),
                                  ('ggufd_models{state="raedy"}', "value raedy"), ("sum by (sate) (ggufd_models)", "label sate"),
                                  ("sum(ggufd_models", "do not match"), ("vector(1)", "no metric")):
            with self.subTest(expression):
                found = complaints(expression, exposed, values)
                self.assertEqual(len(found), 1, found)
                self.assertIn(words, found[0])
        self.assertEqual(complaints('sum by (state, job) (ggufd_models{state=~"ready|error"})', exposed, values), [])


@unittest.skipUnless(yaml, "python3-yaml is not installed")
class Rules(unittest.TestCase):
    def test_each_alert_says_what_it_means(self):
        groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
        names = [rule["alert"] for group in groups for rule in group["rules"]]
        self.assertEqual(len(names), len(set(names)))
        for rule in (rule for group in groups for rule in group["rules"]):
            with self.subTest(rule["alert"]):
                self.assertIn(rule["labels"]["severity"], ("critical", "warning", "info"))
                self.assertEqual(rule["annotations"].keys(), {"summary", "description"})
                self.assertRegex(rule.get("for", "1m"), r"^\d+[smh]$")

    def test_promtool_accepts_them(self):
        promtool = find_promtool()
        if promtool is None:
            self.skipTest("promtool (Debian's package prometheus) is not installed")
        # Debian's Prometheus is built without Kubernetes: it does not know that file's only job.
        for arguments in (["check", "rules", "alerts.yml"], ["check", "config", "prometheus.yml"],
                          ["test", "rules", str(documents.ROOT / "tests/golden/alerts_test.yml")]):
            done = subprocess.run([promtool, *arguments], cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_dashboard_is_one(self):
        board = json.loads((MONITORING / "grafana.json").read_text())
        self.assertEqual(len({panel["id"] for panel in board["panels"]}), len(board["panels"]))
        covered = set()
        for panel in board["panels"]:
            with self.subTest(panel["title"]):
                self.assertEqual(panel["datasource"], {"type": "prometheus", "uid": "${datasource}"})
                place = panel["gridPos"]
                cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                         for y in range(place["y"], place["y"] + place["h"])}
                self.assertFalse(cells & covered, "two panels lie over each other")
                self.assertLessEqual(place["x"] + place["w"], 24)
                covered |= cells


if __name__ == "__main__":
    unittest.main()
