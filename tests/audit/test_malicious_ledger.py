# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""P10, the quick share: an operator who owns the log key and the store, and what it is caught at.

Whatever the operator changes it signs anew, so the root is always right. Every attack has its negative control: with the one check that
finds it switched off, the cheated log passes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import pytest

from hpcbridge.audit import verify as verify_module
from hpcbridge.audit.replay import Replay, prove_log
from hpcbridge.audit.verify import LogFault, LogForked, LogVerifier, Verified, verify_log
from hpcbridge.errors import IntegrityError
from hpcbridge.fold import Applied, WorkingState
from hpcbridge.model.entries import Checkpoint, Entry, EntryOutcome
from hpcbridge.model.identities import Role
from hpcbridge.model.jobs import JobState
from hpcbridge.model.transactions import Envelope, Payload, Renewal
from hpcbridge.wire.convert import decode, encode
from tests.honest_log import HonestLog, Signer, fixed_log_key, signed
from tests.small_network import SmallNetwork, job, job_changes


def prove(log: HonestLog, leaves: Sequence[bytes], *, seen: Sequence[Checkpoint] = ()) -> Verified:
    """What an auditor does with what a ledger shows, signed by its own key."""
    return prove_log(leaves, signed(leaves, log.log_key).note, log.pins, seen=seen)


def entry_of(leaf: bytes) -> Entry:
    return decode(Entry, leaf)


def changed(leaf: bytes, **values: Any) -> bytes:
    return encode(dataclasses.replace(entry_of(leaf), **values))


def renumbered(leaves: Sequence[bytes]) -> list[bytes]:
    """The indices made right again, as a careful cheat does."""
    return [changed(leaf, index=index) for index, leaf in enumerate(leaves)]


def header_of(leaf: bytes) -> Any:
    return decode(Payload, decode(Envelope, entry_of(leaf).envelope).payload).header


def places_of(log: HonestLog, member: str) -> list[int]:
    """Entries of one chain, its last epoch."""
    headers = [header_of(leaf) for leaf in log.leaves]
    mine = [index for index, header in enumerate(headers) if header.submitter.member == member]
    return [index for index in mine if headers[index].epoch == headers[mine[-1]].epoch]


def resigned(leaf: bytes, signer: Signer, **header: Any) -> bytes:
    """The same body in an envelope by another key."""
    envelope = decode(Envelope, entry_of(leaf).envelope)
    payload = decode(Payload, envelope.payload)
    payload = dataclasses.replace(payload, header=dataclasses.replace(payload.header, **header))
    return changed(leaf, envelope=signer.envelope(encode(payload), envelope.payload_type))


@pytest.mark.parametrize("seed", range(12))
def test_no_false_alarm_on_honest_logs(seed: int) -> None:
    log = SmallNetwork.busy(seed=seed, jobs=seed % 5).log
    halves = [log.checkpoint(len(log.leaves) // 2), log.checkpoint()]
    verified = prove(log, log.leaves, seen=halves)
    assert verified.entries == verified.signatures == len(log.leaves)
    assert (verified.hidden, verified.unproven, verified.disputes) == (0, 0, ())
    assert verified.last_tick_at is not None


def rewrite_payload(log: HonestLog, index: int) -> bytes:
    envelope = decode(Envelope, entry_of(log.leaves[index]).envelope)
    payload = envelope.payload.replace(b"batch", b"bitch")
    assert payload != envelope.payload
    return changed(log.leaves[index], envelope=encode(dataclasses.replace(envelope, payload=payload)))


def find(log: HonestLog, member: str) -> int:
    """The last entry of a member that changes jobs."""
    return max(index for index in places_of(log, member) if b"jobchanges" in log.leaves[index])


def with_leaf(log: HonestLog, index: int, leaf: bytes) -> list[bytes]:
    return [*log.leaves[:index], leaf, *log.leaves[index + 1 :]]


def no_signatures(patch: pytest.MonkeyPatch) -> None:
    def accept(*_: object) -> None: ...

    patch.setattr(verify_module, "verify_envelope", accept)
    patch.setattr(LogVerifier, "recheck", lambda *_: None)
    no_replay(patch)


def no_numbers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LogVerifier, "_verify_number", lambda *_, **__: None)
    no_replay(patch)


def no_replay(patch: pytest.MonkeyPatch) -> None:
    def take(self: Replay, *_: object) -> tuple[()]:
        self.size += 1
        return ()

    patch.setattr(Replay, "add", take)


def no_clock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LogVerifier, "_verify_time", lambda *_: None)
    no_replay(patch)


