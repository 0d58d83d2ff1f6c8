# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The monitor with real scripts: what a scheduler says arrives in the spool, and what it fails to say changes nothing."""

from __future__ import annotations

import dataclasses
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcbridge.agent.memory import Memory, Publication
from hpcbridge.agent.monitor import Monitor
from hpcbridge.agent.observations import Observations
from hpcbridge.agent.publish import PublishMode
from hpcbridge.agent.spool import Spool
from hpcbridge.agent.vanished import Patience
from hpcbridge.errors import SchedulerError
from hpcbridge.model.clusters import ClusterState, Frontend
from hpcbridge.model.transactions import JobChange, NodeChange, PayloadType
from hpcbridge.schedulers.report import ProblemKind
from hpcbridge.schedulers.scripts import ScriptRunner
from hpcbridge.schedulers.slurm.scheduler import SlurmScheduler
from hpcbridge.wire.convert import decode
from tests.scripted_slurm import START, Line, ScriptedSlurm, done

MINUTE = 60_000


class Site:
    """A scripted Slurm and a monitor; time stands still unless a test moves it."""

    def __init__(self, directory: Path, *, mode: PublishMode = PublishMode.FULL, owners: frozenset[str] = frozenset()) -> None:
        self.slurm = ScriptedSlurm(directory)
        self.at = START * 1000
        self.path = directory / "spool.db"
        self.spool = Spool(self.path, cluster="c1", quota_bytes=1 << 28, keep_ms=1000)
        self.observations = Observations()
        self.memory = Memory(
            self.spool, Publication(mode=mode, owners=owners), patience=Patience(grace_ms=MINUTE), random_bytes=secrets.token_bytes
        )
        self.monitor = Monitor(
            ScriptRunner(self.slurm.scripts, scheduler="slurm", environment={}, timeout_seconds=1, max_bytes=1 << 20),
            SlurmScheduler("c1"),
            self.memory,
            self.spool,
            self.observations,
            cluster="c1",
            scheduler_name="slurm",
            stopping=threading.Event(),
            clock=lambda: self.at,
            read_frontend=lambda: Frontend(load_hundredths=12, memory_used_bytes=345),
            stored=lambda: None,
            user_id=lambda: 0,
        )

    def taken(self, kind: PayloadType) -> list[bytes]:
        """Items of this type, which are gone afterwards."""
        rows = self.spool.file.rows("SELECT content FROM waiting WHERE type = ? ORDER BY id", (kind,))
        with self.spool.file.transaction() as db:
            db.execute("DELETE FROM waiting WHERE type = ?", (kind,))
        return [bytes(content) for (content,) in rows]

    def told(self) -> list[tuple[str, int | None, str]]:
        jobs = [decode(JobChange, content).job for content in self.taken(PayloadType.JOB_CHANGES)]
        return [(job.job_id, job.incarnation, job.state.value) for job in jobs]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.spool.close()


def test_reports_become_changes_and_a_sample(site: Site) -> None:
    site.slurm.jobs([Line(job_id="1"), Line(job_id="2", state="PENDING")])
    site.monitor.ask_about()
    site.monitor.ask_jobs()
    site.monitor.ask_nodes()
    site.monitor.ask_queues()
    site.monitor.read_vitals()
    site.monitor.sample()
    assert site.told() == [("1", 1, "RUNNING"), ("2", 1, "QUEUED")]
    assert [decode(NodeChange, content).node for content in site.taken(PayloadType.NODE_CHANGES)] == ["c1", "c2"]
    (content,) = site.taken(PayloadType.CLUSTER_STATE)
    state = decode(ClusterState, content)
    assert (state.nodes_total, state.nodes_up, state.cores_total, state.cores_used, state.utilization) == (2, 2, 16, 4, 2500)
    assert state.scheduler is not None
    assert (state.scheduler.version, state.scheduler.reachable) == ("22.05.8", True)
    assert state.frontend == Frontend(load_hundredths=12, memory_used_bytes=345)
    assert [queue.name for queue in state.queues] == ["batch"]


def samples_of(site: Site) -> list[ClusterState]:
    return [decode(ClusterState, content) for content in site.taken(PayloadType.CLUSTER_STATE)]


def test_after_a_restart_no_sample_says_that_there_are_no_queues(site: Site) -> None:
    """A cluster without queues takes no jobs, and is offered to nobody: that is said when it was seen, not before it was looked at."""
    site.monitor.ask_jobs()
    site.monitor.sample()
    assert samples_of(site) == []
    site.monitor.ask_nodes()
    assert samples_of(site) == []
    site.monitor.ask_queues()
    (state,) = samples_of(site)
    assert [queue.name for queue in state.queues] == ["batch"]
    assert state.nodes_total == 2


