# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Every answer of the fold: what becomes an entry, what does not, and what consumes a number."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hpcbridge.contract import access, epochs
from hpcbridge.contract.records import StoredEpoch
from hpcbridge.fold import Applied, fold, open_envelope
from hpcbridge.identity.authority import Authority
from hpcbridge.identity.keys import new_key
from hpcbridge.identity.sealing import seal
from hpcbridge.model.clusters import Registration, Vetting
from hpcbridge.model.entries import (
    MAX_ENTRY_BYTES,
    Duplicate,
    Entry,
    EntryOutcome,
    EventType,
    Expect,
    NoEntry,
    Rejected,
    RejectionCode,
    Retry,
    RetryCode,
)
from hpcbridge.model.identities import Role, Submitter
from hpcbridge.model.jobs import JobState
from hpcbridge.model.transactions import (
    MAX_ENVELOPE_BYTES,
    Decision,
    Enrolment,
    Envelope,
    EpochReason,
    Gap,
    Genesis,
    PayloadType,
    Renewal,
    Revocation,
    Tick,
)
from hpcbridge.wire.convert import decode, encode
from tests.fold_world import DAY_MS, Party, World, job, job_changes


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def provider(world: World) -> Party:
    return world.provider()


def rejected(answer: Applied | NoEntry, code: RejectionCode) -> None:
    assert isinstance(answer, Rejected), answer
    assert answer.code is code, answer


def retry(answer: Applied | NoEntry, code: RetryCode) -> None:
    assert isinstance(answer, Retry), answer
    assert answer.code is code, answer


def test_next_number_becomes_an_entry(world: World, provider: Party) -> None:
    raw = world.seal(provider, job_changes(job()))
    answer = world.fold(raw)
    assert isinstance(answer, Applied)
    entry = decode(Entry, answer.leaf)
    assert entry == answer.entry
    assert entry.envelope == raw
    assert entry.index == len(world.applied) - 1
    assert answer.number is not None
    assert answer.number.sequence == provider.sequence + 1


def test_an_envelope_opened_before_becomes_the_same_entry_and_is_not_believed_more(world: World, provider: Party) -> None:
    sound = world.seal(provider, job_changes(job()))
    other = decode(Envelope, world.seal(provider, job_changes(job("2"))))
    forged = encode(dataclasses.replace(decode(Envelope, sound), signature=other.signature))
    for raw in (sound, forged):
        plain, opened = (
            fold(
                world.state,
                raw,
                opened=known,
                index=len(world.applied),
                at=world.at,
                proposer=world.node.submitter,
                origin=world.origin,
            )
            for known in (None, open_envelope(raw))
        )
        assert plain == opened
        assert isinstance(opened, Applied) is (raw is sound)


def test_same_payload_again_is_the_same_entry(world: World, provider: Party) -> None:
    body = job_changes(job())
    first = world.fold(world.seal(provider, body))
    again = world.fold(world.seal(provider, body))  # ECDSA: another signature, the same payload
    assert isinstance(first, Applied)
    assert again == Duplicate(first.entry.index)
    provider.sequence += 1
    world.must(provider, job_changes(job("2")))
    provider.sequence -= 2
    assert world.fold(world.seal(provider, body)) == Duplicate(first.entry.index)


def test_ahead_of_the_chain(world: World, provider: Party) -> None:
    assert world.fold(world.seal(provider, job_changes(job()), sequence=provider.sequence + 3)) == Expect(provider.sequence + 1)


def test_second_payload_closes_the_epoch_and_not_the_member(world: World, provider: Party) -> None:
    epoch, number = provider.epoch, provider.sequence + 1
    world.must(provider, job_changes(job()))
    evidence = world.send(provider, job_changes(job("2")), sequence=number)
    assert isinstance(evidence, Applied)
    assert evidence.entry.outcomes == (EntryOutcome.EQUIVOCATION,)
    assert evidence.number is None
    assert [event.type for event in evidence.events] == [EventType.EPOCH_CLOSED]
    size = len(world.applied)
    rejected(world.send(provider, job_changes(job("3")), sequence=number), RejectionCode.CLOSED_EPOCH)
    rejected(world.send(provider, job_changes(job("3"))), RejectionCode.CLOSED_EPOCH)
    assert isinstance(world.send(provider, job_changes(job()), sequence=number), Duplicate)
    assert len(world.applied) == size
    retry(world.start(provider), RetryCode.APPROVAL)
    assert epochs.awaits_approval(world.state, provider.submitter, role=Role.PROVIDER, at=world.at)
    world.must(world.root, Decision(name=str(provider.submitter), vetting=Vetting.APPROVED, note="cloned by mistake"))
    assert isinstance(world.start(provider), Applied)
    assert provider.epoch != epoch
    world.must(provider, job_changes(job("3")))


