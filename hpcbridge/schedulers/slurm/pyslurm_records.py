# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Reads what the pyslurm child answered (pyslurm_child.py): the same records as from the commands of the same Slurm.

pyslurm says some things less exactly than squeue, and what it does not say is unknown here:

* member 0 of an array and component 0 of a heterogeneous job have no number, which is how they are told from all others;
* an exit code from 128 on comes as the rest above 128, so without the wait status itself only the code of what COMPLETED is believed;
* GPUs are known where they were asked for per node; else there are none only on nodes, or in queues, that have none;
* memory is what was asked for, and a job, account or queue with the name `None` has no name.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.clusters import Queue
from hpcbridge.model.nodes import Node, validate_node
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.findings import JobCounts, failed, quarantined, unknown_state
from hpcbridge.schedulers.notation import expand_hosts
from hpcbridge.schedulers.report import Answer, Problem, Report
from hpcbridge.schedulers.slurm.cluster import queue_of
from hpcbridge.schedulers.slurm.jobs import JobRead, job_of
from hpcbridge.schedulers.slurm.pyslurm_child import typed_id
from hpcbridge.schedulers.slurm.states import node_availability

Facts = Mapping[str, Any]
Record = tuple[str, Facts]
Reads = list[tuple[int, str, JobRead]]
Found = TypeVar("Found")

_MEBIBYTE = 1 << 20
_QUEUE_FIELDS = {
    "name": "PartitionName",
    "state": "State",
    "nodes": "Nodes",
    "total_cpus": "TotalCPUs",
    "max_nodes": "MaxNodes",
    "max_cpus_per_node": "MaxCPUsPerNode",
    "max_cpus_per_socket": "MaxCPUsPerSocket",
}
"""Attributes of a partition and their names in scontrol."""


def is_pyslurm(report: Report) -> bool:
    """True for a report that the child gave."""
    return report.argv[:1] == ("pyslurm",)


@dataclass(frozen=True, slots=True)
class Seen:
    """The jobs of a report by their text, and where GPUs were then: the same text in the same surroundings is the same job."""

    gpu_nodes: frozenset[str] = frozenset()
    gpu_queues: frozenset[str] = frozenset()
    reads: Mapping[str, JobRead] = field(default_factory=dict)


def read_jobs(cluster: str, report: Report, seen: Seen) -> tuple[Reads, list[Problem], Seen]:
    """Every job with its line, what cannot be true, and what was seen; what was seen before is not read again."""
    head, lines = _lines_of(report)
    gpu_nodes, gpu_queues = (frozenset(_names(head.get(key))) for key in ("gpu_nodes", "gpu_queues"))
    before = seen.reads if (seen.gpu_nodes, seen.gpu_queues) == (gpu_nodes, gpu_queues) else {}
    now: dict[str, JobRead] = {}
    reads: Reads = []
    problems: list[Problem] = []
    for number, line in enumerate(lines, 2):
        elapsed, _, text = line.partition(",")
        read = before.get(text)
        if read is None:
            job_id, facts = _record_of(text, number)
            try:
                without_gpus = _without_gpus(facts, gpu_nodes, gpu_queues)
                read = _job_from(cluster, job_id, facts, elapsed_seconds=_elapsed(elapsed), without_gpus=without_gpus)
            except (ValueError, KeyError) as error:
                problems.append(quarantined(report.query, error, line=number, subject=job_id))
                continue
        now[text] = read
        reads.append((number, read[0].job_id, read))
    return reads, problems, Seen(gpu_nodes, gpu_queues, now)


def read_nodes(cluster: str, report: Report) -> Answer[Node]:
    """Every node with all its flags."""
    records = _records_of(report)
    counts_gpus = any("gres/gpu" in (_mapping(facts, "allocated_tres") or {}) for _, facts in records)

    def read(facts: Facts, number: int) -> tuple[Node, Problem | None]:
        node, known = _node_from(cluster, facts, counts_gpus=counts_gpus)
        problem = unknown_state(report.query, node.native_state, line=number, subject=node.name, field="availability")
        return node, None if known else problem

    return _answer(report, records, read)


