# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The scripts run exactly the commands of the recordings: each part of these has a reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hpcbridge.schedulers.scripts import ScriptRunner

SCRIPTS = Path(__file__).parents[2] / "scheduler_scripts"
ZOO = Path(__file__).parents[1] / "recorded" / "slurm" / "26.05.5" / "zoo"
NONCE = re.compile(r"\|([0-9a-f]{8})\|")
ENVIRONMENT = {"TZ=UTC", "LC_ALL=C", "SLURM_TIME_FORMAT=%s", "SLURM_BITSTR_LEN=0", "SLURM_CONF=/etc/a b/slurm.conf"}


@pytest.fixture
def runner(tmp_path: Path) -> ScriptRunner:
    for command in ("squeue", "sacct", "scontrol"):
        path = tmp_path / command
        path.write_text(f'#!/bin/sh\necho {command}; for argument; do printf "%s\\n" "$argument"; done; env >&2\n')
        path.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_CONF": "/etc/a b/slurm.conf", "SQUEUE_FORMAT": "%i", "SLURM_CLUSTERS": "x"}
    return ScriptRunner(SCRIPTS, scheduler="slurm", environment=environment, timeout_seconds=10, max_bytes=1 << 20)


@pytest.mark.parametrize(
    ("query", "ids"), [("jobs", []), ("nodes", []), ("queues", []), ("ended", ["22", "4_1", "19+1"]), ("ended_fallback", ["22", "4_1"])]
)
def test_a_script_runs_the_recorded_command(runner: ScriptRunner, query: str, ids: list[str]) -> None:
    report = runner.run(query, ids)
    ran = NONCE.sub("|N|", report.stdout.decode()).splitlines()
    recorded = json.loads((ZOO / "meta.json").read_text())["queries"][query]["argv"]
    expected = [NONCE.sub("|N|", argument) for argument in recorded[recorded.index("SLURM_BITSTR_LEN=0") + 1 :]]
    if query == "ended":
        expected[expected.index("-j") + 1] = "22,4_1,19+1"
    if query == "ended_fallback":
        expected = [word for job_id in ids for word in ("scontrol", "-o", "show", "job", job_id)]
    assert ran == expected
    seen = set(report.stderr.decode().splitlines())
    assert seen >= ENVIRONMENT
    assert not [line for line in seen if line.startswith(("SQUEUE_", "SLURM_CLUSTERS"))]


def test_about_asks_version_ping_and_settings(runner: ScriptRunner) -> None:
    assert runner.run("about").stdout.decode().split() == ["squeue", "--version", "scontrol", "ping", "scontrol", "show", "config"]


@pytest.mark.parametrize(("query", "ids"), [("jobs", []), ("ended", ["1"])])
def test_every_call_has_a_new_nonce(runner: ScriptRunner, query: str, ids: list[str]) -> None:
    nonces = {match.group(1) for _ in range(5) if (match := NONCE.search(runner.run(query, ids).stdout.decode()))}
    assert len(nonces) == 5
