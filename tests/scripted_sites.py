# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One story of jobs as schedulers of each kind print it, through real scripts and read by their real parsers.

What differs between the kinds is what the tests of ends are about: Slurm gives a requeued job a new submit time, TORQUE and Grid Engine
keep it; Grid Engine prints no submit time of a running job and forgets a job the moment it is over.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests import scripted_slurm

START = scripted_slurm.START


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a job. `word` is where it stands: waits, runs, dying (being deleted), done, failed or requeued (given back).

    Of Grid Engine also rescheduled (given back by `qmod -r`, which leaves no times) and not started (its start failed).
    """

    job_id: str = "7"
    word: str = "runs"
    owner: str = "alice"
    submitted: int = START
    started: int | None = START + 1
    ended: int | None = None
    exit_code: int = 0
    restarts: int = 0

    def over(self, word: str = "done", *, at: int = START + 60, exit_code: int = 0) -> Run:
        """The same run after its end."""
        return dataclasses.replace(self, word=word, ended=at, exit_code=exit_code)


class ScriptedSite:
    """Scripts of one scheduler in `directory`/scripts; they print what `jobs` and `accounts` were told last."""

    name: str
    lists_ended = True
    """Whether jobs stay listed for some minutes after their end."""

    def __init__(self, directory: Path) -> None:
        self.scripts = directory / "scripts"
        self.reports = directory / "reports"
        (self.scripts / self.name).mkdir(parents=True)
        self.reports.mkdir()
        self.repair()
        self.jobs()
        self.accounts()

    def repair(self) -> None:
        """Every script answers."""
        self.works("jobs")
        self.works("ended")

    def script(self, query: str, body: str) -> None:
        """Replaces a script; `body` is sh."""
        path = self.scripts / self.name / query
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def works(self, query: str) -> None:
        """The script prints its report again."""
        self.script(query, f'cat "{self.reports}/{query}"')

    def fails(self, query: str) -> None:
        """The script says that nobody answers."""
        self.script(query, "echo cannot connect >&2; exit 1")

    def jobs(self, *runs: Run) -> None:
        """What the queue says."""
        raise NotImplementedError

    def accounts(self, *runs: Run) -> None:
        """What accounting says."""
        raise NotImplementedError

    def requeued(self, run: Run) -> Run:
        """The run after it was given back to the queue and waits."""
        return dataclasses.replace(run, word="waits", started=None, restarts=run.restarts + 1)


class SlurmSite(ScriptedSite):
    """squeue and sacct."""

    name = "slurm"
    _WORDS: ClassVar[dict[str, str]] = {
        "waits": "PENDING", "runs": "RUNNING", "dying": "RUNNING", "done": "COMPLETED", "failed": "FAILED", "requeued": "REQUEUED",
    }  # fmt: skip

    def jobs(self, *runs: Run) -> None:
        (self.reports / "jobs").write_text(scripted_slurm.squeue(map(self._line, runs)))

    def accounts(self, *runs: Run) -> None:
        (self.reports / "ended").write_text(scripted_slurm.sacct(map(self._line, runs)))

    def requeued(self, run: Run) -> Run:
        return dataclasses.replace(super().requeued(run), submitted=run.submitted + 30)

    def _line(self, run: Run) -> scripted_slurm.Line:
        return scripted_slurm.Line(
            job_id=run.job_id, state=self._WORDS[run.word], owner=run.owner, submitted=run.submitted, started=run.started,
            ended=run.ended, restarts=run.restarts, exit_text=f"{run.exit_code}:0",
        )  # fmt: skip


class TorqueSite(ScriptedSite):
    """`qstat -x` for the queue and as first way, accounting records as second."""

    name = "torque"
    _WORDS: ClassVar[dict[str, str]] = {"waits": "Q", "runs": "R", "dying": "R", "done": "C", "failed": "C"}

    def repair(self) -> None:
        super().repair()
        self.script("ended", 'for id; do echo "qstat: Unknown Job Id Error $id.head1.cluster.local" >&2; done; exit 153')
        self.works("ended_fallback")

    def jobs(self, *runs: Run) -> None:
        (self.reports / "jobs").write_text("<Data>" + "".join(map(self._xml, runs)) + "</Data>\n")

    def accounts(self, *runs: Run) -> None:
        (self.reports / "ended_fallback").write_text("".join(self._lines(runs)))

    def _xml(self, run: Run) -> str:
        texts = {
            "Job_Id": f"{run.job_id}.head1.cluster.local", "Job_Name": "job", "Job_Owner": f"{run.owner}@head1.cluster.local",
            "job_state": self._WORDS[run.word], "queue": "batch", "server": "head1.cluster.local", "ctime": run.submitted,
            "qtime": run.submitted, "etime": run.submitted,
            "Resource_List": "<nodes>1</nodes><walltime>01:00:00</walltime><nodect>1</nodect>",
        }  # fmt: skip
        if run.word != "waits":
            texts |= {"exec_host": "node01/0", "start_time": run.started or 0}
        if run.ended is not None:
            texts |= {"exit_status": run.exit_code, "comp_time": run.ended}
        if run.word != "waits" or run.restarts:
            texts["start_count"] = run.restarts + (run.word != "waits")
        return "<Job>" + "".join(f"<{key}>{value}</{key}>" for key, value in texts.items()) + "</Job>"

    def _lines(self, runs: Iterable[Run]) -> Iterable[str]:
        for run in runs:
            known = (
                f"user={run.owner} group={run.owner} jobname=job queue=batch ctime={run.submitted} qtime={run.submitted}"
                f" etime={run.submitted} start_count={run.restarts + 1} start={run.started} owner={run.owner}@head1.cluster.local"
                " exec_host=node01/0"
                " Resource_List.nodes=1 Resource_List.walltime=01:00:00 Resource_List.nodect=1"
            )
            job = f"{run.job_id}.head1.cluster.local"
            yield f"{_american(run.started or 0)};S;{job};{known}\n"
            if run.word == "requeued":
                yield f"{_american(run.ended or 0)};R;{job};{known}\n"
            elif run.ended is not None:
                end = f"session=7 end={run.ended} Exit_status={run.exit_code} resources_used.walltime=00:01:00"
                yield f"{_american(run.ended)};E;{job};{known} {end}\n"


class GridEngineSite(ScriptedSite):
    """`qstat -xml` for the queue, `qacct` for ends."""

    name = "gridengine"
    lists_ended = False

    def jobs(self, *runs: Run) -> None:
        running = "".join(self._xml(run, "dr" if run.word == "dying" else "r") for run in runs if run.word in ("runs", "dying"))
        waiting = "".join(self._xml(run, "Rq" if run.restarts else "qw") for run in runs if run.word == "waits")
        instance = (
            "<Queue-List><name>all.q@node01</name><qtype>BIP</qtype><slots_used>1</slots_used><slots_resv>0</slots_resv>"
            "<slots_total>8</slots_total><load_avg>0.1</load_avg><arch>lx-amd64</arch>"
        )
        (self.reports / "jobs").write_text(
            f"<?xml version='1.0'?>\n<job_info  xmlns:xsd=\"http://example/qstat.xsd\">\n<queue_info>\n{instance}\n{running}</Queue-List>\n"
            f"</queue_info>\n<job_info>\n{waiting}</job_info>\n</job_info>\n"
        )

    def accounts(self, *runs: Run) -> None:
        for old in self.reports.glob("ended.*"):
            old.unlink()
        for run in runs:
            with (self.reports / f"ended.{run.job_id}").open("a") as file:
                file.write(self._block(run))

    def works(self, query: str) -> None:
        if query != "ended":
            super().works(query)
            return
        known = f'cat "{self.reports}/ended.$id" 2>/dev/null'
        unknown = '{ echo "error: job id $id not found" >&2; one=1; last=1; }'
        each = f'echo "begin 0badcafe $id"; one=0; {known} || {unknown}; echo "end 0badcafe $id $one"'
        self.script("ended", f"last=0; for id; do {each}; done; exit $last")

    def _xml(self, run: Run, state: str) -> str:
        waits = run.word == "waits"
        at = ("JB_submission_time", run.submitted) if waits else ("JAT_start_time", run.started or 0)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at[1]))
        return (
            f'<job_list state="{"pending" if waits else "running"}">\n<JB_job_number>{run.job_id}</JB_job_number>\n'
            f"<JAT_prio>0.5</JAT_prio>\n<JB_name>job</JB_name>\n<JB_owner>{run.owner}</JB_owner>\n<state>{state}</state>\n<{at[0]}>{moment}</{at[0]}>\n"
            "<slots>1</slots>\n<full_job_name>job</full_job_name>\n<binding>NONE</binding>\n</job_list>\n"
        )

    def _block(self, run: Run) -> str:
        failed = _FAILED.get(run.word, "0")
        if run.exit_code == 137:
            failed = "100 : assumedly after job"
        times = {"qsub_time": time.ctime(run.submitted), "start_time": time.ctime(run.started or 0), "end_time": time.ctime(run.ended or 0)}
        if run.word == "rescheduled":
            times = {"qsub_time": "Thu Jan  1 00:00:00 1970", "start_time": "-/-", "end_time": "-/-"}
        elif run.word == "not started":
            times |= {"start_time": "-/-", "end_time": "-/-"}
        fields = {
            "qname": "all.q", "hostname": "node01", "group": run.owner, "owner": run.owner, "project": "NONE",
            "department": "defaultdepartment", "jobname": "job", "jobnumber": run.job_id, "taskid": "undefined", "account": "sge",
            "priority": "0", **times, "granted_pe": "NONE", "slots": "1", "failed": failed, "exit_status": str(run.exit_code),
            "ru_wallclock": "60s", "maxvmem": "1.750MB", "arid": "undefined", "ar_sub_time": "undefined", "category": "NONE",
        }  # fmt: skip
        return "=" * 62 + "\n" + "".join(f"{key:<13}{value}\n" for key, value in fields.items())


_FAILED = {
    "requeued": "25  : rescheduling",
    "rescheduled": "25  : rescheduling",
    "not started": "28  : changing into working directory",
}
"""What accounting of Grid Engine says of a run that was no end."""


def _american(seconds: int) -> str:
    return time.strftime("%m/%d/%Y %H:%M:%S", time.gmtime(seconds))


SITES: tuple[type[ScriptedSite], ...] = (SlurmSite, TorqueSite, GridEngineSite)
