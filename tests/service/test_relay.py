# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The relay over the real API: who leaves and collects what, once and for a day, and that nothing of it is in the ledger."""

from __future__ import annotations

import hashlib
import logging
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hpcbridge.contract.market import rental_name
from hpcbridge.errors import HpcbridgeError, LedgerUnavailable, Refused
from hpcbridge.identity.passcode import Binding, seal_contact, seal_passcode
from hpcbridge.model.clusters import ClusterState, Queue, Rates, Registration, SchedulerInfo, Vetting
from hpcbridge.model.identities import Role
from hpcbridge.model.market import Cancellation, Credit, Rental, RentalOrder, Request
from hpcbridge.model.relay import MAX_SEALED_BYTES, Sealed, SealedKind, SealedState
from hpcbridge.model.transactions import Decision
from hpcbridge.service import relay as relay_module
from hpcbridge.service.relay import DAY_MS, KEPT_MS, MAX_LEFT_A_DAY, Relay
from hpcbridge.service.relay_file import RelayFile
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.marketqueries import get_rental
from hpcbridge.wire.relay import acknowledge_sealed, collect_sealed, leave_sealed
from tests.contract.market_sites import open_cluster
from tests.contract.rental_book import rented
from tests.fold_world import Party, World
from tests.ledger_simulator import LedgerSimulator

PASSCODE = "kd7xm-92fpq-vhw3z"
ADDRESS = "ulla.the.user@mail.example"
KEY = X25519PrivateKey.generate()
SITE_KEY = X25519PrivateKey.generate()


