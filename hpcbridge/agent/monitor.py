# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Asks the scheduler: one step per question, each run by a worker of its own, never one per job.

A query that failed, hung or printed garbage changes nothing but `reachable` and its own status. Vanished jobs are asked for in accounting
by their own worker. How long the scheduler itself took is measured apart from our own work: only that makes us ask less often.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self

from hpcbridge.agent.changes import MissingJob
from hpcbridge.agent.memory import Memory
from hpcbridge.agent.observations import Observations, Run, cluster_state
from hpcbridge.agent.rows import Item
from hpcbridge.agent.spool import Spool
from hpcbridge.agent.spool_file import SpoolFull
from hpcbridge.agent.vanished import find_end
from hpcbridge.errors import ConfigError, ReportUnreadable, SchedulerError, ScriptMissing
from hpcbridge.model.clusters import Frontend
from hpcbridge.model.jobs import Job
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import PayloadType
from hpcbridge.schedulers.report import Answer, Problem, ProblemKind, Report, Scheduler, Source
from hpcbridge.wire.convert import encode

logger = logging.getLogger(__name__)

FALLBACK = "ended_fallback"
QUESTIONS = frozenset({"about", "jobs", "ended", "nodes", "queues", "cost"})
"""Names of the steps that ask the scheduler."""
OPTIONAL = frozenset({FALLBACK, "cost"})
"""Queries that need not have a script."""
IDS_PER_QUERY = 200
"""Ids of one accounting query stay well below the length of a command line."""
_SAMPLE = "cluster state"


