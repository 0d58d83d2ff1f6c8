# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""How a job ended, for each kind of scheduler: after an outage, without accounting, requeued, with an id that is used again."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpcbridge.agent import vanished
from hpcbridge.agent.memory import Memory, Publication
from hpcbridge.agent.monitor import Monitor
from hpcbridge.agent.observations import Observations
from hpcbridge.agent.publish import PublishMode
from hpcbridge.agent.spool import Spool
from hpcbridge.agent.vanished import Patience
from hpcbridge.model.clusters import Frontend
from hpcbridge.model.jobs import Job
from hpcbridge.model.transactions import JobChange, PayloadType
from hpcbridge.schedulers import SCHEDULERS
from hpcbridge.schedulers.gridengine.scheduler import GridEngineScheduler
from hpcbridge.schedulers.report import About, Answer, Report
from hpcbridge.schedulers.scripts import ScriptRunner
from hpcbridge.wire.convert import decode
from tests.private_slurm import wait_until
from tests.scripted_sites import SITES, START, GridEngineSite, Run, ScriptedSite, SlurmSite, TorqueSite

MINUTE = 60
DAY = 86_400
Told = tuple[str, int | None, str, str | None]


class Agent:
    """The agent of one scripted site; time stands still unless a test moves it, in seconds."""

    def __init__(self, site: ScriptedSite, directory: Path) -> None:
        self.site = site
        self.path = directory / "spool.db"
        self.now = START + 10
        self.open()

    def open(self) -> None:
        self.spool = Spool(self.path, cluster="c1", quota_bytes=1 << 28, keep_ms=1000)
        self.observations = Observations()
        self.monitor = Monitor(
            ScriptRunner(self.site.scripts, scheduler=self.site.name, environment={}, timeout_seconds=1, max_bytes=1 << 20),
            SCHEDULERS[self.site.name]("c1"),
            Memory(
                self.spool,
                Publication(mode=PublishMode.FULL, owners=frozenset()),
                patience=Patience(grace_ms=MINUTE * 1000, gap_ms=MINUTE * 1000),
                random_bytes=secrets.token_bytes,
            ),
            self.spool,
            self.observations,
            cluster="c1",
            scheduler_name=self.site.name,
            stopping=threading.Event(),
            clock=lambda: self.now * 1000,
            read_frontend=lambda: Frontend(load_hundredths=None, memory_used_bytes=None),
            stored=lambda: None,
        )

    def restart_after(self, seconds: int) -> None:
        """The daemon was down for so long."""
        self.spool.close()
        self.now += seconds
        self.open()

    def poll(self, *runs: Run, after: int = 15) -> list[Told]:
        """The next report; what is told because of it."""
        self.now += after
        self.site.jobs(*runs)
        self.monitor.ask_jobs()
        return self.told()

    def ask(self, *, after: int = 0) -> list[Told]:
        """Accounting is asked for what vanished."""
        self.now += after
        self.monitor.ask_ended()
        return self.told()

    def told(self) -> list[Told]:
        return [(job.job_id, job.incarnation, job.state.value, job.outcome.value if job.outcome else None) for job in self.jobs_told()]

    def jobs_told(self) -> list[Job]:
        """Changes that wait to be sent, which are gone afterwards."""
        query = "SELECT content FROM waiting WHERE type = ? ORDER BY id"
        rows = self.spool.file.rows(query, (PayloadType.JOB_CHANGES,))
        with self.spool.file.transaction() as db:
            db.execute("DELETE FROM waiting")
        return [decode(JobChange, bytes(content)).job for (content,) in rows]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[type[ScriptedSite]], Agent]]:
    agents: list[Agent] = []

    def make(kind: type[ScriptedSite]) -> Agent:
        agents.append(Agent(kind(tmp_path), tmp_path))
        return agents[-1]

    yield make
    for agent in agents:
        agent.spool.close()


@pytest.fixture(params=SITES, ids=lambda kind: kind.name)
def agent(request: pytest.FixtureRequest, start: Callable[[type[ScriptedSite]], Agent]) -> Agent:
    return start(request.param)


WAITS, RUNS = Run(word="waits", started=None), Run()
DONE = [("7", 1, "DONE", "COMPLETED")]
UNKNOWN = [("7", 1, "UNDETERMINED", None)]