def test_user_whose_epoch_was_closed_needs_nobody(world: World) -> None:
    user = world.enrol("ann", Role.USER)
    world.outcomes(user, Tick())
    world.send(user, Tick(), sequence=1)
    assert isinstance(world.start(user), Applied)


@pytest.mark.parametrize("restarted", ["by a new key", "by the same key"])
def test_same_payload_under_an_old_and_a_new_key_is_no_equivocation(world: World, provider: Party, restarted: str) -> None:
    number, body = provider.sequence + 1, job_changes(job())
    world.must(provider, body)
    if restarted == "by a new key":
        provider = reinstall(world, provider)
    else:
        world.at += DAY_MS
        world.renew(provider)
    wall_at = decode_wall(world, provider, number)
    answer = world.fold(world.seal(provider, body, sequence=number, wall_at=wall_at))
    assert isinstance(answer, Duplicate)
    world.must(provider, job_changes(job("2")), sequence=number + 1)


def test_another_payload_under_a_new_key_is_number_used(world: World, provider: Party) -> None:
    number = provider.sequence + 1
    world.must(provider, job_changes(job()))
    again = reinstall(world, provider)
    rejected(world.fold(world.seal(again, job_changes(job("2")), sequence=number)), RejectionCode.NUMBER_USED)
    world.must(again, job_changes(job("3")))
    rejected(world.fold(world.seal(again, job_changes(job("2")), sequence=number)), RejectionCode.NUMBER_USED)
    evidence = world.send(again, job_changes(job("4")), sequence=number + 1)
    assert isinstance(evidence, Applied)
    assert evidence.entry.outcomes == (EntryOutcome.EQUIVOCATION,)


def test_control_without_the_key_of_a_number_a_new_key_is_blamed(world: World, provider: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    number = provider.sequence + 1
    world.must(provider, job_changes(job()))
    again = reinstall(world, provider)
    honest = epochs.next_number

    def forgetful(current: StoredEpoch, **arguments: Any) -> StoredEpoch:
        return msgspec.structs.replace(honest(current, **arguments), key_since=1)

    monkeypatch.setattr(epochs, "next_number", forgetful)
    world.must(again, job_changes(job("3")))
    answer = world.send(again, job_changes(job("2")), sequence=number)
    assert isinstance(answer, Applied)
    assert answer.entry.outcomes == (EntryOutcome.EQUIVOCATION,)


def test_keys_that_do_not_count(world: World, provider: Party, tmp_path: Path) -> None:
    stranger = Party(Submitter("nobody", "x"), Role.USER, new_key(), world.new_epoch())
    retry(world.send(stranger, Tick()), RetryCode.KEY_UNKNOWN)
    rejected(world.send(provider, job_changes(job()), key=world.root.key), RejectionCode.NOT_AUTHENTIC)
    retry(world.send(provider, job_changes(job()), key=new_key()), RetryCode.KEY_UNKNOWN)
    again = reinstall(world, provider)
    rejected(world.send(again, job_changes(job()), key=provider.key), RejectionCode.REVOKED)
    world.at += 31 * DAY_MS
    retry(world.send(again, job_changes(job())), RetryCode.KEY_EXPIRED)
    world.renew(again)
    world.must(again, job_changes(job()))
    world.renew(world.root, lifetime_ms=60 * DAY_MS)
    world.must(world.root, Revocation(member=provider.submitter.member, installation=None, reason="left"))
    rejected(world.send(again, job_changes(job("2"))), RejectionCode.REVOKED)


def test_control_without_signatures_anybody_speaks_for_the_provider(world: World, provider: Party) -> None:
    world.verify = lambda _envelope, _key: None
    assert isinstance(world.send(provider, job_changes(job()), key=new_key()), Applied)


def test_malformed_and_oversized_bytes(world: World, provider: Party) -> None:
    raw = world.seal(provider, job_changes(job()))
    rejected(world.fold(b""), RejectionCode.MALFORMED_HEADER)
    rejected(world.fold(raw + b"\x78\x01"), RejectionCode.MALFORMED_HEADER)
    rejected(world.fold(raw[:-1]), RejectionCode.MALFORMED_HEADER)
    rejected(world.fold(raw + bytes(MAX_ENVELOPE_BYTES)), RejectionCode.TOO_LARGE)
    envelope = decode(Envelope, raw)
    unknown_field = seal(envelope.payload + b"\x78\x01", envelope.payload_type, provider.key)
    rejected(world.fold(encode(unknown_field)), RejectionCode.MALFORMED_HEADER)
    for place in range(0, len(raw), 7):
        damaged = raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :]
        answer = world.fold(damaged)
        if isinstance(answer, Applied):
            # only the hint is neither signed nor trusted
            assert dataclasses.replace(decode(Envelope, damaged), key_id=b"") == dataclasses.replace(envelope, key_id=b"")
            break
        assert not isinstance(answer, Duplicate)