def test_queues_that_cannot_be_read_hold_no_sample_back(site: Site) -> None:
    site.monitor.ask_jobs()
    site.monitor.ask_nodes()
    site.slurm.script("queues", "exit 1")
    with pytest.raises(SchedulerError):
        site.monitor.ask_queues()
    site.monitor.sample()
    (state,) = samples_of(site)
    assert (state.queues, state.nodes_total) == ((), 2)


def test_a_scheduler_that_does_not_answer_after_a_restart_is_told_at_once(site: Site) -> None:
    site.slurm.script("jobs", "exit 1")
    with pytest.raises(SchedulerError):
        site.monitor.ask_jobs()
    (state,) = samples_of(site)
    assert state.scheduler is not None
    assert state.scheduler.reachable is False


@pytest.mark.parametrize(
    "misbehaviour",
    [
        "exec sleep 1000",
        "echo slurm_load_jobs error >&2; exit 1",
        "exit 0",
        "head -c 65536 /dev/urandom",
        "echo 'TIME|0badcafe|JOBID'",
        "exec yes 0123456789abcdef",
        "exit 127",
    ],
)
def test_a_scheduler_that_misbehaves_changes_nothing(site: Site, misbehaviour: str) -> None:
    site.slurm.jobs([Line(job_id="1")])
    site.monitor.ask_jobs()
    site.monitor.ask_nodes()
    site.told()
    for query, ask in (("jobs", site.monitor.ask_jobs), ("nodes", site.monitor.ask_nodes)):
        site.slurm.script(query, misbehaviour)
        with pytest.raises(SchedulerError):
            ask()
    assert site.told() == []
    assert site.memory.due(site.at + 1) == ()
    assert [job.job_id for job in site.observations.snapshot.jobs or ()] == ["1"]
    content = site.taken(PayloadType.CLUSTER_STATE)[-1]
    scheduler = decode(ClusterState, content).scheduler
    assert scheduler is not None
    assert scheduler.reachable is False
    site.slurm.works("jobs")
    site.monitor.ask_jobs()
    assert site.told() == []
    assert site.observations.snapshot.reachable is True


def test_a_vanished_job_is_asked_for_and_ends_as_accounting_says(site: Site) -> None:
    site.slurm.jobs([Line(job_id="1"), Line(job_id="2")])
    site.monitor.ask_jobs()
    site.told()
    site.slurm.jobs([])
    site.slurm.ended([done(Line(job_id="1"))])
    site.monitor.ask_jobs()
    site.monitor.ask_ended()
    assert site.told() == [("1", 1, "DONE")]
    site.at += 2 * MINUTE
    site.monitor.ask_ended()
    assert site.told() == [("2", 1, "UNDETERMINED")]
    site.at += 60 * MINUTE
    site.slurm.ended([dataclasses.replace(done(Line(job_id="2")), state="TIMEOUT")])
    site.monitor.ask_ended()
    assert site.told() == [("2", 1, "FAILED")]


def test_accounting_that_fails_leaves_a_job_undetermined_after_the_grace_period_until_it_answers(site: Site) -> None:
    site.slurm.jobs([Line(job_id="1")])
    site.monitor.ask_jobs()
    site.slurm.jobs([])
    site.monitor.ask_jobs()
    site.told()
    site.slurm.script("ended", "echo down >&2; exit 1")
    site.at += MINUTE - 1
    site.monitor.ask_ended()
    assert site.told() == [], "the grace period is not over"
    site.at += 1
    site.monitor.ask_ended()
    assert site.told() == [("1", 1, "UNDETERMINED")]
    site.slurm.works("ended")
    site.slurm.ended([done(Line(job_id="1"))])
    site.at += 60 * MINUTE
    site.monitor.ask_ended()
    assert site.told() == [("1", 1, "DONE")]


@pytest.mark.parametrize(("script", "questions"), [("exec sleep 1000", 1), ('cat "{reports}/ended"', 3)], ids=["hangs", "answers"])
def test_many_vanished_jobs_do_not_wedge_the_worker(site: Site, tmp_path: Path, script: str, questions: int) -> None:
    beats: list[int] = []
    site.monitor.beat_with(lambda: beats.append(1))
    site.slurm.jobs([Line(job_id=str(number)) for number in range(500)])
    site.monitor.ask_jobs()
    site.slurm.jobs([])
    site.monitor.ask_jobs()
    site.slurm.script("ended", f'echo asked >> "{tmp_path}/asked"\n{script.format(reports=site.slurm.reports)}')
    site.monitor.ask_ended()
    assert len((tmp_path / "asked").read_text().splitlines()) == questions
    assert len(beats) == 3
    assert site.memory.due(site.at) == (), "all of them were counted as asked"


