# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The spool's part about tenancies: one row for each rental of the cluster, until long after its end.

The ledger's words come in with the listener's place among the events, answers to reports with their receipts, and a new report goes out in
the transaction that keeps what it says. A passcode is kept sealed only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

from hpcbridge.agent.rentals import answered
from hpcbridge.agent.spool_file import Connection, SpoolFile
from hpcbridge.agent.tenancies import Account, Change, Tenancy, is_over, is_published
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.market import AccountReport, AccountState
from hpcbridge.model.quantities import Instant
from hpcbridge.wire.convert import decode

COLUMNS = tuple(each.name for each in dataclasses.fields(Tenancy))
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM tenancy"  # noqa: S608 - names of our own fields
_INSERT = f"INSERT OR REPLACE INTO tenancy({', '.join(COLUMNS)}) VALUES({', '.join('?' * len(COLUMNS))})"
Tell = Callable[[Connection, AccountReport], None]
"""Puts a report among what waits, within a transaction."""


class Tenants:
    """Statements over `tenancy`; each method that writes is one transaction."""

    def __init__(self, file: SpoolFile, tell: Tell) -> None:
        self._file = file
        self._tell = tell

    def all(self) -> tuple[Tenancy, ...]:
        """Every tenancy, in the order in which the rentals were granted."""
        return tuple(_tenancy(row) for row in self._file.rows(f"{_SELECT} ORDER BY length(rental), rental"))

    def active(self) -> tuple[Tenancy, ...]:
        """Those for which something may have to be done."""
        where = "account IN ('PERHAPS', 'THERE') OR (ended_at IS NULL AND problem = '')"
        return tuple(_tenancy(row) for row in self._file.rows(f"{_SELECT} WHERE {where} ORDER BY length(rental), rental"))

    def to_close(self) -> tuple[Tenancy, ...]:
        """Those that have ended and whose account is, or may be, still there."""
        where = "ended_at IS NOT NULL AND account IN ('PERHAPS', 'THERE')"
        return tuple(_tenancy(row) for row in self._file.rows(f"{_SELECT} WHERE {where} ORDER BY length(rental), rental"))

    def accounts_there(self) -> int:
        """How many accounts are there, or may be because a script was told to make them."""
        row = self._file.row("SELECT count(*) FROM tenancy WHERE account = 'THERE' OR account = 'PERHAPS' AND begun_at IS NOT NULL")
        return 0 if row is None else int(row[0])

    def accounts_begun(self, *, since: Instant) -> int:
        """How many accounts were begun since then."""
        row = self._file.row("SELECT count(*) FROM tenancy WHERE begun_at > ?", (since,))
        return 0 if row is None else int(row[0])

    def count(self) -> int:
        """How many there are."""
        row = self._file.row("SELECT count(*) FROM tenancy")
        return 0 if row is None else int(row[0])

    def unanswered(self) -> tuple[str, ...]:
        """Rentals about which something was reported that the ledger has not answered."""
        return tuple(row[0] for row in self._file.rows("SELECT rental FROM tenancy WHERE report IS NOT NULL AND reported = 0"))

    def get(self, rental: str) -> Tenancy | None:
        """One tenancy; None if this rental is not known here."""
        row = self._file.row(f"{_SELECT} WHERE rental = ?", (rental,))
        return None if row is None else _tenancy(row)

    def is_taken(self, username: str, *, by_other_than: str) -> bool:
        """True if another rental has this username."""
        row = self._file.row("SELECT 1 FROM tenancy WHERE username = ? AND rental != ? AND problem = ''", (username, by_other_than))
        return row is not None

    def published(self) -> frozenset[str]:
        """Usernames whose jobs are told to the ledger."""
        return frozenset(each.username for each in self.all() if is_published(each))

    def change(self, rental: str, change: Change) -> Tenancy | None:
        """Applies a change to what is kept now, and tells the ledger what follows; the tenancy as it is then, None if there is none."""
        with self._file.transaction() as db:
            known = self.get(rental)
            return None if known is None else self.put(db, known, change(known))

    def put(self, db: Connection, known: Tenancy | None, now: Tenancy) -> Tenancy:
        """Keeps a tenancy within a transaction; a report that was not made before goes among what waits."""
        if now != known:
            db.execute(_INSERT, [getattr(now, name) for name in COLUMNS])
        if now.report is not None and (known is None or (known.report, known.report_text) != (now.report, now.report_text)):
            self._tell(db, report_of(now))
        return now

    def hurry(self) -> None:
        """Whatever pauses is due now."""
        with self._file.transaction() as db:
            db.execute("UPDATE tenancy SET next_at = 0 WHERE next_at != 0")

    def forget(self, *, at: Instant) -> None:
        """Drops what is long over."""
        over = [(each.rental,) for each in self.all() if is_over(each, at)]
        if over:
            with self._file.transaction() as db:
                db.executemany("DELETE FROM tenancy WHERE rental = ?", over)


def report_of(tenancy: Tenancy) -> AccountReport:
    """The report that was made last."""
    return AccountReport(rental=tenancy.rental, state=tenancy.report or AccountState.FAILED, text=tenancy.report_text)


def note_answers(db: Connection, contents: Sequence[bytes], code: EntryOutcome, reason: str, *, at: Instant) -> None:
    """Keeps what the ledger made of reports, within the transaction that keeps their receipt."""
    for content in contents:
        report = decode(AccountReport, content)
        row = db.execute(f"{_SELECT} WHERE rental = ?", (report.rental,)).fetchone()
        if row is not None:
            now = answered(_tenancy(row), report, code, reason, at=at)
            db.execute(_INSERT, [getattr(now, name) for name in COLUMNS])


def open_usernames(tenancies: Collection[Tenancy]) -> frozenset[str]:
    """Usernames of rentals that have not ended and whose account is there."""
    return frozenset(each.username for each in tenancies if each.is_open and each.account is Account.THERE)


def _tenancy(row: Sequence[Any]) -> Tenancy:
    values = dict(zip(COLUMNS, row, strict=True))
    values["account"] = Account(values["account"])
    values["report"] = None if values["report"] is None else AccountState(values["report"])
    values["adopted"] = bool(values["adopted"])
    values["reported"] = bool(values["reported"])
    return Tenancy(**values)
