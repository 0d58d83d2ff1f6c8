# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The agent on real Slurms: the paper's four figures on five nodes, one poll of 20,000 jobs and 2,000 nodes, and memory."""

from __future__ import annotations

import dataclasses
import json
import resource
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hpcbridge.agent.changes import JobMemory, SeenJob, compare_jobs
from hpcbridge.agent.memory import Memory, Publication
from hpcbridge.agent.monitor import Monitor
from hpcbridge.agent.observations import Observations, cluster_state
from hpcbridge.agent.publish import PublishMode
from hpcbridge.agent.spool import Spool
from hpcbridge.agent.vanished import Patience
from hpcbridge.daemon.pacing import Pace
from hpcbridge.daemon.supervisor import Supervisor
from hpcbridge.daemon.systemd import Notifier
from hpcbridge.daemon.vitals import read_frontend
from hpcbridge.model.jobs import Job, JobState
from hpcbridge.model.quantities import parse_instant
from hpcbridge.schedulers import SCHEDULERS
from hpcbridge.schedulers.report import Report
from hpcbridge.schedulers.scripts import ScriptRunner
from hpcbridge.wire.control import ask
from tests.benchmarks.figures import Figure, milliseconds
from tests.bridge import ROOT, Bridge, wait_until
from tests.private_slurm import PrivateSlurm
from tests.scale_slurm import ScaleSlurm

ROUNDS = 30
NODES = 5
CHANGED_ONE_IN = 25
"""4 % of the lines of a report: a busy quarter of a minute."""


def measure(directory: Path, *, quick: bool) -> Iterator[Figure]:
    """All figures of the agent; `quick` leaves the large Slurm out."""
    with PrivateSlurm(directory / "small", nodes=NODES, cluster="north") as slurm:
        slurm.wait_nodes()
        yield from paper(directory, slurm)
        with Bridge(directory / "idle", environment=slurm.environment) as bridge:
            bridge.set_up()
            yield one_job(bridge, slurm)
            yield end_noticed(bridge, slurm)
            yield resident(bridge, "hpcbridged, resident memory idle", aim=70)
    if quick:
        return
    jobs, nodes = 20_000, 2_000
    with ScaleSlurm(directory / "large", nodes=nodes) as slurm:
        slurm.submit_jobs(jobs)
        yield from polls(directory, slurm, jobs)
        with Bridge(directory / "full", environment=slurm.environment, interval=15) as bridge:
            bridge.set_up()
            wait_until(lambda: published(bridge) >= jobs, what=f"{jobs} published jobs", seconds=300)
            yield resident(bridge, f"hpcbridged, largest memory at {jobs:,} jobs", aim=160, peak=True)