def read_queues(cluster: str, report: Report, *, nodes: Mapping[str, Node] | None, jobs: JobCounts | None) -> Answer[Queue]:
    """Every partition, hidden ones too."""
    records = _records_of(report)

    def read(facts: Facts, number: int) -> tuple[Queue, Problem | None]:
        fields = {name: str(facts[key]) for key, name in _QUEUE_FIELDS.items() if facts.get(key) is not None}
        minutes = _count(facts, "max_time")
        fields["MaxTime"] = "UNLIMITED" if minutes is None else f"{minutes}:00"
        queue, unknown = queue_of(cluster, fields, nodes=nodes, jobs=jobs)
        if unknown is None:
            return queue, None
        return queue, unknown_state(report.query, escape_text(unknown), line=number, subject=queue.name, field="open")

    return _answer(report, records, read)


def _answer(report: Report, records: Sequence[Record], read: Callable[[Facts, int], tuple[Found, Problem | None]]) -> Answer[Found]:
    """Two records of one name contradict each other: both are kept out."""
    names = Counter(name for name, _ in records)
    found: list[Found] = []
    problems: list[Problem] = []
    for number, (name, facts) in enumerate(records, 2):
        if names[name] > 1:
            problems.append(quarantined(report.query, ValueError("two records of one name"), line=number, subject=name))
            continue
        try:
            if facts.get("name") != name:
                raise _odd("name", facts.get("name"))
            record, problem = read(facts, number)
        except ValueError as error:
            problems.append(quarantined(report.query, error, line=number, subject=name))
            continue
        found.append(record)
        if problem is not None:
            problems.append(problem)
    return Answer(records=tuple(found), problems=tuple(problems))


def _job_from(cluster: str, job_id: str, facts: Facts, *, elapsed_seconds: int | None, without_gpus: bool) -> JobRead:
    if typed_id(facts) != job_id:
        raise ValueError(f"job id {job_id[:40]!r} contradicts its parts")
    resources = {key: text for key, text in (("cpu", _text(facts, "cpus")), ("mem", _text(facts, "memory"))) if text}
    per_node = ",".join(_gres_of(facts))
    native_state = _text(facts, "state")
    limit = _count(facts, "time_limit")
    submitted = _text(facts, "submit_time")
    if not submitted:
        raise ValueError("no submit time")
    return job_of(
        cluster,
        job_id,
        native_state=native_state,
        reason=_text(facts, "state_reason"),
        owner=_text(facts, "user_name") or _text(facts, "user_id"),
        account=_text(facts, "account"),
        queue=_text(facts, "partition"),
        name=_text(facts, "name") or None,
        submitted=submitted,
        started=_text(facts, "start_time"),
        ended=_text(facts, "end_time"),
        elapsed_seconds=elapsed_seconds,
        limit_seconds=None if limit is None else limit * 60,
        cores=_count(facts, "cpus"),
        node_count=_text(facts, "num_nodes"),
        node_list=_text(facts, "allocated_nodes"),
        resources=resources,
        requested=(per_node, "", ""),
        requested_whole=bool(per_node) or without_gpus,
        exit_text=_exit_text(facts, native_state),
        restarts=_count(facts, "requeue_count"),
        utc=False,
    )


def _exit_text(facts: Facts, native_state: str) -> str:
    """As squeue prints it: a wait status, or code and signal, empty where the code may be another one."""
    status, code, signal = (_text(facts, key) for key in ("wait_status", "exit_code", "exit_code_signal"))
    believed = native_state == "COMPLETED" or signal not in {"", "0"}
    return status or (f"{code}:{signal}" if code and signal and believed else "")


def _without_gpus(facts: Facts, gpu_nodes: frozenset[str], gpu_queues: frozenset[str]) -> bool:
    """True if no GPU is where the job is or may start. A job that has its nodes for itself may have GPUs it did not ask for."""
    if not gpu_nodes:
        return True
    nodes = _text(facts, "allocated_nodes")
    if nodes:
        return gpu_nodes.isdisjoint(expand_hosts(nodes))
    return gpu_queues.isdisjoint(_text(facts, "partition").split(","))


def _gres_of(facts: Facts) -> Iterator[str]:
    for name, amount in (_mapping(facts, "gres_per_node") or {}).items():
        yield f"{name}:{_amount(amount)}"


