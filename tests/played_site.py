# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A provider without a machine: registers a cluster, hears of rentals, reports accounts and jobs, all by `hpcbridge.client`."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator

from hpcbridge.client import Client
from hpcbridge.errors import LedgerUnavailable
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.passcode import Binding, seal_passcode
from hpcbridge.model.clusters import ClusterState, Program, Queue, Rates, Registration, SchedulerInfo
from hpcbridge.model.entries import EventType
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.market import AccountReport, AccountState, Rental
from hpcbridge.model.relay import SealedKind
from hpcbridge.model.transactions import JobChange, JobChanges
from hpcbridge.wire.client import LedgerClient, endpoints_of
from hpcbridge.wire.relay import leave_sealed
from tests.ctl_network import ORIGIN, Network

PROGRAMS = (Program(name="gromacs", version="2023.3"),)
_JOB = Job(cluster="", job_id="1", incarnation=1, state=JobState.QUEUED, native_state="PENDING", name="relax")


def now() -> int:
    return time.time_ns() // 1_000_000


class PlayedSite:
    """One cluster of a provider. What it says are the provider's transactions, as an agent would sign them."""

    def __init__(self, network: Network, provider: str, cluster: str) -> None:
        self.network = network
        self.cluster = cluster
        network.enrol("root", provider, "provider")
        self.client = Client(network.identity(provider))

    def open(self, *, cores: int = 128, programs: tuple[Program, ...] = PROGRAMS, rate: int = 20_000) -> None:
        """Registers the cluster, has it approved and tells a sample: one queue, all of it free."""
        registration = Registration(
            cluster=self.cluster,
            login_address=f"login.{self.cluster}.example",
            rates=Rates(cpu_core_per_hour=rate, gpu_core_per_hour=900_000),
            programs=programs,
        )
        self.client.submit(registration).check_accepted()
        with Client(self.network.identity("root")) as admin:
            admin.approve(self.cluster)
        queue = Queue(cluster=self.cluster, name="batch", open=True, cores_total=cores, cores_used=0, cores_available=cores, gpus_total=0,
                      gpus_used=0, jobs_queued=0, jobs_running=0, max_cores=cores, max_walltime_seconds=24 * 3600)  # fmt: skip
        scheduler = SchedulerInfo(name="slurm", version="23.11", reachable=True)
        self.client.submit(ClusterState(cluster=self.cluster, observed_at=now(), queues=(queue,), scheduler=scheduler)).check_accepted()

    def ready(self, rental: Rental | str) -> None:
        """The account exists."""
        name = rental if isinstance(rental, str) else rental.rental
        self.client.submit(AccountReport(rental=name, state=AccountState.READY)).check_accepted()

    def leave_passcode(self, rental: Rental, text: str, *, signer: KeyDirectory | None = None) -> None:
        """Seals a passcode to the rental's key, as an agent does, and leaves it for the user."""
        own = KeyDirectory(self.network.identity(self.client.submitter.member))
        keys = own if signer is None else signer
        binding = Binding(origin=ORIGIN, rental=rental.rental, cluster=rental.cluster, username=rental.username)
        box = seal_passcode(
            text, binding, sealing_key=rental.sealing_key, key=keys.load_key(), certificate=keys.load_certificate(), at=now()
        )
        with LedgerClient(endpoints_of(own), own) as client:
            leave_sealed(client.call, rental.rental, SealedKind.PASSCODE, box=box)

    def report(self, rental: Rental, job_id: str, state: JobState, outcome: Outcome | None = None) -> None:
        """A job of the rental's account as the scheduler shows it now."""
        at = now()
        job = dataclasses.replace(
            _JOB,
            cluster=self.cluster,
            job_id=job_id,
            state=state,
            outcome=outcome,
            native_state=state.value,
            owner=rental.username,
            queue=rental.queue,
            cores=rental.cores,
            gpus=0,
            submitted_at=at - 1000,
            started_at=None if state is JobState.QUEUED else at,
            ended_at=at if outcome else None,
            wall_seconds=0 if outcome else None,
        )
        self.client.submit(JobChanges(cluster=self.cluster, changes=(JobChange(job=job, observed_at=at),))).check_accepted()

    def run_job(self, rental: Rental, job_id: str, outcome: Outcome = Outcome.COMPLETED) -> None:
        """QUEUE, RUN, END."""
        self.report(rental, job_id, JobState.QUEUED)
        self.report(rental, job_id, JobState.RUNNING)
        ended = JobState.DONE if outcome is Outcome.COMPLETED else JobState.FAILED
        self.report(rental, job_id, ended, outcome)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """While this lasts, each rental gets its account and one job that completes."""
        cursor = [event.cursor for event in self.client.events()][-1]
        worker = threading.Thread(target=self._work, args=(cursor,))
        worker.start()
        try:
            yield
        finally:
            self.client.close()
            worker.join(10)
            assert not worker.is_alive()

    def _work(self, cursor: str) -> None:
        with contextlib.suppress(LedgerUnavailable):
            for event in self.client.events(cursor, types=(EventType.RENTAL_GRANTED, EventType.RENTAL_READY), follow=True):
                if event.type is EventType.RENTAL_GRANTED:
                    self.leave_passcode(event.body, f"passcode-of-{event.body.rental}")
                    self.ready(event.body)
                else:
                    self.run_job(event.body, f"47{event.body.index}")
