# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl record`: what this cluster's scheduler prints, as a folder that can be sent away. Needs no daemon and no identity."""

from __future__ import annotations

import getpass
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from hpcbridge.config import SchedulerSection
from hpcbridge.ctl.context import Context, now, output_option, pass_context
from hpcbridge.ctl.output import note, print_facts, print_json
from hpcbridge.ctl.progress import steps
from hpcbridge.errors import BadData, ConfigError
from hpcbridge.schedulers import SCHEDULERS
from hpcbridge.schedulers.anonymise.recording import Anonymised, anonymise
from hpcbridge.schedulers.recorder import FIRST_QUERIES, Asked, ask_all, differences, save_recording, version_of
from hpcbridge.schedulers.recording import Normalised, Recording, normalise
from hpcbridge.schedulers.report import Problem
from hpcbridge.schedulers.sources import open_source

_LOOK_STATUS = 65
_CLUSTER = "recorded"
_SHOWN = 10


@click.command(short_help="What the scheduler prints, made anonymous, to report a bug.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--scheduler", metavar="NAME", help="Which scheduler; default: [scheduler] of the configuration.")
@click.option("--scripts", metavar="DIR", type=click.Path(path_type=Path), help="Folder with a folder of scripts for each scheduler.")
@click.option("--job", "job_ids", metavar="ID", multiple=True, help="Ask accounting for this job too; may be repeated.")
@click.option("--raw", is_flag=True, help="Leave owners, accounts, hosts and names as they are.")
@output_option
@pass_context
@click.pass_context
def record(
    click_context: click.Context, context: Context, directory: Path, *, scheduler: str | None, scripts: Path | None,
    job_ids: tuple[str, ...], raw: bool,
) -> None:  # fmt: skip
    """Ask the scheduler every question once and write the answers into DIR, which must not exist or be empty.

    Owners, accounts, groups, hosts, job names, paths, variables and comments become tokens of the same length, drawn anew for every
    recording. Look at the files before you send them. Exit status 65 if something needs your eye: names that are left, or an
    anonymised recording that does not say the same as the original.
    """
    _check_empty(directory)
    settings, cluster = _settings(context, scheduler, scripts)
    optional = _optional(settings)
    with steps(len(FIRST_QUERIES) + len(("ended", *optional)) + (1 if raw else 3)) as begin:
        asked = _asked(settings, job_ids, optional, begin)
        original = Recording(
            scheduler=settings.name, version=version_of(asked.reports, settings.name, cluster), cluster=cluster, reports=asked.reports
        )
        done, written = None, original
        different: tuple[str, ...] = ()
        if not raw:
            begin("names")
            done = anonymise(asked.reports, known=_this_machine())
            written = replace(original, cluster=_CLUSTER, reports=done.reports)
            begin("comparing")
            different = differences(replace(original, cluster=_CLUSTER), written)
        begin("writing")
        save_recording(directory, written, taken_at=now(), notes=_notes(asked, raw=raw))
        answer = _answer(directory, asked, normalise(written), done, different)
    if context.json:
        print_json(answer)
    else:
        _say(answer, done, raw=raw)
    click_context.exit(_LOOK_STATUS if different or (done is not None and done.left) else 0)


def _asked(settings: SchedulerSection, job_ids: tuple[str, ...], optional: tuple[str, ...], begin: Callable[[str], None]) -> Asked:
    source = open_source(settings)
    try:
        asked = ask_all(source, settings.name, job_ids=job_ids, optional=optional, begin=lambda query: begin(f"asking {query}"))
    finally:
        source.close()
    if not asked.reports:
        why = "; ".join(f"{query}: {text}" for query, text in asked.unanswered.items())
        raise ConfigError(f"nothing to record: {why}", hint="is the scheduler's name right, and are its scripts there?")
    return asked


def _check_empty(directory: Path) -> None:
    """Before the scheduler is asked: a folder that holds anything is not touched."""
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise BadData(f"{directory}: is not a folder", hint="name a folder that does not exist yet")
    try:
        if directory.is_dir() and any(directory.iterdir()):
            raise BadData(f"{directory}: is not empty", hint="name a folder that does not exist yet")
    except OSError as error:
        raise BadData(f"{directory}: {error.strerror}") from error


