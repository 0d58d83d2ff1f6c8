# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What we give to Prometheus and Grafana: figures of both daemons as they run, and rules and a dashboard that ask for nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from docs import make_metrics
from tests.bridge import ROOT, Bridge, wait_until
from tests.scripted_slurm import Line, ScriptedSlurm

MONITORING = ROOT / "monitoring"
RULES = MONITORING / "prometheus" / "hpcbridge.rules.yml"
DASHBOARD = MONITORING / "grafana" / "hpcbridge.json"
OF_PROMETHEUS = {"job", "instance", "alertname"}
SELECTOR = re.compile(r"(hpcbridge_(?:agent|ledger)_\w+)(?:\{([^}]*)\})?")
CAN_BE_ABSENT = {
    "hpcbridge_agent_report_problems_total",  # nothing was wrong with any answer
    "hpcbridge_agent_server_calls_total",  # told by a scheduler that counts the calls of our account, from its second answer on
    "hpcbridge_agent_server_busy_seconds_total",
}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        assert os.environ.get("CI") != "true", "tests/prepare monitoring"
        pytest.skip("promtool is missing: tests/prepare monitoring")
    return found


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    directory = tmp_path_factory.mktemp("monitored")
    slurm = ScriptedSlurm(directory / "slurm")
    slurm.jobs([Line(job_id="1"), Line(job_id="2", state="PENDING")])
    slurm.script("cost", f'exec cat "{ROOT}/tests/schedulers/sdiag/22.05.8.txt"')
    with Bridge(directory / "bridge", scripts=slurm.scripts, metrics=True) as made:
        made.set_up()
        yield made


def scraped(bridge: Bridge) -> str:
    return "".join(page(address) for address in (bridge.metrics_address, bridge.ledger_metrics_address))