@pytest.mark.parametrize("what", ["origin", "epoch", "type", "role", "cluster", "submitter"])
def test_valid_envelope_in_the_wrong_place(world: World, provider: Party, what: str) -> None:
    other = world.provider("sitetwo", "c2")
    user = world.enrol("ann", Role.USER)
    body = job_changes(job())
    before = world.state.scan("job/", "job0", 10)
    if what == "origin":
        rejected(world.send(provider, body, origin="elsewhere"), RejectionCode.WRONG_ORIGIN)
    elif what == "epoch":
        rejected(world.send(provider, body, epoch=other.epoch), RejectionCode.CLOSED_EPOCH)
    elif what == "type":
        envelope = decode(Envelope, world.seal(provider, body))
        renamed = dataclasses.replace(envelope, payload_type=PayloadType.NODE_CHANGES.value)
        rejected(world.fold(encode(renamed)), RejectionCode.NOT_AUTHENTIC)
        assert world.outcomes(provider, body, payload_type=PayloadType.CLUSTER_STATE.value) == ["MALFORMED"]
    elif what == "role":
        assert world.outcomes(user, body) == ["NOT_PERMITTED"]
        assert world.outcomes(world.root, body) == ["NOT_PERMITTED"]
    elif what == "cluster":
        assert world.outcomes(other, body) == ["NOT_PERMITTED"]
        assert world.outcomes(other, job_changes(job(), cluster="c2")) == ["MALFORMED"]
    else:
        rejected(world.send(provider, body, submitter=other.submitter), RejectionCode.NOT_AUTHENTIC)
    assert world.state.scan("job/", "job0", 10) == before


