# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Reports of a large Grid Engine cluster, made up in the form of the recorded ones: `qstat -f -r -xml`, `qhost -q -xml`, `qconf -sq`.

Two of three jobs run, every tenth of those as a parallel job on four hosts; one in fifty is an array with members running and waiting.
"""

from __future__ import annotations

from collections.abc import Mapping

_QUEUES = ("all.q", "gpu.q")
_HEAD = "<?xml version='1.0'?>\n"


def reports(jobs: int, nodes: int) -> Mapping[str, bytes]:
    """What the scripts would print for so many jobs on so many nodes, by query."""
    hosts = [f"n{number:05d}.cluster.local" for number in range(1, nodes + 1)]
    places: dict[tuple[str, str], list[str]] = {(queue, host): [] for host in hosts for queue in _QUEUES}
    used = dict.fromkeys(places, 0)
    waiting: list[str] = []
    for number in range(1, jobs + 1):
        array = number % 50 == 0
        if number % 3 == 0:
            waiting.append(_job(number, "pending", tasks="5-100:1" if array else None))
            continue
        queue, width = _QUEUES[number % 2], 4 if number % 10 == 1 else 1
        for step in range(width):
            place = queue, hosts[(number + step * 7) % nodes]
            places[place].append(_job(number, "running", tasks="3" if array else None, slots=4, total=4 * width))
            used[place] += 4
    return {
        "jobs": _qstat(places, waiting).encode(),
        "nodes": _qhost(hosts, used).encode(),
        "queues": "".join(_queue(name) for name in _QUEUES).encode(),
    }


def _job(number: int, word: str, *, tasks: str | None, slots: int = 4, total: int = 4) -> str:
    running = word == "running"
    moment = f"2026-11-{10 + number % 12:02d}T{number % 24:02d}:{number % 60:02d}:{number % 59:02d}"
    time_field = "JAT_start_time" if running else "JB_submission_time"
    granted = f'        <granted_pe name="mpi">{total}</granted_pe>\n' if running else ""
    gpus = '        <hard_request name="gpu" resource_contribution="0.000000">1</hard_request>\n' if number % 20 == 1 else ""
    return (
        f'      <job_list state="{word}">\n        <JB_job_number>{number}</JB_job_number>\n'
        f"        <JAT_prio>0.{30000 + number % 20000}</JAT_prio>\n        <JB_name>run_{number}</JB_name>\n"
        f"        <JB_owner>user{number % 300:03d}</JB_owner>\n        <state>{'r' if running else 'qw'}</state>\n"
        f"        <{time_field}>{moment}</{time_field}>\n        <slots>{slots}</slots>\n"
        + (f"        <tasks>{tasks}</tasks>\n" if tasks else "")
        + f"        <full_job_name>run_{number}</full_job_name>\n"
        f'        <requested_pe name="mpi">{total}</requested_pe>\n{granted}{gpus}'
        f'        <hard_request name="h_rt" resource_contribution="0.000000">{600 * (1 + number % 90)}</hard_request>\n'
        '        <hard_request name="h_vmem" resource_contribution="0.000000">2G</hard_request>\n'
        "        <binding>NONE</binding>\n      </job_list>\n"
    )


def _qstat(places: Mapping[tuple[str, str], list[str]], waiting: list[str]) -> str:
    parts = [_HEAD, '<job_info  xmlns:xsd="http://arc.liv.ac.uk/qstat.xsd">\n  <queue_info>\n']
    for (queue, host), listed in places.items():
        parts.append(
            f"    <Queue-List>\n      <name>{queue}@{host}</name>\n      <qtype>BIP</qtype>\n"
            f"      <slots_used>{4 * len(listed)}</slots_used>\n      <slots_resv>0</slots_resv>\n"
            "      <slots_total>64</slots_total>\n      <load_avg>4.66748</load_avg>\n      <arch>lx-amd64</arch>\n"
        )
        parts.extend(listed)
        parts.append("    </Queue-List>\n")
    parts.append("  </queue_info>\n  <job_info>\n")
    parts.extend(waiting)
    parts.append("  </job_info>\n</job_info>\n")
    return "".join(parts)


def _qhost(hosts: list[str], used: Mapping[tuple[str, str], int]) -> str:
    parts = [_HEAD, '<qhost xmlns:xsd="http://arc.liv.ac.uk/qhost.xsd">\n', _host("global", "-"), " </host>\n"]
    for host in hosts:
        parts.append(_host(host, "4.67"))
        for queue in _QUEUES:
            values = {"qtype_string": "BIP", "slots_used": str(used[queue, host]), "slots": "64", "slots_resv": "0", "state_string": ""}
            lines = "".join(f"   <queuevalue qname='{queue}' name='{key}'>{value}</queuevalue>\n" for key, value in values.items())
            parts.append(f" <queue name='{queue}'>\n{lines} </queue>\n")
        parts.append(" </host>\n")
    parts.append("</qhost>\n")
    return "".join(parts)


def _host(name: str, load: str) -> str:
    values = {"arch_string": "lx-amd64", "num_proc": "64", "load_avg": load, "mem_total": "251.5G", "mem_used": "11.2G"}
    lines = "".join(f"   <hostvalue name='{key}'>{value}</hostvalue>\n" for key, value in values.items())
    return f" <host name='{name}'>\n{lines}"


def _queue(name: str) -> str:
    values = {
        "qname": name, "hostlist": "@allhosts", "pe_list": "mpi", "slots": "64", "initial_state": "default",
        "h_rt": "168:00:00", "h_vmem": "INFINITY",
    }  # fmt: skip
    return "".join(f"{key:<21} {value}\n" for key, value in values.items())