@pytest.fixture(scope="module")
def market(ledger: LedgerSimulator) -> LedgerSimulator:
    """Two users and two providers, one of them with a cluster."""
    for name in ("ulla", "umar"):
        ledger.user(name)
        ledger.submit("admin", Credit(member=name, amount=1_000_000_000, reference=name)).check_accepted()
    ledger.provider("acme", cluster=None)
    ledger.provider("rival", cluster="c9")
    rates = Rates(cpu_core_per_hour=20_000, gpu_core_per_hour=0)
    registration = Registration(
        cluster="c1", login_address="login.c1.test", rates=rates, sealing_key=SITE_KEY.public_key().public_bytes_raw()
    )
    ledger.submit("acme", registration).check_accepted()
    ledger.submit("admin", Decision(name="c1", vetting=Vetting.APPROVED, note="")).check_accepted()
    queue = Queue(cluster="c1", name="batch", open=True, cores_total=512, cores_used=0, cores_available=512, gpus_total=0, gpus_used=0,
                  jobs_queued=0, jobs_running=0, max_cores=128, max_walltime_seconds=3600)  # fmt: skip
    scheduler = SchedulerInfo(name="slurm", version="23.11", reachable=True)
    state = ClusterState(cluster="c1", observed_at=time.time_ns() // 1_000_000, queues=(queue,), scheduler=scheduler)
    ledger.submit("acme", state).check_accepted()
    return ledger


def rent(market: LedgerSimulator, name: str = "ulla") -> Rental:
    asked = market.submit(name, Request(cores=1))
    order = RentalOrder(request=f"r{asked.index}", cores=1, sealing_key=KEY.public_key().public_bytes_raw())
    granted = market.submit(name, order)
    granted.check_accepted()
    return get_rental(market.client(name).call, rental_name(granted.index))[0]


def leave(market: LedgerSimulator, name: str, rental: str, kind: SealedKind, box: bytes = b"box") -> int:
    return leave_sealed(market.client(name).call, rental, kind, box=box)


def collect(market: LedgerSimulator, name: str, rental: str, kind: SealedKind, installation: str = "main") -> Sealed:
    return collect_sealed(market.client(name, installation).call, rental, kind)


def refusal(market: LedgerSimulator, what: str, name: str, rental: str, kind: SealedKind) -> tuple[str, str]:
    with pytest.raises(Refused) as refused:
        leave(market, name, rental, kind) if what == "leave" else collect(market, name, rental, kind)
    return refused.value.code, refused.value.reason


def test_a_passcode_is_read_once_and_a_cut_connection_loses_nothing(market: LedgerSimulator) -> None:
    rental = rent(market).rental
    assert collect(market, "ulla", rental, SealedKind.PASSCODE) == Sealed(state=SealedState.NONE)
    expires_at = leave(market, "acme", rental, SealedKind.PASSCODE, b"first")
    for _ in range(2):  # the answer to the first one was lost on its way
        found = collect(market, "ulla", rental, SealedKind.PASSCODE)
        assert (found.state, found.box, found.expires_at) == (SealedState.WAITING, b"first", expires_at)
        assert found.expires_at == (found.left_at or 0) + KEPT_MS
    call = market.client("ulla").call
    for _ in range(2):
        told = acknowledge_sealed(call, rental, SealedKind.PASSCODE, box=b"first")
        assert (told.state, told.box) == (SealedState.COLLECTED, b"")
    assert collect(market, "ulla", rental, SealedKind.PASSCODE).state is SealedState.COLLECTED


def test_what_was_left_meanwhile_is_not_deleted_by_an_acknowledgement(market: LedgerSimulator) -> None:
    rental = rent(market).rental
    leave(market, "acme", rental, SealedKind.PASSCODE, b"older")
    leave(market, "acme", rental, SealedKind.PASSCODE, b"newer")
    assert acknowledge_sealed(market.client("ulla").call, rental, SealedKind.PASSCODE, box=b"older").state is SealedState.WAITING
    assert collect(market, "ulla", rental, SealedKind.PASSCODE).box == b"newer"


def test_an_address_goes_the_other_way(market: LedgerSimulator) -> None:
    rental = rent(market).rental
    leave(market, "ulla", rental, SealedKind.CONTACT, b"address")
    assert collect(market, "acme", rental, SealedKind.CONTACT).box == b"address"
    assert collect(market, "ulla", rental, SealedKind.PASSCODE).state is SealedState.NONE


def test_who_may_not(market: LedgerSimulator) -> None:
    rental = rent(market).rental
    leave(market, "acme", rental, SealedKind.PASSCODE)
    market.enrol(Role.USER, "watcher", attributes=(("auditor", "true"),))
    for what in ("leave", "collect"):
        for kind in SealedKind:
            for name in ("umar", "rival", "watcher"):
                code, reason = refusal(market, what, name, rental, kind)
                assert (code, reason) == ("NOT_FOUND", refusal(market, what, name, "l0", kind)[1].replace("'l0'", f"'{rental}'"))
            assert refusal(market, what, "admin", rental, kind)[0] == "NOT_PERMITTED"
    assert refusal(market, "leave", "ulla", rental, SealedKind.PASSCODE)[0] == "NOT_PERMITTED"
    assert refusal(market, "collect", "acme", rental, SealedKind.PASSCODE)[0] == "NOT_PERMITTED"
    assert refusal(market, "leave", "acme", rental, SealedKind.CONTACT)[0] == "NOT_PERMITTED"
    assert refusal(market, "collect", "ulla", rental, SealedKind.CONTACT)[0] == "NOT_PERMITTED"


def test_every_installation_of_the_user_until_it_is_revoked_or_the_user_suspended(market: LedgerSimulator) -> None:
    market.user("uma")
    market.submit("admin", Credit(member="uma", amount=1_000_000_000, reference="uma")).check_accepted()
    market.enrol(Role.USER, "uma", "laptop")
    rental = rent(market, "uma").rental
    leave(market, "acme", rental, SealedKind.PASSCODE)
    assert collect(market, "uma", rental, SealedKind.PASSCODE, "laptop").state is SealedState.WAITING
    market.revoke("uma", "laptop")
    with pytest.raises(HpcbridgeError):
        collect(market, "uma", rental, SealedKind.PASSCODE, "laptop")
    assert collect(market, "uma", rental, SealedKind.PASSCODE).state is SealedState.WAITING
    market.submit("admin", Decision(name="uma", vetting=Vetting.SUSPENDED, note="")).check_accepted()
    with pytest.raises(Refused):
        collect(market, "uma", rental, SealedKind.PASSCODE)


def test_nothing_is_kept_for_a_rental_that_has_ended(market: LedgerSimulator) -> None:
    rental = rent(market).rental
    leave(market, "acme", rental, SealedKind.PASSCODE)
    market.submit("ulla", Cancellation(rental=rental)).check_accepted()
    assert refusal(market, "collect", "ulla", rental, SealedKind.PASSCODE)[0] == "ILLEGAL_TRANSITION"
    assert refusal(market, "leave", "acme", rental, SealedKind.PASSCODE)[0] == "ILLEGAL_TRANSITION"


@pytest.mark.parametrize("size", [0, MAX_SEALED_BYTES + 1, 100_000])
def test_boxes_have_a_size(market: LedgerSimulator, size: int) -> None:
    rental = rent(market).rental
    with pytest.raises(Refused, match="MALFORMED"):
        leave(market, "acme", rental, SealedKind.PASSCODE, b"x" * size)
    leave(market, "acme", rental, SealedKind.PASSCODE, b"x" * MAX_SEALED_BYTES)
    assert len(collect(market, "ulla", rental, SealedKind.PASSCODE).box) == MAX_SEALED_BYTES


def test_an_unknown_kind_is_refused(market: LedgerSimulator) -> None:
    for number in (0, 9):
        request = ledger_pb2.CollectSealedRequest(rental="l1", kind=number)  # type: ignore[arg-type]
        with pytest.raises(Refused, match="MALFORMED"):
            market.client("ulla").call("CollectSealed", request)


def test_a_flood_ends_at_the_days_quota_and_harms_nobody_else(market: LedgerSimulator) -> None:
    flooded, other = rent(market).rental, rent(market).rental
    client = market.client("acme")
    for _ in range(MAX_LEFT_A_DAY):
        leave_sealed(client.call, flooded, SealedKind.PASSCODE, box=b"again")
    for _ in range(3):
        with pytest.raises(Refused, match="TOO_MANY"):
            leave_sealed(client.call, flooded, SealedKind.PASSCODE, box=b"again")
    leave_sealed(client.call, other, SealedKind.PASSCODE, box=b"once")
    assert collect(market, "ulla", other, SealedKind.PASSCODE).box == b"once"


def every_byte(directory: Path, *, without: str = "") -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file() and not (without and without in path.name))


