# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl jobs`: what the daemon sees here, or, with --cluster, what the ledger has on record."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import click

from hpcbridge.ctl.context import Context, output_option, pass_context
from hpcbridge.ctl.names import jobs_here, listed
from hpcbridge.ctl.output import (
    NOTHING,
    Column,
    clock,
    moment_of_text,
    natural,
    note,
    pause,
    print_facts,
    print_json,
    print_json_line,
    print_line,
    print_table,
    size,
)
from hpcbridge.ctl.watch import watch_option
from hpcbridge.ctl.ways import DaemonWay
from hpcbridge.errors import CertificateExpired, LedgerUnavailable, Refused
from hpcbridge.model.entries import EventType
from hpcbridge.model.jobs import Job
from hpcbridge.model.schema import job_as_json
from hpcbridge.model.transactions import JobWatch
from hpcbridge.wire.client import LedgerClient
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.queries import event_types, get_job, list_jobs, read_event

Json = dict[str, Any]
_POLL_SECONDS = 2.0
_AGAIN_SECONDS = 2.0
_PATIENT_POLLS = 60
_MAX_ID = 24
_COLUMNS = (
    Column(title="JOB", names="job"),
    Column(title="STATE", coloured=True),
    Column(title="OUTCOME", coloured=True),
    Column(title="OWNER", shrink=True),
    Column(title="QUEUE", shrink=True),
    Column(title="CORES", right=True),
    Column(title="GPUS", right=True, optional=True),
    Column(title="NODES", shrink=True),
    Column(title="SUBMITTED (UTC)", optional=True),
    Column(title="WALL", right=True, optional=True),
    Column(title="NAME", shrink=True),
)

_cluster_option = click.option(
    "--cluster",
    metavar="NAME",
    shell_complete=listed("cluster"),
    help="Ask the ledger about this cluster instead of the daemon on this machine.",
)


@click.group(short_help="Jobs here, or as the ledger has them.")
def jobs() -> None:
    """Jobs: as the daemon on this machine sees them, or with --cluster as the ledger has them on record."""


@jobs.command(name="list")
@_cluster_option
@click.option("--open", "open_only", is_flag=True, help="Leave out jobs that have ended.")
@click.option("--owner", metavar="NAME", help="Only jobs of this owner.")
@watch_option
@output_option
@pass_context
def list_command(context: Context, cluster: str | None, *, open_only: bool, owner: str | None) -> None:
    """List jobs."""
    found = _listed(context, cluster, open_only=open_only)
    records = [job for job in found if (owner is None or job["owner"] == owner) and not (open_only and job["phase"] == "END")]
    if context.json:
        print_json({"jobs": records})
    else:
        print_table(_COLUMNS, (_row(job) for job in sorted(records, key=lambda job: natural(job["job_id"]))), empty="No jobs.")


@jobs.command(short_help="Show everything known about a job.")
@click.argument("job_id", metavar="ID", shell_complete=jobs_here)
@_cluster_option
@watch_option
@output_option
@pass_context
def show(context: Context, job_id: str, cluster: str | None) -> None:
    """Show everything known about a job; all its runs, where the scheduler has used the id again."""
    records = _found(context, job_id, cluster)
    if context.json:
        print_json({"jobs": records})
        return
    for place, job in enumerate(records):
        if place:
            print_line("")
        print_facts(_details(job), title=f"Job {job['job_id']} on {job['cluster']}")


@jobs.command(short_help="Follow a job until it has ended.")
@click.argument("job_id", metavar="ID", shell_complete=jobs_here)
@_cluster_option
@output_option
@pass_context
def watch(context: Context, job_id: str, cluster: str | None) -> None:
    """Follow a job until it has ended; one line for each change. Ctrl-C stops watching, not the job.

    With the id of an array, all its members are followed.
    """
    last: dict[str, Json] = {}
    follow = _followed_by_daemon(context, job_id) if cluster is None else _followed_by_ledger(context, job_id, cluster)
    for records in follow:
        for job in records:
            if _is_news(job, last.get(job["job_id"])):
                _print_change(context, job)
            last[job["job_id"]] = job
        if all(job["phase"] == "END" for job in records):
            return


