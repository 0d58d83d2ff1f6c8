# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The program that asks Slurm through pyslurm, and the one door to it: `python -m hpcbridge.schedulers.slurm.pyslurm_child`.

A process of its own, because pyslurm's license is another one and because libslurm may end, block or bloat the process it is loaded
into. It lives as long as its standard input is open and speaks JSON lines. First it says hello with the version, or why it cannot
work; then each request `{"id": 1, "query": "jobs"}` is answered by a head, one line for each record, and an end with their number:

    {"id":1,"query":"jobs","pyslurm":"24.11.0","gpu_nodes":["c3"],"gpu_queues":["gpu"]}
    [152,"25_1",{"id":27,"array_id":25,"array_task_id":1,"state":"RUNNING"}]
    {"id":1,"end":1,"cpu_ms":2}

or by `{"id":1,"error":"…"}`. A record is the elapsed time (0 of what has none), the id as users type it or the name, and attributes:
what follows the elapsed time changes only when the record does. Attributes are read one by one, not by `to_dict()`, which reads a
hundred of them and raises for a comment that is not UTF-8. Text that is not UTF-8 comes with surrogates; what pyslurm does not have
or cannot tell is left out.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import IO, Any

MEMORY_BYTES = 2 << 30
"""Largest address space of this process."""

_JOB = (
    "id", "array_id", "array_task_id", "array_tasks_waiting", "array_tasks_parallel", "heterogeneous_id", "heterogeneous_offset",
    "state", "state_reason", "user_id", "account", "partition", "name", "cpus", "num_nodes", "memory", "gres_per_node",
    "resource_sharing", "allocated_nodes", "submit_time", "start_time", "end_time", "time_limit", "requeue_count", "exit_code",
    "exit_code_signal",
)  # fmt: skip
_NODE = (
    "name", "state", "reason", "partitions", "effective_cpus", "total_cpus", "allocated_cpus", "configured_gres", "allocated_gres",
    "allocated_tres", "real_memory", "allocated_memory",
)  # fmt: skip
_QUEUE = ("name", "state", "nodes", "total_cpus", "max_time", "max_nodes", "max_cpus_per_node", "max_cpus_per_socket")

Record = tuple[int, str, Mapping[str, Any]]
Facts = Mapping[str, Any]


