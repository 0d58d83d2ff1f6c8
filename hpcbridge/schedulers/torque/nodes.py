# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes and queues of TORQUE: from a `<Node>` of `pbsnodes -x` and a block of `qstat -Q -f`.

* Cores used are the slots in `jobs`, whatever their form; the `jobs=` inside of `status` is another field (what the node's own daemon
  runs, suspended jobs included) and says only whether an offline node is empty yet.
* GPUs in use stand in no report of nodes, only in the `exec_gpus` of jobs: None without a report of jobs.
* A queue runs on the nodes with the properties of its `resources_default.neednodes`, or on those that `acl_hosts` names where these are
  no access list (`acl_host_enable` False); every other one on all nodes. A routing queue runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpcbridge.model.clusters import Queue
from hpcbridge.model.nodes import Availability, Node, validate_node
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.findings import JobCounts, total_of
from hpcbridge.schedulers.pbs import TextBlock, parse_job_id, parse_memory, parse_number, parse_seconds
from hpcbridge.schedulers.torque.states import node_availability
from hpcbridge.schedulers.torque.xml import Element

_PHYSICAL = re.compile(r"(?:^|,)physmem=(\d{1,15}kb)")
_LEFT = re.compile(r"(?:^|,)jobs=([^,]*)")
_GPU_NAME = re.compile(r"gpu_product_name=([^;,]{1,64})")
_COUNT = re.compile(r"(\w+):(\d{1,9})(?=\s|$)", re.ASCII)
_SLOTS = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?\Z", re.ASCII)
_MAX_SLOTS = 1_000_000
_PROPERTY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\Z", re.ASCII)


def node_from(cluster: str, element: Element, *, gpus_held: Mapping[str, int] | None) -> tuple[Node, bool]:
    """One node, and whether every word of its state is known. `gpus_held`: GPUs of running jobs by node, None if not known."""
    values = element.values
    name = values.get("name", "")
    state = values.get("state", "")
    status = values.get("status", "")
    used = slots_in_use(values.get("jobs", ""))
    left = _LEFT.search(status)
    availability, known = node_availability(state, occupied=used > 0 or bool(left and left.group(1).strip()))
    power = values.get("power_state", "Running")
    if power != "Running" and availability is Availability.UP:
        availability = Availability.DOWN
    gpus = parse_number(values["gpus"]) if values.get("gpus") else 0
    physical = _PHYSICAL.search(status)
    kinds = dict.fromkeys(_GPU_NAME.findall(values.get("gpu_status", "")))
    note = values.get("note") or (f"power_state={power}" if power != "Running" else "")
    node = Node(
        cluster=cluster,
        name=escape_text(name),
        availability=availability,
        native_state=escape_text(state),
        reason=escape_text(note) if note else None,
        cores_total=parse_number(values["np"]) if values.get("np") else None,
        cores_used=used,
        gpus_total=gpus,
        gpus_used=0 if gpus == 0 else None if gpus_held is None else gpus_held.get(name, 0),
        gpu_type=escape_text(",".join(kinds), limit=64) if kinds else None,
        memory_bytes_total=parse_memory(physical.group(1)) if physical else None,
    )
    validate_node(node)
    return node, known


def slots_in_use(text: str) -> int:
    """Slots of `0/0.head1, 1/1.head1` (2.5), `0/0.head1,1/0.head1` (4.2), `0-3/26.head1,4-11/27.head1` (5.0 and later), not sorted.

    A slot that two jobs share counts for each; an index list (`0-1,4/26.head1`) belongs to the job that follows it.
    """
    if not text.strip():
        return 0
    held: set[tuple[int, str]] = set()
    indexes: list[int] = []
    for token in text.split(","):
        slots, slash, job = token.strip().partition("/")
        match = _SLOTS.match(slots)
        if not match:
            raise ValueError(f"{token[:60]!r} is not a slot and its job")
        low, high = int(match.group(1)), int(match.group(2) or match.group(1))
        if high < low or high - low + len(held) + len(indexes) >= _MAX_SLOTS:
            raise ValueError(f"{token[:60]!r} is not a range of slots")
        indexes.extend(range(low, high + 1))
        if slash:
            job_id = parse_job_id(job).job_id
            held.update([(index, job_id) for index in indexes])
            indexes = []
    if indexes:
        raise ValueError("slots without a job")
    return len(held)


