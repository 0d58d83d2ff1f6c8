# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes and queues of OpenPBS.

A node is a vnode, under the name that pbsnodes and `exec_vnode` give it: a host split into several gives several nodes. Its totals
are `resources_available`, what is used `resources_assigned`, and a count that is missing is 0, as for the scheduler itself (a node
that never answered has none); `pcpus` counts what the machine has, not what is handed out. A queue has the nodes bound to it, by the
node's `queue` or by Qlist (node) and default_chunk.Qlist (queue); without any binding, those that are bound to no queue. A route queue
has none: it only passes jobs on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hpcbridge.model.clusters import Queue
from hpcbridge.model.nodes import Availability, Node, validate_node
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.findings import JobCounts, total_of
from hpcbridge.schedulers.openpbs.attributes import Attributes, raw_of, text_of
from hpcbridge.schedulers.openpbs.resources import gpu_type_of
from hpcbridge.schedulers.openpbs.states import kept_for_some, node_availability
from hpcbridge.schedulers.pbs import parse_memory, parse_number, parse_seconds

_AVAILABLE, _ASSIGNED, _MAX = "resources_available.", "resources_assigned.", "resources_max."
_FREE_OF_TOTAL = re.compile(r"(\S{1,32})/(\S{1,32})\Z", re.ASCII)
_EXECUTION = frozenset({"Execution", "E"})
_ROUTE = frozenset({"Route", "R"})


def node_from(cluster: str, name: str, fields: Attributes, *, occupied: bool) -> tuple[Node, bool]:
    """One node, `occupied` if jobs are listed on it, and whether each word of its state is known.

    Raises ValueError for one that cannot be true.
    """
    if "State" in fields and "state" not in fields:
        return _summarised(cluster, name, fields, occupied=occupied)
    native = escape_text(raw_of(_required(fields, "state")), limit=256)
    used = _count(fields, _ASSIGNED + "ncpus") or 0
    availability, known = node_availability(native, occupied=occupied or used > 0)
    available = {key[len(_AVAILABLE) :]: raw_of(value) for key, value in fields.items() if key.startswith(_AVAILABLE)}
    bound = _names(raw_of(fields.get("queue", ""))) or _names(available.get("Qlist", ""))
    node = Node(
        cluster=cluster,
        name=escape_text(name, limit=255),
        availability=availability,
        native_state=native,
        reason=text_of(fields.get("comment", ""), limit=256) or None,
        queues=bound,
        cores_total=_count(fields, _AVAILABLE + "ncpus") or 0,
        cores_used=used,
        gpus_total=_count(fields, _AVAILABLE + "ngpus") or 0,
        gpus_used=_count(fields, _ASSIGNED + "ngpus") or 0,
        gpu_type=gpu_type_of(available),
        memory_bytes_total=_bytes(fields, _AVAILABLE + "mem"),
        memory_bytes_used=_bytes(fields, _ASSIGNED + "mem") or 0,
    )
    validate_node(node)
    return node, known


def _summarised(cluster: str, name: str, fields: Attributes, *, occupied: bool) -> tuple[Node, bool]:
    """The short form of `pbsnodes -S`: free and total of each resource; memory is rounded, so it is not told."""
    native = escape_text(raw_of(_required(fields, "State")), limit=256)
    cores, gpus = _used_of_total(fields, "ncpus f/t"), _used_of_total(fields, "ngpus f/t")
    availability, known = node_availability(native, occupied=occupied or bool(cores and cores[0]))
    node = Node(
        cluster=cluster,
        name=escape_text(name, limit=255),
        availability=availability,
        native_state=native,
        cores_total=cores[1] if cores else None,
        cores_used=cores[0] if cores else None,
        gpus_total=gpus[1] if gpus else None,
        gpus_used=gpus[0] if gpus else None,
    )
    validate_node(node)
    return node, known


def queue_from(
    cluster: str, name: str, fields: Attributes, *, nodes: Sequence[Node] | None, bound: bool, jobs: JobCounts | None
) -> tuple[Queue, str | None]:
    """One queue, and its type where that is no known word. `bound` says that some nodes are bound to this queue; without a report of
    nodes or jobs, what needs them is None.
    """
    kind = raw_of(_required(fields, "queue_type"))
    shown = escape_text(name, limit=64)
    members = None if nodes is None else () if kind in _ROUTE else members_of(shown, nodes, bound=bound, wanted=wanted_of(fields))
    queued, running = (None, None) if jobs is None else jobs.get(shown, (0, 0))
    cores_total = None if members is None else total_of([node.cores_total for node in members])
    limit = _count(fields, _MAX + "ncpus")
    walltime = raw_of(fields.get(_MAX + "walltime", ""))
    queue = Queue(
        cluster=cluster,
        name=shown,
        open=_true(fields, "enabled") and _true(fields, "started"),
        nodes=() if members is None else tuple(node.name for node in members),
        cores_total=cores_total,
        cores_used=None if members is None else total_of([node.cores_used for node in members]),
        cores_available=None if members is None else sum(_free_cores(node) for node in members),
        gpus_total=None if members is None else total_of([node.gpus_total for node in members]),
        gpus_used=None if members is None else total_of([node.gpus_used for node in members]),
        jobs_queued=queued,
        jobs_running=running,
        max_cores=limit if limit is not None else cores_total or None,
        max_walltime_seconds=parse_seconds(walltime) if walltime else None,
    )
    return queue, None if kind in _EXECUTION or kind in _ROUTE else kind


def wanted_of(fields: Attributes) -> tuple[str, ...]:
    """The Qlist a queue gives its jobs, which only nodes with it can fulfil."""
    return _names(raw_of(fields.get("default_chunk.Qlist", "")))


def members_of(name: str, nodes: Sequence[Node], *, bound: bool, wanted: tuple[str, ...]) -> tuple[Node, ...]:
    """The nodes a queue's jobs can run on."""
    names = {name, *wanted}
    if bound:
        return tuple(node for node in nodes if not names.isdisjoint(node.queues))
    return tuple(node for node in nodes if not node.queues)


def _free_cores(node: Node) -> int:
    if node.availability is not Availability.UP or kept_for_some(node.native_state):
        return 0
    return max(0, (node.cores_total or 0) - (node.cores_used or 0))


def _used_of_total(fields: Attributes, key: str) -> tuple[int, int] | None:
    match = _FREE_OF_TOTAL.match(raw_of(fields.get(key, "")))
    if not match:
        return None
    free, total = (int(part) if part.lstrip("-").isdecimal() else None for part in match.groups())
    return None if free is None or total is None else (total - free, total)


def _required(fields: Mapping[str, str], key: str) -> str:
    value = fields.get(key)
    if not value or not raw_of(value):
        raise ValueError(f"no {key}")
    return value


def _true(fields: Attributes, key: str) -> bool:
    return raw_of(fields.get(key, "")).lower() == "true"


def _count(fields: Attributes, key: str) -> int | None:
    text = raw_of(fields.get(key, ""))
    return parse_number(text) if text else None


def _bytes(fields: Attributes, key: str) -> int | None:
    text = raw_of(fields.get(key, ""))
    return parse_memory(text) if text else None


def _names(text: str) -> tuple[str, ...]:
    return tuple(escape_text(part, limit=64) for part in re.split(r"[,\s]+", text) if part)