def main() -> int:
    """Answers until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # what libslurm prints goes to standard error: nothing but what is written here stands between the lines
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    pyslurm, why = _load()
    if pyslurm is None:
        _say(answers, {"hello": None, "error": why})
        return 1
    version = str(pyslurm.__version__)
    _watch_exit_codes()
    _say(answers, {"hello": version})
    for line in sys.stdin.buffer:
        _answer(pyslurm, version, json.loads(line), answers)
    return 0


def typed_id(facts: Mapping[str, Any]) -> str:
    """The id as users type it. Number 0 of an array or a heterogeneous job is no number to pyslurm; KeyError if it lacks an attribute."""
    array, task, waiting, parallel = (facts[f"array_{name}"] for name in ("id", "task_id", "tasks_waiting", "tasks_parallel"))
    het, offset = facts["heterogeneous_id"], facts["heterogeneous_offset"]
    if array and waiting:
        return f"{array}_[{waiting}%{parallel}]" if parallel else f"{array}_[{waiting}]"
    if array:
        return f"{array}_{task or 0}"
    return f"{het}+{offset or 0}" if het else str(facts["id"])


def _load() -> tuple[ModuleType | None, str]:
    """The module, or why there is none that can be used: not installed, or libslurm is of another release."""
    try:
        import pyslurm  # noqa: PLC0415 — only here is standard output out of its reach
    except (ImportError, OSError, RuntimeError) as error:
        return None, f"{type(error).__name__}: {error}"
    if not hasattr(getattr(pyslurm, "Jobs", None), "load") or not hasattr(pyslurm, "__version__"):
        return None, "it has no Jobs.load(), so it is older than 23.2"
    return pyslurm, ""


_wait_statuses: list[int] = []
"""What pyslurm computed exit codes from since this was last emptied."""


def _watch_exit_codes() -> None:
    """Notes what pyslurm computes exit codes from: it takes 128 off those from 128 on (24.11, `_get_exit_code` of its utils), so 9 may be
    137. Where it does that in another way nothing is noted, and nothing is lost but the exact code.
    """
    module = sys.modules.get("pyslurm.core.job.job")
    compute = getattr(module, "_get_exit_code", None)
    if module is None or compute is None:
        return

    def watched(status: int) -> object:
        _wait_statuses.append(status)
        return compute(status)

    setattr(module, compute.__name__, watched)


def _answer(pyslurm: ModuleType, version: str, request: Mapping[str, Any], answers: IO[bytes]) -> None:
    """Answers one request. An error of pyslurm is an answer too; any other ends this program, which is noticed."""
    began = time.process_time()
    number, query = request["id"], request["query"]
    try:
        facts, records = _QUESTIONS[query](pyslurm)
        lines = [_line(record) for record in records]
    except (pyslurm.RPCError, RuntimeError, MemoryError, KeyError) as error:
        _say(answers, {"id": number, "error": f"{type(error).__name__}: {error}"})
        return
    answers.write(_line({"id": number, "query": query, "pyslurm": version, **facts}))
    answers.writelines(lines)
    _say(answers, {"id": number, "end": len(lines), "cpu_ms": round((time.process_time() - began) * 1000)})


def _jobs(pyslurm: ModuleType) -> tuple[Facts, Iterable[Record]]:
    """Every job, and where the GPUs are: pyslurm tells only of those that were asked for per node."""
    jobs = pyslurm.Jobs.load()
    gpu_nodes: list[Any] = []
    gpu_queues: set[str] = set()
    for node in pyslurm.Nodes.load().values():
        facts = _facts_of(node, ("name", "partitions", "configured_gres"))
        if any(str(name).startswith("gpu") for name in facts.get("configured_gres", ("gpu",))):
            gpu_nodes.append(facts.get("name"))
            gpu_queues.update(facts.get("partitions") or ())
    return {"gpu_nodes": gpu_nodes, "gpu_queues": sorted(gpu_queues)}, _job_records(jobs.values())


def _job_records(jobs: Iterable[Any]) -> Iterator[Record]:
    owners: dict[object, str | None] = {}
    for job in jobs:
        facts = _facts_of(job, _JOB)
        _wait_statuses.clear()
        if "exit_code" in _facts_of(job, ("exit_code",)) and _wait_statuses:
            facts["wait_status"] = _wait_statuses[-1]
        uid = facts.get("user_id")
        if uid not in owners:  # a look-up in the user database for each job would be slow
            owners[uid] = _facts_of(job, ("user_name",)).get("user_name")
        if owners[uid] is not None:
            del facts["user_id"]
        run_time = _facts_of(job, ("run_time",)).get("run_time")
        yield run_time if isinstance(run_time, int) else 0, typed_id(facts), {**facts, "user_name": owners[uid]}


def _nodes(pyslurm: ModuleType) -> tuple[Facts, Iterable[Record]]:
    return {}, _named_records(pyslurm.Nodes.load().values(), _NODE)


def _queues(pyslurm: ModuleType) -> tuple[Facts, Iterable[Record]]:
    return {}, _named_records(pyslurm.Partitions.load().values(), _QUEUE)


def _named_records(things: Iterable[Any], names: Iterable[str]) -> Iterator[Record]:
    for thing in things:
        facts = _facts_of(thing, names)
        yield 0, str(facts.get("name")), facts


_QUESTIONS: Mapping[str, Callable[[ModuleType], tuple[Facts, Iterable[Record]]]] = {"jobs": _jobs, "nodes": _nodes, "queues": _queues}


def _facts_of(thing: Any, names: Iterable[str]) -> dict[str, Any]:
    """Attributes by name. Computing one may raise: for a user without a name KeyError, for a resource it cannot split IndexError."""
    facts: dict[str, Any] = {}
    for name in names:
        try:
            facts[name] = getattr(thing, name)
        except UnicodeDecodeError as error:
            facts[name] = error.object.decode("utf-8", "surrogateescape")
        except (AttributeError, LookupError, ValueError, TypeError):
            continue
    return facts


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=str).encode() + b"\n"


def _say(answers: IO[bytes], value: Any) -> None:
    answers.write(_line(value))
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
