# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The situations that the recordings of every scheduler must show, found in what they say and not in what they are called.

A situation counts if one recording of the scheduler, of whatever version, shows it in its reviewed `expected.json`. What a scheduler
cannot show at all stands in CANNOT with its reason. A recording is real, then the README of its version tells of it, or it was made
by editing another one, then its meta.json says of which (`made_from`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.schedulers import SCHEDULERS

RECORDED = Path(__file__).parents[1] / "recorded"
LOCAL = "the jobs of one host are its processes: they run or they do not"
CANNOT: Mapping[tuple[str, str], str] = {
    ("local", "pending"): "the kernel starts a process at once; there is no queue",
    ("local", "held"): "the kernel starts a process at once; there is no queue",
    ("local", "array"): LOCAL,
    ("local", "timed out"): LOCAL,
    ("local", "cancelled"): "who ended a process is not to be seen from outside",
    ("local", "GPU"): "which process holds a GPU is known to its driver alone",
    ("local", "node down"): "a host that is down asks nobody",
    ("local", "node full"): "no core of a host is anybody's, so none is held",
    ("local", "node draining"): "a host has no administrator's state",
}


@dataclass(frozen=True)
class Case:
    """One recording and what it says."""

    folder: Path
    meta: Mapping[str, Any]
    expected: Mapping[str, Any]

    @property
    def jobs(self) -> list[dict[str, Any]]:
        return self.expected["jobs"] or []

    @property
    def nodes(self) -> list[dict[str, Any]]:
        return self.expected["nodes"] or []

    def problems(self, *kinds: str) -> Iterator[dict[str, Any]]:
        return (problem for problem in self.expected["problems"] if problem["kind"] in kinds)


@cache
def cases(scheduler: str) -> tuple[Case, ...]:
    return tuple(_load(path.parent) for path in sorted(RECORDED.glob(f"{scheduler}/*/*/meta.json")))


def _load(folder: Path) -> Case:
    return Case(folder, *(json.loads((folder / name).read_text()) for name in ("meta.json", "expected.json")))


def a_job(**facts: object) -> Callable[[Case], bool]:
    return lambda case: any(all(job[key] == value for key, value in facts.items()) for job in case.jobs)


def a_node(*availability: str) -> Callable[[Case], bool]:
    return lambda case: any(node["availability"] in availability for node in case.nodes)


def _array(case: Case) -> bool:
    members = [job for job in case.jobs if job["array_job_id"] is not None]
    started = any(job["array_index"] is not None and job["state"] not in ("QUEUED", "QUEUED_HELD") for job in members)
    waiting = any(job["array_pending"] or (job["array_index"] is not None and job["state"].startswith("QUEUED")) for job in members)
    return started and waiting


def _full(case: Case) -> bool:
    return any(node["availability"] == "UP" and node["cores_total"] and node["cores_used"] == node["cores_total"] for node in case.nodes)


def _hostile(case: Case) -> bool:
    """A name that could end a field or a line of some form, or that is more than ASCII."""
    return any(job["name"] and (re.search(r"[|<>\"'&\\={}]", job["name"]) or not job["name"].isascii()) for job in case.jobs)


def _server_down(case: Case) -> bool:
    return case.expected["jobs"] is None and any(problem["query"] == "jobs" for problem in case.problems("failed"))


def _unknown_id(case: Case) -> bool:
    """An id that was asked for and that the answer, which is one, does not hold."""
    bad = {problem["query"] for problem in case.problems("failed", "unreadable")}
    known = {job[key] for job in case.jobs for key in ("job_id", "array_job_id", "het_job_id")}
    for query in ("ended", "ended_fallback"):
        facts = case.meta["queries"].get(query)
        if facts is not None and query not in bad:
            asked = {job_id for argument in facts["argv"] for job_id in argument.split(",")}
            if {job_id for job_id in asked if re.fullmatch(r"\d+(?:[._+]\d+|\[\d*\])?", job_id)} - known:
                return True
    return False


def _cut_off(case: Case) -> bool:
    """What was printed is the begin of what another recording holds, and that was noticed."""
    for problem in case.problems("unreadable", "quarantined"):
        printed = (case.folder / f"{problem['query']}.out").read_bytes()
        for other in cases(case.meta["scheduler"]):
            whole = other.folder / f"{problem['query']}.out"
            if printed and whole.exists() and whole.stat().st_size > len(printed) and whole.read_bytes().startswith(printed):
                return True
    return False


SITUATIONS: Mapping[str, Callable[[Case], bool]] = {
    "empty": lambda case: case.expected["jobs"] == [],
    "pending": a_job(state="QUEUED"),
    "held": a_job(state="QUEUED_HELD"),
    "running": a_job(state="RUNNING"),
    "suspended": a_job(state="SUSPENDED"),
    "done": a_job(state="DONE", outcome="COMPLETED"),
    "failed": a_job(state="FAILED", outcome="FAILED"),
    "cancelled": a_job(state="FAILED", outcome="CANCELLED"),
    "timed out": a_job(state="FAILED", outcome="TIMEOUT"),
    "array": _array,
    "GPU": lambda case: any(job["gpus"] for job in case.jobs) and any(node["gpus_total"] for node in case.nodes),
    "hostile names": _hostile,
    "node down": a_node("DOWN"),
    "node draining": a_node("DRAINING", "DRAINED"),
    "node full": _full,
    "server down": _server_down,
    "unknown id": _unknown_id,
    "cut-off output": _cut_off,
    "unknown state": lambda case: any(case.problems("unknown_state")),
}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_every_scheduler_shows_every_situation(scheduler: str, situation: str) -> None:
    shown = [case.folder.name for case in cases(scheduler) if SITUATIONS[situation](case)]
    if (scheduler, situation) in CANNOT:
        assert not shown, f"{scheduler} shows {situation!r} in {shown}: take it out of CANNOT"
    else:
        assert shown, f"no recording of {scheduler} shows {situation!r}"


def test_what_cannot_be_shown_names_what_there_is() -> None:
    assert {situation for _, situation in CANNOT} <= set(SITUATIONS)
    assert all(reason for reason in CANNOT.values())


@pytest.mark.parametrize("situation", SITUATIONS)
def test_an_empty_answer_shows_nothing_else(situation: str) -> None:
    """Negative control: a recording in which nothing happened satisfies no demand but its own."""
    nothing = {"scheduler": "slurm", "jobs": [], "nodes": [], "queues": [], "problems": []}
    assert SITUATIONS[situation](Case(RECORDED, {"scheduler": "slurm", "queries": {}}, nothing)) == (situation == "empty")


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_every_recording_says_where_it_comes_from(scheduler: str) -> None:
    for case in cases(scheduler):
        made_from = case.meta.get("made_from")
        readme = case.folder.parent / "README.md"
        assert readme.exists(), f"{readme.parent}: no README.md"
        told = re.search(rf"(?<![\w-]){re.escape(case.folder.name)}(?![\w-])", readme.read_text())
        assert made_from or told, f"{case.folder}: neither told of in {readme} nor made_from another one"
        if made_from is not None:
            assert isinstance(made_from, str)
            names = {each.folder.name for each in cases(scheduler)} - {case.folder.name}
            assert any(name in made_from for name in names), f"{case.folder}: made_from names no recording of {scheduler}"