def rewritten_leaf(log: HonestLog) -> list[bytes]:
    index = find(log, "hpc-two")
    return with_leaf(log, index, rewrite_payload(log, index))


def invented_entry(log: HonestLog) -> list[bytes]:
    """The operator signs in a member's name, with a key of its own."""
    index = find(log, "hpc-two")
    forger = Signer.of("forger", Role.PROVIDER)
    return with_leaf(log, index, resigned(log.leaves[index], forger))


def swapped_key(log: HonestLog) -> list[bytes]:
    """Another member's real key under this member's name."""
    index = find(log, "hpc-two")
    return with_leaf(log, index, resigned(log.leaves[index], Signer.of("hpc-one", Role.PROVIDER)))


def wrong_outcome(log: HonestLog) -> list[bytes]:
    index = find(log, "hpc-one")
    outcomes = entry_of(log.leaves[index]).outcomes
    return with_leaf(log, index, changed(log.leaves[index], outcomes=(EntryOutcome.STALE, *outcomes[1:])))


def hidden_event(log: HonestLog) -> list[bytes]:
    """The state is as it should be, but the entry does not commit to an event it caused."""
    from hpcbridge.contract.state import effects_hash

    index = find(log, "hpc-one")
    applied = log.applied[index]
    assert applied.events
    return with_leaf(log, index, changed(applied.leaf, effects_hash=effects_hash(applied.writes, applied.events[:-1])))


def back_dated(log: HonestLog) -> list[bytes]:
    index = find(log, "hpc-two")
    return with_leaf(log, index, changed(log.leaves[index], at=entry_of(log.leaves[index - 1]).at - 1))


def slightly_back_dated(log: HonestLog) -> list[bytes]:
    """Time does not go back, but the entry was applied at another time than it says."""
    index = next(index for index, applied in enumerate(log.applied) if index > 5 and b"jobchanges" in applied.leaf)
    return with_leaf(log, index, changed(log.leaves[index], at=entry_of(log.leaves[index]).at - 1))


def reordered(log: HonestLog) -> list[bytes]:
    first, second = places_of(log, "hpc-one")[-2:]
    leaves = list(log.leaves)
    leaves[first], leaves[second] = leaves[second], leaves[first]
    ats = [entry_of(leaf).at for leaf in log.leaves]
    return [changed(leaf, index=index, at=ats[index]) for index, leaf in enumerate(leaves)]


def doubled(log: HonestLog) -> list[bytes]:
    index = find(log, "hpc-one")
    return renumbered([*log.leaves[: index + 1], *log.leaves[index:]])


def dropped(log: HonestLog) -> list[bytes]:
    index = places_of(log, "hpc-one")[-2]
    return renumbered([*log.leaves[:index], *log.leaves[index + 1 :]])


ATTACKS: list[tuple[Callable[[HonestLog], list[bytes]], str, Callable[[pytest.MonkeyPatch], None]]] = [
    (rewritten_leaf, "signature", no_signatures),
    (invented_entry, "signature", no_signatures),
    (swapped_key, "signature", no_signatures),
    (wrong_outcome, "by the rules", no_replay),
    (hidden_event, "events it caused", no_replay),
    (back_dated, "time", no_clock),
    (slightly_back_dated, "rules", no_replay),
    (reordered, "must follow", no_numbers),
    (doubled, "stands in the log already", no_numbers),
    (dropped, "must follow", no_numbers),
]