def test_a_job_that_starts_and_ends_between_two_polls(agent: Agent) -> None:
    assert agent.poll(WAITS) == [("7", 1, "QUEUED", None)]
    agent.site.accounts(RUNS.over(at=START + 20))
    assert agent.poll() == []
    assert agent.ask() == DONE
    assert agent.poll() + agent.ask(after=MINUTE) == []


def test_an_outage_of_the_daemon_of_minutes(agent: Agent) -> None:
    agent.poll(WAITS)
    agent.poll(RUNS)
    agent.restart_after(4 * MINUTE)
    ended = RUNS.over()
    agent.site.accounts(ended)
    assert agent.poll(*([ended] if agent.site.lists_ended else [])) + agent.ask() == DONE


def test_an_outage_of_the_daemon_of_days(agent: Agent) -> None:
    agent.poll(WAITS)
    agent.poll(RUNS)
    agent.restart_after(3 * DAY)
    agent.site.accounts(RUNS.over("failed", exit_code=3))
    assert agent.poll() == []
    agent.monitor.ask_ended()
    (job,) = agent.jobs_told()
    assert (job.state, job.outcome, job.exit_code, job.owner) == ("FAILED", "FAILED", 3, "alice")
    assert (job.submitted_at, job.started_at, job.ended_at) == (START * 1000, (START + 1) * 1000, (START + 60) * 1000)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param("echo cannot connect >&2; exit 1", id="off"),
        pytest.param("exec sleep 1000", id="slow", marks=pytest.mark.full),
    ],
)
def test_without_accounting_an_end_is_not_guessed(agent: Agent, trouble: str) -> None:
    agent.poll(RUNS)
    for query in ("ended", "ended_fallback"):
        agent.site.script(query, trouble)
    assert agent.poll() + agent.ask() == []
    assert agent.ask(after=MINUTE) == UNKNOWN
    assert agent.ask(after=DAY) == []
    agent.site.repair()
    agent.site.accounts(RUNS.over())
    assert agent.ask(after=DAY) == DONE


def test_purged_accounting_says_nothing(agent: Agent) -> None:
    agent.poll(WAITS)
    agent.poll(RUNS)
    agent.site.accounts(Run(job_id="8").over(at=START + DAY))
    agent.poll()
    assert agent.ask() == []
    assert agent.ask(after=MINUTE) == UNKNOWN
    for _ in range(5):
        assert agent.ask(after=DAY) == [], "a job that ran is not ended by silence"


def test_a_requeued_job_is_one_job(agent: Agent) -> None:
    agent.poll(WAITS)
    agent.poll(RUNS)
    waits = agent.site.requeued(RUNS)
    (told,) = agent.poll(waits)
    assert told[:2] == ("7", 1)
    assert told[2] in {"QUEUED", "REQUEUED"}
    assert agent.poll(waits) == []
    again = dataclasses.replace(waits, word="runs", started=START + 100)
    assert agent.poll(again) == [("7", 1, "RUNNING", None)]
    agent.site.accounts(RUNS.over("requeued", at=START + 30), again.over(at=START + 200))
    agent.poll()
    assert agent.ask() == DONE


def test_a_requeue_nobody_saw_is_followed_to_its_end(agent: Agent) -> None:
    agent.poll(WAITS)
    agent.poll(RUNS)
    again = dataclasses.replace(agent.site.requeued(RUNS), word="runs", started=START + 100)
    agent.site.accounts(RUNS.over("requeued", at=START + 30), again.over("failed", at=START + 200, exit_code=3))
    agent.restart_after(DAY)
    agent.poll()
    assert agent.ask() == [("7", 1, "FAILED", "FAILED")]


def test_a_run_that_was_given_back_is_no_end(agent: Agent) -> None:
    agent.poll(WAITS)
    agent.poll(RUNS)
    agent.site.accounts(RUNS.over("requeued", at=START + 30))
    agent.poll()
    assert agent.ask() == []
    assert agent.ask(after=MINUTE) == UNKNOWN


def test_an_id_that_is_used_again_is_another_job(agent: Agent) -> None:
    agent.poll(WAITS)
    agent.poll(RUNS)
    old = RUNS.over()
    agent.site.accounts(old)
    agent.poll()
    assert agent.ask() == DONE
    other = Run(owner="bob", submitted=START + DAY, started=START + DAY + 5)
    agent.restart_after(DAY)
    assert agent.poll(dataclasses.replace(other, word="waits", started=None)) == [("7", 2, "QUEUED", None)]
    assert agent.poll(other) == [("7", 2, "RUNNING", None)]
    agent.restart_after(MINUTE)
    assert agent.poll() + agent.ask() == [], "accounting knows the old job only"
    assert agent.ask(after=MINUTE) == [("7", 2, "UNDETERMINED", None)]
    agent.site.accounts(old, other.over("failed", at=START + DAY + 90, exit_code=1))
    assert agent.ask(after=MINUTE) == [("7", 2, "FAILED", "FAILED")]


