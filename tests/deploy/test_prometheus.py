"""Dashboard, alerts and autoscaler ask for metrics that the server has, by labels it gives."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from grafana_foundation_sdk.models.prometheus import Dataquery
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from groundup.serving.answer_cache import AnswerCache
from groundup.serving.intake import Intake, IntakeSettings
from groundup.serving.metrics import Metrics
from groundup.serving.response_cache import ResponseCache

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "groundup.json").read_text())
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
ADAPTER = yaml.safe_load((DEPLOY / "kubernetes" / "prometheus-adapter-values.yaml").read_text())

# What Prometheus itself adds: a series for each target, and labels that say which.
UP = {"up": {"job", "instance"}}
OF_TARGETS = {"job", "instance", "namespace", "pod"}


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """The labels of each series that /metrics shows."""
    metrics = Metrics(
        "a-model",
        lambda: {
            "running": 1,
            "waiting": 1,
            "kv_cache_usage": 0.5,
            "prefix_cache_queries": 1,
            "prefix_cache_hits": 1,
            "preemptions": 1,
        },
    )
    cache = AnswerCache(ResponseCache(max_bytes=1000, ttl=1))
    intake = Intake(IntakeSettings(), metrics.registry, cache=cache)
    intake.errors.labels("500").inc()
    assert isinstance(intake.registry, CollectorRegistry)
    found: dict[str, set[str]] = dict(UP)
    for family in text_string_to_metric_families(generate_latest(intake.registry).decode()):
        for sample in family.samples:
            found[sample.name] = set(sample.labels) | OF_TARGETS
    return found


def expressions() -> Iterator[str]:
    """All that the dashboard and the alerts ask, as PromQL without Grafana's variables."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m")
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]


def nodes(expression: str) -> list[Any]:
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(expression), found.append)
    return found


def selectors(expression: str) -> list[Any]:
    return [node for node in nodes(expression) if isinstance(node, promql_parser.VectorSelector)]


def wrong(expression: str, exported: dict[str, set[str]]) -> list[str]:
    """What the expression asks for in vain."""
    problems = []
    known = set()
    for selector in selectors(expression):
        labels = exported.get(selector.name, set())
        known |= labels
        if not labels:
            problems.append(f"there is no metric {selector.name}")
        problems += [
            f"{selector.name} has no label {matcher.name}"
            for matcher in selector.matchers.matchers
            if matcher.name not in labels
        ]
    for node in nodes(expression):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            problems += [
                f"no label {label}" for label in node.modifier.labels if label not in known
            ]
    return problems


@pytest.mark.parametrize("expression", list(expressions()))
def test_every_metric_and_label_is_exported(expression: str, exported: dict[str, set[str]]) -> None:
    assert selectors(expression)
    assert not wrong(expression, exported)


@pytest.mark.parametrize(
    "mistake",
    [
        "rate(vllm:request_success[5m])",
        "sum by (state) (rate(groundup:request_errors_total[5m]))",
        'sum(up{jobs="groundup"})',
        "histogram_quantile(0.5, sum by (le) (rate(vllm:time_to_first_token_seconds_sum[5m])))",
    ],
)
def test_a_planted_mistake_is_found(mistake: str, exported: dict[str, set[str]]) -> None:
    assert wrong(mistake, exported)


def lost(given: Any, back: Any, path: str = "") -> list[str]:
    """Where something given did not come back."""
    if isinstance(given, dict):
        return [
            found
            for key, value in given.items()
            for found in lost(
                value, back.get(key) if isinstance(back, dict) else None, f"{path}/{key}"
            )
        ]
    if isinstance(given, list):
        if not isinstance(back, list) or len(back) != len(given):
            return [path]
        return [
            found
            for i, (one, other) in enumerate(zip(given, back, strict=True))
            for found in lost(one, other, f"{path}/{i}")
        ]
    return [] if given == back else [path]


def test_the_dashboard_is_one_for_grafana() -> None:
    """Grafana's own models know each of its fields: what they do not know, they leave out."""
    known = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    assert not lost(DASHBOARD, known)
    misspelt = DASHBOARD | {"refesh": "5s"}
    assert lost(misspelt, json.loads(JSONEncoder().encode(Dashboard.from_json(misspelt))))
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = set()
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert not lost(target, json.loads(JSONEncoder().encode(Dataquery.from_json(target))))
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        for x in range(grid["x"], grid["x"] + grid["w"]):
            for y in range(grid["y"], grid["y"] + grid["h"]):
                assert (x, y) not in places, "panels overlap"
                places.add((x, y))


def test_the_dashboards_variables(exported: dict[str, set[str]]) -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    metric, label = re.fullmatch(
        r"label_values\((\S+), (\S+)\)", variables["model"]["query"]["query"]
    ).groups()  # type: ignore[union-attr]
    assert label in exported[metric]
    text = json.dumps(DASHBOARD["panels"])
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval"}
    assert used == set(variables)
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", "5m")
            labels = set().union(*(exported[each.name] for each in selectors(expression)))
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels


def test_the_autoscalers_metric_is_exported(exported: dict[str, set[str]]) -> None:
    (rule,) = ADAPTER["rules"]["custom"]
    assert not wrong(rule["seriesQuery"], exported)


def promtool(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    return subprocess.run(
        ["promtool", *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )


def test_prometheus_takes_the_rules_and_the_configuration(tmp_path: Path) -> None:
    done = promtool("check", "rules", "alerts.yaml", folder=DEPLOY / "prometheus")
    assert done.returncode == 0, done.stderr
    text = (DEPLOY / "prometheus" / "prometheus.yaml").read_text()
    for inside, here in (
        ("/etc/prometheus", str(DEPLOY / "prometheus")),
        ("/run/secrets", str(tmp_path)),
    ):
        assert inside in text
        text = text.replace(inside, here)
    (tmp_path / "api_key").write_text("a-key")
    (tmp_path / "prometheus.yaml").write_text(text)
    done = promtool("check", "config", "prometheus.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_when_the_alerts_fire() -> None:
    done = promtool("test", "rules", "alerts_test.yaml", folder=Path(__file__).parent)
    assert done.returncode == 0, done.stderr + done.stdout
