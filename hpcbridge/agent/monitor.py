# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Asks the scheduler: one step per question, each run by a worker of its own, never one per job.

A query that failed, hung or printed garbage changes nothing but `reachable` and its own status. Vanished jobs are asked for in accounting
by their own worker.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self

from hpcbridge.agent.changes import MissingJob, key_of_range
from hpcbridge.agent.memory import Memory
from hpcbridge.agent.observations import Observations, cluster_state
from hpcbridge.agent.rows import Item
from hpcbridge.agent.spool import Spool
from hpcbridge.agent.spool_file import SpoolFull
from hpcbridge.errors import ConfigError, SchedulerError
from hpcbridge.model.clusters import Frontend
from hpcbridge.model.jobs import Job
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import PayloadType
from hpcbridge.schedulers.report import Answer, Problem, ProblemKind, Report, Scheduler, Source
from hpcbridge.wire.convert import encode

logger = logging.getLogger(__name__)

IDS_PER_QUERY = 200
"""Ids of one accounting query stay well below the length of a command line."""
_SAMPLE = "cluster state"


class Monitor:
    """Owns no thread: each public method is one worker's step. The scheduler object is used by one step at a time."""

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
    ) -> None:
        """`stored` is called when a sample waits to be sent, `came_back` when the scheduler answers again."""
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
        self._told_states: set[str] = set()
        self._beat: Callable[[], None] = lambda: None

    def beat_with(self, beat: Callable[[], None]) -> None:
        """Sets what is called as sign of life between two questions of `ask_ended`, which may be many."""
        self._beat = beat

    def ask_about(self) -> None:
        """Version and settings of the scheduler."""
        with _Query(self, "about") as query:
            about = self._scheduler.about(query.run())
            query.succeeded(1, ())
        self._observations.set_about(about)

    def ask_jobs(self) -> None:
        """All jobs; what changed goes to the spool together with the new memory of them."""
        with _Query(self, "jobs", decides=True) as query:
            answer = self._scheduler.jobs(query.run())
            query.succeeded(len(answer.records), answer.problems)
        unreadable = {_key_of_subject(problem.subject) for problem in answer.problems if problem.subject is not None}
        unreadable -= {job.job_id for job in answer.records}
        with self._kept("jobs"):
            self._memory.observe_jobs(answer.records, unreadable=unreadable, at=query.at)
        self._observations.set_jobs(answer.records, query.at)

    def ask_ended(self) -> None:
        """Asks accounting for vanished jobs whose time has come. Once it did not answer, the rest is not asked for in this step."""
        due = self._memory.due(self._clock())
        answers = True
        for start in range(0, len(due), IDS_PER_QUERY):
            if self._stopping.is_set():
                return
            self._beat()
            part = due[start : start + IDS_PER_QUERY]
            answer = self._accounting(part) if answers else None
            answers = answer is not None
            records = None if answer is None else answer.records
            unreadable = {problem.subject for problem in answer.problems if problem.subject} if answer is not None else set()
            with self._kept("ended"):
                settled = self._memory.settle_jobs(part, records, unreadable=unreadable, at=self._clock())
                logger.info("vanished_jobs asked=%d answered=%s settled=%d", len(part), answers, settled)

    def ask_nodes(self) -> None:
        """All nodes; changes of availability go to the spool."""
        with _Query(self, "nodes") as query:
            answer = self._scheduler.nodes(query.run())
            query.succeeded(len(answer.records), answer.problems)
        unreadable = {problem.subject for problem in answer.problems if problem.subject is not None}
        unreadable -= {node.name for node in answer.records}
        with self._kept("nodes"):
            self._memory.observe_nodes(answer.records, unreadable=unreadable, at=query.at)
        self._observations.set_nodes(answer.records, query.at)

    def ask_queues(self) -> None:
        """All queues, with figures from the last nodes and jobs."""
        with _Query(self, "queues") as query:
            snapshot = self._observations.snapshot
            answer = self._scheduler.queues(query.run(), nodes=snapshot.nodes, jobs=snapshot.jobs)
            query.succeeded(len(answer.records), answer.problems)
        self._observations.set_queues(answer.records, query.at)

    def read_vitals(self) -> None:
        """The frontend's own load and memory."""
        self._observations.set_frontend(self._read_frontend())

    def sample(self) -> None:
        """Puts a sample of the cluster into the spool; an unsent one before it is replaced."""
        if self._observations.snapshot.reachable is None:
            return
        state = cluster_state(self._observations.snapshot, cluster=self._cluster, scheduler=self._scheduler_name, at=self._clock())
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

    def _accounting(self, missing: Sequence[MissingJob]) -> Answer[Job] | None:
        """What accounting says of these jobs, else from the fallback; None if neither answered."""
        ids = sorted({each.job.job_id for each in missing})
        about = self._observations.snapshot.about
        for name in ("ended", "ended_fallback") if about is None or about.accounting is not False else ("ended_fallback",):
            try:
                with _Query(self, name) as query:
                    answer = self._scheduler.ended(query.run(ids), ids)
                    query.succeeded(len(answer.records), answer.problems)
            except (SchedulerError, ConfigError) as error:
                logger.info("accounting_failed query=%s error=%r", name, str(error)[:300])
            else:
                return answer
        return None

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

    def note_success(self, query: str, *, at: Instant, took_ms: int, records: int, problems: Iterable[Problem]) -> None:
        """Keeps the status of a query and says each unknown state word once."""
        problems = tuple(problems)
        self._observations.note_success(query, at=at, took_ms=took_ms, records=records, problems=len(problems))
        for problem in problems:
            if problem.kind is not ProblemKind.UNKNOWN_STATE:
                logger.warning("report_problem query=%s kind=%s line=%s text=%r", query, problem.kind, problem.line, problem.text)
            elif problem.text not in self._told_states:
                self._told_states.add(problem.text)
                logger.warning("unknown_state query=%s text=%r", query, problem.text)

    def note_failure(self, query: str, error: Exception) -> None:
        """Keeps the status of a query that failed."""
        self._observations.note_failure(query, str(error))

    def is_stopping(self) -> bool:
        """True while the daemon stops: a script that was cut short then says nothing of the scheduler."""
        return self._stopping.is_set()

    def now(self) -> Instant:
        """Wall clock."""
        return self._clock()


class _Query:
    """One question: times it, keeps its status, and, if it `decides`, says whether the scheduler is reachable."""

    def __init__(self, monitor: Monitor, name: str, *, decides: bool = False) -> None:
        self._monitor = monitor
        self._name = name
        self._decides = decides
        self._began = time.monotonic()
        self.at = monitor.now()

    def __enter__(self) -> Self:
        return self

    def run(self, arguments: Sequence[str] = ()) -> Report:
        """Runs the script; `at` is the time before it ran, so that what it says is never older."""
        return self._monitor.run(self._name, arguments)

    def succeeded(self, records: int, problems: Iterable[Problem]) -> None:
        """The report was readable."""
        took = int((time.monotonic() - self._began) * 1000)
        self._monitor.note_success(self._name, at=self.at, took_ms=took, records=records, problems=problems)
        if self._decides:
            self._monitor.set_reachable(reachable=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            self._monitor.note_failure(self._name, error)
            if self._decides and isinstance(error, SchedulerError) and not self._monitor.is_stopping():
                self._monitor.set_reachable(reachable=False)


def _key_of_subject(subject: str) -> str:
    """The key of a job that could not be read; a pending range is known by its array."""
    base, bracket, _ = subject.partition("_[")
    return key_of_range(base) if bracket else subject

