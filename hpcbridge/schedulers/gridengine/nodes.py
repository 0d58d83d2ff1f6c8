# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`qhost -xml`, with queue instances (-q), jobs (-j) and GPUs (-F gpu) where these were asked for, into nodes of the standard schema.

Figures. `cores_total` is the most slots a queue gives away on the node: overlapping queues share its processors, and `num_proc` counts
processors, not slots. `cores_used` is the sum over all its queues, so it can be more than the total; a suspended job keeps its slots.
`gpus_total` is what is left of the node's consumable and what its jobs hold. Memory in use is what processes use, not what jobs hold: None.

Where the last report of jobs told what each queue instance holds, that counts, so that jobs and nodes agree; else what qhost says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.nodes import Node, validate_node
from hpcbridge.model.printable import is_printable
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.gridengine.listing import Instance
from hpcbridge.schedulers.gridengine.states import node_availability
from hpcbridge.schedulers.gridengine.values import GPU_COMPLEXES, parse_memory, parse_number, plain_text
from hpcbridge.schedulers.gridengine.xml import body_of, leaves_of, line_of

_HOST = re.compile(rb"""\s*<host name=(?:'([^'<>]*)'|"([^"<>]*)")\s*>""")
_JOB = re.compile(rb"<job name=[^<>]*>((?:\s*<jobvalue [^<>]*>[^<]*</jobvalue>)*)\s*</job>\s*")
_QUEUE = re.compile(rb"""<queue name=(?:'([^'<>]*)'|"([^"<>]*)")\s*>((?:\s*<queuevalue [^<>]*>[^<]*</queuevalue>)*)\s*</queue>\s*""")
_RESOURCE = re.compile(rb"""<resourcevalue name=["']([\w.-]+)["'] dominance=["'](\w+)["']\s*>([^<]*)</resourcevalue>\s*""")
_HOST_END = b"</host>"
_BLANK = re.compile(rb"\s*")


@dataclass(frozen=True, slots=True)
class HostRead:
    """One host as printed. `instances` None without -q; `tasks` counts entries of jobs, one for each slot; `gpus_left` None: not said."""

    position: int
    name: str
    values: Mapping[str, str]
    instances: tuple[Instance, ...] | None
    tasks: int
    gpus_left: int | None


@dataclass(frozen=True, slots=True)
class Held:
    """What jobs hold on a node: slots, GPUs, and GPUs as they are taken from its consumable. None: not known."""

    slots: int
    gpus: int | None
    gpus_taken: int | None


def hosts_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Place and content of each host; ReportUnreadable where the document is not whole or not a list of hosts."""
    position, end = body_of(data, "qhost")
    while _BLANK.match(data, position, end).end() < end:  # type: ignore[union-attr]
        opening = _HOST.match(data, position, end)
        closes = data.find(_HOST_END, position, end)
        if not opening or closes < 0:
            raise ReportUnreadable("not a list of hosts, or one without its end", line_number=line_of(data, position))
        yield opening.start(), data[position:closes].lstrip()
        position = closes + len(_HOST_END)


def host_from(position: int, region: bytes) -> HostRead | None:
    """One host; None for the entry `global`, which is none. ValueError for a host that is not understood."""
    opening = _HOST.match(region)
    if not opening:
        raise ValueError("a host without a name")
    name = (opening.group(1) or opening.group(2) or b"").decode("utf-8", "surrogateescape")
    if name == "global":
        return None
    if not is_printable(name) or " " in name or not name:
        raise ValueError(f"{name[:60]!r} is not the name of a host")
    rest, tasks = _JOB.subn(b"", region[opening.end() :])
    instances = tuple(_instance(name, match) for match in _QUEUE.finditer(rest))
    rest = _QUEUE.sub(b"", rest)
    left = _gpus_left(_RESOURCE.findall(rest))
    values: dict[str, str] = {}
    for key, word, raw in leaves_of(_RESOURCE.sub(b"", rest)):
        if key == b"resourcevalue":
            continue
        if key != b"hostvalue" or word in values:
            raise ValueError(f"{key.decode()} {word[:40]!r} is out of place in a host")
        values[word] = plain_text(raw)
    return HostRead(position, name, values, instances or None, tasks, left)


def name_in(region: bytes) -> str | None:
    """The name of a host that could not be read."""
    opening = _HOST.match(region)
    return (opening.group(1) or opening.group(2) or b"").decode("utf-8", "replace") if opening else None


def node_from(cluster: str, host: HostRead, *, name: str, held: Held | None, gpus_listed: bool) -> tuple[Node, bool]:
    """One node, and whether all letters of its state are known.

    Without queue instances only the load tells: qhost prints `-` for a host that does not report. `gpus_listed` says that the report
    tells of GPUs, so a host without any has none.
    """
    instances = host.instances or ()
    used = held.slots if held is not None else slots_of(host)
    in_use = bool(used) or host.tasks > 0
    if instances:
        availability, known = node_availability([instance.letters for instance in instances], in_use=in_use)
    else:
        silent = host.values.get("load_avg", "-") == "-"
        availability, known = node_availability(["u" if silent else ""], in_use=in_use)
    sizes = [instance.slots for instance in instances if instance.slots is not None]
    node = Node(
        cluster=cluster,
        name=name,
        availability=availability,
        native_state=escape_text(",".join(f"{item.queue}:{item.letters}" for item in instances if item.letters)),
        queues=tuple(instance.queue for instance in instances),
        cores_total=max(sizes) if sizes else None,
        cores_used=used,
        gpus_total=_gpus_total(host, held, gpus_listed=gpus_listed),
        gpus_used=None if held is None else held.gpus,
        memory_bytes_total=parse_memory(host.values.get("mem_total", "-")),
    )
    validate_node(node)
    return node, known


def slots_of(host: HostRead) -> int | None:
    """Slots in use as qhost says them: from its queue instances, else one for each entry of a job; None where neither was asked for."""
    if host.instances is None:
        return host.tasks or None
    used = [instance.used for instance in host.instances]
    return None if any(slots is None for slots in used) else sum(slots or 0 for slots in used)


def _instance(host: str, match: re.Match[bytes]) -> Instance:
    values: dict[str, str] = {}
    for _, word, raw in leaves_of(match.group(3)):
        if word in values:
            raise ValueError(f"{word[:40]!r} stands twice in a queue instance")
        values[word] = plain_text(raw)
    queue = (match.group(1) or match.group(2) or b"").decode("utf-8", "surrogateescape")
    slots, used = values.get("slots"), values.get("slots_used")
    return Instance(
        escape_text(queue, limit=64),
        host,
        None if slots is None else parse_number(slots),
        None if used is None else parse_number(used),
        escape_text(values.get("state_string", ""), limit=64),
    )


def _gpus_left(resources: list[tuple[bytes, bytes, bytes]]) -> int | None:
    """What is left of the host's consumables that count GPUs; a load value or one of the whole cluster says nothing of this."""
    left = [raw for name, dominance, raw in resources if name.decode() in GPU_COMPLEXES and dominance == b"hc"]
    return sum(parse_number(plain_text(raw)) for raw in left) if left else None


def _gpus_total(host: HostRead, held: Held | None, *, gpus_listed: bool) -> int | None:
    if not gpus_listed:
        return None
    if host.gpus_left is None:
        return 0
    return None if held is None or held.gpus_taken is None else host.gpus_left + held.gpus_taken