def test_an_id_that_is_used_again_between_two_polls(agent: Agent) -> None:
    agent.poll(WAITS)
    other = Run(owner="bob", submitted=START + 40, started=None, word="waits")
    assert agent.poll(other) == [("7", 2, "QUEUED", None)]
    agent.site.accounts(RUNS.over(at=START + 30))
    assert agent.ask() == DONE


def test_a_running_job_that_was_first_seen_running_is_known_by_its_start(agent: Agent) -> None:
    agent.poll(RUNS)
    agent.site.accounts(Run(submitted=START - DAY, started=START - DAY + 5).over(at=START - DAY + 60), RUNS.over())
    agent.poll()
    assert agent.ask() == DONE


def test_an_old_record_of_the_id_is_not_the_end_of_a_running_job(agent: Agent) -> None:
    agent.poll(RUNS)
    agent.site.accounts(Run(submitted=START - DAY, started=START - DAY + 5).over(at=START - DAY + 60))
    agent.poll()
    assert agent.ask() == []
    assert agent.ask(after=MINUTE) == UNKNOWN


def later(job_id: str = "8") -> Run:
    """Another job, which ends minutes after everything else."""
    return Run(job_id=job_id, submitted=START, started=START + 2).over(at=START + 10 * MINUTE)


def test_a_job_deleted_while_it_waited_ends_by_a_later_record(start: Callable[[type[ScriptedSite]], Agent]) -> None:
    agent = start(GridEngineSite)
    other = Run(job_id="8", started=START + 2)
    agent.poll(WAITS, other)
    agent.poll(other)
    assert agent.ask() == []
    assert agent.ask(after=MINUTE) == UNKNOWN, "nothing proves that it never ran"
    agent.restart_after(5)
    agent.poll(after=9 * MINUTE)
    agent.site.accounts(later())
    assert sorted(agent.ask() + agent.ask(after=DAY)) == [("7", 1, "FAILED", "CANCELLED"), ("8", 1, "DONE", "COMPLETED")]


@pytest.mark.parametrize("trouble", ["outage", "restart", "early", "ran"])
def test_silence_is_not_believed_after(start: Callable[[type[ScriptedSite]], Agent], trouble: str) -> None:
    """An outage of the scheduler or the daemon before the job vanished, no end that came late enough, or a job that ran."""
    agent = start(GridEngineSite)
    other = Run(job_id="8", started=START + 2)
    agent.poll(WAITS, other)
    if trouble == "outage":
        agent.now += 5 * MINUTE
    if trouble == "restart":
        agent.restart_after(5)
    if trouble == "ran":
        agent.poll(RUNS, other)
    agent.poll(other)
    gone_at = agent.now
    agent.ask()
    agent.poll(after=MINUTE)
    agent.site.accounts(dataclasses.replace(later(), ended=gone_at + 20) if trouble == "early" else later())
    agent.now = max(agent.now, gone_at + 61)
    told = agent.ask() + agent.ask(after=DAY) + agent.ask(after=DAY)
    assert ("7", 1, "UNDETERMINED", None) in told
    assert not [each for each in told if each[0] == "7" and each[2] in {"DONE", "FAILED"}]


