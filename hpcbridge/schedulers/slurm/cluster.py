# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes and queues of Slurm from `scontrol -o show node` and `scontrol -o show partition`.

The reason of a node is free text and may imitate any field, so fields are read only before it. Figures of a queue that need the
nodes or the jobs are None where these are not known, all nodes of it: 22.05 does not show a cloud node that is powered down.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hpcbridge.model.clusters import Queue
from hpcbridge.model.nodes import Availability, Node, validate_node
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.findings import JobCounts, total_of
from hpcbridge.schedulers.notation import NOTHING, expand_hosts, parse_count, parse_duration, parse_resources, parse_size
from hpcbridge.schedulers.slurm.states import kept_for_some, node_availability

_FREE_TEXT = re.compile(r" (?:Reason|Comment|Extra)=")
_REASON = re.compile(r"Reason=(.*?)(?: \[[^\[\]@]{0,64}@[^\[\]@]{1,32}\](?P<more>(?:(?: |\n {3}) {7}.*)?))?\s*\Z", re.DOTALL)
_NEXT_LINE = re.compile(r"(?: |\n {3}) {7}")
_AFTER_REASON = re.compile(r" (?:Comment|Extra)=.*\Z", re.DOTALL)
_PARENTHESES = re.compile(r"\([^()]*\)")
_GRES_GPU = re.compile(r"gpu(?::(?!no_consume)([^:=]+))?(?::no_consume)?:(\d{1,9}[KkMm]?)\Z", re.ASCII)
_UNLIMITED = frozenset({"UNLIMITED", "INFINITE", "N/A", ""})


def node_from(cluster: str, record: str) -> tuple[Node, bool]:
    """One node, and whether every word of its state is known."""
    cut = _FREE_TEXT.search(record)
    fields = _fields(record[: cut.start()] if cut else record)
    native_state = _required(fields, "State")
    resources = parse_resources(fields.get("AllocTRES", ""))
    cores_used = parse_count(_required(fields, "CPUAlloc"))
    availability, known = node_availability(native_state, cores_used=cores_used)
    gpus_total, gpu_type = _gpus(fields.get("Gres"))
    node = Node(
        cluster=cluster,
        name=_required(fields, "NodeName"),
        availability=availability,
        native_state=escape_text(native_state),
        reason=_reason(record[cut.start() + 1 :]) if cut else None,
        queues=_names(fields.get("Partitions", "")),
        cores_total=parse_count(fields.get("CPUEfctv") or _required(fields, "CPUTot")),
        cores_used=cores_used,
        gpus_total=gpus_total,
        gpus_used=_gpus_used(fields, resources, gpus_total),
        gpu_type=gpu_type,
        memory_bytes_total=_memory(fields, "RealMemory"),
        memory_bytes_used=_memory(fields, "AllocMem"),
    )
    validate_node(node)
    return node, known


_CLOSED = frozenset({"DOWN", "DRAIN", "INACTIVE"})


def queue_from(cluster: str, record: str, *, nodes: Mapping[str, Node] | None, jobs: JobCounts | None) -> tuple[Queue, str | None]:
    """One queue, and its state where that is no known word. `nodes` by name; None if the report of nodes or jobs is not there."""
    return queue_of(cluster, _fields(record), nodes=nodes, jobs=jobs)


def queue_of(
    cluster: str, fields: Mapping[str, str], *, nodes: Mapping[str, Node] | None, jobs: JobCounts | None
) -> tuple[Queue, str | None]:
    """As queue_from, of the fields by their names in scontrol."""
    name = escape_text(_required(fields, "PartitionName"), limit=64)
    names = expand_hosts(fields.get("Nodes", ""))
    members = None if nodes is None or any(node not in nodes for node in names) else [nodes[node] for node in names]
    queued, running = (None, None) if jobs is None else jobs.get(name, (0, 0))
    state = _required(fields, "State")
    resources = parse_resources(fields.get("TRES", ""))
    cores_total = parse_count(_required(fields, "TotalCPUs"))
    queue = Queue(
        cluster=cluster,
        name=name,
        open=state == "UP",
        nodes=names,
        cores_total=cores_total,
        cores_used=None if members is None else sum(node.cores_used or 0 for node in members),
        cores_available=None if members is None else sum(_free_cores(node) for node in members),
        gpus_total=_gpus_of(members, resources),
        gpus_used=None if members is None else total_of([node.gpus_used for node in members]),
        jobs_queued=queued,
        jobs_running=running,
        max_cores=_max_cores(fields, cores_total, members),
        max_walltime_seconds=parse_duration(_required(fields, "MaxTime")),
    )
    return queue, None if queue.open or state in _CLOSED else state