def test_an_end_while_the_daemon_was_down_is_found(site: Site, tmp_path: Path) -> None:
    site.slurm.jobs([Line(job_id="1"), Line(job_id="2")])
    site.monitor.ask_jobs()
    site.told()
    site.spool.close()
    again = Site(tmp_path / "again")
    again.spool.close()
    again.spool = Spool(site.path, cluster="c1", quota_bytes=1 << 28, keep_ms=1000)
    again.memory = Memory(
        again.spool,
        Publication(mode=PublishMode.FULL, owners=frozenset()),
        patience=Patience(grace_ms=60_000),
        random_bytes=secrets.token_bytes,
    )
    again.monitor._memory, again.monitor._spool = again.memory, again.spool
    again.slurm.jobs([done(Line(job_id="2")), done(Line(job_id="3"))])
    again.slurm.ended([done(Line(job_id="1"))])
    again.monitor.ask_jobs()
    again.monitor.ask_ended()
    assert again.told() == [("2", 1, "DONE"), ("3", 1, "DONE"), ("1", 1, "DONE")]
    again.spool.close()


def test_only_tenants_leave_the_site_until_a_job_is_watched(tmp_path: Path) -> None:
    site = Site(tmp_path, mode=PublishMode.TENANTS, owners=frozenset({"bob"}))
    site.slurm.jobs([Line(job_id="1"), Line(job_id="2", owner="bob"), Line(job_id="3_[1-4]", state="PENDING")])
    site.monitor.ask_jobs()
    assert site.told() == [("2", 1, "RUNNING")]
    site.memory.watch("1")
    site.memory.watch("3")
    site.monitor.ask_jobs()
    assert site.told() == [("1", 1, "RUNNING"), ("3_[]", 1, "QUEUED")]
    site.spool.close()


def test_a_hostile_name_is_just_a_name(site: Site) -> None:
    name = "x\n0:00|wrong|99|99|99|N/A|N/A|N/A|root|root|batch|RUNNING"
    site.slurm.jobs([Line(job_id="1", name=name)])
    site.monitor.ask_jobs()
    (content,) = site.taken(PayloadType.JOB_CHANGES)
    job = decode(JobChange, content).job
    assert (job.job_id, job.owner) == ("1", "alice")
    assert job.name is not None
    assert "\n" not in job.name


def test_a_full_spool_is_made_up_for_by_the_next_report(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.spool, "_quota", 0)
    site.slurm.jobs([Line(job_id="1")])
    site.monitor.ask_jobs()
    assert site.told() == []
    assert "quota" in str([query.last_error for query in site.observations.queries()])
    monkeypatch.setattr(site.spool, "_quota", 1 << 28)
    site.monitor.ask_jobs()
    assert site.told() == [("1", 1, "RUNNING")]
    assert len(site.taken(PayloadType.GAP)) == 1


def test_a_garbage_report_is_quoted_with_its_bytes_escaped_once(site: Site) -> None:
    site.slurm.script("jobs", r"printf 'TIME \033[2J|it\134s\n'")
    with pytest.raises(SchedulerError):
        site.monitor.ask_jobs()
    (query,) = site.observations.queries()
    assert query.last_error is not None
    assert r"TIME \x1b[2J|it\\s" in query.last_error
    assert r"\\x1b" not in query.last_error


def test_what_a_question_costs_is_kept(site: Site) -> None:
    site.slurm.jobs([Line(job_id="1")])
    site.slurm.script("jobs", f'sleep 0.2; cat "{site.slurm.reports}/jobs"')
    site.monitor.ask_jobs()
    assert 0.2 <= site.monitor.asked_seconds("jobs") < 5
    (query,) = site.observations.queries()
    assert (query.runs, query.failures, query.last_bytes) == (1, 0, (site.slurm.reports / "jobs").stat().st_size)
    assert query.last_duration_ms is not None
    assert query.last_duration_ms >= 200
    assert query.last_cpu_ms is not None
    site.slurm.script("jobs", "exec sleep 1000")
    with pytest.raises(SchedulerError):
        site.monitor.ask_jobs()
    assert site.monitor.asked_seconds("jobs") >= 1, "an answer that never came took its time too"
    (query,) = site.observations.queries()
    assert (query.runs, query.failures, query.problem_counts) == (2, 1, {ProblemKind.FAILED: 1})


def test_what_our_questions_cost_the_controller_is_asked_where_there_is_a_script(site: Site) -> None:
    site.monitor.ask_cost()
    assert site.observations.queries() == (), "a site's own scripts may leave it out"
    for calls in (10, 25):
        site.slurm.script("cost", f"cat <<'END'\n{SDIAG.format(at=1_795_349_000 + calls, calls=calls, spent=1000 * calls)}\nEND")
        site.monitor.ask_cost()
    cost = site.observations.server_cost
    assert cost is not None
    assert (cost.calls, cost.period_ms, cost.busy_us) == (15, 15_000, 15_000)


SDIAG = """\
*******************************************************
sdiag output at Sun Nov 22 10:48:36 2026 ({at})
Data since      Sun Nov 22 10:46:28 2026 (1795340000)
*******************************************************

Remote Procedure Call statistics by user
\troot            (       0) count:{calls}   ave_time:1000    total_time:{spent}
"""