def pieces(box: bytes) -> list[bytes]:
    """Its beginning and its end: what is long stands on more than one page of a file."""
    return [box[:48], box[-48:]]


def test_the_ledgers_files_hold_neither_passcode_nor_address(market: LedgerSimulator) -> None:
    rental = rent(market)
    binding = Binding(origin="ledger.test", rental=rental.rental, cluster="c1", username=rental.username)
    acme = market.identity("acme")
    sealed = seal_passcode(
        PASSCODE, binding, sealing_key=rental.sealing_key, key=acme.load_key(), certificate=acme.load_certificate(), at=rental.granted_at
    )
    contact = seal_contact(ADDRESS, binding, sealing_key=rental.provider_sealing_key)
    leave(market, "acme", rental.rental, SealedKind.PASSCODE, sealed)
    leave(market, "ulla", rental.rental, SealedKind.CONTACT, contact)
    files = every_byte(market.config.store.directory)
    for part in pieces(sealed) + pieces(contact):  # the search finds what is there: the boxes, in the relay's file
        assert part in files
    for secret in (PASSCODE, ADDRESS, "ulla.the"):
        for form in (secret.encode(), secret.encode().hex().encode(), secret.encode("utf-16-le")):
            assert form not in files
    beside = every_byte(market.config.store.directory, without="relay.db")
    assert rental.username.encode() in beside
    for part in (*pieces(sealed), *pieces(contact), hashlib.sha256(sealed).digest()):
        assert part not in beside
    acknowledge_sealed(market.client("ulla").call, rental.rental, SealedKind.PASSCODE, box=sealed)
    left = every_byte(market.config.store.directory)
    assert not any(part in left for part in pieces(sealed))