def test_control_without_the_attribute_rule_a_stranger_writes(world: World, provider: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    other = world.provider("sitetwo", "c2")
    row = access.Row({Role.PROVIDER: access.always})
    monkeypatch.setattr(access, "TABLE_1", {**access.TABLE_1, PayloadType.JOB_CHANGES: row})
    assert world.outcomes(other, job_changes(job())) == ["ACCEPTED"]


def test_refused_entry_then_the_next(world: World, provider: Party) -> None:
    for changes in ({"payload_type": "application/x-unknown"}, {"raw_body": b"\xff\xff"}, {"raw_body": b""}):
        number = provider.sequence
        answer = world.send(provider, job_changes(job()), **changes)
        assert isinstance(answer, Applied)
        assert answer.entry.outcomes in ((EntryOutcome.UNKNOWN_TYPE,), (EntryOutcome.MALFORMED,))
        assert len(answer.reasons) == 1
        assert answer.events == ()
        assert provider.sequence == number + 1
        world.must(provider, job_changes(job(f"after{number}")))


def test_one_bad_item_among_64(world: World, provider: Party) -> None:
    world.must(provider, job_changes(job("7", JobState.RUNNING)))
    answer = world.send(provider, job_changes(*(job(str(number)) for number in range(64))))
    assert isinstance(answer, Applied)
    outcomes = [outcome.value for outcome in answer.entry.outcomes]
    assert outcomes == ["ACCEPTED"] * 7 + ["ILLEGAL_TRANSITION"] + ["ACCEPTED"] * 56
    assert answer.reasons == ("job 7 cannot go from RUNNING to QUEUED: a running job waits again only by a requeue",)
    assert len(answer.events) == 63


def test_items_with_impossible_values_harm_only_themselves(world: World, provider: Party) -> None:
    world.must(provider, job_changes(job("3", JobState.RUNNING)))
    changes = [job(str(number)) for number in range(6)]
    changes[0] = dataclasses.replace(changes[0], job_id="../0")
    changes[4] = dataclasses.replace(changes[4], exit_code=99_999)
    answer = world.send(provider, job_changes(*changes))
    assert isinstance(answer, Applied)
    outcomes = [outcome.value for outcome in answer.entry.outcomes]
    assert outcomes == ["MALFORMED", "ACCEPTED", "ACCEPTED", "ILLEGAL_TRANSITION", "MALFORMED", "ACCEPTED"]
    assert [reason.split()[0] for reason in answer.reasons] == ["job_id", "job", "exit_code"]
    assert len(answer.events) == 3
    assert world.outcomes(provider, job_changes(changes[0], changes[4])) == ["MALFORMED", "MALFORMED"]
    stranger = world.provider("sitetwo", "c2")
    assert world.outcomes(stranger, job_changes(*changes[:2])) == ["MALFORMED", "NOT_PERMITTED"]
    world.must(provider, job_changes(job("9")))


def test_largest_envelope_fits_an_entry(world: World, provider: Party) -> None:
    jobs = tuple(job(f"{number}", nodes=("n" * 60,), reason="q") for number in range(500))
    raw = world.seal(provider, job_changes(*jobs))
    assert len(raw) <= MAX_ENVELOPE_BYTES
    answer = world.fold(raw)
    assert isinstance(answer, Applied)
    assert len(answer.leaf) <= MAX_ENTRY_BYTES
    assert len(answer.leaf) - len(raw) < MAX_ENTRY_BYTES - MAX_ENVELOPE_BYTES


def test_unknown_epoch_takes_only_a_fitting_start(world: World, provider: Party) -> None:
    other = world.new_epoch()
    rejected(world.send(provider, job_changes(job()), epoch=other, sequence=1), RejectionCode.CLOSED_EPOCH)
    start = world.start_body(provider)
    rejected(world.send(provider, start, epoch=other, sequence=2), RejectionCode.CLOSED_EPOCH)
    wrong_number = dataclasses.replace(start, last_acknowledged=start.last_acknowledged + 1)
    rejected(world.send(provider, wrong_number, epoch=other, sequence=1), RejectionCode.CLOSED_EPOCH)
    rejected(world.send(provider, dataclasses.replace(start, previous_epoch=b""), epoch=other, sequence=1), RejectionCode.CLOSED_EPOCH)
    rejected(world.send(provider, start, epoch=other, sequence=1, raw_body=b"\xff"), RejectionCode.CLOSED_EPOCH)
    left = provider.epoch
    last = provider.sequence
    world.must(provider, start, epoch=other, sequence=1)
    rejected(world.send(provider, job_changes(job()), epoch=left, sequence=last + 1), RejectionCode.CLOSED_EPOCH)
    rejected(world.send(provider, world.start_body(provider), epoch=left, sequence=1), RejectionCode.CLOSED_EPOCH)
    assert world.outcomes(provider, world.start_body(provider)) == ["ILLEGAL_TRANSITION"]


def test_three_new_epochs_a_day_then_an_admin(world: World, provider: Party) -> None:
    for _ in range(3):
        assert isinstance(world.start(provider), Applied)
    retry(world.start(provider), RetryCode.APPROVAL)
    retry(world.start(provider), RetryCode.APPROVAL)
    world.must(provider, job_changes(job()))
    approval = Decision(name=str(provider.submitter), vetting=Vetting.APPROVED, note="")
    world.must(world.root, approval)
    assert world.outcomes(world.root, approval) == ["ILLEGAL_TRANSITION"]
    assert isinstance(world.start(provider), Applied)
    retry(world.start(provider), RetryCode.APPROVAL)
    world.at += DAY_MS
    assert isinstance(world.start(provider), Applied)


def test_gap_of_a_new_epoch_is_checked_and_does_not_stop_it(world: World, provider: Party) -> None:
    gap = Gap(cluster="c1", reason="spool lost", since_at=1, until_at=2, count=None)
    answer = world.start(provider, gap=gap, reason=EpochReason.LOST)
    assert isinstance(answer, Applied)
    assert [event.type for event in answer.events] == [EventType.GAP_REPORTED, EventType.EPOCH_STARTED]
    user = world.enrol("ann", Role.USER)
    answer = world.start(user, gap=gap)
    assert isinstance(answer, Applied)
    assert answer.entry.outcomes == (EntryOutcome.NOT_PERMITTED,)
    assert world.outcomes(user, Tick()) == ["NOT_PERMITTED"]


def test_certificates_are_compared_and_their_issuer_is_checked(world: World, tmp_path: Path) -> None:
    submitter = Submitter("eve", "x")
    world.must(world.root, world.token(b"s", "eve", Role.USER))
    digest = hashlib.sha256(b"s").digest()
    foreign = Authority.create(tmp_path / "foreign", world.origin, at=world.at - DAY_MS)
    forged = world.issue(submitter, Role.USER, new_key(), authority=foreign)
    assert world.outcomes(world.node, Enrolment(token_digest=digest, facts=forged)) == ["MALFORMED"]
    honest = world.issue(submitter, Role.USER, new_key())
    lying = dataclasses.replace(honest, not_after_at=honest.not_after_at + DAY_MS)
    assert world.outcomes(world.node, Enrolment(token_digest=digest, facts=lying)) == ["MALFORMED"]
    assert world.outcomes(world.node, Renewal(facts=forged)) == ["MALFORMED"]
    world.must(world.node, Enrolment(token_digest=digest, facts=honest))


def test_control_without_the_issuer_check_a_foreign_certificate_enters(world: World, tmp_path: Path) -> None:
    world.must(world.root, world.token(b"s", "eve", Role.USER))
    foreign = Authority.create(tmp_path / "foreign", world.origin, at=world.at - DAY_MS)
    forged = world.issue(Submitter("eve", "x"), Role.USER, new_key(), authority=foreign)
    world.verify_certificate = lambda _facts, _ca: None
    assert world.outcomes(world.node, Enrolment(token_digest=hashlib.sha256(b"s").digest(), facts=forged)) == ["ACCEPTED"]


def test_genesis_only_as_entry_0(world: World, tmp_path: Path) -> None:
    genesis = read_genesis(world)
    assert world.outcomes(world.node, genesis) == ["NOT_PERMITTED"]
    assert world.outcomes(world.root, genesis) == ["NOT_PERMITTED"]
    raw = world.applied[0].entry.envelope
    fresh = World(tmp_path / "other")

    def at_0(data: bytes, origin: str = "test") -> Applied | NoEntry:
        return fold(type(fresh.state)(), data, index=0, at=1, proposer=world.node.submitter, origin=origin)

    assert isinstance(at_0(raw), Applied)
    rejected(at_0(raw, "elsewhere"), RejectionCode.WRONG_ORIGIN)
    rejected(at_0(world.seal(world.root, genesis, sequence=1)), RejectionCode.NOT_AUTHENTIC)
    rejected(at_0(world.seal(world.node, genesis, sequence=1, key=world.root.key)), RejectionCode.NOT_AUTHENTIC)
    rejected(at_0(world.seal(world.node, Tick(), sequence=1)), RejectionCode.MALFORMED_HEADER)
    odd = dataclasses.replace(genesis, parameters=(("speed", 1),))
    rejected(at_0(world.seal(world.node, odd, sequence=1)), RejectionCode.MALFORMED_HEADER)


def test_admitted_before_and_revoked_before_its_turn(world: World, provider: Party) -> None:
    raw = world.seal(provider, job_changes(job()))
    world.must(world.root, Revocation(member="siteone", installation="main", reason="stolen"))
    rejected(world.fold(raw), RejectionCode.REVOKED)


def test_registration_of_a_taken_name(world: World, provider: Party) -> None:
    other = world.enrol("sitetwo", Role.PROVIDER)
    assert world.outcomes(other, Registration(cluster="c1", login_address="x")) == ["ALREADY_EXISTS"]


def reinstall(world: World, party: Party) -> Party:
    """The host was set up again: a new token, the same name, another key, the same chain of numbers."""
    name, installation = party.submitter.member, party.submitter.installation
    secret = f"again {len(world.applied)}".encode()
    world.must(world.root, world.token(secret, name, party.role))
    again = world.redeem(Submitter(name, installation), party.role, secret=secret)
    again.epoch, again.sequence = party.epoch, party.sequence
    return again


def decode_wall(world: World, party: Party, number: int) -> int:
    """Wall time in the payload that consumed a number: the payload is sent again as it was."""
    from hpcbridge.model.transactions import Payload

    seen = world.state.number(str(party.submitter), party.epoch, number)
    assert seen is not None
    envelope = decode(Envelope, world.applied[seen.index].entry.envelope)
    return decode(Payload, envelope.payload).header.wall_at


def read_genesis(world: World) -> Genesis:
    from hpcbridge.model.transactions import Payload
    from hpcbridge.wire.convert import decode_body

    envelope = decode(Envelope, world.applied[0].entry.envelope)
    body = decode_body(PayloadType.GENESIS, decode(Payload, envelope.payload).body)
    assert isinstance(body, Genesis)
    return body
