"""The dashboard and the scrape config that we give away fit what `/metrics` has."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from itertools import combinations
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.api_fixtures import Office
from tests.test_scrape import sample
from tests.unasync import ROOT

BOARD = json.loads((ROOT / "deployments" / "grafana.json").read_text())
PANELS = BOARD["panels"]
DRAWN = [panel for panel in PANELS if panel["type"] != "row"]
FUNCTIONS = {"sum", "rate", "increase", "max", "topk", "histogram_quantile", "by", "label_values"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
ADDED = {"job", "instance"}  # by Prometheus, to every series


def expressions() -> list[str]:
    asked = [target["expr"] for panel in DRAWN for target in panel["targets"]]
    return asked + [one["query"] for one in BOARD["templating"]["list"] if one["type"] == "query"]


def read(expression: str) -> tuple[set[str], set[str], set[str]]:
    """The series, the labels and the functions that a PromQL expression names."""
    assert expression.count("(") == expression.count(")")
    assert expression.count("{") == expression.count("}")
    matched = {
        name for part in re.findall(r"\{(.*?)\}", expression) for name in re.findall(r"(\w+)=~?\"", part)
    }
    bare = re.sub(r"\{.*?\}|\[.*?\]|\"[^\"]*\"", "", expression)
    grouped = {name for part in re.findall(r"\bby \((.*?)\)", bare) for name in re.findall(r"\w+", part)}
    grouped |= set(re.findall(r"label_values\(.*, (\w+)\)", bare))
    rest = re.sub(r"\bby \(.*?\)|, \w+\)$", "", bare)
    functions = set(re.findall(r"\b([a-z_]+)\s*\(", rest))
    return set(re.findall(r"\b[a-z]\w+\b", rest)) - functions - {"by"}, matched | grouped, functions


@pytest.fixture
def labels(office: Office) -> dict[str, set[str]]:
    """By series: the labels of what is scraped."""
    worker = office.key("worker")
    reading = sample(
        1, utilization_percent=5.0, memory_used_gb=1.0, power_w=9.0, temperature_c=4, energy_j=3.0
    )
    assert office.call("POST", "/api/v1/gpus/samples", worker, json=reading).status_code == 201
    job, token = office.claimed_job()
    assert office.call("PUT", f"/api/v1/jobs/{job}/metrics", token, json={}).status_code == 422
    found: dict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(office.call("GET", "/metrics", office.key("admin")).text):
        for one in family.samples:
            found[one.name] |= one.labels.keys()
    return found


def test_every_expression_names_series_and_labels_that_metrics_has(labels: dict[str, set[str]]) -> None:
    named = set()
    for expression in expressions():
        series, filtered, functions = read(expression)
        assert series, expression
        assert functions <= FUNCTIONS
        assert series <= labels.keys(), expression
        assert all(filtered <= labels[name] | ADDED for name in series), expression
        named |= series
    ours = {name for name in labels if not re.search(r"_(bucket|count|sum)$", name)}
    assert ours <= named  # and nothing that is counted is left out


def test_legends_show_labels_that_their_expression_keeps(labels: dict[str, set[str]]) -> None:
    for target in (target for panel in DRAWN for target in panel["targets"]):
        kept = re.findall(r"\bby \((.*?)\)", target["expr"])
        series, _, _ = read(target["expr"])
        known = set(re.split(", ", kept[-1])) if kept else set.union(*(labels[name] for name in series))
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= known, target


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    """What Grafana's own schema demands of these kinds of panel; it was held against that schema when it was made."""
    assert BOARD["schemaVersion"] >= 36
    assert (BOARD.get("id"), BOARD["uid"], BOARD["title"]) == (None, "tuneyard", "Tuneyard")
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert {panel["type"] for panel in PANELS} == {"row", "stat", "timeseries"}
    assert [one["type"] for one in BOARD["templating"]["list"]] == ["datasource", "query", "query"]
    for panel in DRAWN:
        assert {"fieldConfig", "options", "targets", "gridPos", "title"} <= panel.keys()
        assert panel["datasource"] == SOURCE
        assert all(target["datasource"] == SOURCE for target in panel["targets"])
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
    for one, other in combinations((panel["gridPos"] for panel in PANELS), 2):
        assert not _overlap(one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)
    known = {one["name"] for one in BOARD["templating"]["list"]} | {"__rate_interval"}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(BOARD))) <= known


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not beside and not below


def test_the_scrape_config_asks_as_it_is_answered(office: Office) -> None:
    text = (ROOT / "deployments" / "prometheus.yml").read_text()
    [job] = yaml.safe_load(text)["scrape_configs"]
    assert "wak_" not in text
    assert job["authorization"].keys() == {"type", "credentials_file"}
    [scope] = re.findall(r"--scope (\w+)", text)
    header = f"{job['authorization']['type']} {office.key(scope)}"
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    headers = {"Authorization": header, "Accept": accept}
    answer = office.call("GET", job["metrics_path"], headers=headers)
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/plain")