@pytest.mark.parametrize(("attack", "words", "switch_off"), ATTACKS, ids=lambda value: getattr(value, "__name__", ""))
def test_found_and_not_without_the_defence(
    log: HonestLog,
    attack: Callable[[HonestLog], list[bytes]],
    words: str,
    switch_off: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leaves = attack(log)
    with pytest.raises(LogFault, match=words) as caught:
        prove(log, leaves)
    assert caught.value.index is not None
    assert isinstance(caught.value, IntegrityError)
    assert caught.value.exit_status == 3
    switch_off(monkeypatch)
    assert prove(log, leaves).entries == len(leaves)


def test_rollback_is_found_by_who_saw_more(log: HonestLog) -> None:
    older = log.leaves[:-3]
    with pytest.raises(LogForked, match="rolled back"):
        prove(log, older, seen=[log.checkpoint()])
    assert prove(log, older).entries == len(older)  # whoever saw nothing cannot know


def test_a_dropped_last_entry_is_found_by_who_saw_it(log: HonestLog) -> None:
    with pytest.raises(LogForked):
        prove(log, log.leaves[:-1], seen=[log.checkpoint()])


def forked(log: HonestLog) -> HonestLog:
    """Another history: an honest one by all rules, except that somebody was shown the first."""
    other = SmallNetwork.busy()
    assert other.log.leaves == log.leaves
    fork = SmallNetwork()
    fork.change(fork.one, "666", JobState.QUEUED)
    fork.log.tick()
    return fork.log


def test_a_fork_is_found_when_two_views_meet(log: HonestLog) -> None:
    fork = forked(log)
    seen = log.checkpoint(len(fork.leaves))
    with pytest.raises(LogForked, match="forked or rewritten"):
        prove(fork, fork.leaves, seen=[seen])
    assert prove(fork, fork.leaves).entries == len(fork.leaves)


def test_a_checkpoint_seen_counts_only_with_the_log_keys_signature(log: HonestLog) -> None:
    """A forged note accuses nobody."""
    forged = signed([*log.leaves[:-2], b"x"], fixed_log_key("somebody"))
    with pytest.raises(IntegrityError, match="not signed by the pinned log key"):
        prove(log, log.leaves, seen=[forged])


def test_another_log_key_is_found(log: HonestLog) -> None:
    note = signed(log.leaves, fixed_log_key("another")).note
    with pytest.raises(IntegrityError, match="not signed by the pinned log key"):
        prove_log(log.leaves, note, log.pins)
    other = dataclasses.replace(log.pins, log_key=fixed_log_key("another").public_key().public_bytes_raw())
    with pytest.raises(LogFault, match="Genesis names another"):
        prove_log(log.leaves, note, other)


def test_a_member_who_was_shown_another_history_says_so_in_its_headers() -> None:
    network = SmallNetwork()
    lie = sha256(b"another history").digest()
    network.one.seen = dataclasses.replace(network.one.seen, size=5, root=lie)
    network.change(network.one, "1", JobState.QUEUED)
    disputes = prove(network.log, network.log.leaves).disputes
    assert [(each.index, str(each.submitter), each.size, each.root) for each in disputes] == [
        (len(network.log.leaves) - 1, "hpc-one/main", 5, lie)
    ]


def test_the_outcome_of_a_bad_neighbour_is_part_of_the_proof(log: HonestLog) -> None:
    """One illegal item among good ones: the entry says which."""
    mixed = next(applied for applied in log.applied if len(applied.entry.outcomes) == 3)
    assert mixed.entry.outcomes[1] is not EntryOutcome.ACCEPTED
    assert mixed.entry.outcomes.count(EntryOutcome.ACCEPTED) == 2


def test_a_revoked_key_signs_nothing_more() -> None:
    network = SmallNetwork()
    network.revoke(network.one)
    log = network.log
    payload = network.one.sign(job_changes("one", job("one", "1", JobState.QUEUED)), log.at)
    assert not hasattr(log.fold(payload), "leaf")
    honest = entry_of(log.leaves[-1])
    sneaked = encode(dataclasses.replace(honest, index=len(log.leaves), outcomes=(EntryOutcome.ACCEPTED,), envelope=payload))
    with pytest.raises(LogFault, match="revoked before") as caught:
        prove(log, [*log.leaves, sneaked])
    assert caught.value.index == len(log.leaves)


def test_a_certificate_the_ca_never_issued_is_found() -> None:
    """The fold refuses it; an operator who leaves that check out is found, here by the verifier and by the replay."""
    network = SmallNetwork()
    log = network.log
    invented = dataclasses.replace(log.facts_of(network.one), not_after_at=log.at + 3660 * 86_400_000)
    envelope = log.node.sign(Renewal(facts=invented), log.at)
    refused = log.fold(envelope)
    assert isinstance(refused, Applied)
    assert refused.entry.outcomes == (EntryOutcome.MALFORMED,)
    cheated = log.fold(envelope, verify_certificate=lambda *_: None)
    assert isinstance(cheated, Applied)
    assert cheated.entry.outcomes == (EntryOutcome.ACCEPTED,)
    leaves = [*log.leaves, cheated.leaf]
    note = signed(leaves, log.log_key).note
    with pytest.raises(LogFault, match="not what the certificate says"):
        verify_log(leaves, note, log.pins)
    replay = Replay(log.pins.origin)
    for leaf in log.leaves:
        replay.add(leaf)
    with pytest.raises(LogFault, match="its outcomes are ACCEPTED, by the rules they are MALFORMED"):
        replay.add(cheated.leaf)


def equivocate(network: SmallNetwork) -> bytes:
    """A copy of hpc-one's installation gives a number away twice."""
    network.change(network.one, "1", JobState.QUEUED)
    network.one.sequence -= 1
    return network.one.sign(job_changes("one", job("one", "2", JobState.QUEUED)), network.log.at)


def test_honest_evidence_is_no_false_alarm() -> None:
    network = SmallNetwork()
    entry = network.log.append(equivocate(network))
    assert entry.outcomes == (EntryOutcome.EQUIVOCATION,)
    network.log.tick()
    network.change(network.two, "1", JobState.QUEUED)
    assert prove(network.log, network.log.leaves).entries == len(network.log.leaves)


@pytest.mark.parametrize(
    ("same_payload", "words"), [(True, "shows the same payload twice"), (False, "with a number that was not used before")]
)
def test_invented_evidence_is_found(*, same_payload: bool, words: str) -> None:
    """An operator that wants to close a member's epoch needs two payloads the member has signed."""
    network = SmallNetwork()
    entry = network.change(network.one, "1", JobState.QUEUED)
    fresh = network.one.sign(job_changes("one", job("one", "2", JobState.QUEUED)), network.log.at)
    envelope = entry.envelope if same_payload else fresh
    invented = dataclasses.replace(entry, index=entry.index + 1, outcomes=(EntryOutcome.EQUIVOCATION,), envelope=envelope)
    with pytest.raises(LogFault, match=words):
        prove(network.log, [*network.log.leaves, encode(invented)])


def test_nothing_follows_in_a_closed_epoch() -> None:
    network = SmallNetwork()
    network.log.append(equivocate(network))
    network.one.sequence += 1
    late = network.one.sign(job_changes("one", job("one", "3", JobState.QUEUED)), network.log.at)
    sneaked = changed(network.log.leaves[-1], index=len(network.log.leaves), outcomes=(EntryOutcome.ACCEPTED,), envelope=late)
    with pytest.raises(LogFault, match="of an epoch that was left before"):
        prove(network.log, [*network.log.leaves, sneaked])


def test_the_numbers_of_an_audience_have_no_hole(log: HonestLog) -> None:
    """So a subscriber misses a hidden event when the next one comes, without reading the log."""
    mine = [event.audience_number for events in log.events for event in events if event.audience == "hpc-one"]
    assert mine == list(range(1, len(mine) + 1))
    assert len(mine) > 5


def test_replay_rebuilds_the_same_state(log: HonestLog) -> None:
    """Rebuildable from nothing, byte for byte."""
    replay = Replay(log.pins.origin)
    for leaf in log.leaves:
        replay.add(leaf)
    assert isinstance(replay.state, WorkingState)
    for applied in log.applied:
        for key, _ in applied.writes:
            assert replay.state.get(key) == log.state.get(key)