def page(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


class Seen:
    """Names of all samples met so far, with their labels and the values of these."""

    def __init__(self) -> None:
        self.values: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def add(self, text: str) -> None:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                for label, value in sample.labels.items() or {"": ""}.items():
                    self.values[sample.name][label].add(value)

    def labels(self, name: str) -> set[str]:
        return set(self.values[name]) - {""}


@pytest.fixture(scope="module")
def seen(bridge: Bridge) -> Seen:
    """Everything that is shown within some seconds, while a sample waits for a ledger that is away and after a refusal."""
    found = Seen()
    with pytest.raises(RuntimeError, match="NOT_FOUND"):
        bridge.admin("rentals", "show", "l99")
    assert bridge.ledger is not None

    def has(*names: str) -> bool:
        found.add(scraped(bridge))
        return all(name in found.values for name in names)

    wait_until(lambda: has("hpcbridge_ledger_refusals_total", "hpcbridge_ledger_open_rentals"), what="figures of the ledger", seconds=60)
    wait_until(lambda: has("hpcbridge_agent_ledger_last_receipt_timestamp_seconds"), what="a receipt", seconds=60)
    def shows_what_waits() -> bool:
        found.add(page(bridge.metrics_address))
        return "hpcbridge_agent_spool_oldest_waiting_timestamp_seconds" in found.values

    assert bridge.ledger.end() == 0
    wait_until(shows_what_waits, what="a sample that waits", seconds=60)
    bridge.start_ledger()
    wait_until(lambda: has("hpcbridge_ledger_open_rentals"), what="the ledger to be back", seconds=60)
    return found


def asked(expression: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Names of figures in an expression, each with the labels it is selected by."""
    for name, selector in SELECTOR.findall(expression):
        yield name, dict(re.findall(r'(\w+)\s*(?:=~|!=|!~|=)\s*"([^"]*)"', selector))


def grouped(expression: str) -> set[str]:
    return {label.strip() for labels in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", expression) for label in labels.split(",")}


def expressions() -> list[tuple[str, set[str]]]:
    """Every expression of the dashboard and of the rules, with the labels that the text beside it shows."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asking = [each for panel in panels for each in panel.get("targets", ())]
    targets = [(each["expr"], set(re.findall(r"\{\{(\w+)\}\}", each["legendFormat"]))) for each in asking]
    rules = re.split(r"(?m)^      - alert: ", RULES.read_text())[1:]
    asked_by = [re.split(r"\n        (?:for|labels):", rule.partition("expr: ")[2])[0] for rule in rules]
    shown = [set(re.findall(r"\$labels\.(\w+)", rule)) for rule in rules]
    return [*targets, *zip(asked_by, shown, strict=True)]


def test_there_is_an_expression_for_every_panel_and_every_alert() -> None:
    assert len(expressions()) >= 60
    assert all("hpcbridge_" in expression or "up{" in expression for expression, _ in expressions())


def test_the_dashboard_and_the_rules_name_only_what_there_is(seen: Seen) -> None:
    for expression, shown in expressions():
        known: set[str] = set()
        for name, selected in asked(expression):
            assert name in seen.values or name in CAN_BE_ABSENT, f"{name} is nowhere: {expression}"
            labels = seen.labels(name)
            known |= labels
            assert set(selected) <= labels | OF_PROMETHEUS, f"{name} has no {set(selected) - labels}: {expression}"
            for label, value in selected.items():
                varies = label in OF_PROMETHEUS or label == "what" or name == "hpcbridge_ledger_members"
                assert varies or value in seen.values[name][label], f"{name} never has {label}={value}"
        assert grouped(expression) <= known | OF_PROMETHEUS | {"le"}, expression
        assert shown <= known | OF_PROMETHEUS, f"{shown}: {expression}"


def test_a_name_that_is_nowhere_would_be_found(seen: Seen) -> None:
    ((name, selected),) = asked('rate(hpcbridge_ledger_entires_total{tpye="TICK"}[5m])')
    assert name not in seen.values
    assert selected == {"tpye": "TICK"}
    assert grouped("sum by (a, b) (x)") == {"a", "b"}


def test_the_page_of_metrics_is_of_today_and_lists_exactly_what_is_shown(seen: Seen) -> None:
    assert make_metrics.page() == make_metrics.PAGE.read_text(encoding="utf-8"), "run: make docs"
    listed = {each.name: set(each.labels) for prefix in ("hpcbridge_agent_", "hpcbridge_ledger_") for each in make_metrics.figures(prefix)}
    shown = {re.sub(r"(stage_duration_seconds)_\w+$", r"\1", name): seen.labels(name) - {"le"} for name in seen.values}
    assert shown.keys() <= listed.keys()
    assert listed.keys() - shown.keys() <= CAN_BE_ABSENT
    assert {name: labels for name, labels in shown.items() if listed[name] != labels} == {}


def test_promtool_has_nothing_to_say(promtool: str, bridge: Bridge, seen: Seen) -> None:
    assert seen.values
    for address in (bridge.metrics_address, bridge.ledger_metrics_address):
        assert linted(promtool, page(address)) == (0, "")
    assert linted(promtool, "# TYPE a_total gauge\na_total 1\n") != (0, ""), "promtool looks"


def linted(promtool: str, text: str) -> tuple[int, str]:
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", str(RULES)),
        ("test", "rules", str(RULES.with_name("hpcbridge.rules.test.yml"))),
        ("check", "config", "--syntax-only", str(RULES.with_name("scrape.yml"))),
    ],
)
def test_the_rules_are_sound_and_fire_when_they_should(promtool: str, arguments: tuple[str, ...]) -> None:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried() -> None:
    tried = set(re.findall(r'alertname="(\w+)"', RULES.with_name("hpcbridge.rules.test.yml").read_text()))
    assert tried == set(re.findall(r"- alert: (\w+)", RULES.read_text()))


def test_both_daemons_write_files_for_node_exporter_and_remove_them(bridge: Bridge, seen: Seen) -> None:
    for name in ("agent", "ledger"):
        file = Path(f"{bridge.directory / name}.prom")
        found = Seen()
        found.add(file.read_text())
        assert any(each.startswith(f"hpcbridge_{name}_") for each in found.values)
        assert all(each in seen.values for each in found.values)
        assert file.stat().st_mode & 0o777 == 0o644
    for process in (bridge.agent, bridge.ledger):
        assert process is not None
        assert process.end() == 0
    assert not list(bridge.directory.glob("*.prom*")), "old figures would look like new ones"
    assert not list(bridge.directory.glob(".*.prom*"))