def _settings(context: Context, scheduler: str | None, scripts: Path | None) -> tuple[SchedulerSection, str]:
    config = None if scheduler is not None and context.config is None else context.agent_config()
    if config is None and scheduler is None:
        known = ", ".join(sorted(SCHEDULERS))
        raise ConfigError("which scheduler? There is no configuration here", hint=f"--scheduler NAME, one of: {known}")
    section = SchedulerSection(name=scheduler or "", environment=_environment()) if config is None else config.scheduler
    name = scheduler or section.name
    if name not in SCHEDULERS:
        raise ConfigError(f"scheduler {name[:40]!r} is not known", hint=f"known are: {', '.join(sorted(SCHEDULERS))}")
    return replace(section, name=name, scripts=scripts or section.scripts), _CLUSTER if config is None else config.cluster.name


def _environment() -> dict[str, str]:
    """Without a configuration the scheduler's commands are those of the person who asks."""
    names = ("PATH", "SLURM_CONF", "PBS_CONF_FILE", "PBS_DEFAULT", "SGE_ROOT", "SGE_CELL", "SGE_CLUSTER_NAME", "SGE_QMASTER_PORT",
             "SGE_EXECD_PORT", "SGE_ARCH", "HOME")  # fmt: skip
    return {name: os.environ[name] for name in names if name in os.environ}


def _optional(settings: SchedulerSection) -> tuple[str, ...]:
    return tuple(query for query in ("ended_fallback",) if (settings.scripts / settings.name / query).is_file())


def _this_machine() -> tuple[str, ...]:
    try:
        person = getpass.getuser()
    except (KeyError, OSError):
        person = ""
    return tuple(name for name in (os.uname().nodename, person) if name)


def _notes(asked: Asked, *, raw: bool) -> str:
    made = "Made by hpcbridgectl record" + (" --raw." if raw else "; names are tokens.")
    return " ".join([made, *(f"No answer to {query}." for query in asked.unanswered)])


def _answer(directory: Path, asked: Asked, normalised: Normalised, done: Anonymised | None, different: tuple[str, ...]) -> dict[str, Any]:
    found = {"jobs": normalised.jobs, "nodes": normalised.nodes, "queues": normalised.queues}
    return {
        "directory": str(directory),
        "scheduler": normalised.scheduler,
        "queries": {
            query: {"exit_status": report.exit_status, "bytes": len(report.stdout), "error_bytes": len(report.stderr)}
            for query, report in asked.reports.items()
        },
        "unanswered": dict(asked.unanswered),
        "records": {what: None if records is None else len(records) for what, records in found.items()},
        "problems": [_told(problem) for problem in normalised.problems],
        "anonymised": None
        if done is None
        else {
            "replaced": dict(done.replaced),
            "common": list(done.common),
            "short": list(done.short),
            "left": {name: list(files) for name, files in done.left.items()},
            "differences": list(different),
        },
    }


def _told(problem: Problem) -> dict[str, Any]:
    return {"query": problem.query, "kind": problem.kind.value, "line": problem.line, "field": problem.field, "text": problem.text}


def _say(answer: dict[str, Any], done: Anonymised | None, *, raw: bool) -> None:
    print_facts(_facts(answer), title=f"Recording of {answer['scheduler']} in {answer['directory']}")
    for query, text in answer["unanswered"].items():
        note(f"not recorded: {query}: {text}")
    kinds = Counter(problem["kind"] for problem in answer["problems"])
    for kind, count in kinds.items():
        note(f"could not be parsed: {count} × {kind}; hpcbridgectl parse {answer['directory']} shows them")
    if done is not None:
        for name, files in list(done.left.items())[:_SHOWN]:
            note(f"WARNING: {name!r} is still in {', '.join(files)}")
        for text in answer["anonymised"]["differences"][:_SHOWN]:
            note(f"WARNING: the anonymised recording does not say the same as the original: {text}")
        if done.common:
            note(f"words of the scheduler that are also names, left where the scheduler speaks: {', '.join(done.common[:_SHOWN])}")
        if done.short:
            note(f"replaced, but too short to be looked for: {', '.join(done.short[:_SHOWN])}")
    note("Nothing was replaced (--raw)." if raw else "Look at the files before you send them: what is left is your decision.")


def _facts(answer: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for query, facts in answer["queries"].items():
        yield query, f"exit status {facts['exit_status']}, {facts['bytes']} bytes, {facts['error_bytes']} on standard error"
    for what, count in answer["records"].items():
        yield f"{what} read", "nothing is known" if count is None else count
    if answer["anonymised"] is not None:
        replaced = answer["anonymised"]["replaced"]
        yield "values replaced", ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(replaced.items())) or "none"
