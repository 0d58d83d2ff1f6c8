# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The story of the demo, the same for every scheduler: submit, watch every change arrive with its verified receipt, verify the log."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.markup import escape

from tests.bridge import BIN, Bridge, wait_until
from tests.demo.scene import Scene, Wanted

PHASE_COLOURS = {"QUEUE": "yellow", "RUN": "cyan", "END": "magenta"}
console = Console(highlight=False, soft_wrap=True)


def submit(scene: Scene) -> dict[str, Wanted]:
    """Submits every job; returns them by id."""
    title(scene.submitting)
    wanted = {}
    for job in scene.jobs:
        job_id = scene.submit(job)
        wanted[job_id] = job
        console.print(f"  {f'{scene.submit_command} {job.shown}':<39} → job {job_id:<7} {job.name}", markup=False)
    return wanted


class Subscriber:
    """`hpcbridgectl events --follow` of the admin, as a program reads it: one JSON object a line."""

    def __init__(self, bridge: Bridge) -> None:
        argv = [str(BIN / "hpcbridgectl"), "--identity", str(bridge.admin_identity), "-o", "json", "events", "--from", "0.0", "--follow"]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def job_changes(self) -> Iterator[dict[str, Any]]:
        """Every JOB_CHANGED event; ends when the subscriber is stopped."""
        for line in self._process.stdout or ():
            event = json.loads(line)
            if event["type"] == "JOB_CHANGED":
                yield event

    def stop_after(self, seconds: float) -> threading.Timer:
        """Ends the stream when it takes too long, so that a lost change fails the demo instead of hanging it."""
        timer = threading.Timer(seconds, self._process.terminate)
        timer.daemon = True
        timer.start()
        return timer


def watch(bridge: Bridge, scene: Scene, events: Subscriber, wanted: dict[str, Wanted]) -> bool:
    """Prints each change with its verified receipt until every job has ended; True if all ended as they should."""
    title("Live at a subscriber: each change, with the receipt that proves it")
    expected = sum(job.members for job in wanted.values())
    right: set[str] = set()
    wrong: set[str] = set()
    cancelled: set[str] = set()
    timer = events.stop_after(scene.seconds_for_all_ends)
    for event in events.job_changes():
        job = event["body"]
        mine = wanted.get(job["array_job_id"] or job["job_id"])
        if mine is None:
            continue  # a job of the machine's own life, not of this story
        print_change(bridge, event)
        if job["phase"] == "RUN" and mine.cancelled_by_us and job["job_id"] not in cancelled:
            cancelled.add(job["job_id"])
            scene.cancel(job["job_id"])
        if job["phase"] not in ("QUEUE", "RUN"):
            (right if mine.ends_so(job) else wrong).add(job["job_id"])
            if len(right) + len(wrong) == expected - 1:
                show(bridge)
                title(scene.while_the_last_runs)
        if len(right) + len(wrong) == expected:
            break
    timer.cancel()
    if len(right) != expected:
        console.print(f"[red]{expected - len(right)} of {expected} jobs did not end as they should: {sorted(wrong)}[/]")
    return len(right) == expected


def print_change(bridge: Bridge, event: dict[str, Any]) -> None:
    """One line: QUEUE → RUN with outcome, and what the receipt of its entry says when verified off line."""
    job = event["body"]
    index = event["cursor"].partition(".")[0]
    before, now = event["previous_phase"] or "·", job["phase"] or "·"
    steps = f"{before:>5} → [{PHASE_COLOURS.get(now, 'white')}]{now:<5}[/]"
    waiting = "" if job["array_pending"] is None else f"{job['array_pending']} waiting"
    unknown = "unknown" if job["state"] == "UNDETERMINED" else ""
    outcome = f"{job['outcome'] or waiting or unknown:<10}"
    code = f"exit {job['exit_code']}" if job["exit_code"] is not None else ""
    if job["exit_signal"] is not None:
        code = f"signal {job['exit_signal']}"
    verdict = verified_receipt(bridge, index)
    name = escape(job["name"] or "")
    console.print(f"  {event['at'][11:19]}  {job['job_id']:<8} {name:<12} {steps} {outcome} {code:<8} entry {index:>4}  {verdict}")


def verified_receipt(bridge: Bridge, index: str) -> str:
    """Asks the frontend's daemon for the receipt it keeps and verifies the file with nothing but the pinned key."""
    path = bridge.directory / "receipts" / f"{index}.receipt"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        wait_until(lambda: _fetch(bridge, index, path), what=f"receipt {index}")
    answer = json.loads(bridge.ctl("--identity", str(bridge.agent_identity), "-o", "json", "receipt", "verify", str(path)))
    if answer["included"] and answer["index"] == int(index) and answer["refused"] == 0:
        return "[green]included, accepted[/]"
    return f"[red]{escape(json.dumps(answer))}[/]"


def _fetch(bridge: Bridge, index: str, path: Path) -> bool:
    try:
        bridge.frontend("receipt", "show", index, "--save", str(path))
    except RuntimeError:
        return False
    return True


def show(bridge: Bridge) -> None:
    """What a sysadmin sees: nodes, queues, the cluster as the ledger knows it."""
    title("hpcbridgectl nodes list; queues list; clusters show north")
    for arguments in (("nodes", "list"), ("queues", "list"), ("clusters", "show", "north")):
        console.print(bridge.frontend(*arguments).rstrip(), markup=False)
        console.print()


def verify(bridge: Bridge) -> bool:
    """The auditor's view: every signature, number, leaf, outcome, and the state by replay."""
    title("hpcbridgectl ledger verify")
    try:
        console.print(bridge.admin("ledger", "verify").rstrip(), markup=False)
    except RuntimeError as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return False
    return True


def title(text: str) -> None:
    """A heading between the steps."""
    console.print(f"\n[bold]{escape(text)}[/]")
