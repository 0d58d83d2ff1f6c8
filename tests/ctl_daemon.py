# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What a daemon answers on its control socket, for tests of the command line's screens, and a configuration that points there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hpcbridge.model.clusters import Queue
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.nodes import Availability, Node
from hpcbridge.model.quantities import format_instant
from hpcbridge.model.schema import job_as_json, node_as_json, queue_as_json

AT = 1_795_349_592_000
HOSTILE = "\x1b[2Jrm -rf | \u202eevil\n57 RUNNING root"

EXAMPLES = (
    Job(cluster="c1", job_id="57714", incarnation=1, state=JobState.RUNNING, native_state="RUNNING", owner="alice", account="physics",
        queue="batch", name="wrf_forecast_2026", cores=128, gpus=0, nodes=("n001", "n002", "n003", "n004"), submitted_at=AT,
        started_at=AT + 60_000, wall_seconds=3671, walltime_limit_seconds=86_400, memory_bytes=256 << 30, restarts=0),
    Job(cluster="c1", job_id="57720_[]", incarnation=1, array_job_id="57720", array_pending=98, state=JobState.QUEUED, owner="bob",
        native_state="PENDING", reason="Resources", queue="gpu", name="sweep", cores=8, gpus=1, gpu_type="a100", submitted_at=AT),
    Job(cluster="c1", job_id="57690", incarnation=1, state=JobState.FAILED, outcome=Outcome.TIMEOUT, native_state="TIMEOUT",
        owner="carol", queue="long", name="a very long job name that somebody typed because there is no limit that would stop anybody",
        cores=4, gpus=0, nodes=("n009",), submitted_at=AT, started_at=AT + 5000, ended_at=AT + 95_000, wall_seconds=90, exit_code=0,
        exit_signal=15),
    Job(cluster="c1", job_id="57691", incarnation=2, state=JobState.DONE, outcome=Outcome.COMPLETED, native_state="COMPLETED",
        owner="dave", queue="batch", name="ok", cores=1, gpus=0, nodes=("n001",), submitted_at=AT, wall_seconds=7, exit_code=0),
)  # fmt: skip
JOBS: list[dict[str, Any]] = [{**job_as_json(job), "published": True} for job in EXAMPLES]
JOBS.append({**JOBS[-1], "job_id": "57692", "name": HOSTILE, "owner": "eve\x9b31m", "published": False})

NODES = [
    node_as_json(Node(cluster="c1", name="n001", availability=Availability.UP, native_state="MIXED", queues=("batch", "long"),
                      cores_total=64, cores_used=33, gpus_total=0, gpus_used=0, memory_bytes_total=256 << 30,
                      memory_bytes_used=100 << 30)),
    node_as_json(Node(cluster="c1", name="gpu01", availability=Availability.DRAINING, native_state="DRAIN", reason="fan 3 is loud",
                      queues=("gpu",), cores_total=64, cores_used=8, gpus_total=8, gpus_used=8, gpu_type="a100")),
]  # fmt: skip
QUEUES = [
    queue_as_json(Queue(cluster="c1", name="batch", open=True, nodes=("n001", "n002"), cores_total=128, cores_used=33, cores_available=95,
                        gpus_total=0, gpus_used=0, jobs_queued=12, jobs_running=3, max_cores=64, max_walltime_seconds=172_800)),
    queue_as_json(Queue(cluster="c1", name="closed", open=False)),
]  # fmt: skip

QUARANTINE = [
    {"epoch": "ab" * 16, "sequence": 7, "payload_type": "application/vnd.hpcbridge.jobchanges.v1+protobuf", "items": 64,
     "made_at": format_instant(AT), "reason": "MALFORMED_HEADER: too long", "payload": "AA=="},
]  # fmt: skip
REFUSED = [
    {"payload_type": "application/vnd.hpcbridge.jobchanges.v1+protobuf", "code": "ILLEGAL_TRANSITION", "reason": "ended already",
     "index": 912, "at": format_instant(AT)},
]  # fmt: skip
SPOOL = {
    "waiting": 3, "in_flight": 1, "acknowledged": 18_231, "quarantined": 0, "refused": 0, "bytes": 5_400_000,
    "quota_bytes": 1 << 30, "oldest_waiting_at": None, "disk_free_bytes": 1 << 36,
}  # fmt: skip


def status(now: int) -> dict[str, Any]:
    """A daemon that is all right at `now`."""
    recently = format_instant(now - 5000)
    query = {"last_report_at": recently, "last_duration_ms": 120, "records": 4, "problems": 0, "last_error": None}
    worker = {"healthy": True, "last_run_at": recently, "failures": 0, "last_error": None}
    return {
        "agent": {"version": "0.1.0", "started_at": format_instant(now - 11_000_000), "submitter": "acme/c1", "origin": "net.example",
                  "cluster": "c1", "publish": "tenants"},
        "ledger": {"connected": True, "address": "ledger.example:7443", "last_receipt_at": recently, "epoch": "ab" * 16,
                   "next_sequence": 912, "checkpoint_size": 12_345, "certificate_expires_at": format_instant(now + 40_000_000),
                   "last_error": None},
        "scheduler": {"name": "slurm", "version": "22.05.8", "reachable": True,
                      "queries": [{"name": name, **query} for name in ("jobs", "nodes", "queues")]},
        "workers": [{"name": name, **worker} for name in ("jobs", "nodes", "queues", "vitals", "sender")],
        "spool": dict(SPOOL),
    }  # fmt: skip


def handlers(now: Callable[[], int]) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
    """Commands of the control socket."""
    return {
        "status": lambda _: status(now()),
        "jobs": lambda _: {"jobs": JOBS, "observed_at": format_instant(AT)},
        "job": lambda asked: {"jobs": [job for job in JOBS if job["job_id"] == asked["job_id"]]},
        "nodes": lambda _: {"nodes": NODES, "observed_at": format_instant(AT)},
        "queues": lambda _: {"queues": QUEUES, "observed_at": format_instant(AT)},
        "spool": lambda _: SPOOL,
        "quarantine": lambda _: {"payloads": QUARANTINE, "refused": REFUSED},
        "flush": lambda _: {},
        "add": lambda _: {},
    }


def write_config(directory: Path, socket: Path) -> Path:
    """A configuration file that names the socket."""
    file = directory / "hpcbridged.toml"
    file.write_text(
        f'state_directory = "{directory}/state"\n[cluster]\nname = "c1"\nlogin_address = "l"\n'
        f'[scheduler]\nname = "slurm"\n[control]\nsocket = "{socket}"\n'
    )
    return file
