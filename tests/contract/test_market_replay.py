# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A log of the market, real envelopes and all, replayed by other processes: under another hash seed, and by other versions of Python.

Other versions are looked for on the path and in HPCBRIDGE_OTHER_PYTHON; one counts if it has the packages that a replay needs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hpcbridge.contract.accounts import money_fault
from hpcbridge.contract.market import stored_rental
from hpcbridge.fold import WorkingState
from hpcbridge.model.identities import Role
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.market import AccountReport, AccountState, Cancellation, Credit, Rental, RentalOrder
from hpcbridge.model.transactions import Parameters
from tests.contract.market_sites import HOUR, ask, open_cluster, tell_state
from tests.contract.version_1 import write_leaves
from tests.fold_world import DAY_MS, Party, World, job, job_changes

REPLAY = """
import sys
from hpcbridge.fold import WorkingState
from hpcbridge.model.entries import Entry
from hpcbridge.wire.convert import decode
from hpcbridge.fold import fold
from tests.contract.version_1 import read_leaves
from pathlib import Path
state = WorkingState()
for leaf in read_leaves(Path(sys.argv[1])):
    entry = decode(Entry, leaf)
    answer = fold(state, entry.envelope, index=entry.index, at=entry.at, proposer=entry.proposer, origin="test")
    assert answer.leaf == leaf, entry.index
    state.put(answer)
print("%d.%d" % sys.version_info[:2], state.digest().hex())
"""
NEEDED = "import msgspec, google.protobuf, grpc, cryptography, sys; print('%d.%d' % sys.version_info[:2])"
OTHERS = ("python3.11", "python3.12", "python3.13", "python3.14")
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def log(world: World, tmp_path: Path) -> tuple[Path, str]:
    """Rentals of every kind of end but those by an admin, with charges, notices, corrections and refusals; and the digest they lead to."""
    ann, bob = world.enrol("ann", Role.USER), world.enrol("bob", Role.USER)
    site = open_cluster(world, "c1")
    for member in ("ann", "bob"):
        world.must(world.root, Credit(member=member, amount=100_000_000, reference="first"))
    first, second, third = (rent(world, user, extra) for user, extra in ((ann, 0), (bob, 5), (ann, 1_000_000)))
    world.must(site, AccountReport(rental=first.rental, state=AccountState.READY))
    world.must(site, AccountReport(rental=second.rental, state=AccountState.FAILED, text="no home left"))
    world.outcomes(bob, Cancellation(rental=first.rental))
    start = world.at
    running = [job(str(number), JobState.RUNNING, owner=first.username, cores=16, gpus=0, started_at=start) for number in range(3)]
    world.must(site, job_changes(*running, job("9", JobState.UNDETERMINED, reason="vanished", owner=first.username), observed_at=world.at))
    world.at += HOUR * 1000
    ends = [Outcome.COMPLETED, Outcome.NODE_FAILED, Outcome.CANCELLED]
    ended = (done(first, str(number), start, end=world.at, outcome=outcome) for number, outcome in enumerate(ends))
    world.must(site, job_changes(*ended, observed_at=world.at))
    world.must(ann, Cancellation(rental=third.rental))
    world.must(world.root, Parameters(values=(("rental_grace_ms", 60_000),)))
    for days in (8, 1):
        world.at += days * DAY_MS
        world.tick()
    world.renew(site, lifetime_ms=90 * DAY_MS)
    world.must(site, job_changes(done(first, "9", start, end=start + 7_000_001, outcome=Outcome.COMPLETED), observed_at=world.at))
    tell_state(world, site, "c1")
    rent(world, bob, 0)
    assert money_fault(world.state) == ""
    path = tmp_path / "log"
    write_leaves(path, (applied.leaf for applied in world.applied))
    return path, world.state.digest().hex()


def rent(world: World, user: Party, extra_limit: int) -> Rental:
    """The best offer there is."""
    order = RentalOrder(request=ask(world, user).request, cores=16, extra_limit=extra_limit)
    rental = stored_rental(world.state, f"l{world.must(user, order).entry.index}")
    assert rental is not None
    return rental


def done(rental: Rental, job_id: str, start: int, *, end: int, outcome: Outcome) -> Job:
    """A job at its end."""
    state = JobState.DONE if outcome is Outcome.COMPLETED else JobState.FAILED
    return job(job_id, state, outcome=outcome, owner=rental.username, cores=16, gpus=0, started_at=start, ended_at=end)


def replay_with(python: str, path: Path, *, seed: str) -> list[str]:
    """Version and digest, as another process sees them."""
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    command = [python, "-c", REPLAY, str(path)]
    return subprocess.run(command, env=environment, capture_output=True, check=True, text=True, cwd=ROOT).stdout.split()


def other_pythons() -> dict[str, str]:
    """Other versions of Python that have what a replay needs, by version."""
    named = [os.environ.get("HPCBRIDGE_OTHER_PYTHON", ""), *OTHERS]
    found: dict[str, str] = {}
    for name in filter(None, map(shutil.which, filter(None, named))):
        answer = subprocess.run([name, "-c", NEEDED], capture_output=True, check=False, text=True)
        if answer.returncode == 0:
            found.setdefault(answer.stdout.strip(), name)
    found.pop(f"{sys.version_info[0]}.{sys.version_info[1]}", None)
    return found


def test_another_process_comes_to_the_same_bytes(log: tuple[Path, str]) -> None:
    path, digest = log
    assert replay_with(sys.executable, path, seed="4242")[1] == digest
    assert digest != WorkingState().digest().hex()


@pytest.mark.full
def test_another_version_of_python_comes_to_the_same_bytes(log: tuple[Path, str]) -> None:
    path, digest = log
    others = other_pythons()
    if not others:
        pytest.skip("no other version of Python has msgspec, protobuf, grpcio and cryptography; name one in HPCBRIDGE_OTHER_PYTHON")
    for version, python in others.items():
        assert replay_with(python, path, seed="1") == [version, digest]
