# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""After a lost or restored spool: what the ledger has on record of this cluster's jobs decides about incarnations and open jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from hpcbridge.agent.memory import Memory
from hpcbridge.agent.rows import WaitingItem
from hpcbridge.errors import Refused
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.jobs import Job
from hpcbridge.model.transactions import JobChange
from hpcbridge.wire.client import LedgerClient
from hpcbridge.wire.convert import decode, from_message
from hpcbridge.wire.generated import ledger_pb2

JOBS_PER_PAGE = 500


class LedgerRecord:
    """Asks the ledger for jobs of one cluster; `beat` is called as sign of life before each question."""

    def __init__(self, client: LedgerClient, *, cluster: str, beat: Callable[[], None]) -> None:
        self._client = client
        self._cluster = cluster
        self._beat = beat

    def highest(self, job_id: str) -> Job | None:
        """The run of this id with the highest incarnation; None if there is no record of it."""
        self._beat()
        request = ledger_pb2.GetJobRequest(cluster=self._cluster, job_id=job_id, incarnation=0)
        try:
            reply = self._client.call("GetJob", request)
        except Refused as error:
            if error.code != EntryOutcome.NOT_FOUND:
                raise
            return None
        return from_message(Job, reply.job)

    def open_jobs(self) -> Iterator[Job]:
        """Jobs that have not ended; none if the ledger does not know the cluster."""
        after = ""
        while True:
            self._beat()
            request = ledger_pb2.ListJobsRequest(cluster=self._cluster, open_only=True, after=after, limit=JOBS_PER_PAGE)
            try:
                reply = self._client.call("ListJobs", request)
            except Refused as error:
                if error.code != EntryOutcome.NOT_FOUND:
                    raise
                return
            yield from (from_message(Job, job) for job in reply.jobs)
            if not reply.next:
                return
            after = reply.next


def confirm_incarnations(memory: Memory, record: LedgerRecord, items: Sequence[WaitingItem]) -> None:
    """Compares every id whose count began without knowing the ledger's with the highest incarnation on record."""
    first: dict[str, Job] = {}
    for item in items:
        if item.unconfirmed and item.subject is not None and item.subject not in first:
            first[item.subject] = decode(JobChange, item.content).job
    for job_id, job in first.items():
        memory.confirm(job, record.highest(job_id))