@dataclass(frozen=True, slots=True)
class Farm:
    """All nodes with their properties, as the last report of nodes had them."""

    nodes: Mapping[str, Node]
    properties: Mapping[str, frozenset[str]]


def queue_from(
    cluster: str, block: TextBlock, *, farm: Farm | None, jobs: JobCounts | None, longest_seconds: int | None
) -> tuple[Queue, str | None]:
    """One queue, and what its attribute `enabled` or `started` says where that is no known word.

    `longest_seconds` is the server's own limit, which holds where the queue has none.
    """
    attributes = block.attributes
    name = escape_text(block.name, limit=64)
    if not name:
        raise ValueError("no name")
    words = [attributes.get(key, "") for key in ("enabled", "started")]
    unknown = next((word for word in words if word not in {"True", "False"}), None)
    routes = attributes.get("queue_type") == "Route"
    members = () if routes else _members(attributes, farm)
    queued, running = _jobs_of(attributes.get("state_count", "")) or ((None, None) if jobs is None else jobs.get(name, (0, 0)))
    walltime = attributes.get("resources_max.walltime")
    cores = None if members is None else total_of([node.cores_total for node in members])
    queue = Queue(
        cluster=cluster,
        name=name,
        open=words == ["True", "True"],
        nodes=() if members is None else tuple(node.name for node in members),
        cores_total=cores,
        cores_used=None if members is None else total_of([node.cores_used for node in members]),
        cores_available=None if members is None else sum(_free_cores(node) for node in members),
        gpus_total=None if members is None else total_of([node.gpus_total for node in members]),
        gpus_used=None if members is None else total_of([node.gpus_used for node in members]),
        jobs_queued=queued,
        jobs_running=running,
        max_cores=None if routes else _max_cores(attributes, members),
        max_walltime_seconds=parse_seconds(walltime) if walltime else longest_seconds,
    )
    return queue, unknown


def properties_of(element: Element) -> frozenset[str]:
    """What `qsub -l nodes=1:property` can ask of a node; its name is one of them."""
    return frozenset(element.values.get("properties", "").split(",")) | {element.values.get("name", "")}


def _members(attributes: Mapping[str, str], farm: Farm | None) -> tuple[Node, ...] | None:
    if farm is None:
        return None
    hosts = attributes.get("acl_hosts", "")
    if hosts and attributes.get("acl_host_enable") == "False":
        names = [name for name in re.split(r"[,+\s]+", hosts) if name]
        return tuple(farm.nodes[name] for name in names) if all(name in farm.nodes for name in names) else None
    needed = {word for word in attributes.get("resources_default.neednodes", "").split(":") if _PROPERTY.match(word)}
    needed.discard("cluster")
    return tuple(node for name, node in farm.nodes.items() if needed <= farm.properties.get(name, frozenset()))


def _jobs_of(state_count: str) -> tuple[int | None, int] | None:
    """Waiting and running jobs; members of arrays are counted each, suspended ones as running (recorded: 6.1.3/zoo)."""
    counts = {word: int(number) for word, number in _COUNT.findall(state_count)}
    if not {"Queued", "Held", "Waiting", "Running"} <= counts.keys():
        return None
    waiting = counts["Queued"] + counts["Held"] + counts["Waiting"] + counts.get("Transit", 0)
    return waiting, counts["Running"] + counts.get("Exiting", 0)


def _free_cores(node: Node) -> int:
    if node.availability is not Availability.UP or not {"busy", "job-exclusive", "reserve"}.isdisjoint(node.native_state.split(",")):
        return 0
    return max(0, (node.cores_total or 0) - (node.cores_used or 0))


def _max_cores(attributes: Mapping[str, str], members: Sequence[Node] | None) -> int | None:
    """Cores of the largest job the queue's limits let through; None where that depends on nodes that are not known."""
    limits = [parse_number(attributes[key]) for key in ("resources_max.procct", "resources_max.ncpus") if attributes.get(key)]
    if members is None or any(node.cores_total is None for node in members):
        return min(limits) if limits and "resources_max.nodect" not in attributes else None
    sizes = sorted((node.cores_total or 0 for node in members), reverse=True)
    if attributes.get("resources_max.nodect"):
        sizes = sizes[: parse_number(attributes["resources_max.nodect"])]
    return min([*limits, sum(sizes)])