def _node_from(cluster: str, facts: Facts, *, counts_gpus: bool) -> tuple[Node, bool]:
    """One node, and whether every word of its state is known."""
    native_state, cores_used = _text(facts, "state"), _count(facts, "allocated_cpus")
    if not native_state:
        raise ValueError("no state")
    availability, known = node_availability(native_state, cores_used=cores_used)
    total, kinds = _gpus(_mapping(facts, "configured_gres"))
    used = _gpus(_mapping(facts, "allocated_gres"))[0]
    if used == 0 and total and cores_used and not counts_gpus:
        used = None  # where the site does not count GPUs, none of them is ever said to be in use
    memory, memory_used = _count(facts, "real_memory"), _count(facts, "allocated_memory")
    node = Node(
        cluster=cluster,
        name=_text(facts, "name"),
        availability=availability,
        native_state=escape_text(native_state),
        reason=escape_text(_text(facts, "reason")) or None,
        queues=tuple(escape_text(name, limit=64) for name in _names(facts.get("partitions"))),
        cores_total=_count(facts, "effective_cpus") or _count(facts, "total_cpus"),
        cores_used=cores_used,
        gpus_total=total,
        gpus_used=used,
        gpu_type=escape_text(",".join(kinds), limit=64) or None,
        memory_bytes_total=None if memory is None else memory * _MEBIBYTE,
        memory_bytes_used=None if memory_used is None else memory_used * _MEBIBYTE,
    )
    validate_node(node)
    return node, known


def _gpus(gres: Mapping[str, Any] | None) -> tuple[int | None, tuple[str, ...]]:
    """Count and types of `{"gpu:a100": 2}`."""
    if gres is None:
        return None, ()
    total = 0
    kinds: dict[str, None] = {}
    for name, amount in gres.items():
        first, _, kind = name.removeprefix("gres/").partition(":")
        if first == "gpu":
            total += _amount(amount)
            kinds.update({kind: None} if kind and kind != "(null)" else {})
    return total, tuple(kinds)


def _amount(amount: object) -> int:
    """A count, or `{"count": "1", "indexes": "0"}`."""
    value = amount.get("count") if isinstance(amount, Mapping) else amount
    if isinstance(value, bool) or not str(value).isdecimal() or len(str(value)) > 9:
        raise ValueError(f"{str(value)[:40]!r} is not a count")
    return int(str(value))


def _records_of(report: Report) -> list[Record]:
    return [_record_of(line.partition(",")[2], number) for number, line in enumerate(_lines_of(report)[1], 2)]


def _record_of(text: str, number: int) -> Record:
    """Id or name, and attributes, of a line without its elapsed time."""
    value = _json_of(f"[{text}")
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict)):
        raise ReportUnreadable("not a record of the pyslurm child", line_number=number, line=escape_text(text))
    return value[0], value[1]


def _lines_of(report: Report) -> tuple[Facts, list[str]]:
    """Head and records. The end says how many there are, so what is cut off is rejected; an error is no answer."""
    text = report.stdout.decode("utf-8", "replace")
    if not text.endswith("\n"):
        raise ReportUnreadable("cut off in a line", line_number=text.count("\n") + 1, line=escape_text(text.rsplit("\n", 1)[-1]))
    lines = text[:-1].split("\n")
    head, end = _object_of(lines[0], 1), _object_of(lines[-1], len(lines))
    if "error" in end:
        raise failed(report, escape_text(str(end["error"])))
    if end.get("end") != len(lines) - 2 or head.get("query") != report.query:
        raise ReportUnreadable("the begin does not say what was asked, or the end not how many there are", line_number=len(lines))
    return head, lines[1:-1]


def _object_of(text: str, number: int) -> Facts:
    value = _json_of(text)
    if not isinstance(value, dict):
        raise ReportUnreadable("not a line of the pyslurm child", line_number=number, line=escape_text(text))
    return value


def _json_of(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _elapsed(text: str) -> int | None:
    return int(text[1:]) if text[1:].isdecimal() and len(text) < 16 else None


def _text(facts: Facts, key: str) -> str:
    """Text, or a count as text; empty for nothing."""
    value = facts.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _odd(key, value)
    return str(value)


def _count(facts: Facts, key: str) -> int | None:
    value = facts.get(key)
    if value is None or value == "UNLIMITED":
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise _odd(key, value)
    return value


def _odd(key: str, value: object) -> ValueError:
    return ValueError(f"{key} is {str(value)[:40]!r}")


def _mapping(facts: Facts, key: str) -> Mapping[str, Any] | None:
    value = facts.get(key)
    return value if isinstance(value, dict) else None


def _names(value: object) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else []