class Monitor:
    """Owns no thread: each public method is one worker's step.

    The scheduler object remembers reports, so it reads one at a time; nobody waits with it for a script.
    """

    def __init__(
        self,
        source: Source,
        scheduler: Scheduler,
        memory: Memory,
        spool: Spool,
        observations: Observations,
        *,
        cluster: str,
        scheduler_name: str,
        stopping: threading.Event,
        clock: Callable[[], Instant],
        read_frontend: Callable[[], Frontend],
        stored: Callable[[], None],
        came_back: Callable[[], None] = lambda: None,
        takes_hardware: Callable[[], bool] = lambda: True,
        user_id: Callable[[], int] = os.geteuid,
    ) -> None:
        """`stored` is called when a sample waits to be sent, `came_back` when the scheduler answers again; `user_id` is who asks.

        `takes_hardware` says whether the ledger reads what a sample tells of the hardware of queues.
        """
        self._source = source
        self._scheduler = scheduler
        self._memory = memory
        self._spool = spool
        self._observations = observations
        self._cluster = cluster
        self._scheduler_name = scheduler_name
        self._stopping = stopping
        self._clock = clock
        self._read_frontend = read_frontend
        self._stored = stored
        self._came_back = came_back
        self._takes_hardware = takes_hardware
        self._user_id = user_id
        self._asked_seconds: dict[str, float] = {}
        self._reading = threading.Lock()
        self._beat: Callable[[], None] = lambda: None

    def beat_with(self, beat: Callable[[], None]) -> None:
        """Sets what is called as sign of life between two questions of `ask_ended`, which may be many."""
        self._beat = beat

    def asked_seconds(self, step: str) -> float:
        """How long the scheduler took to answer, or failed to, in the last step of this name."""
        return self._asked_seconds.get(step, 0.0)

    def ask_about(self) -> None:
        """Version and settings of the scheduler."""
        with _Query(self, "about") as query:
            report = query.run()
            with self._reading:
                about = self._scheduler.about(report)
            query.succeeded(1, ())
        self._observations.set_about(about)

    def ask_jobs(self) -> None:
        """All jobs; what changed goes to the spool together with the new memory of them."""
        with _Query(self, "jobs", decides=True) as query:
            report = query.run()
            with self._reading:
                answer = self._scheduler.jobs(report)
            query.succeeded(len(answer.records), answer.problems)
        unreadable = {problem.subject for problem in answer.problems if problem.subject is not None}
        unreadable -= {job.job_id for job in answer.records}
        with self._kept("jobs"):
            self._memory.observe_jobs(answer.records, unreadable=unreadable, at=query.at)
        self._observations.set_jobs(answer.records, query.at)

    def ask_ended(self) -> None:
        """Asks accounting for vanished jobs whose time has come. What did not answer once is not asked again in this step."""
        due = self._memory.due(self._clock())
        self._asked_seconds["ended"] = 0.0
        silent: set[str] = set()
        for start in range(0, len(due), IDS_PER_QUERY):
            if self._stopping.is_set():
                return
            self._beat()
            part = due[start : start + IDS_PER_QUERY]
            answer = self._accounting(part, silent)
            with self._kept("ended"):
                settled = self._memory.settle_jobs(
                    part,
                    None if answer is None else answer.records,
                    unreadable=_subjects(answer),
                    recorded_until=None if answer is None else answer.recorded_until,
                    rules=self._scheduler,
                    at=self._clock(),
                )
                logger.info("vanished_jobs asked=%d answered=%s settled=%d", len(part), answer is not None, settled)

    def ask_cost(self) -> None:
        """What our questions cost the scheduler's server, where it counts that; a site's own scripts may leave that out."""
        try:
            with _Query(self, "cost") as query:
                report = query.run()
                with self._reading:
                    effort = self._scheduler.effort(report, user_id=self._user_id())
                query.succeeded(1, ())
        except ScriptMissing:
            return
        self._observations.note_effort(effort)

    def ask_nodes(self) -> None:
        """All nodes; changes of availability go to the spool."""
        with _Query(self, "nodes") as query:
            report = query.run()
            with self._reading:
                answer = self._scheduler.nodes(report)
            query.succeeded(len(answer.records), answer.problems)
        unreadable = {problem.subject for problem in answer.problems if problem.subject is not None}
        unreadable -= {node.name for node in answer.records}
        with self._kept("nodes"):
            self._memory.observe_nodes(answer.records, unreadable=unreadable, at=query.at)
        first = self._observations.snapshot.nodes is None
        self._observations.set_nodes(answer.records, query.at)
        if first:
            self.sample()

    def ask_queues(self) -> None:
        """All queues, with figures from the last nodes and jobs."""
        with _Query(self, "queues") as query:
            report = query.run()
            with self._reading:
                snapshot = self._observations.snapshot
                answer = self._scheduler.queues(report, nodes=snapshot.nodes, jobs=snapshot.jobs)
            query.succeeded(len(answer.records), answer.problems)
        first = snapshot.queues is None
        self._observations.set_queues(answer.records, query.at)
        if first:
            self.sample()

    def read_vitals(self) -> None:
        """The frontend's own load and memory."""
        self._observations.set_frontend(self._read_frontend())

    def sample(self) -> None:
        """Puts a sample of the cluster into the spool; an unsent one before it is replaced.

        None before nodes and queues were asked for once: a cluster that answers and names no queue is one that takes no jobs.
        """
        reachable = self._observations.snapshot.reachable
        if reachable is None or (reachable and not all(map(self._observations.was_asked, ("nodes", "queues")))):
            return
        state = cluster_state(
            self._observations.snapshot,
            cluster=self._cluster,
            scheduler=self._scheduler_name,
            at=self._clock(),
            with_hardware=self._takes_hardware(),
        )
        item = Item(payload_type=PayloadType.CLUSTER_STATE, content=encode(state), replaces=_SAMPLE, sample=True)
        with self._kept("samples"):
            self._spool.store((item,), at=state.observed_at)
        self._stored()

    @contextlib.contextmanager
    def _kept(self, query: str) -> Iterator[None]:
        """While the spool is full the scheduler is asked all the same: nothing was remembered, so the next report says it again."""
        try:
            yield
        except SpoolFull as error:
            self._observations.note_failure(query, str(error))

    def _accounting(self, missing: Sequence[MissingJob], silent: set[str]) -> Answer[Job] | None:
        """What accounting says of these jobs, from its first way, its second, or both; None if neither answered.

        `silent` names what did not answer in this step, and grows. A problem with a subject stands for an id without an answer.
        """
        ids = sorted({each.job.job_id for each in missing})
        about = self._observations.snapshot.about
        first = None if about is not None and about.accounting is False else self._ask_accounting("ended", ids, silent)
        if first is None:
            return self._ask_accounting(FALLBACK, ids, silent)
        if not self._scheduler.fallback_completes:
            return first
        unreadable = _subjects(first)
        open_ids = sorted({each.job.job_id for each in missing if not self._ends(each, first)} - unreadable)
        if not open_ids:
            return first
        try:
            second = self._ask_accounting(FALLBACK, open_ids, silent, needed=True)
        except ScriptMissing:
            return first
        if second is None:
            unanswered = (Problem(query=FALLBACK, kind=ProblemKind.FAILED, subject=job_id) for job_id in open_ids)
            return dataclasses.replace(first, problems=(*first.problems, *unanswered))
        until = [each.recorded_until for each in (first, second) if each.recorded_until is not None]
        return Answer(
            records=(*first.records, *second.records),
            problems=(*first.problems, *second.problems),
            recorded_until=max(until, default=None),
        )

    def _ends(self, missing: MissingJob, answer: Answer[Job]) -> bool:
        return find_end(missing.job, answer.records, seen_at=missing.seen_at) is not None

    def _ask_accounting(self, name: str, ids: Sequence[str], silent: set[str], *, needed: bool = False) -> Answer[Job] | None:
        """None if it gave no answer; ScriptMissing only where a script is `needed` to give one."""
        if name in silent:
            return None
        try:
            with _Query(self, name, step="ended") as query:
                report = query.run(ids)
                with self._reading:
                    answer = self._scheduler.ended(report, ids)
                query.succeeded(len(answer.records), answer.problems)
        except ScriptMissing:
            if needed:
                raise
            silent.add(name)
            return None
        except (SchedulerError, ConfigError) as error:
            logger.info("accounting_failed query=%s error=%r", name, str(error)[:300])
            silent.add(name)
            return None
        return answer

    def set_reachable(self, *, reachable: bool) -> None:
        """Tells the ledger at once when the scheduler stops or begins to answer."""
        was_away = self._observations.snapshot.reachable is False
        if self._observations.set_reachable(reachable=reachable):
            logger.log(logging.INFO if reachable else logging.WARNING, "scheduler_reachable value=%s", reachable)
            self.sample()
        if reachable and was_away:
            self._came_back()

    def run(self, query: str, arguments: Sequence[str]) -> Report:
        """Asks the source of reports."""
        return self._source.run(query, arguments, stopping=self._stopping)

    def note_asked(self, step: str, seconds: float) -> None:
        """Adds to what a step made the scheduler do."""
        self._asked_seconds[step] = self._asked_seconds.get(step, 0.0) + seconds

    def begin(self, step: str) -> None:
        """A step with one question begins."""
        self._asked_seconds[step] = 0.0

    def note_success(self, query: str, *, at: Instant, run: Run, records: int, problems: Iterable[Problem]) -> None:
        """Keeps the status of a query and says each unknown state word once."""
        for problem in self._observations.note_success(query, at=at, run=run, records=records, problems=problems):
            if problem.kind is ProblemKind.UNKNOWN_STATE:
                logger.warning("unknown_state query=%s text=%r", query, problem.text)
            else:
                logger.warning("report_problem query=%s kind=%s line=%s text=%r", query, problem.kind, problem.line, problem.text)

    def note_failure(self, query: str, error: Exception, run: Run) -> None:
        """Keeps the status of a query that failed."""
        kind = ProblemKind.UNREADABLE if isinstance(error, ReportUnreadable) else ProblemKind.FAILED
        self._observations.note_failure(query, str(error), run=run, kind=kind)

    def is_stopping(self) -> bool:
        """True while the daemon stops: a script that was cut short then says nothing of the scheduler."""
        return self._stopping.is_set()

    def now(self) -> Instant:
        """Wall clock."""
        return self._clock()


