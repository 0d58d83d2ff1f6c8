# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Reports of a large TORQUE 6.1 cluster, made up in the form of the recordings: a third of the jobs runs, the rest waits or has ended."""

from __future__ import annotations

from collections.abc import Mapping

_SERVER = "head1.cluster.local"
_BEGAN = 1_795_000_000
_SLOTS = 64
_VARIABLES = ",".join(f"PBS_O_{name}=/home/alice/{name.lower()}" for name in ("HOME", "PATH", "WORKDIR", "SHELL", "HOST", "QUEUE")) + (
    ",LD_LIBRARY_PATH=" + ":".join(f"/opt/site/software/lib{number}" for number in range(24))
)


def reports(jobs: int, nodes: int) -> Mapping[str, bytes]:
    """What the queries print, by query."""
    slots: dict[int, list[str]] = {node: [] for node in range(nodes)}
    free = dict.fromkeys(range(nodes), 0)
    records = [_job(number, nodes, slots, free) for number in range(jobs)]
    return {
        "about": f"Server: {_SERVER}\n    server_state = Active\n    pbs_version = 6.1.3\n    keep_completed = 300\n\n".encode(),
        "jobs": ('<?xml version="1.0"?>\n<Data>' + "".join(records) + "</Data>\n").encode(),
        "nodes": ("<Data>" + "".join(_node(node, slots[node]) for node in range(nodes)) + "</Data>\n").encode(),
        "queues": b"".join(_queue(name) for name in (b"batch", b"short", b"gpu")),
    }


def _job(number: int, nodes: int, slots: dict[int, list[str]], free: dict[int, int]) -> str:
    letter = "RQC"[number % 3]
    wanted = 1 + number % 8
    host = number % nodes
    start = free[host]
    placed = letter == "R" and start + wanted <= _SLOTS
    if letter == "R" and not placed:
        letter = "Q"
    if placed:
        free[host] = start + wanted
        slots[host].append(f"{start}-{start + wanted - 1}/{number}.{_SERVER}")
    where = f"<exec_host>node{host:04}/{start}-{start + wanted - 1}</exec_host>" if letter != "Q" else ""
    used = (
        f"<resources_used><cput>00:{number % 60:02}:00</cput><energy_used>0</energy_used><mem>6780kb</mem><vmem>11640kb</vmem>"
        f"<walltime>01:{number % 60:02}:27</walltime></resources_used>"
    )
    began = f"<start_time>{_BEGAN + number}</start_time><start_count>1</start_count>"
    ended = f"<exit_status>{(0, 1, 271, -11)[number % 4]}</exit_status><comp_time>{_BEGAN + number + 5247}</comp_time>"
    return (
        f"<Job><Job_Id>{number}.{_SERVER}</Job_Id><Job_Name>run{number % 500}</Job_Name>"
        f"<Job_Owner>user{number % 300:03}@{_SERVER}</Job_Owner>"
        f"{'' if letter == 'Q' else used}<job_state>{letter}</job_state><queue>{('batch', 'short', 'gpu')[number % 3]}</queue>"
        f"<server>{_SERVER}</server><Account_Name>project{number % 40}</Account_Name><Checkpoint>u</Checkpoint>"
        f"<ctime>{_BEGAN + number}</ctime>"
        f"<Error_Path>{_SERVER}:/home/alice/run.e{number}</Error_Path>{where}<Hold_Types>n</Hold_Types><Join_Path>n</Join_Path>"
        f"<Keep_Files>n</Keep_Files><Mail_Points>a</Mail_Points><mtime>{_BEGAN + number + 60}</mtime>"
        f"<Output_Path>{_SERVER}:/home/alice/run.o{number}</Output_Path><Priority>0</Priority><qtime>{_BEGAN + number}</qtime>"
        f"<Rerunable>True</Rerunable><Resource_List><nodes>1:ppn={wanted}</nodes><walltime>{number % 72 + 1:02}:00:00</walltime>"
        f"<mem>{wanted * 2}gb</mem><nodect>1</nodect></Resource_List><session_id>{number % 30000}</session_id>"
        f"<Variable_List>{_VARIABLES}</Variable_List><euser>user{number % 300:03}</euser><egroup>users</egroup><queue_type>E</queue_type>"
        f"<comment>{'Not Running: Not enough of the right type of nodes are available' if letter == 'Q' else 'Job started'}</comment>"
        f"<etime>{_BEGAN + number}</etime>{ended if letter == 'C' else ''}<submit_args>-N run -l nodes=1:ppn={wanted}</submit_args>"
        f"{'' if letter == 'Q' else began}<fault_tolerant>False</fault_tolerant><job_radix>0</job_radix>"
        f"<submit_host>{_SERVER}</submit_host>"
        f"<init_work_dir>/home/alice</init_work_dir><request_version>1</request_version></Job>"
    )


def _node(node: int, slots: list[str]) -> str:
    sessions = " ".join(str(2000 + number) for number in range(60))
    jobs = f"<jobs>{','.join(slots)}</jobs>" if slots else ""
    return (
        f"<Node><name>node{node:04}</name><state>free</state><power_state>Running</power_state><np>{_SLOTS}</np><properties>ib</properties>"
        f"<ntype>cluster</ntype>{jobs}<status>opsys=linux,uname=Linux node{node:04} 6.1.0 x86_64,sessions={sessions},nsessions=60,"
        f"nusers=5,idletime=202309,totmem=264684084kb,availmem=221876744kb,physmem=264684084kb,ncpus={_SLOTS},loadave=1.58,state=free</status>"
        "<mom_service_port>15002</mom_service_port><mom_manager_port>15003</mom_manager_port></Node>"
    )


def _queue(name: bytes) -> bytes:
    return (
        b"Queue: " + name + b"\n    queue_type = Execution\n    total_jobs = 3\n"
        b"    state_count = Transit:0 Queued:1 Held:1 Waiting:0 Running:1 Exiting:0 Co\n\tmplete:0 \n"
        b"    resources_max.walltime = 168:00:00\n    enabled = True\n    started = True\n\n"
    )
