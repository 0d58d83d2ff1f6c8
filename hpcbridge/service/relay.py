# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The relay: a passcode from the provider of a rental to its user, an address the other way round, each sealed and each for a day at most.

It is beside the ledger: nothing of it is in an entry, an event, an export or a replay, and no admin or auditor collects anything. Whoever
is not a party to a rental hears what it would hear if there were none. What was collected stays until that is acknowledged, so that a
connection that is cut loses nothing; then, or when its day or its rental is over, it is deleted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Mapping

from hpcbridge.contract.access import VISIBILITY, Kind, Query, Relation, check_query
from hpcbridge.contract.market import stored_rental
from hpcbridge.contract.state import StateView
from hpcbridge.errors import LedgerUnavailable, Refused
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.identities import Caller, Role
from hpcbridge.model.market import Rental, RentalState
from hpcbridge.model.quantities import Instant
from hpcbridge.model.relay import MAX_SEALED_BYTES, Sealed, SealedKind, SealedState
from hpcbridge.service.relay_file import RelayFile, Row

logger = logging.getLogger(__name__)

DAY_MS = 86_400_000
KEPT_MS = DAY_MS
MAX_LEFT_A_DAY = 50
"""Boxes of one kind for one rental: a new one for each passcode asked for, and some for what went wrong."""
MAX_BOXES = 20_000
"""All that wait together: at most 160 MiB."""

_LEAVES: Mapping[SealedKind, Relation] = {SealedKind.PASSCODE: Relation.PROVIDER, SealedKind.CONTACT: Relation.USER}
_COLLECTS: Mapping[SealedKind, Relation] = {SealedKind.PASSCODE: Relation.USER, SealedKind.CONTACT: Relation.PROVIDER}


class Relay:
    """Answers both questions from its file. Safe to use from several threads."""

    def __init__(self, file: RelayFile, *, now: Callable[[], Instant]) -> None:
        self._file = file
        self._now = now

    def leave(self, view: StateView, caller: Caller, name: str, *, kind: SealedKind, box: bytes) -> Instant:
        """Takes a box in place of an earlier one; until when it is kept."""
        check_query(caller, Query.LEAVE_SEALED)
        rental = _rental_of_party(view, caller, name, may=_LEAVES[kind], does=f"leaves a {kind.lower()}")
        if not 1 <= len(box) <= MAX_SEALED_BYTES:
            raise Refused(EntryOutcome.MALFORMED, f"box: 1 to {MAX_SEALED_BYTES} bytes, these are {len(box)}")
        now = self._now()
        before, today = self._file.get(rental.rental, kind), now // DAY_MS
        count = 1 + (before.count if before is not None and before.day == today else 0)
        if count > MAX_LEFT_A_DAY:
            raise Refused(EntryOutcome.TOO_MANY, f"{MAX_LEFT_A_DAY} boxes were left for rental {name} today", hint="try tomorrow")
        if (before is None or before.box is None) and self._file.boxes() >= MAX_BOXES:
            raise Refused(EntryOutcome.TOO_MANY, f"{MAX_BOXES} boxes wait to be collected, more are not kept", hint="try again later")
        digest = hashlib.sha256(box).digest()
        row = Row(box=box, digest=digest, left_at=now, expires_at=now + KEPT_MS, collected_at=None, day=today, count=count)
        self._file.put(rental.rental, kind, row)
        return row.expires_at

    def collect(self, view: StateView, caller: Caller, name: str, *, kind: SealedKind, acknowledge: bytes) -> Sealed:
        """The box; or, with the SHA-256 of what arrived, that it may be deleted. A box that was left meanwhile stays."""
        check_query(caller, Query.COLLECT_SEALED)
        rental = _rental_of_party(view, caller, name, may=_COLLECTS[kind], does=f"collects a {kind.lower()}")
        row, now = self._file.get(rental.rental, kind), self._now()
        if row is None:
            return Sealed(state=SealedState.NONE)
        if row.box is not None and now >= row.expires_at:
            row = dataclasses.replace(row, box=None)
            self._file.put(rental.rental, kind, row)
        if row.box is not None and acknowledge == row.digest:
            row = dataclasses.replace(row, box=None, collected_at=now)
            self._file.put(rental.rental, kind, row)
        state = SealedState.WAITING
        if row.box is None:
            state = SealedState.EXPIRED if row.collected_at is None else SealedState.COLLECTED
        box = b"" if acknowledge or row.box is None else row.box
        return Sealed(state=state, box=box, left_at=row.left_at, expires_at=row.expires_at, collected_at=row.collected_at)

    def clean(self, view: StateView) -> None:
        """Deletes what is over: boxes after their day, and all that is on record of rentals that have ended."""
        try:
            emptied = self._file.empty_expired(self._now())
            over = [name for name in self._file.rentals() if _is_over(view, name)]
            for name in over:
                self._file.forget(name)
        except LedgerUnavailable as error:
            logger.warning("relay_not_cleaned reason=%s", error)
            return
        if emptied or over:
            logger.info("relay_cleaned expired=%d rentals_ended=%d", emptied, len(over))

    def boxes(self) -> int:
        """How many boxes wait to be collected."""
        return self._file.boxes()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _rental_of_party(view: StateView, caller: Caller, name: str, *, may: Relation, does: str) -> Rental:
    """The rental, if the caller is the party to it that may do this, and it has not ended."""
    rental = stored_rental(view, name)
    relation = Relation.OTHER if rental is None else _relation(caller, rental)
    if rental is None or relation not in VISIBILITY[Kind.SEALED]:
        raise Refused(EntryOutcome.NOT_FOUND, f"{caller.member} has no rental {name[:40]!r}")
    if relation is not may:
        raise Refused(EntryOutcome.NOT_PERMITTED, f"the {relation} of a rental never {does}")
    if not caller.approved:
        raise Refused(EntryOutcome.NOT_APPROVED, f"member {caller.member} takes part no longer", hint="ask an admin of the network")
    if rental.state is RentalState.ENDED:
        raise Refused(EntryOutcome.ILLEGAL_TRANSITION, f"rental {rental.rental} has ended: {rental.end}; nothing is kept for it any more")
    return rental


def _relation(caller: Caller, rental: Rental) -> Relation:
    if caller.role is Role.PROVIDER and caller.member == rental.provider:
        return Relation.PROVIDER
    return Relation.USER if caller.role is Role.USER and caller.member == rental.member else Relation.OTHER


def _is_over(view: StateView, name: str) -> bool:
    rental = stored_rental(view, name)
    return rental is None or rental.state is RentalState.ENDED
