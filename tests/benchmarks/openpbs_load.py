# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What OpenPBS's commands print on a large cluster: reports of any size, in the layout that was recorded (tests/recorded/openpbs/)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_SERVER = "pbs01"
_TAKEN_AT = 1_795_345_666
_HEAD = f'{{\n    "timestamp":{_TAKEN_AT},\n    "pbs_version":"23.06.06",\n    "pbs_server":"{_SERVER}"'
_QUEUES = ("workq", "short", "gpu")
_CORES = 64


def reports(jobs: int, nodes: int) -> Mapping[str, bytes]:
    """Standard output of about, jobs, nodes and queues: three of four jobs run, the others wait, are held or are members of arrays."""
    return {
        "about": _document("Server", [_server()]),
        "jobs": _document("Jobs", _jobs(jobs, nodes)),
        "nodes": _document("nodes", (_node(number) for number in range(nodes))),
        "queues": _document("Queue", (_queue(name) for name in _QUEUES)),
    }


def _document(section: str, records: Iterator[str] | list[str]) -> bytes:
    body = ",\n".join(records)
    return f'{_HEAD},\n    "{section}":{{\n{body}\n    }}\n}}\n'.encode()


def _jobs(jobs: int, nodes: int) -> Iterator[str]:
    for number in range(jobs):
        if number % 50 == 7:
            yield _job(f"{number}[{number % 9}]", number, nodes, state="R", array=number)
        else:
            yield _job(str(number), number, nodes, state="RRRQRRRH"[number % 8])


def _job(job_id: str, number: int, nodes: int, *, state: str, array: int | None = None) -> str:
    owner = f"user{number % 300:03d}"
    cores = 1 << number % 5
    running = state == "R"
    held = [f"cn{number % nodes:04d}", f"cn{(number * 7 + 1) % nodes:04d}"][: 1 + (number % 3 == 0)]
    vnodes = "+".join(f"({name}:ncpus={cores})" for name in held)
    created, started = _clock(number), _clock(number + 900)
    used = (
        '            "resources_used":{\n                "cpupercent":97,\n'
        f'                "cput":"{number % 90:02d}:11:07",\n                "mem":"{6000 + number}kb",\n                "ncpus":{cores},\n'
        f'                "vmem":"{10380 + number}kb",\n                "walltime":"{number % 48:02d}:40:31"\n            }},\n'
    )
    hosts = "+".join(f"{name}/{number % 8}*{cores}" for name in held)
    member = f'            "array_id":"{array}[].{_SERVER}",\n            "array_index":{number % 9},\n'
    variables = ",\n".join(f'                "{key}":"{value.format(owner=owner)}"' for key, value in _VARIABLES)
    return (
        f'        "{job_id}.{_SERVER}":{{\n            "Job_Name":"run_{number % 1000}",\n'
        f'            "Job_Owner":"{owner}@{_SERVER}.cluster.local",\n{used if running else ""}'
        f'            "job_state":"{state}",\n            "queue":"{_QUEUES[number % 3]}",\n            "server":"{_SERVER}",\n'
        f'            "Account_Name":"project-{number % 40}",\n            "Checkpoint":"u",\n            "ctime":"{created}",\n'
        f'            "Error_Path":"{_SERVER}.cluster.local:/home/{owner}/runs/run.e{number}",\n'
        + (f'            "exec_host":"{hosts}",\n            "exec_vnode":"{vnodes}",\n' if running else "")
        + f'            "Hold_Types":"{"u" if state == "H" else "n"}",\n            "Join_Path":"n",\n            "Keep_Files":"n",\n'
        f'            "Mail_Points":"a",\n            "mtime":"{started if running else created}",\n'
        f'            "Output_Path":"{_SERVER}.cluster.local:/home/{owner}/runs/run.o{number}",\n            "Priority":0,\n'
        f'            "qtime":"{created}",\n            "Rerunable":"True",\n            "Resource_List":{{\n'
        f'                "mem":"{2 * cores}gb",\n                "ncpus":{cores * len(held)},\n                "nodect":{len(held)},\n'
        f'                "place":"free",\n                "select":"{len(held)}:ncpus={cores}:mem=2gb",\n'
        f'                "walltime":"{1 + number % 72}:00:00"\n            }},\n'
        + (f'            "stime":"{started}",\n            "session_id":{2000 + number},\n' if running else "")
        + f'            "jobdir":"/home/{owner}",\n            "substate":{42 if running else 10},\n'
        f'            "Variable_List":{{\n{variables}\n            }},\n'
        f'            "comment":"Job run at Sun Nov 22 at 11:07 on {vnodes}",\n            "etime":"{created}",\n'
        '            "run_count":1,\n'
        f'            "Submit_arguments":"-N run_{number % 1000} -A project-{number % 40} job.sh",\n{member if array is not None else ""}'
        f'            "project":"_pbs_project_default",\n            "Submit_Host":"{_SERVER}.cluster.local"\n        }}'
    )


