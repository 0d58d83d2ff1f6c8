# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Epochs: chains of numbers, when a new one may begin without a human, and when it waits for an admin.

The fold decides by these records whether a number is the next one; what an epoch's first transaction tells (an event, perhaps a gap)
is a contract function like any other. A new epoch that waits is no entry and leaves no trace: that it would have to wait can be read
from what is on record.
"""

from __future__ import annotations

from hpcbridge.contract.clusters import record_gap
from hpcbridge.contract.parameters import DAY_MS, parameter
from hpcbridge.contract.records import StoredEpoch, StoredStarts, decode_stored, encode_stored, encode_word
from hpcbridge.contract.state import Draft, StateView, Write
from hpcbridge.errors import Refused
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.identities import Caller, Role, Submitter
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import EpochReason, EpochStart

_NO_STARTS = StoredStarts(day=0, count=0, approved=False)


def stored_epoch(view: StateView, submitter: Submitter) -> StoredEpoch | None:
    """The submitter's current epoch; None if it never opened one."""
    data = view.get(f"epoch/{submitter}")
    return None if data is None else decode_stored(StoredEpoch, data)


def was_left(view: StateView, submitter: Submitter, epoch: bytes) -> bool:
    """True for an epoch that was followed by another: it is never opened again."""
    return view.get(f"closedepoch/{submitter}/{epoch.hex()}") is not None


def awaits_approval(view: StateView, submitter: Submitter, *, role: Role, at: Instant) -> bool:
    """True if a new epoch would have to wait for an admin now: too many today, or a provider's second payload with one number."""
    current = stored_epoch(view, submitter)
    starts = _starts(view, submitter)
    if current is None or starts.approved:
        return False
    return _needs_approval(view, current, starts, role=role, at=at)


def next_number(current: StoredEpoch, *, sequence: int, payload_hash: bytes, key_id: bytes) -> StoredEpoch:
    """The chain with one number more."""
    return StoredEpoch(
        epoch=current.epoch,
        last_sequence=sequence,
        last_payload_hash=payload_hash,
        key_id=key_id,
        key_since=current.key_since if key_id == current.key_id else sequence,
        closed=False,
        opened_at=current.opened_at,
    )


def epoch_write(submitter: Submitter, epoch: StoredEpoch) -> Write:
    """The state's line of a chain."""
    return f"epoch/{submitter}", encode_stored(epoch)


def opening_writes(
    view: StateView, submitter: Submitter, *, role: Role, epoch: bytes, payload_hash: bytes, key_id: bytes, at: Instant
) -> tuple[Write, ...]:
    """Opens an epoch whose number 1 has this payload, leaves the one before, and counts."""
    opened = StoredEpoch(
        epoch=epoch, last_sequence=1, last_payload_hash=payload_hash, key_id=key_id, key_since=1, closed=False, opened_at=at
    )
    current = stored_epoch(view, submitter)
    if current is None:
        return (epoch_write(submitter, opened),)
    starts = _starts(view, submitter)
    used_up = starts.approved and _needs_approval(view, current, starts, role=role, at=at)
    counted = StoredStarts(day=at // DAY_MS, count=_today(starts, at) + 1, approved=starts.approved and not used_up)
    return (
        epoch_write(submitter, opened),
        (f"closedepoch/{submitter}/{current.epoch.hex()}", b"closed" if current.closed else b"left"),
        (f"epochstarts/{submitter}", encode_stored(counted)),
    )


def close_epoch(draft: Draft, submitter: Submitter, current: StoredEpoch) -> None:
    """Evidence of a second payload with one number: nothing more is taken in this epoch. The member stays what it is."""
    closed = StoredEpoch(
        epoch=current.epoch,
        last_sequence=current.last_sequence,
        last_payload_hash=current.last_payload_hash,
        key_id=current.key_id,
        key_since=current.key_since,
        closed=True,
        opened_at=current.opened_at,
    )
    draft.put(f"epoch/{submitter}", encode_stored(closed))
    successor = EpochStart(previous_epoch=current.epoch, last_acknowledged=current.last_sequence, reason=EpochReason.CLOSED, gap=None)
    draft.tell(EventType.EPOCH_CLOSED, submitter.member, subject=str(submitter), body=encode_word(successor))


def approve_epoch(draft: Draft, submitter: Submitter, *, role: Role, at: Instant) -> None:
    """An admin lets one new epoch begin that would have to wait."""
    if not awaits_approval(draft, submitter, role=role, at=at):
        raise Refused(EntryOutcome.ILLEGAL_TRANSITION, f"{submitter} does not wait for a new epoch")
    starts = _starts(draft, submitter)
    draft.put(f"epochstarts/{submitter}", encode_stored(StoredStarts(day=starts.day, count=starts.count, approved=True)))


def start_epoch(draft: Draft, caller: Caller, body: EpochStart, at: Instant) -> None:
    """Tells of a new epoch, and of the gap it came with. The chain itself is the fold's, so a refused gap does not stop the epoch."""
    if body.gap is not None:
        record_gap(draft, caller, body.gap, at)
    draft.tell(EventType.EPOCH_STARTED, caller.member, subject=str(caller.submitter), body=encode_word(body))


def _needs_approval(view: StateView, current: StoredEpoch, starts: StoredStarts, *, role: Role, at: Instant) -> bool:
    if current.closed and role is Role.PROVIDER:
        return True
    return _today(starts, at) >= parameter(view, "epochs_per_day")


def _starts(view: StateView, submitter: Submitter) -> StoredStarts:
    data = view.get(f"epochstarts/{submitter}")
    return _NO_STARTS if data is None else decode_stored(StoredStarts, data)


def _today(starts: StoredStarts, at: Instant) -> int:
    return starts.count if starts.day == at // DAY_MS else 0
