# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A small network on an honest log: an admin, two providers with a cluster each, an auditor, and some days of work."""

from __future__ import annotations

import random

from hpcbridge.model.clusters import Registration, Vetting
from hpcbridge.model.entries import Entry
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.nodes import Availability
from hpcbridge.model.transactions import (
    Decision,
    EpochReason,
    JobChange,
    JobChanges,
    NodeChange,
    NodeChanges,
    Revocation,
    Seen,
)
from tests.honest_log import MEMBERS, HonestLog, Signer

CLUSTERS = {"hpc-one": "one", "hpc-two": "two"}
_STEPS: tuple[tuple[JobState, Outcome | None], ...] = (
    (JobState.QUEUED, None),
    (JobState.RUNNING, None),
    (JobState.DONE, Outcome.COMPLETED),
)


def job(cluster: str, job_id: str, state: JobState, outcome: Outcome | None = None) -> Job:
    return Job(
        cluster=cluster,
        job_id=job_id,
        incarnation=1,
        state=state,
        outcome=outcome,
        native_state=state.value,
        owner="alice",
        queue="batch",
        cores=2,
        submitted_at=1_795_349_592_000,
    )


def job_changes(cluster: str, *jobs: Job, at: int = 1_795_349_700_000) -> JobChanges:
    return JobChanges(cluster=cluster, changes=tuple(JobChange(job=each, observed_at=at) for each in jobs))


class SmallNetwork:
    """The members with their chains, and the log they write."""

    def __init__(self) -> None:
        self.log = HonestLog()
        fresh = [Signer(signer.submitter, signer.role, signer.key) for signer, _ in MEMBERS]
        self.admin, self.one, self.two, self.auditor = fresh
        self.log.tick()
        self.log.enrol(self.admin, secret="alice's token")
        for signer, (_, attributes) in zip(fresh[1:], MEMBERS[1:], strict=True):
            self.log.allow(self.admin, signer, secret=str(signer.submitter), attributes=attributes)
            self.log.enrol(signer, secret=str(signer.submitter), attributes=attributes)
        for provider in (self.one, self.two):
            self.register(provider)

    @classmethod
    def busy(cls, *, seed: int = 1, jobs: int = 4) -> SmallNetwork:
        """A network that has worked: jobs that ran and ended, one illegal change, a drained node, a new epoch."""
        network = cls()
        chance = random.Random(seed)
        for number in range(jobs):
            provider = chance.choice((network.one, network.two))
            network.see(provider)
            for state, outcome in _STEPS:
                network.change(provider, str(100 + number), state, outcome)
            network.log.tick()
        mixed = (job("one", "900", JobState.RUNNING), job("two", "901", JobState.RUNNING), job("one", "902", JobState.QUEUED))
        network.log.submit(network.one, job_changes("one", *mixed))
        network.drain(network.two, "n1")
        network.log.start_epoch(network.two, EpochReason.LOST, number=2)
        network.see(network.two)
        network.change(network.two, "500", JobState.QUEUED)
        network.log.tick()
        return network

    def register(self, provider: Signer) -> None:
        cluster = CLUSTERS[provider.submitter.member]
        self.log.submit(provider, registration(cluster))
        self.log.submit(self.admin, Decision(name=cluster, vetting=Vetting.APPROVED, note="seen"))

    def change(self, provider: Signer, job_id: str, state: JobState, outcome: Outcome | None = None) -> Entry:
        cluster = CLUSTERS[provider.submitter.member]
        return self.log.submit(provider, job_changes(cluster, job(cluster, job_id, state, outcome), at=self.log.at))

    def drain(self, provider: Signer, node: str) -> Entry:
        change = NodeChange(node=node, availability=Availability.DRAINED, native_state="DRAINED", reason="disk", observed_at=self.log.at)
        return self.log.submit(provider, NodeChanges(cluster=CLUSTERS[provider.submitter.member], changes=(change,)))

    def see(self, signer: Signer) -> None:
        """The signer verifies the checkpoint as it is now and says so in its headers."""
        checkpoint = self.log.checkpoint()
        signer.seen = Seen(size=checkpoint.size, root=checkpoint.root)

    def revoke(self, signer: Signer) -> Entry:
        return self.log.submit(
            self.admin, Revocation(member=signer.submitter.member, installation=signer.submitter.installation, reason="stolen")
        )


def registration(cluster: str) -> Registration:
    return Registration(cluster=cluster, login_address=f"login.{cluster}.example")
