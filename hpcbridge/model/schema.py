# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The standard schema as JSON: the words of this room under their outside names, in the outside order.

Times become ISO 8601 text with `Z`, what is unknown becomes null, the load average a number. Programs of other people read these
forms, so a name or a meaning here changes only with a new version of the schema.
"""

from __future__ import annotations

from typing import Any

from hpcbridge.model.clusters import ClusterState, Frontend, Queue, SchedulerInfo
from hpcbridge.model.jobs import Job
from hpcbridge.model.nodes import Node
from hpcbridge.model.quantities import Instant, format_instant

Json = dict[str, Any]


def job_as_json(job: Job) -> Json:
    """One job; `phase` is derived from `state`."""
    phase = job.phase
    return {
        "cluster": job.cluster,
        "job_id": job.job_id,
        "incarnation": job.incarnation,
        "array_job_id": job.array_job_id,
        "array_index": job.array_index,
        "array_pending": job.array_pending,
        "het_job_id": job.het_job_id,
        "het_index": job.het_index,
        "state": job.state.value,
        "phase": None if phase is None else phase.value,
        "outcome": None if job.outcome is None else job.outcome.value,
        "native_state": job.native_state,
        "reason": job.reason,
        "owner": job.owner,
        "account": job.account,
        "queue": job.queue,
        "name": job.name,
        "cores": job.cores,
        "gpus": job.gpus,
        "gpu_type": job.gpu_type,
        "memory_bytes": job.memory_bytes,
        "nodes": list(job.nodes),
        "submitted_at": _time(job.submitted_at),
        "started_at": _time(job.started_at),
        "ended_at": _time(job.ended_at),
        "wall_seconds": job.wall_seconds,
        "walltime_limit_seconds": job.walltime_limit_seconds,
        "exit_code": job.exit_code,
        "exit_signal": job.exit_signal,
        "restarts": job.restarts,
    }


def node_as_json(node: Node) -> Json:
    """One node."""
    return {
        "cluster": node.cluster,
        "name": node.name,
        "availability": node.availability.value,
        "native_state": node.native_state,
        "reason": node.reason,
        "queues": list(node.queues),
        "cores_total": node.cores_total,
        "cores_used": node.cores_used,
        "gpus_total": node.gpus_total,
        "gpus_used": node.gpus_used,
        "gpu_type": node.gpu_type,
        "memory_bytes_total": node.memory_bytes_total,
        "memory_bytes_used": node.memory_bytes_used,
    }


def queue_as_json(queue: Queue) -> Json:
    """One queue; `max_walltime_seconds` null means that there is no limit."""
    return {
        "cluster": queue.cluster,
        "name": queue.name,
        "open": queue.open,
        "nodes": list(queue.nodes),
        "cores_total": queue.cores_total,
        "cores_used": queue.cores_used,
        "cores_available": queue.cores_available,
        "gpus_total": queue.gpus_total,
        "gpus_used": queue.gpus_used,
        "jobs_queued": queue.jobs_queued,
        "jobs_running": queue.jobs_running,
        "max_cores": queue.max_cores,
        "max_walltime_seconds": queue.max_walltime_seconds,
    }


def cluster_state_as_json(state: ClusterState) -> Json:
    """One sample of a cluster with its queues; `utilization` in basis points."""
    return {
        "cluster": state.cluster,
        "observed_at": format_instant(state.observed_at),
        "queues": [queue_as_json(queue) for queue in state.queues],
        "nodes_total": state.nodes_total,
        "nodes_up": state.nodes_up,
        "cores_total": state.cores_total,
        "cores_used": state.cores_used,
        "utilization": state.utilization,
        "scheduler": _scheduler(state.scheduler),
        "frontend": _frontend(state.frontend),
    }


def _scheduler(scheduler: SchedulerInfo | None) -> Json | None:
    if scheduler is None:
        return None
    return {"name": scheduler.name, "version": scheduler.version, "reachable": scheduler.reachable}


def _frontend(frontend: Frontend | None) -> Json | None:
    if frontend is None:
        return None
    load = frontend.load_hundredths
    return {"load": None if load is None else load / 100, "memory_used_bytes": frontend.memory_used_bytes}


def _time(instant: Instant | None) -> str | None:
    return None if instant is None else format_instant(instant)