def _fields(text: str) -> Mapping[str, str]:
    fields: dict[str, str] = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if equals and key not in fields:
            fields[key] = value
    return fields


def _required(fields: Mapping[str, str], key: str) -> str:
    value = fields.get(key)
    if not value:
        raise ValueError(f"no {key}")
    return value


def _reason(text: str) -> str | None:
    """Who gave the reason and when stands behind its first line; the other lines follow, indented (recorded: 22.05.8/situations c4)."""
    match = _REASON.match(_AFTER_REASON.sub("", text))
    if not match or match.group(1) in NOTHING:
        return None
    return escape_text(match.group(1) + _NEXT_LINE.sub("\n", match.group("more") or ""))


def _names(text: str) -> tuple[str, ...]:
    return () if text in NOTHING else tuple(escape_text(name, limit=64) for name in text.split(","))


def _memory(fields: Mapping[str, str], key: str) -> int | None:
    text = fields.get(key, "")
    return None if text in NOTHING else parse_size(text, unit="M")


def _gpus(gres: str | None) -> tuple[int | None, str | None]:
    """Count and type of `gpu:a100:2(S:0-1),shard:8`; a node that lists no GPU has none, one that lists nothing is unknown.

    A GPU without a type may stand as `gpu:(null):2(IDX:0-1)` among those in use.
    """
    if gres is None:
        return None, None
    total = 0
    types: list[str] = []
    for item in _PARENTHESES.sub("", gres.replace(":(null):", ":")).split(","):
        match = _GRES_GPU.match(item)
        if match:
            total += parse_count(match.group(2))
            if match.group(1):
                types.append(match.group(1))
        elif item == "gpu" or item.startswith("gpu:"):
            return None, None
    kinds = ",".join(dict.fromkeys(types))
    return total, escape_text(kinds, limit=64) or None


def _gpus_used(fields: Mapping[str, str], resources: Mapping[str, str], gpus_total: int | None) -> int | None:
    """From `GresUsed`; 26.05 leaves it out for nodes without GPUs. Else from the allocated resources, where GPUs are counted there."""
    if "GresUsed" in fields:
        return _gpus(fields["GresUsed"])[0]
    if "gres/gpu" in resources:
        return parse_count(resources["gres/gpu"])
    counted = "gres/gpu" in parse_resources(fields.get("CfgTRES", ""))
    return 0 if gpus_total == 0 or counted else None


def _free_cores(node: Node) -> int:
    if node.availability is not Availability.UP or kept_for_some(node.native_state):
        return 0
    return max(0, (node.cores_total or 0) - (node.cores_used or 0))


def _gpus_of(members: Sequence[Node] | None, resources: Mapping[str, str]) -> int | None:
    """GPUs stand in the resources of a partition only where the site counts them."""
    if "gres/gpu" in resources:
        return parse_count(resources["gres/gpu"])
    return None if members is None else total_of([node.gpus_total for node in members])


def _max_cores(fields: Mapping[str, str], cores_total: int, members: Sequence[Node] | None) -> int | None:
    """Cores of the largest job the queue's limits let through; None where that depends on nodes that are not known."""
    max_nodes = fields.get("MaxNodes", "")
    per_node = fields.get("MaxCPUsPerNode", "")
    if fields.get("MaxCPUsPerSocket", "") not in _UNLIMITED:
        return None
    if max_nodes in _UNLIMITED and per_node in _UNLIMITED:
        return cores_total
    if members is None or any(node.cores_total is None for node in members):
        return None
    cap = None if per_node in _UNLIMITED else parse_count(per_node)
    sizes = sorted((min(node.cores_total or 0, cap) if cap is not None else node.cores_total or 0 for node in members), reverse=True)
    return sum(sizes if max_nodes in _UNLIMITED else sizes[: parse_count(max_nodes)])
