# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Parse and compare for every scheduler: 20,000 jobs on 2,000 nodes, printed by scripts and read by the agent's own parts.

`<scheduler>_load.py` makes the reports: `reports(jobs, nodes)` gives what each query would print. Slurm is measured against a real one
in agent.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from hpcbridge.agent.changes import JobMemory, by_key, compare_jobs, compare_nodes
from hpcbridge.schedulers import SCHEDULERS
from tests.benchmarks import gridengine_load, openpbs_load, standard_load, torque_load
from tests.benchmarks.agent import Site, now, own_cpu, published, resident
from tests.benchmarks.figures import Figure
from tests.bridge import Bridge, wait_until

LOADS: Mapping[str, Callable[[int, int], Mapping[str, bytes]]] = {
    "torque": torque_load.reports,
    "openpbs": openpbs_load.reports,
    "gridengine": gridengine_load.reports,
    "standard": standard_load.reports,
}
AIM_SECONDS = 1.5
AIM_MEGABYTES = 160
QUERIES = ("about", "jobs", "ended", "nodes", "queues")


def measure(directory: Path, *, quick: bool) -> Iterator[Figure]:
    """All schedulers, one after the other; `quick` is a tenth of the load and leaves the daemon's memory out."""
    jobs, nodes = (2_000, 200) if quick else (20_000, 2_000)
    for name, load in LOADS.items():
        scripts = directory / name
        size = write_scripts(scripts / "scripts" / name, load(jobs, nodes))
        yield from polls(scripts, name, size=size, jobs=jobs)
        if quick:
            continue
        with Bridge(scripts / "bridge", scheduler=name, scripts=scripts / "scripts", interval=15) as bridge:
            bridge.set_up()
            wait_until(lambda: published(bridge) >= jobs, what=f"{jobs} published jobs", seconds=300)
            yield resident(bridge, f"{name}: largest memory of hpcbridged", aim=AIM_MEGABYTES, peak=True)


def write_scripts(folder: Path, outputs: Mapping[str, bytes]) -> int:
    """Scripts that print what is given, and nothing for what is not; the size of `jobs`."""
    folder.mkdir(parents=True)
    for query in QUERIES:
        (folder / f"{query}.out").write_bytes(outputs.get(query, b""))
        script = folder / query
        script.write_text(f"#!/bin/sh\nexec cat '{folder}/{query}.out'\n")
        script.chmod(0o755)
    return len(outputs["jobs"])


def polls(directory: Path, name: str, *, size: int, jobs: int) -> Iterator[Figure]:
    """CPU of parse and compare: everything is new, and nothing is."""
    site = Site(directory / "site", {}, scheduler=name, scripts=directory / "scripts")
    detail = f"{jobs:,} jobs, {size / 1e6:.0f} MB"
    reports = {query: site.runner.run(query) for query in ("jobs", "nodes")}

    def everything_new() -> None:
        scheduler = SCHEDULERS[name]("north")
        report, _ = by_key(scheduler.jobs(reports["jobs"]).records)
        compare_jobs(JobMemory({}), report, at=now(), wanted=lambda _: True)
        compare_nodes({}, scheduler.nodes(reports["nodes"]).records, at=now())

    def look() -> None:
        site.memory.observe_jobs(site.scheduler.jobs(reports["jobs"]).records, unreadable=(), at=now())
        site.memory.observe_nodes(site.scheduler.nodes(reports["nodes"]).records, unreadable=(), at=now())

    first = min(own_cpu(everything_new) for _ in range(2))
    yield Figure(name=f"{name}: parse and compare, everything new", value=first, unit="s", aim=AIM_SECONDS, detail=detail)
    look()
    steady = min(own_cpu(look) for _ in range(2))
    yield Figure(name=f"{name}: parse and compare, nothing changed", value=steady, unit="s", aim=AIM_SECONDS, detail=detail)
    site.spool.close()
