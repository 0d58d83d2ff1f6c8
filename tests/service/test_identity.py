# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Certificates and revocation on live connections (I2 to I4, quick share)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcbridge.errors import HpcbridgeError, IdentityError, LedgerUnavailable, Refused
from hpcbridge.identity.authority import Authority
from hpcbridge.identity.certificates import build_csr
from hpcbridge.model.entries import EntryOutcome, RejectionCode
from hpcbridge.model.identities import Role
from hpcbridge.service.streams import Streams
from hpcbridge.wire.client import EventStream, LedgerClient, SubmitStream
from hpcbridge.wire.enrolment import renew
from hpcbridge.wire.generated import ledger_pb2
from tests.bridge import wait_until
from tests.ledger_author import Author, job_changes
from tests.ledger_simulator import ORIGIN, LedgerSimulator, now

STATUS = ledger_pb2.GetStatusRequest()
ACCEPTED = (EntryOutcome.ACCEPTED,)


def seconds_until_cut(streams: list[SubmitStream | EventStream]) -> list[tuple[float, HpcbridgeError]]:
    """Waits for the end of each stream at the same time."""
    started, ends = time.monotonic(), []

    def wait(stream: SubmitStream | EventStream) -> None:
        try:
            for _ in stream:
                pass
        except HpcbridgeError as error:
            ends.append((time.monotonic() - started, error))

    threads = [threading.Thread(target=wait, args=(stream,), daemon=True) for stream in streams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(6)
    return ends


def _wait_for_end(stream: SubmitStream | EventStream, name: str, ends: dict[str, tuple[float, HpcbridgeError]]) -> None:
    try:
        for _ in stream:
            pass
    except HpcbridgeError as error:
        ends[name] = (time.monotonic(), error)


def _jobs(client: LedgerClient, cluster: str) -> int:
    return len(client.call("ListJobs", ledger_pb2.ListJobsRequest(cluster=cluster)).jobs)


def test_a_certificate_of_another_ca_does_not_get_in(ledger: LedgerSimulator, tmp_path: Path) -> None:
    keys = ledger.user("strange")
    other = Authority.create(tmp_path / "other", ORIGIN, at=now())
    facts = other.issue(build_csr(keys.load_key(), keys.load_profile().submitter), keys.load_profile().submitter, role=Role.USER, at=now())
    good = keys.load_certificate()
    keys.save_certificate(facts.certificate)
    with pytest.raises(LedgerUnavailable):
        ledger.client("strange", deadline_seconds=3).call("GetStatus", STATUS)
    keys.save_certificate(good)
    ledger.client("strange").call("GetStatus", STATUS)


def test_a_certificate_of_our_ca_that_is_not_on_the_log_has_no_rights(ledger: LedgerSimulator) -> None:
    keys = ledger.user("offlog")
    authority = Authority.load(ledger.config.store.directory / "keys")
    submitter = keys.load_profile().submitter
    ghost = type(submitter)("ghost", "main")
    facts = authority.issue(build_csr(keys.load_key(), ghost), ghost, role=Role.ADMIN, at=now())
    keys.save_certificate(facts.certificate)
    with pytest.raises(IdentityError, match="not on this ledger's log"):
        ledger.client("offlog").call("ListAllUsers", ledger_pb2.ListAllUsersRequest())


def test_rights_come_from_the_log_and_not_from_the_certificate(ledger: LedgerSimulator) -> None:
    keys = ledger.user("climber")
    authority = Authority.load(ledger.config.store.directory / "keys")
    submitter = keys.load_profile().submitter
    keys.save_certificate(authority.issue(build_csr(keys.load_key(), submitter), submitter, role=Role.ADMIN, at=now()).certificate)
    with pytest.raises(Refused) as refusal:
        ledger.client("climber").call("ListAllUsers", ledger_pb2.ListAllUsersRequest())
    assert refusal.value.code == EntryOutcome.NOT_PERMITTED


@pytest.mark.parametrize(
    ("members", "revoked"),
    [(4, 1), pytest.param(200, 50, marks=[pytest.mark.full, pytest.mark.timeout(3600)])],
    ids=["1 of 4", "50 of 200"],
)
def test_revocation_cuts_live_streams_and_nobody_else_notices(ledger: LedgerSimulator, *, members: int, revoked: int) -> None:
    names = [f"r{members}-{number}" for number in range(members)]
    gone, staying = names[:revoked], names[revoked:]
    for name in names:
        ledger.provider(name, cluster=name)
    clients = {name: ledger.client(name) for name in names}
    authors = {name: Author(ledger.identity(name)) for name in names}
    live = {name: [authors[name].open(clients[name]), authors[name].hello(clients[name])[0]] for name in names}
    listening = {name: clients[name].subscribe(ledger_pb2.SubscribeRequest(cursor="now")) for name in names}
    ends: dict[str, tuple[float, HpcbridgeError]] = {}
    waiting = [
        threading.Thread(target=_wait_for_end, args=(stream, f"{name} {number}", ends), daemon=True)
        for name in names
        for number, stream in enumerate([*live[name], listening[name]])
    ]
    for thread in waiting:
        thread.start()
    revoked_at: dict[str, float] = {}
    for name in gone:
        ledger.revoke(name).check_accepted()
        revoked_at[name] = time.monotonic()
    for thread in waiting[: 3 * revoked]:
        thread.join(6)
    assert sorted({key.partition(" ")[0] for key in ends}) == sorted(gone)
    assert len(ends) == 3 * revoked
    for key, (ended_at, error) in ends.items():
        assert ended_at - revoked_at[key.partition(" ")[0]] < 5
        assert isinstance(error, Refused)
        assert error.code == RejectionCode.REVOKED
    for name in staying:
        # the replies of these streams are read by the threads above: what came of the change is asked of the ledger
        live[name][0].send_envelopes([authors[name].envelope(job_changes(name, 1))])
    wait_until(lambda: all(_jobs(clients[name], name) == 1 for name in staying), what="the others' changes")
    assert len(ends) == 3 * revoked
    for name in gone:
        with pytest.raises(Refused, match="revoked"):
            clients[name].call("GetStatus", STATUS)


def test_without_the_watch_an_idle_stream_outlives_its_revocation(ledger: LedgerSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    author = Author(ledger.user("idle"))
    stream = author.open(ledger.client("idle"))
    monkeypatch.setattr(Streams, "judge_all", lambda _self: None)
    ledger.revoke("idle").check_accepted()
    ended = threading.Event()

    def wait_for_the_end() -> None:
        seconds_until_cut([stream])
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    assert not ended.wait(2)
    stream.close()


def test_an_envelope_of_a_revoked_member_is_rejected_also_when_relayed(ledger: LedgerSimulator) -> None:
    author = Author(ledger.user("gone"))
    author.open(ledger.client("gone"))
    ledger.revoke("gone", "main").check_accepted()
    stream, _ = Author(ledger.admin()).hello(ledger.client())
    (answer,) = author.send(stream, [author.envelope(job_changes("c1", 1))])
    assert isinstance(answer, ledger_pb2.Answer)
    assert answer.rejection.code == RejectionCode.REVOKED


def test_short_certificates_expire_on_open_streams_and_renewed_ones_go_on(new_ledger: Callable[..., LedgerSimulator]) -> None:
    ledger = new_ledger(parameters=(("certificate_life_ms", 4000),))
    lapsing, renewing = ledger.user("lapsing"), ledger.user("renewing")
    streams = [Author(keys).open(ledger.client(keys.load_profile().submitter.member)) for keys in (lapsing, renewing)]
    author = Author(renewing)
    stop = threading.Event()

    def keep_renewing() -> None:
        while not stop.wait(1.5):
            renew(renewing)

    renewer = threading.Thread(target=keep_renewing)
    renewer.start()
    try:
        ends = seconds_until_cut([streams[0]])
        assert len(ends) == 1
        assert isinstance(ends[0][1], IdentityError)
        _, reply = author.hello(ledger.client("renewing"))
        assert reply.last_sequence == 1
        assert streams[1]._call.is_active()
    finally:
        stop.set()
        renewer.join()
    with pytest.raises(HpcbridgeError):
        ledger.client("lapsing", deadline_seconds=2).call("GetStatus", STATUS)
    renew(lapsing)
    assert ledger.client("lapsing").call("GetStatus", STATUS).origin == ORIGIN
