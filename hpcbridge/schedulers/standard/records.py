# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One record of the standard schema into the model: what its fields must be to each other, and the figures a queue leaves open.

Nothing is repaired: a record whose fields contradict each other raises FieldFault and is kept out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpcbridge.model.clusters import Queue
from hpcbridge.model.jobs import Job, JobState, Outcome, Phase, validate_job
from hpcbridge.model.nodes import Availability, Node, validate_node
from hpcbridge.schedulers.findings import JobCounts, jobs_by_queue, total_of
from hpcbridge.schedulers.report import About
from hpcbridge.schedulers.standard.document import Pairs
from hpcbridge.schedulers.standard.fields import ABOUT, JOB, NODE, QUEUE, FieldFault, is_plain_id, read_fields

_NOT_YET = ("started_at", "ended_at", "exit_code", "exit_signal")
_AT_THE_END = ("ended_at", "exit_code", "exit_signal")


def job_from(cluster: str, pairs: Pairs) -> Job:
    """One job. DONE means COMPLETED; every other end must say its outcome."""
    values: dict[str, Any] = read_fields(pairs, JOB, ("job_id", "state"))
    _check_cluster(values, cluster)
    state: JobState = values["state"]
    phase = values.pop("phase", None)
    if phase is not None and phase is not state.phase:
        raise FieldFault("phase", f"{phase} does not fit state {state}")
    if state is JobState.DONE:
        values.setdefault("outcome", Outcome.COMPLETED)
    _check_outcome(state, values)
    _check_parts(state, values)
    _check_time(state, values)
    values["native_state"] = values.get("native_state") or ""
    job = Job(cluster=cluster, **values)
    validate_job(job)
    return job


def _check_outcome(state: JobState, values: Mapping[str, Any]) -> None:
    outcome = values.get("outcome")
    if state.ended and outcome is None:
        raise FieldFault("outcome", "is missing; where it cannot be known the state is UNDETERMINED")
    if outcome is not None and (not state.ended or (state is JobState.DONE) is not (outcome is Outcome.COMPLETED)):
        raise FieldFault("outcome", f"{outcome} does not fit state {state}")
    if values.get("exit_code") is not None and values.get("exit_signal") is not None:
        raise FieldFault("exit_signal", "a job that was killed by a signal has no exit_code")
    if outcome is Outcome.COMPLETED and values.get("exit_code"):
        raise FieldFault("exit_code", "of a job that is DONE can only be 0")
    if outcome is Outcome.COMPLETED and values.get("exit_signal") is not None:
        raise FieldFault("exit_signal", "a job that was killed by a signal is not DONE")


def _check_parts(state: JobState, values: Mapping[str, Any]) -> None:
    """A member has an index; without one it is a range of members that wait together, or that ended before they began."""
    array, index, pending = (values.get(field) for field in ("array_job_id", "array_index", "array_pending"))
    if array is None and (index is not None or pending is not None):
        raise FieldFault("array_job_id", "is missing beside array_index or array_pending")
    if pending is not None and (index is not None or state.phase is not Phase.QUEUE):
        raise FieldFault("array_pending", "is the count of members that wait together: no array_index, and a state of waiting")
    if array is not None and index is None and not (state.ended or state.phase is Phase.QUEUE):
        raise FieldFault("array_index", "is missing; only members that wait have one record together")
    if (values.get("het_job_id") is None) is not (values.get("het_index") is None):
        raise FieldFault("het_index", "stands together with het_job_id")
    if not is_plain_id(values["job_id"]) and (array is None or index is not None):
        raise FieldFault("job_id", "is longer than 128 characters")


def _check_time(state: JobState, values: Mapping[str, Any]) -> None:
    """What did not happen yet has no time and no result: an estimated start is not a start."""
    forbidden = _NOT_YET if state.phase is Phase.QUEUE else _AT_THE_END if state.phase is Phase.RUN else ()
    for field in forbidden:
        if values.get(field) is not None:
            raise FieldFault(field, f"must be null while the job is {state}")
    if state.phase is Phase.QUEUE and values.get("nodes"):
        raise FieldFault("nodes", f"must be empty while the job is {state}")


def node_from(cluster: str, pairs: Pairs) -> Node:
    """One node."""
    values: dict[str, Any] = read_fields(pairs, NODE, ("name", "availability"))
    _check_cluster(values, cluster)
    values["native_state"] = values.get("native_state") or ""
    node = Node(cluster=cluster, **values)
    validate_node(node)
    return node


class QueueFigures:
    """What follows from nodes and jobs for queues that do not say it themselves; nothing where those reports are not there."""

    def __init__(self, *, nodes: Sequence[Node] | None, jobs: Sequence[Job] | None) -> None:
        self._nodes = None if nodes is None else {node.name: node for node in nodes}
        self._jobs = None if jobs is None or any(_stands_nowhere(job) for job in jobs) else jobs_by_queue(jobs)

    def complete(self, name: str, values: dict[str, Any]) -> None:
        """Adds to the values of a queue what is not given."""
        if "nodes" not in values and self._nodes is not None:
            values["nodes"] = tuple(node.name for node in self._nodes.values() if name in node.queues)
        figures = {**self._of_nodes(values.get("nodes", ())), **_of_jobs(self._jobs, name)}
        for field, value in figures.items():
            values.setdefault(field, value)

    def _of_nodes(self, names: Iterable[str]) -> Mapping[str, int | None]:
        members = [] if self._nodes is None else [self._nodes.get(name) for name in names]
        known = [node for node in members if node is not None]
        if not known or len(known) != len(members):
            return {}
        return {
            "cores_total": total_of([node.cores_total for node in known]),
            "cores_used": total_of([node.cores_used for node in known]),
            "cores_available": total_of([_free_cores(node) for node in known]),
            "gpus_total": total_of([node.gpus_total for node in known]),
            "gpus_used": total_of([node.gpus_used for node in known]),
        }


def queue_from(cluster: str, pairs: Pairs, figures: QueueFigures) -> Queue:
    """One queue."""
    values: dict[str, Any] = read_fields(pairs, QUEUE, ("name", "open"))
    _check_cluster(values, cluster)
    figures.complete(values["name"], values)
    return Queue(cluster=cluster, **values)


def about_from(pairs: Pairs) -> About:
    """The scheduler itself. Its times have a zone of their own, always UTC."""
    values: dict[str, Any] = read_fields(pairs, ABOUT, ("name",))
    return About(
        name=values["name"],
        version=values.get("version"),
        cluster_name=values.get("cluster_name"),
        min_job_age_seconds=values.get("min_job_age_seconds"),
        zone="UTC",
        accounting=values.get("accounting"),
    )


def _check_cluster(values: dict[str, Any], cluster: str) -> None:
    given = values.pop("cluster", None)
    if given is not None and given != cluster:
        raise FieldFault("cluster", f"{given!r} is not this cluster, which is {cluster!r}; it may be left out")


def _stands_nowhere(job: Job) -> bool:
    return job.queue is None and job.phase in (Phase.QUEUE, Phase.RUN)


def _of_jobs(jobs: JobCounts | None, name: str) -> Mapping[str, int | None]:
    if jobs is None:
        return {}
    queued, running = jobs.get(name, (0, 0))
    return {"jobs_queued": queued, "jobs_running": running}


def _free_cores(node: Node) -> int | None:
    if node.availability is not Availability.UP:
        return 0
    return None if node.cores_total is None or node.cores_used is None else max(node.cores_total - node.cores_used, 0)