_VARIABLES = (
    ("PBS_O_HOME", "/home/{owner}"),
    ("PBS_O_LANG", "C.UTF-8"),
    ("PBS_O_LOGNAME", "{owner}"),
    ("PBS_O_PATH", "/usr/local/bin:/usr/bin:/bin:/opt/pbs/bin:/home/{owner}/.local/bin"),
    ("PBS_O_SHELL", "/bin/bash"),
    ("PBS_O_TZ", "UTC"),
    ("PBS_O_WORKDIR", "/home/{owner}/runs"),
    ("PBS_O_SYSTEM", "Linux"),
    ("OMP_NUM_THREADS", "4"),
    ("MODULEPATH", "/opt/modules/core:/opt/modules/compilers:/opt/modules/mpi:/home/{owner}/modules"),
    ("LD_LIBRARY_PATH", "/opt/openmpi/4.1/lib:/opt/gcc/13/lib64:/usr/local/cuda/lib64"),
    ("CONDA_PREFIX", "/home/{owner}/conda/envs/analysis"),
    ("PBS_O_QUEUE", "workq"),
    ("PBS_O_HOST", "pbs01.cluster.local"),
)


def _clock(number: int) -> str:
    seconds = number % 36_000
    return f"Sun Nov 22 {seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d} 2026"


def _node(number: int) -> str:
    name = f"cn{number:04d}"
    state = "down" if number % 97 == 5 else "offline" if number % 101 == 3 else "job-busy" if number % 3 else "free"
    return (
        f'        "{name}":{{\n            "Mom":"{name}.cluster.local",\n            "ntype":"PBS",\n            "state":"{state}",\n'
        f'            "pcpus":{_CORES},\n            "jobs":[\n                "{number}.{_SERVER}",\n'
        f'                "{number + 1}.{_SERVER}"\n'
        f'            ],\n            "resources_available":{{\n                "arch":"linux",\n                "host":"{name}",\n'
        f'                "mem":"256gb",\n                "ncpus":{_CORES},\n                "ngpus":{4 * (number % 4 == 0)},\n'
        f'                "vnode":"{name}"\n            }},\n            "resources_assigned":{{\n'
        f'                "mem":"{number % 64}gb",\n'
        f'                "ncpus":{number % _CORES or 1}\n            }},\n            "resv_enable":"True",\n'
        f'            "sharing":"default_shared",\n            "license":"l",\n            "last_state_change_time":{_TAKEN_AT - number}\n'
        "        }"
    )


def _queue(name: str) -> str:
    return (
        f'        "{name}":{{\n            "queue_type":"Execution",\n            "total_jobs":7000,\n            "resources_max":{{\n'
        '                "walltime":"168:00:00"\n            },\n            "enabled":"True",\n            "started":"True"\n        }'
    )


def _server() -> str:
    return (
        f'        "{_SERVER}":{{\n            "server_state":"Active",\n            "job_history_enable":"True",\n'
        '            "pbs_version":"23.06.06"\n        }'
    )
