# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl parse`: a recording in the standard schema. Needs no daemon, no ledger, no identity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from hpcbridge.ctl.output import NOTHING, Column, clock, moment_of_text, natural, note, print_json, print_line, print_table, share, size
from hpcbridge.model.schema import Json
from hpcbridge.schedulers.recording import load_recording, normalise

_LONGEST = 60
_JOBS = (
    Column(title="JOB", shrink=True),
    Column(title="STATE", coloured=True),
    Column(title="OUTCOME", coloured=True),
    Column(title="NATIVE", shrink=True, optional=True),
    Column(title="OWNER", shrink=True),
    Column(title="ACCOUNT", shrink=True, optional=True),
    Column(title="QUEUE", shrink=True),
    Column(title="NAME", shrink=True),
    Column(title="CORES", right=True),
    Column(title="GPUS", right=True),
    Column(title="MEMORY", right=True, optional=True),
    Column(title="NODES", shrink=True),
    Column(title="SUBMITTED (UTC)", optional=True),
    Column(title="STARTED (UTC)", optional=True),
    Column(title="ENDED (UTC)", optional=True),
    Column(title="WALL", right=True),
    Column(title="LIMIT", right=True),
    Column(title="EXIT", right=True),
    Column(title="REASON", shrink=True, optional=True),
)
_NODES = (
    Column(title="NODE", shrink=True),
    Column(title="AVAILABILITY", coloured=True),
    Column(title="NATIVE", shrink=True),
    Column(title="QUEUES", shrink=True),
    Column(title="CORES", right=True),
    Column(title="GPUS", right=True),
    Column(title="GPU TYPE", shrink=True, optional=True),
    Column(title="MEMORY", right=True, optional=True),
    Column(title="REASON", shrink=True, optional=True),
)
_QUEUES = (
    Column(title="QUEUE", shrink=True),
    Column(title="OPEN", coloured=True),
    Column(title="RUNNING", right=True),
    Column(title="QUEUED", right=True),
    Column(title="CORES", right=True),
    Column(title="FREE", right=True),
    Column(title="GPUS", right=True),
    Column(title="NODES", right=True, optional=True),
    Column(title="MAX CORES", right=True, optional=True),
    Column(title="MAX WALLTIME", right=True, optional=True),
)
_PROBLEMS = (
    Column(title="QUERY"),
    Column(title="KIND"),
    Column(title="LINE", right=True),
    Column(title="FIELD"),
    Column(title="PROBLEM", shrink=True),
)


@click.command(short_help="A recording in the standard schema.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Choice(["table", "json"]), help="How to print the answer; default: json.")
@click.pass_context
def parse(context: click.Context, directory: Path, *, output: str | None) -> None:
    """Normalise the recording in DIR and print it, as JSON unless -o table says otherwise.

    null: not recorded, failed or unreadable. []: proven to be empty. Exit status 65 if anything was unreadable or quarantined.
    """
    normalised = normalise(load_recording(directory))
    if (output or _said_before(context)) == "json":
        print_json(normalised.as_json())
    else:
        _print_tables(normalised.as_json())
    context.exit(normalised.exit_status)


def _said_before(context: click.Context) -> str:
    """The global -o if it was given: other commands print tables by default, this one the object that programs compare."""
    parent = context.parent
    given = parent is not None and parent.get_parameter_source("output") is ParameterSource.COMMANDLINE
    return str(parent.params["output"]) if parent is not None and given else "json"


def _print_tables(answer: Json) -> None:
    first = True
    for title, key, columns in (("Jobs", "jobs", _JOBS), ("Nodes", "nodes", _NODES), ("Queues", "queues", _QUEUES)):
        records = answer[key]
        if not first:
            print_line("")
        first = False
        if records is None:
            print_line(f"{title}: nothing is known", style="bold yellow")
        elif not records:
            print_line(f"{title}: none, and that is certain", style="bold")
        else:
            print_line(f"{title}: {len(records)}", style="bold")
            print_table(columns, _rows(key, records), empty="")
    if answer["problems"]:
        print_line("")
        print_line(f"Problems: {len(answer['problems'])}", style="bold red")
        rows = ([each[key] for key in ("query", "kind", "line", "field", "text")] for each in answer["problems"])
        print_table(_PROBLEMS, rows, empty="")
    else:
        note("No problems.")


def _rows(what: str, records: Sequence[Json]) -> list[tuple[Any, ...]]:
    if what == "jobs":
        return [_job(each) for each in sorted(records, key=lambda each: natural(each["job_id"]))]
    if what == "nodes":
        return [_node(each) for each in sorted(records, key=lambda each: natural(each["name"]))]
    return [_queue(each) for each in records]


def _job(job: Json) -> tuple[Any, ...]:
    return (
        _short(job["job_id"]),
        job["state"],
        job["outcome"],
        job["native_state"],
        job["owner"],
        job["account"],
        job["queue"],
        _short(job["name"]),
        job["cores"],
        job["gpus"] if not job["gpu_type"] else f"{job['gpus']} {job['gpu_type']}",
        size(job["memory_bytes"]),
        _names(job["nodes"]),
        moment_of_text(job["submitted_at"]),
        moment_of_text(job["started_at"]),
        moment_of_text(job["ended_at"]),
        clock(job["wall_seconds"]),
        clock(job["walltime_limit_seconds"]),
        f"signal {job['exit_signal']}" if job["exit_signal"] is not None else job["exit_code"],
        _short(job["reason"]),
    )


def _node(node: Json) -> tuple[Any, ...]:
    used, total = node["memory_bytes_used"], node["memory_bytes_total"]
    return (
        node["name"],
        node["availability"],
        node["native_state"],
        ",".join(node["queues"]),
        share(node["cores_used"], node["cores_total"]),
        share(node["gpus_used"], node["gpus_total"]),
        node["gpu_type"],
        NOTHING if used is None and total is None else f"{size(used)} / {size(total)}",
        _short(node["reason"]),
    )


def _queue(queue: Json) -> tuple[Any, ...]:
    limit = queue["max_walltime_seconds"]
    return (
        queue["name"],
        queue["open"],
        queue["jobs_running"],
        queue["jobs_queued"],
        share(queue["cores_used"], queue["cores_total"]),
        queue["cores_available"],
        share(queue["gpus_used"], queue["gpus_total"]),
        len(queue["nodes"]) or NOTHING,
        queue["max_cores"],
        "none" if limit is None else clock(limit),
    )


def _short(text: str | None) -> str | None:
    """One long name would push every other line apart; JSON has it whole."""
    return text if text is None or len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _names(names: Sequence[str]) -> str:
    """All names if they are few, else the first and how many more."""
    return ",".join(names) if len(names) <= 4 else f"{names[0]} +{len(names) - 1}"