@jobs.command(short_help="Have a job followed and published.")
@click.argument("job_id", metavar="ID", shell_complete=jobs_here)
@_cluster_option
@output_option
@pass_context
def add(context: Context, job_id: str, cluster: str | None) -> None:
    """Have a job followed and published even if its owner is no tenant.

    Tells the daemon on this machine (as root); with --cluster, asks that cluster's provider through the ledger.
    """
    if cluster is None:
        answer = context.control("add", {"job_id": job_id})
    else:
        submitted = context.way().submit(JobWatch(cluster=cluster, job_id=job_id))
        submitted.check_accepted()
        answer = {"entry": submitted.index}
    if context.json:
        print_json(answer)
    else:
        note(f"job {job_id} is followed from now on; see: hpcbridgectl jobs watch {job_id}" + (f" --cluster {cluster}" if cluster else ""))


def _listed(context: Context, cluster: str | None, *, open_only: bool) -> list[Json]:
    if cluster is not None:
        return [job_as_json(job) for job in list_jobs(context.way().call, cluster, open_only=open_only)]
    answer: list[Json] = context.control("jobs")["jobs"]
    return answer


def _found(context: Context, job_id: str, cluster: str | None) -> list[Json]:
    if cluster is not None:
        name, _, incarnation = job_id.partition("#")
        number = int(incarnation) if incarnation.isdecimal() else 0
        return [job_as_json(get_job(context.way().call, cluster, name, incarnation=number))]
    records: list[Json] = context.control("job", {"job_id": job_id})["jobs"]
    if not records:
        raise Refused("NOT_FOUND", f"the daemon sees no job {job_id}", hint="hpcbridgectl jobs list shows the ones it sees")
    return records


def _followed_by_daemon(context: Context, job_id: str) -> Iterator[list[Json]]:
    """What the scheduler says; for a job that has left it, what the ledger has on record."""
    here = _found(context, job_id, None)
    yield here
    for polls in itertools.count():
        pause(_POLL_SECONDS)
        now = {job["job_id"]: job for job in context.control("job", {"job_id": job_id})["jobs"]}
        gone = [job for job in here if job["job_id"] not in now and job["phase"] != "END" and job["array_pending"] is None]
        here = [*now.values(), *(_recorded(context, job, patient=polls < _PATIENT_POLLS) for job in gone)]
        yield here


def _recorded(context: Context, job: Json, *, patient: bool) -> Json:
    """The ledger's record of a job that the scheduler no longer shows; its end may take a poll or two to get there."""
    record = job_as_json(get_job(DaemonWay(context.control).call, job["cluster"], job["job_id"])) if job.get("published") else job
    if record["phase"] == "END" or patient:
        return {**job, **record}
    raise Refused(
        "NOT_FOUND",
        f"job {job['job_id']} has left the scheduler, and how it ended is not known yet",
        hint=f"look again later: hpcbridgectl jobs show {job['job_id']} --cluster {job['cluster']}",
    )


def _followed_by_ledger(context: Context, job_id: str, cluster: str) -> Iterator[list[Json]]:
    """The record, then each event about it; mends a broken stream from the last cursor."""
    client = context.ledger_client()
    cursor = "now"
    while True:
        try:
            with _job_events(client, cursor) as events:
                if cursor == "now":
                    yield [job_as_json(get_job(client.call, cluster, job_id))]
                for reply in events:
                    if reply.WhichOneof("reply") != "event":
                        continue
                    event = read_event(reply.event)
                    cursor = event.cursor
                    if isinstance(event.body, Job) and (event.body.cluster, event.body.job_id) == (cluster, job_id):
                        yield [job_as_json(event.body)]
        except (LedgerUnavailable, CertificateExpired) as error:
            note(f"note: {error}; trying again")
        pause(_AGAIN_SECONDS)
        context.refresh_client()