class _Query:
    """One question: times the answer, keeps its status, and, if it `decides`, says whether the scheduler is reachable.

    Its time counts for the step of its own name, or for `step`, which began before.
    """

    def __init__(self, monitor: Monitor, name: str, *, decides: bool = False, step: str | None = None) -> None:
        self._monitor = monitor
        self._name = name
        self._decides = decides
        self._step = step or name
        self._run = Run(0)
        self.at = monitor.now()
        if step is None:
            monitor.begin(name)

    def __enter__(self) -> Self:
        return self

    def run(self, arguments: Sequence[str] = ()) -> Report:
        """Runs the script; `at` is the time before it ran, so that what it says is never older."""
        began = time.monotonic()
        report = None
        try:
            report = self._monitor.run(self._name, arguments)
        finally:
            seconds = time.monotonic() - began
            self._monitor.note_asked(self._step, seconds)
            self._run = Run(int(seconds * 1000), report.cpu_ms if report else None, len(report.stdout) if report else None)
        return report

    def succeeded(self, records: int, problems: Iterable[Problem]) -> None:
        """The report was readable."""
        self._monitor.note_success(self._name, at=self.at, run=self._run, records=records, problems=problems)
        if self._decides:
            self._monitor.set_reachable(reachable=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        optional = isinstance(error, ScriptMissing) and self._name in OPTIONAL
        if isinstance(error, Exception) and not optional:
            self._monitor.note_failure(self._name, error, self._run)
            if self._decides and isinstance(error, SchedulerError) and not self._monitor.is_stopping():
                self._monitor.set_reachable(reachable=False)


def _subjects(answer: Answer[Job] | None) -> frozenset[str]:
    """Ids of which an answer says that it could not be read."""
    return frozenset(problem.subject for problem in answer.problems if problem.subject) if answer is not None else frozenset()
