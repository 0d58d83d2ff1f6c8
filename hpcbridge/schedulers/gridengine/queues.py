# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`qconf -sq` of each queue into the standard schema.

The configuration says the limits; which nodes a queue has, what is used and whether it takes jobs say its queue instances, which are in
the reports of nodes and jobs. A waiting job is in no queue, except in those it asked for by name: as long as one waits that named none,
the number of jobs waiting for a queue is not known. `max_cores` is 1 where there is no parallel environment, else not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.clusters import Queue
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.findings import JobCounts, total_of
from hpcbridge.schedulers.gridengine.listing import Instance
from hpcbridge.schedulers.gridengine.states import takes_work
from hpcbridge.schedulers.gridengine.values import parse_limit, short_name

_LINE = re.compile(r"(\w{1,64})\s+(\S.*)\Z", re.ASCII)
_OVERRIDE = re.compile(r"\[([^\[\]=]+)=([^\[\]]*)\]")
_LAST = "h_vmem"
_NEEDED = ("qname", "hostlist", "slots", "pe_list", "initial_state", "h_rt", _LAST)


@dataclass(frozen=True, slots=True)
class Setting:
    """One queue as configured: the line it begins at and its attributes."""

    line: int
    values: Mapping[str, str]


def settings_of(lines: Sequence[str]) -> Iterator[Setting]:
    """Each queue; ReportUnreadable for what is no list of attributes or was cut off (h_vmem is the last attribute of every version)."""
    values: dict[str, str] = {}
    start = 0
    for number, line in _joined(lines):
        if not line.strip():
            continue
        match = _LINE.match(line.rstrip())
        if not match:
            raise ReportUnreadable("not an attribute of a queue", line_number=number, line=escape_text(line))
        key, value = match.groups()
        if key == "qname":
            if start:
                yield _whole(start, values)
            start, values = number, {}
        if not start or key in values:
            raise ReportUnreadable("an attribute out of place", line_number=number, line=escape_text(line))
        values[key] = value
    if not start:
        raise ReportUnreadable("no queue", line_number=1)
    yield _whole(start, values)


def queue_from(
    cluster: str,
    values: Mapping[str, str],
    *,
    instances: Sequence[Instance] | None,
    gpus: Mapping[str, tuple[int | None, int | None]],
    jobs: JobCounts | None,
    elsewhere: bool,
) -> Queue:
    """One queue. `instances` are its own; `gpus` total and used by node; `elsewhere` says that jobs wait that named no queue."""
    name = escape_text(values["qname"], limit=64)
    queued, running = (None, None) if jobs is None else jobs.get(name, (0, 0))
    open_ones = None if instances is None else [instance for instance in instances if takes_work(instance.letters)]
    hosts = _named_hosts(values["hostlist"]) if instances is None else tuple(short_name(instance.host) for instance in instances)
    held = [gpus.get(host, (None, None)) for host in hosts]
    return Queue(
        cluster=cluster,
        name=name,
        open=bool(open_ones) if open_ones is not None else values["initial_state"] != "disabled",
        nodes=hosts,
        cores_total=None if instances is None else total_of([instance.slots for instance in instances]),
        cores_used=None if instances is None else total_of([instance.used for instance in instances]),
        cores_available=None if open_ones is None else total_of([_free(instance) for instance in open_ones]),
        gpus_total=None if instances is None else total_of([total for total, _ in held]),
        gpus_used=None if instances is None else total_of([used for _, used in held]),
        jobs_queued=None if elsewhere else queued,
        jobs_running=running,
        max_cores=1 if values["pe_list"] == "NONE" else None,
        max_walltime_seconds=_longest(values["h_rt"]),
    )


def _whole(start: int, values: Mapping[str, str]) -> Setting:
    missing = [key for key in _NEEDED if key not in values]
    if missing:
        raise ReportUnreadable(f"a queue without {missing[0]}: the report is cut off", line_number=start)
    return Setting(start, values)


def _joined(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Lines with those that follow a backslash at the end joined to them."""
    number, text = 0, ""
    for position, line in enumerate(lines, 1):
        number = number or position
        text += line.strip() if text else line
        if text.endswith("\\"):
            text = text[:-1]
            continue
        yield number, text
        number, text = 0, ""
    if text:
        raise ReportUnreadable("the report ends in a line that goes on", line_number=number)


def _named_hosts(hostlist: str) -> tuple[str, ...]:
    """Hosts that are named one by one; who is in a host group is not in this report."""
    words = [word for word in re.split(r"[,\s]+", hostlist) if word and word != "NONE"]
    return () if any(word.startswith("@") for word in words) else tuple(short_name(word) for word in words)


def _longest(text: str) -> int | None:
    """The longest of the default and the limits of single hosts or groups, `0:30:0,[node01=1:0:0]`; None if one of them has no limit."""
    values = [_OVERRIDE.sub("", text).strip(", "), *(match.group(2) for match in _OVERRIDE.finditer(text))]
    limits = [parse_limit(value) for value in values if value]
    return None if any(limit is None for limit in limits) else max((limit for limit in limits if limit is not None), default=None)


def _free(instance: Instance) -> int | None:
    if instance.slots is None or instance.used is None:
        return None
    return max(0, instance.slots - instance.used)