def _job_events(client: LedgerClient, cursor: str) -> Any:
    return client.subscribe(ledger_pb2.SubscribeRequest(cursor=cursor, types=event_types((EventType.JOB_CHANGED,))))


def _is_news(job: Json, last: Json | None) -> bool:
    return last is None or any(job[field] != last[field] for field in job if field not in ("wall_seconds", "published"))


def _print_change(context: Context, job: Json) -> None:
    if context.json:
        print_json_line(job)
        return
    told = [
        job["state"] + (f" {job['outcome']}" if job["outcome"] else ""),
        f"on {', '.join(job['nodes'][:4])}{'…' if len(job['nodes']) > 4 else ''}" if job["nodes"] else "",
        f"reason {job['reason']}" if job["reason"] and job["phase"] != "END" else "",
        f"exit code {job['exit_code']}" if job["exit_code"] is not None else "",
        f"signal {job['exit_signal']}" if job["exit_signal"] is not None else "",
    ]
    when = job["ended_at"] or job["started_at"] or job["submitted_at"]
    print_line(f"{moment_of_text(when)}  {job['job_id']:<10}  {job['phase'] or NOTHING:5}  {', '.join(part for part in told if part)}")


def _row(job: Json) -> tuple[Any, ...]:
    nodes = job["nodes"]
    return (
        _short_id(job["job_id"]),
        job["state"],
        job["outcome"],
        job["owner"],
        job["queue"],
        job["cores"],
        job["gpus"],
        nodes[0] if len(nodes) == 1 else f"{nodes[0]} +{len(nodes) - 1}" if nodes else NOTHING,
        moment_of_text(job["submitted_at"]),
        clock(job["wall_seconds"]),
        job["name"],
    )


def _short_id(job_id: str) -> str:
    """A pending range may list thousands of members; `jobs show` has it whole."""
    return job_id if len(job_id) <= _MAX_ID else f"{job_id[: _MAX_ID - 2]}…]"


def _details(job: Json) -> list[tuple[str, Any]]:
    gpus = f"{job['gpus']} {job['gpu_type'] or ''}".strip() if job["gpus"] else job["gpus"]
    array = f"member {job['array_index']} of {job['array_job_id']}" if job["array_job_id"] else None
    if job["array_pending"] is not None:
        array = f"{job['array_pending']} members of {job['array_job_id']} wait"
    facts = [
        ("state", f"{job['state']} ({job['native_state']})" if job["native_state"] else job["state"]),
        ("outcome", job["outcome"]),
        ("reason", job["reason"]),
        ("name", job["name"]),
        ("owner", job["owner"]),
        ("account", job["account"]),
        ("queue", job["queue"]),
        ("run", job["incarnation"]),
        ("array", array),
        ("component", f"{job['het_index']} of {job['het_job_id']}" if job["het_job_id"] else None),
        ("cores", job["cores"]),
        ("gpus", gpus),
        ("memory", size(job["memory_bytes"])),
        ("nodes", ", ".join(job["nodes"]) or None),
        ("submitted", _utc(job["submitted_at"])),
        ("started", _utc(job["started_at"])),
        ("ended", _utc(job["ended_at"])),
        ("wall time", clock(job["wall_seconds"])),
        ("limit", clock(job["walltime_limit_seconds"])),
        ("exit code", job["exit_code"]),
        ("signal", job["exit_signal"]),
        ("restarts", job["restarts"]),
        ("published", job.get("published")),
    ]
    return [(name, value) for name, value in facts if value not in (None, NOTHING, "")]


def _utc(instant: str | None) -> str | None:
    return None if instant is None else f"{moment_of_text(instant)} UTC"
