# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""make demo: a real Slurm, the ledger and the daemon on this machine, and jobs whose changes arrive with verified receipts.

KEEP=1 leaves everything running until Ctrl-C and says how to look around.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.markup import escape

from tests.bridge import BIN, ROOT, Bridge, wait_until
from tests.private_slurm import PrivateSlurm, SlurmMissing

DIRECTORY = ROOT / "build" / "demo"
SECONDS_FOR_ALL_ENDS = 240.0
SECONDS_IN_QUEUE = 3
"""Jobs on an empty cluster start at once; they wait a little so that the queue is seen."""
PHASE_COLOURS = {"QUEUE": "yellow", "RUN": "cyan", "END": "magenta"}
console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job of the demo and how it must end; `members` counts the records of an array that end."""

    name: str
    command: str
    arguments: tuple[str, ...]
    outcome: str
    members: int = 1
    cancelled_by_us: bool = False


JOBS = (
    Wanted("succeeds", "sleep 3", (), "COMPLETED"),
    Wanted("fails", "sleep 2; exit 3", (), "FAILED"),
    Wanted("is-cancelled", "sleep 600", (), "CANCELLED", cancelled_by_us=True),
    Wanted("array", "sleep 2", ("--array=1-3",), "COMPLETED", members=3),
    Wanted("gpu", "sleep 3", ("--partition=gpu", "--gres=gpu:1"), "COMPLETED"),
    Wanted("too-long", "sleep 600", ("--time=1",), "TIMEOUT"),
)


def main() -> int:
    """Runs the demo; exit status 0 only if every job arrived as it ended and the whole log verified."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with ExitStack() as stack:
        try:
            slurm, bridge = set_up(stack)
        except (SlurmMissing, RuntimeError, TimeoutError) as error:
            console.print(f"[red]The demo could not start:[/] {escape(str(error))}")
            return 1
        wanted = submit(slurm)
        events = stack.enter_context(Subscriber(bridge))
        ended = watch(bridge, slurm, events, wanted)
        verified = verify(bridge)
        if os.environ.get("KEEP") == "1":
            say_how_to_look_around(slurm, bridge)
            wait_for_interrupt(stopping)
        title("Taking everything down")
    complete = ended and verified
    console.print("[green]Done: every change arrived, every receipt and the whole log verified.[/]" if complete else "[red]Failed.[/]")
    return 0 if complete else 1


def set_up(stack: ExitStack) -> tuple[PrivateSlurm, Bridge]:
    """Slurm, ledger, enrolment of a provider by token, daemon."""
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    DIRECTORY.mkdir(parents=True)
    title("A private Slurm: 4 nodes, own ports, own munge, own configuration")
    slurm = stack.enter_context(PrivateSlurm(DIRECTORY / "slurm", nodes=4, cluster="north"))
    slurm.wait_nodes()
    console.print(slurm.run(["sinfo"]).rstrip())
    title("A ledger with its CA; an admin and a provider enrol with one-time tokens; the daemon starts on the frontend")
    bridge = stack.enter_context(Bridge(DIRECTORY, environment=slurm.environment))
    bridge.set_up()
    console.print(bridge.frontend("status").rstrip(), markup=False)
    return slurm, bridge


def submit(slurm: PrivateSlurm) -> dict[str, Wanted]:
    """Submits every job; returns them by id."""
    title("Jobs are submitted the usual way, with sbatch")
    wanted = {}
    for job in JOBS:
        job_id = slurm.submit(job.command, f"--begin=now+{SECONDS_IN_QUEUE}", *job.arguments, name=job.name)
        wanted[job_id] = job
        console.print(f"  sbatch {' '.join(job.arguments):<32} → job {job_id:<4} {job.name}")
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


def watch(bridge: Bridge, slurm: PrivateSlurm, events: Subscriber, wanted: dict[str, Wanted]) -> bool:
    """Prints each change with its verified receipt until every job has ended; True if all ended as they should."""
    title("Live at a subscriber: each change, with the receipt that proves it")
    expected = sum(job.members for job in wanted.values())
    right: set[str] = set()
    wrong: set[str] = set()
    timer = events.stop_after(SECONDS_FOR_ALL_ENDS)
    for event in events.job_changes():
        job = event["body"]
        mine = wanted.get(job["array_job_id"] or job["job_id"])
        print_change(bridge, event)
        if mine is None:
            continue
        if job["phase"] == "RUN" and mine.cancelled_by_us:
            slurm.cancel(job["job_id"])
        if job["phase"] == "END":
            (right if job["outcome"] == mine.outcome else wrong).add(job["job_id"])
            if len(right) + len(wrong) == expected - 1:
                show(bridge)
                title("The last job runs into its time limit of one minute")
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
    outcome = f"{job['outcome'] or waiting:<10}"
    code = f"exit {job['exit_code']}" if job["exit_code"] is not None else ""
    verdict = verified_receipt(bridge, index)
    name = escape(job["name"] or "")
    console.print(f"  {event['at'][11:19]}  {job['job_id']:<8} {name:<13} {steps} {outcome} {code:<7} entry {index:>4}  {verdict}")


def verified_receipt(bridge: Bridge, index: str) -> str:
    """Asks the frontend's daemon for the receipt it keeps and verifies the file with nothing but the pinned key."""
    path = DIRECTORY / "receipts" / f"{index}.receipt"
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


def say_how_to_look_around(slurm: PrivateSlurm, bridge: Bridge) -> None:
    """Commands to copy while everything is up."""
    title("KEEP=1: everything stays up until Ctrl-C. Look around from another terminal:")
    ctl = f"{BIN}/hpcbridgectl"
    agent = bridge.agent.pid if bridge.agent else 0
    for who, command in (
        ("sysadmin on the frontend", f"{ctl} --config {bridge.agent_config} status"),
        ("", f"{ctl} --config {bridge.agent_config} jobs list"),
        ("admin", f"{ctl} --identity {bridge.admin_identity} events --follow"),
        ("", f"{ctl} --identity {bridge.admin_identity} admin members"),
        ("user", f"SLURM_CONF={slurm.configuration} sbatch --wrap 'sleep 10'"),
        ("kill -9 at will", f"kill -9 {agent}; {BIN}/hpcbridged --config {bridge.agent_config}"),
    ):
        console.print(f"  {who:<26}{command}", markup=False)


def wait_for_interrupt(stopping: threading.Event) -> None:
    """Until Ctrl-C."""
    try:
        stopping.wait()
    except KeyboardInterrupt:
        console.print()


def title(text: str) -> None:
    """A heading between the steps."""
    console.print(f"\n[bold]{text}[/]")


if __name__ == "__main__":
    sys.exit(main())