@pytest.mark.parametrize("trouble", ["outage", "restart", "early"])
def test_silence_believed_too_early_would_cancel_jobs(
    start: Callable[[type[ScriptedSite]], Agent], monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """Negative control: what stands between silence and a false end is the check of what accounting must have told by then."""
    monkeypatch.setattr(vanished, "_is_silent", lambda *_: True)
    with pytest.raises(AssertionError):
        test_silence_is_not_believed_after(start, trouble)


def test_without_looking_at_the_run_an_old_record_would_end_a_running_job(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: records are matched by submit time or start."""
    monkeypatch.setattr(vanished, "_runs_of", lambda job, records, _: [each for each in records if each.job_id == job.job_id])
    with pytest.raises(AssertionError):
        test_an_old_record_of_the_id_is_not_the_end_of_a_running_job(agent)


def test_a_slow_scheduler_is_no_outage(start: Callable[[type[ScriptedSite]], Agent]) -> None:
    agent = start(GridEngineSite)
    other = Run(job_id="8", started=START + 2)
    for _ in range(3):
        agent.poll(WAITS, other, after=2 * MINUTE)
    agent.poll(other, after=2 * MINUTE)
    agent.poll(after=2 * MINUTE)
    agent.site.accounts(dataclasses.replace(later(), ended=agent.now + 5 * MINUTE))
    told = agent.ask(after=6 * MINUTE) + agent.ask(after=DAY)
    assert ("7", 1, "FAILED", "CANCELLED") in told


def rescheduled() -> tuple[Run, Run]:
    """`qmod -r` of Grid Engine: the submit time becomes that of the rescheduling (tests/recorded/gridengine/8.1.9/nodes-in-trouble)."""
    waits = Run(word="waits", submitted=START + 40, started=None, restarts=1)
    return waits, dataclasses.replace(waits, word="runs", started=START + 70)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_job_with_a_new_submit_time_is_the_same_job_if_it_waits_again(
    start: Callable[[type[ScriptedSite]], Agent], *, restarts: bool
) -> None:
    agent = start(GridEngineSite)
    agent.poll(WAITS)
    agent.poll(RUNS)
    waits, runs = rescheduled()
    if restarts:
        agent.restart_after(5)
    assert agent.poll(waits) == [("7", 1, "REQUEUED", None)]
    assert agent.poll(runs) == [("7", 1, "RUNNING", None)]
    if restarts:
        agent.restart_after(5)
        assert agent.poll(runs) == [], "qstat no longer says when it was submitted, the agent still knows"
    agent.site.accounts(waits.over("rescheduled"), runs.over(at=START + 100))
    agent.poll(after=MINUTE)
    assert agent.ask() == DONE


def test_a_rescheduling_nobody_saw_is_followed_to_its_end(start: Callable[[type[ScriptedSite]], Agent]) -> None:
    agent = start(GridEngineSite)
    agent.poll(WAITS)
    agent.poll(RUNS)
    waits, runs = rescheduled()
    agent.site.accounts(waits.over("rescheduled"), runs.over(at=START + 100))
    agent.poll(after=2 * MINUTE)
    assert agent.ask() == DONE


def test_a_new_submit_time_without_a_sign_of_a_rescheduling_is_another_job(start: Callable[[type[ScriptedSite]], Agent]) -> None:
    agent = start(GridEngineSite)
    agent.poll(WAITS)
    agent.poll(RUNS)
    waits, runs = rescheduled()
    assert agent.poll(dataclasses.replace(waits, restarts=0)) == [("7", 2, "QUEUED", None)]
    agent.site.accounts(runs.over(at=START + 100))
    assert ("7", 1, "DONE", "COMPLETED") not in agent.ask() + agent.ask(after=MINUTE)


def test_a_record_of_a_start_that_failed_does_not_keep_a_deleted_job_open(start: Callable[[type[ScriptedSite]], Agent]) -> None:
    """A job in Eqw has such a record, and none of its deletion."""
    agent = start(GridEngineSite)
    other = Run(job_id="8", started=START + 2)
    failed = dataclasses.replace(WAITS, started=None).over("not started", at=START + 5)
    agent.poll(WAITS, other)
    agent.site.accounts(failed)
    agent.poll(other)
    assert agent.ask() == []
    agent.site.accounts(failed, later())
    agent.poll(after=11 * MINUTE)
    told = agent.ask() + agent.ask(after=DAY)
    assert ("7", 1, "FAILED", "CANCELLED") in told
    assert ("8", 1, "DONE", "COMPLETED") in told


def test_a_record_of_a_start_that_failed_is_no_end_of_a_job_that_ran(start: Callable[[type[ScriptedSite]], Agent]) -> None:
    agent = start(GridEngineSite)
    other = Run(job_id="8", started=START + 2)
    agent.poll(RUNS, other)
    agent.site.accounts(dataclasses.replace(WAITS, started=None).over("not started", at=START + 5), later())
    agent.poll(after=11 * MINUTE)
    told = agent.ask() + agent.ask(after=DAY)
    assert [each for each in told if each[0] == "7"] == UNKNOWN


def test_an_end_told_for_the_future_proves_no_silence(start: Callable[[type[ScriptedSite]], Agent]) -> None:
    """Anybody can write such a record: it must not make a job cancelled of which accounting has not told yet."""
    agent = start(GridEngineSite)
    other = Run(job_id="8", started=START + 2)
    agent.poll(WAITS, other)
    agent.poll(other)
    agent.site.accounts(dataclasses.replace(later(), ended=START + 30 * DAY))
    agent.poll(after=2 * MINUTE)
    told = agent.ask() + agent.ask(after=2 * MINUTE)
    assert [each for each in told if each[0] == "7"] == UNKNOWN


FORGED = Run().over(at=START + 25)
TRUE = Run().over("failed", at=START + 24, exit_code=3)


def test_an_end_is_believed_only_when_the_true_record_must_be_there(start: Callable[[type[ScriptedSite]], Agent]) -> None:
    """A forged record may be in the file before the true one (8.1.9/forged-record), which then contradicts it."""
    agent = start(GridEngineSite)
    agent.site.script("about", "printf '#global:\\nreporting_params  accounting=true flush_time=00:00:15\\n'")
    agent.monitor.ask_about()
    agent.poll(WAITS)
    agent.poll(RUNS, after=1)
    agent.site.accounts(FORGED)
    agent.poll()
    assert agent.ask() == []
    agent.site.accounts(FORGED, TRUE)
    assert agent.ask(after=17) == []
    assert agent.ask(after=2 * MINUTE) == UNKNOWN


def test_a_true_end_waits_no_longer_than_it_must(start: Callable[[type[ScriptedSite]], Agent]) -> None:
    agent = start(GridEngineSite)
    agent.site.script("about", "printf '#global:\\nreporting_params  accounting=true flush_time=00:00:01\\n'")
    agent.monitor.ask_about()
    agent.poll(WAITS)
    agent.poll(RUNS)
    agent.site.accounts(TRUE)
    agent.poll()
    assert agent.ask() + agent.ask(after=2) == []
    assert agent.ask(after=1) == [("7", 1, "FAILED", "FAILED")]


def test_without_waiting_a_forged_record_would_be_believed(
    start: Callable[[type[ScriptedSite]], Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: what stands between a forged record and a false end is the time the true one has to be written."""
    monkeypatch.setattr(SCHEDULERS["gridengine"], "settles_after_ms", lambda _: 0)
    with pytest.raises(AssertionError):
        test_an_end_is_believed_only_when_the_true_record_must_be_there(start)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_job_seen_while_it_was_deleted_was_cancelled(start: Callable[[type[ScriptedSite]], Agent], *, restarts: bool) -> None:
    agent = start(GridEngineSite)
    agent.poll(RUNS)
    assert agent.poll(dataclasses.replace(RUNS, word="dying")) == []
    if restarts:
        agent.restart_after(MINUTE)
    agent.site.accounts(RUNS.over("failed", exit_code=137))
    agent.poll()
    assert agent.ask() == [("7", 1, "FAILED", "CANCELLED")]


def test_a_job_killed_unseen_failed_by_a_signal(start: Callable[[type[ScriptedSite]], Agent]) -> None:
    agent = start(GridEngineSite)
    agent.poll(RUNS)
    agent.site.accounts(RUNS.over("failed", exit_code=137))
    agent.poll()
    agent.monitor.ask_ended()
    (job,) = agent.jobs_told()
    assert (job.outcome, job.exit_signal) == ("FAILED", 9)


def test_grid_engine_s_submit_time_stays_known_while_the_job_runs(start: Callable[[type[ScriptedSite]], Agent]) -> None:
    """Also over a restart, when the parser has forgotten it: only the agent's memory is left."""
    agent = start(GridEngineSite)
    agent.poll(WAITS)
    agent.restart_after(5)
    agent.site.jobs(RUNS)
    agent.monitor.ask_jobs()
    (job,) = agent.jobs_told()
    assert (job.state, job.submitted_at) == ("RUNNING", START * 1000)
    assert agent.poll(RUNS) == []
    agent.restart_after(5)
    assert agent.poll(RUNS) == []


def test_a_second_way_is_asked_for_what_the_first_does_not_know(start: Callable[[type[ScriptedSite]], Agent]) -> None:
    agent = start(TorqueSite)
    eight = Run(job_id="8")
    agent.poll(RUNS, eight)
    agent.site.accounts(eight.over())
    xml = agent.site._xml(RUNS.over())  # type: ignore[attr-defined]
    agent.site.script("ended", f"echo '<Data>{xml}</Data>'; echo 'qstat: Unknown Job Id Error 8.head1.cluster.local' >&2; exit 153")
    asked = agent.path.parent / "asked"
    agent.site.script("ended_fallback", f'echo "$*" >>"{asked}"; cat "{agent.site.reports}/ended_fallback"')
    agent.poll()
    assert sorted(agent.ask()) == [("7", 1, "DONE", "COMPLETED"), ("8", 1, "DONE", "COMPLETED")]
    assert asked.read_text() == "8\n"


def test_a_second_way_without_a_script_is_no_error(start: Callable[[type[ScriptedSite]], Agent]) -> None:
    agent = start(TorqueSite)
    agent.poll(RUNS)
    (agent.site.scripts / "torque" / "ended_fallback").unlink()
    agent.poll()
    assert agent.ask() == []
    assert [query.name for query in agent.observations.queries() if query.last_error] == []
    assert agent.ask(after=MINUTE) == UNKNOWN


def test_a_second_way_that_fails_is_asked_once_in_a_step(start: Callable[[type[ScriptedSite]], Agent]) -> None:
    agent = start(TorqueSite)
    runs = [Run(job_id=str(number)) for number in range(1, 500)]
    agent.poll(*runs)
    asked = agent.path.parent / "asked"
    agent.site.script("ended_fallback", f'echo asked >>"{asked}"; exit 1')
    agent.poll()
    assert agent.ask() == []
    assert asked.read_text() == "asked\n"


def test_only_a_scheduler_with_two_sources_is_asked_twice(start: Callable[[type[ScriptedSite]], Agent]) -> None:
    agent = start(SlurmSite)
    agent.poll(RUNS)
    asked = agent.path.parent / "asked"
    agent.site.script("ended_fallback", f'echo asked >>"{asked}"; exit 1')
    agent.poll()
    assert agent.ask() + agent.ask(after=MINUTE) == UNKNOWN
    assert not asked.exists()
    agent.site.fails("ended")
    agent.ask(after=DAY)
    assert asked.exists()


class Watched(GridEngineScheduler):
    """Notes how many reports are read at a time; each is read for a moment, or until another is."""

    def __init__(self, cluster: str) -> None:
        super().__init__(cluster)
        self.inside = self.most = 0
        self.met = threading.Event()
        self.counting = threading.Lock()

    def about(self, report: Report) -> About:
        with self._inside():
            return super().about(report)

    def jobs(self, report: Report) -> Answer[Job]:
        with self._inside():
            return super().jobs(report)

    @contextlib.contextmanager
    def _inside(self) -> Iterator[None]:
        with self.counting:
            self.inside += 1
            self.most = max(self.most, self.inside)
            if self.inside > 1:
                self.met.set()
        self.met.wait(0.3)
        yield
        with self.counting:
            self.inside -= 1


CONFIGURATION = "printf '#global:\\nreporting_params  accounting=true\\n'"


def test_one_report_is_read_at_a_time(start: Callable[[type[ScriptedSite]], Agent], monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser remembers: what `about` says of GPUs would be forgotten while `jobs` is read. Without the lock two are read at once."""
    monkeypatch.setitem(SCHEDULERS, "gridengine", Watched)
    agent = start(GridEngineSite)
    agent.site.script("about", CONFIGURATION)
    agent.site.jobs(RUNS)
    for lock, most in [(None, 1), (contextlib.nullcontext(), 2)]:
        if lock is not None:
            monkeypatch.setattr(agent.monitor, "_reading", lock)
        scheduler = agent.monitor._scheduler
        assert isinstance(scheduler, Watched)
        scheduler.most = 0
        threads = [threading.Thread(target=step) for step in (agent.monitor.ask_about, agent.monitor.ask_jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert scheduler.most == most


def test_nobody_waits_for_the_script_of_another_question(start: Callable[[type[ScriptedSite]], Agent], tmp_path: Path) -> None:
    agent = start(GridEngineSite)
    begun, over = tmp_path / "begun", tmp_path / "over"
    agent.site.script("about", f"touch {begun}; until [ -e {over} ]; do sleep 0.02; done; {CONFIGURATION}")
    asking = threading.Thread(target=agent.monitor.ask_about)
    asking.start()
    try:
        wait_until(begun.exists, timeout=5, what="the script")
        assert agent.poll(RUNS) == [("7", 1, "RUNNING", None)]
        assert asking.is_alive()
    finally:
        over.touch()
        asking.join()
