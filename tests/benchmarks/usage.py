# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What a job change costs the contract: a job of nobody, which most are, and a tenant's, which is also told, counted and charged."""

from __future__ import annotations

import time
from collections.abc import Iterator

from hpcbridge.contract import apply
from hpcbridge.model.identities import Caller, Role, Submitter
from hpcbridge.model.jobs import JobState
from hpcbridge.model.market import Rental
from hpcbridge.model.transactions import JobChange, JobChanges, PayloadType
from tests.benchmarks.figures import Figure
from tests.contract.market_book import HOUR, Book, opened, rented, run

ITEMS = 64
BODIES = 100
STEPS = (JobState.QUEUED, JobState.RUNNING, JobState.DONE)


def measure(*, quick: bool) -> Iterator[Figure]:
    """Microseconds for each change, in bodies of 64."""
    for who in ("nobody", "a tenant"):
        book = opened()
        rental = rented(book, extra_limit=1_000_000)
        book.at += HOUR
        owner = rental.username if who == "a tenant" else "nobody"
        for state in STEPS:
            microseconds = _changes(book, rental, owner, state=state, bodies=10 if quick else BODIES)
            aim = 12 if who == "nobody" else None
            yield Figure(name=f"a change to {state} of a job of {who}, applied", value=microseconds, unit="µs", aim=aim)


def _changes(book: Book, rental: Rental, owner: str, *, state: JobState, bodies: int) -> float:
    caller = Caller(submitter=Submitter(rental.provider, "main"), role=Role.PROVIDER)
    made = [_body(book, rental, owner, state=state, first=body * ITEMS) for body in range(bodies)]
    start = time.perf_counter()
    for index, body in enumerate(made, len(book.story)):
        book.state.write(apply(book.state, caller, PayloadType.JOB_CHANGES, body=body, at=book.at, index=index).writes)
    return (time.perf_counter() - start) / (bodies * ITEMS) * 1e6


def _body(book: Book, rental: Rental, owner: str, *, state: JobState, first: int) -> JobChanges:
    times = {"wall_seconds": 9, "started_at": book.at - 9000, "ended_at": book.at} if state is JobState.DONE else {}
    jobs = [run(rental, str(number), state, owner=owner, **times) for number in range(first, first + ITEMS)]
    return JobChanges(cluster=rental.cluster, changes=tuple(JobChange(job=job, observed_at=book.at) for job in jobs))