class Site:
    """The agent's monitor, memory and spool in this process, so that its own CPU time can be told from the scheduler's."""

    def __init__(
        self, directory: Path, environment: dict[str, str], *, scheduler: str = "slurm", scripts: Path = ROOT / "scheduler_scripts"
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.spool = Spool(directory / "spool.db", cluster="north", quota_bytes=1 << 30, keep_ms=1)
        self.observations = Observations()
        self.scheduler = SCHEDULERS[scheduler]("north")
        self.memory = Memory(
            self.spool,
            Publication(mode=PublishMode.FULL, owners=frozenset()),
            patience=Patience(grace_ms=60_000),
            random_bytes=secrets.token_bytes,
        )
        self.runner = ScriptRunner(
            scripts, scheduler=scheduler, environment=environment, timeout_seconds=30, max_bytes=1 << 28
        )
        self.monitor = Monitor(
            self.runner,
            self.scheduler,
            self.memory,
            self.spool,
            self.observations,
            cluster="north",
            scheduler_name=scheduler,
            stopping=threading.Event(),
            clock=now,
            read_frontend=read_frontend,
            stored=lambda: None,
        )


def paper(directory: Path, slurm: PrivateSlurm) -> Iterator[Figure]:
    """Spawn a worker, retrieve the cluster's health, update state: the paper's Table of the monitoring service."""
    site = Site(directory / "paper", dict(slurm.environment))
    yield milliseconds("spawn a worker, to its first step", [spawn() for _ in range(ROUNDS)], paper=8.68)

    def health() -> None:
        site.monitor.ask_nodes()
        site.monitor.ask_queues()
        cluster_state(site.observations.snapshot, cluster="north", scheduler="slurm", at=now())

    yield milliseconds(f"cluster health of {NODES} nodes, nodes and queues asked of Slurm", timed(health), paper=667.7)
    running = Job(cluster="north", job_id="1", state=JobState.RUNNING, native_state="RUNNING", submitted_at=now())
    suspended = dataclasses.replace(running, state=JobState.SUSPENDED)
    memory = JobMemory({"1": SeenJob(running, 1, published=True)})

    def compare() -> None:
        compare_jobs(memory, {"1": suspended}, at=now(), wanted=lambda _: True)

    yield milliseconds("update state: a change found by comparing", timed(compare), paper=0.29)
    turns = iter([running, suspended] * ROUNDS)
    update = timed(lambda: site.memory.observe_jobs([next(turns)], unreadable=(), at=now()))
    yield milliseconds("update state, and durable in the spool", update)
    site.spool.close()


def spawn() -> float:
    """Seconds from asking for a worker to the beginning of its first step."""
    began_at: list[float] = []
    stepped = threading.Event()
    supervisor = Supervisor(clock=time.monotonic, jitter=lambda: 0.0, notifier=Notifier({}))

    def step() -> None:
        began_at.append(time.perf_counter())
        stepped.set()
        supervisor.request_stop()

    asked_at = time.perf_counter()
    supervisor.add("spawned", step, pace=Pace(interval_seconds=3600))
    supervisor.run(handle_signals=False)
    stepped.wait()
    return began_at[0] - asked_at


def one_job(bridge: Bridge, slurm: PrivateSlurm) -> Figure:
    """One job's status, asked of the running daemon over its control socket."""
    job_id = slurm.submit("sleep 30")
    wait_until(lambda: bool(ask(bridge.socket, "job", arguments={"job_id": job_id})["jobs"]), what="the job in the daemon")
    seconds = timed(lambda: ask(bridge.socket, "job", arguments={"job_id": job_id}))
    slurm.cancel(job_id)
    return milliseconds("one job's status, asked of the daemon", seconds, paper=38.0)


def end_noticed(bridge: Bridge, slurm: PrivateSlurm) -> Figure:
    """From the end of a job (as Slurm notes it, in whole seconds) to its entry on the ledger, polling every second."""
    job_id = slurm.submit("sleep 1")
    wait_until(lambda: bridge.jobs_on_ledger().get(job_id, {}).get("phase") == "END", what="the end of the job")
    events = [json.loads(line) for line in bridge.admin("-o", "json", "events", "--type", "JOB_CHANGED").splitlines()]
    end = next(event for event in events if event["body"]["job_id"] == job_id and event["body"]["phase"] == "END")
    seconds = seconds_between(end["body"]["ended_at"], end["at"])
    return Figure(name="a job's end on the ledger, polling every second", value=seconds, unit="s", paper=3600, detail="± 1 s")


def polls(directory: Path, slurm: ScaleSlurm, jobs: int) -> Iterator[Figure]:
    """CPU of one cycle (parse, compare, store) as a multiple of what Slurm's own client command needs for the same."""
    site = Site(directory / "polls", dict(slurm.environment))
    report = site.runner.run("jobs")
    began = children_cpu()
    for _ in range(3):
        report = site.runner.run("jobs")
    client = (children_cpu() - began) / 3
    yield Figure(name=f"squeue's own CPU for {jobs:,} jobs", value=client, unit="s", detail=f"{len(report.stdout) / 1e6:.1f} MB")
    first = own_cpu(lambda: cycle(site, report))
    yield Figure(name="first poll cycle, CPU as multiple of squeue's", value=first / client, unit="×", aim=8, detail=f"{first:.2f} s")
    steady = own_cpu(lambda: cycle(site, report))
    yield Figure(name="steady cycle, nothing changed", value=steady / client, unit="×", aim=2, detail=f"{steady:.2f} s")
    edited = changed(report)
    some = own_cpu(lambda: cycle(site, edited))
    yield Figure(name="steady cycle, 4 % of jobs changed", value=some / client, unit="×", aim=2, detail=f"{some:.2f} s")
    began = children_cpu()
    nodes = own_cpu(site.monitor.ask_nodes)
    yield Figure(name="nodes, CPU of parse and compare", value=nodes, unit="s", detail=f"scontrol {children_cpu() - began:.2f} s")
    site.spool.close()


def cycle(site: Site, report: Report) -> None:
    """What the agent does with one report of jobs."""
    answer = site.scheduler.jobs(report)
    site.memory.observe_jobs(answer.records, unreadable=(), at=now())


def changed(report: Report) -> Report:
    """The same report with every 25th job in another state."""
    lines = report.stdout.split(b"\n")
    for number in range(1, len(lines), CHANGED_ONE_IN):
        lines[number] = lines[number].replace(b"|CONFIGURING|", b"|SUSPENDED|").replace(b"|PENDING|", b"|CONFIGURING|")
    return dataclasses.replace(report, stdout=b"\n".join(lines))


def resident(bridge: Bridge, name: str, *, aim: float, peak: bool = False) -> Figure:
    """Memory of the real daemon's process, from the kernel."""
    if bridge.agent is None:
        raise RuntimeError("the agent is not running")
    field = "VmHWM:" if peak else "VmRSS:"
    lines = Path(f"/proc/{bridge.agent.pid}/status").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith(field))
    return Figure(name=name, value=kilobytes / 1000, unit="MB", aim=aim)


def published(bridge: Bridge) -> int:
    """Job changes the daemon has receipts for."""
    figures = ask(bridge.socket, "spool")
    return 0 if figures["waiting"] or figures["in_flight"] else len(ask(bridge.socket, "jobs")["jobs"])


def timed(action: Callable[[], object]) -> list[float]:
    """Seconds of each of 30 rounds."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return seconds


def own_cpu(action: Callable[[], object]) -> float:
    """CPU seconds of this process in `action`, without its child processes."""
    began = time.process_time()
    action()
    return time.process_time() - began


def children_cpu() -> float:
    """CPU seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def seconds_between(earlier: str, later: str) -> float:
    """Between two instants in ISO 8601."""
    return (parse_instant(later) - parse_instant(earlier)) / 1000


def now() -> int:
    """Wall clock in milliseconds."""
    return time.time_ns() // 1_000_000