def test_a_file_that_is_damaged_or_gone_does_not_stop_the_ledger(market: LedgerSimulator, caplog: pytest.LogCaptureFixture) -> None:
    rental = rent(market).rental
    leave(market, "acme", rental, SealedKind.PASSCODE, b"lost")
    path = market.config.store.directory / "relay.db"
    for damage in (lambda: path.write_bytes(b"not a database" * 1000), path.unlink):
        market.stop()
        damage()
        with caplog.at_level(logging.ERROR):
            market.start()
        assert collect(market, "ulla", rental, SealedKind.PASSCODE).state is SealedState.NONE
        leave(market, "acme", rental, SealedKind.PASSCODE, b"again")
        assert collect(market, "ulla", rental, SealedKind.PASSCODE).box == b"again"
        assert path.stat().st_mode & 0o777 == 0o600
    assert [record.message.split()[0] for record in caplog.records if "relay" in record.message] == ["relay_made_anew"]
    market.submit("ulla", Request(cores=1)).check_accepted()


class Clock:
    """The ledger's time, moved by hand."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __call__(self) -> int:
        return self.at


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_day_by_the_ledgers_time_and_no_longer(world: World, tmp_path: Path) -> None:
    site = open_cluster(world, "c1", world.enrol("site", Role.PROVIDER))
    alice = a_user(world)
    rental, second = rented(world, alice), rented(world, alice)
    clock = Clock(world.at)
    relay = Relay(RelayFile(tmp_path / "relay.db"), now=clock)

    def found(name: str) -> Sealed:
        return relay.collect(world.state, world.caller(alice), name, kind=SealedKind.PASSCODE, acknowledge=b"")

    for each in (rental, second):
        relay.leave(world.state, world.caller(site), each.rental, kind=SealedKind.PASSCODE, box=b"secret box")
    clock.at += KEPT_MS - 1
    assert found(rental.rental).box == b"secret box"
    clock.at += 1
    assert (found(rental.rental).state, found(rental.rental).box) == (SealedState.EXPIRED, b"")
    assert b"secret box" in (tmp_path / "relay.db").read_bytes()  # the second one, which nobody asked for
    relay.clean(world.state)
    assert b"secret box" not in (tmp_path / "relay.db").read_bytes()
    relay.leave(world.state, world.caller(site), rental.rental, kind=SealedKind.PASSCODE, box=b"new box")
    assert found(rental.rental).box == b"new box"
    world.must(alice, Cancellation(rental=rental.rental))
    relay.clean(world.state)
    assert b"new box" not in (tmp_path / "relay.db").read_bytes()
    relay.close()


def test_the_quota_is_for_a_day_and_all_boxes_together_have_a_bound(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = open_cluster(world, "c1", world.enrol("site", Role.PROVIDER))
    alice = a_user(world)
    first, second = rented(world, alice), rented(world, alice)
    clock = Clock(world.at)
    relay = Relay(RelayFile(tmp_path / "relay.db"), now=clock)

    def leave_one(name: str) -> None:
        relay.leave(world.state, world.caller(site), name, kind=SealedKind.PASSCODE, box=b"box")

    monkeypatch.setattr(relay_module, "MAX_LEFT_A_DAY", 1)
    leave_one(first.rental)
    with pytest.raises(Refused, match="TOO_MANY"):
        leave_one(first.rental)
    clock.at += DAY_MS
    leave_one(first.rental)
    monkeypatch.setattr(relay_module, "MAX_BOXES", 1)
    with pytest.raises(Refused, match="TOO_MANY"):
        leave_one(second.rental)
    relay.clean(world.state)  # the box of the first one is still young
    clock.at += KEPT_MS
    relay.clean(world.state)
    leave_one(second.rental)
    relay.close()


def test_a_disk_that_refuses_is_an_error_that_passes(world: World, tmp_path: Path) -> None:
    site = open_cluster(world, "c1", world.enrol("site", Role.PROVIDER))
    rental = rented(world, a_user(world))
    path = tmp_path / "not yet" / "relay.db"
    relay = Relay(RelayFile(path), now=Clock(world.at))
    with pytest.raises(LedgerUnavailable):
        relay.leave(world.state, world.caller(site), rental.rental, kind=SealedKind.PASSCODE, box=b"box")
    relay.clean(world.state)
    path.parent.mkdir()
    relay.leave(world.state, world.caller(site), rental.rental, kind=SealedKind.PASSCODE, box=b"box")
    relay.close()


def a_user(world: World) -> Party:
    party = world.enrol("alice", Role.USER)
    world.must(world.root, Credit(member="alice", amount=100_000_000, reference="first"))
    return party
