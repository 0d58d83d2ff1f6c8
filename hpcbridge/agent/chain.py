# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The spool's part about numbers: payloads that got one, receipts for them, and the epoch they belong to.

A payload never changes once it has its number; when its epoch is left without a receipt for it, its items wait again. Items are dropped
in the transaction that keeps the verified receipt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from hpcbridge.agent.rows import Acknowledgement, NumberedPayload, Numbers
from hpcbridge.agent.spool_file import Connection, SpoolFile, read_meta, write_meta
from hpcbridge.agent.tenants import note_answers
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import PayloadType

RENTALS_LISTED = "rentals_listed"
"""Remembered while this spool is known to hold every rental of its cluster; a lost or restored one has to ask for all of them."""


class Chain:
    """Statements over `payload` and what `waiting` says of each number; each method that writes is one transaction."""

    def __init__(self, file: SpoolFile) -> None:
        self._file = file

    def numbers(self) -> Numbers:
        """Where the chain of numbers stands."""
        with self._file.lock:
            epoch = self._file.meta("epoch") or b""
            highest = self._file.row("SELECT MAX(sequence) FROM payload WHERE epoch = ? AND state = 'acknowledged'", (epoch,))
            opening = self._file.row("SELECT 1 FROM payload WHERE epoch = ? AND sequence = 1 AND state = 'sent'", (epoch,))
            return Numbers(
                epoch=epoch,
                next_sequence=int(self._file.meta("next_sequence") or b"1"),
                acknowledged=int(highest[0] or 0) if highest else 0,
                opening=(self._file.meta("previous_epoch") or b"") if opening else None,
            )

    def payload_hash(self, epoch: bytes, sequence: int) -> bytes | None:
        """SHA-256 of the payload that has this number; None if it was dropped long ago or never made here."""
        row = self._file.row("SELECT hash FROM payload WHERE epoch = ? AND sequence = ?", (epoch, sequence))
        return row[0] if row else None

    def open_epoch(
        self, payload: NumberedPayload, *, previous_epoch: bytes, lost: bool, poison: tuple[int, str] | None = None, at: Instant
    ) -> None:
        """Leaves the current epoch for the one whose number 1 `payload` is: what had no receipt waits again, in its old order.

        `lost`: the ledger knows more than this spool, so all incarnations are in doubt and the ledger has to be asked for open jobs and
        for rentals.
        `poison`: number and reason of a payload that is set aside for good, with its items.
        """
        with self._file.transaction() as db:
            if poison is not None:
                aside = (poison[1], read_meta(db, "epoch") or b"", poison[0])
                db.execute("UPDATE payload SET state = 'quarantined', outcomes = ? WHERE epoch = ? AND sequence = ?", aside)
                db.execute("DELETE FROM waiting WHERE sequence = ?", (poison[0],))
            db.execute("UPDATE waiting SET sequence = NULL WHERE sequence IS NOT NULL")
            db.execute(
                "DELETE FROM waiting WHERE sequence IS NULL AND replaces IS NOT NULL AND id NOT IN"
                " (SELECT MAX(id) FROM waiting WHERE replaces IS NOT NULL GROUP BY replaces)"
            )
            db.execute("DELETE FROM payload WHERE state = 'sent'")
            write_meta(db, "epoch", payload.epoch)
            write_meta(db, "previous_epoch", previous_epoch)
            if lost:
                db.execute("UPDATE waiting SET unconfirmed = 1 WHERE subject IS NOT NULL")
                db.execute("UPDATE seen SET published = 2 WHERE published = 1")
                write_meta(db, "doubtful", b"1")
                write_meta(db, "recover", b"1")
                db.execute("DELETE FROM meta WHERE key = ?", (RENTALS_LISTED,))
            _insert_payload(db, payload, at)

    def add_payload(self, payload: NumberedPayload, rows: Iterable[int], *, at: Instant) -> None:
        """Keeps a payload with its number, and which rows it was made of."""
        with self._file.transaction() as db:
            _insert_payload(db, payload, at)
            db.executemany("UPDATE waiting SET sequence = ? WHERE id = ?", [(payload.sequence, row) for row in rows])

    def unacknowledged(self, start: int, limit: int) -> tuple[NumberedPayload, ...]:
        """Payloads of the current epoch from number `start` on that have no receipt, in order."""
        query = (
            "SELECT epoch, sequence, type, payload, hash, items FROM payload"
            " WHERE epoch = ? AND sequence >= ? AND state = 'sent' ORDER BY sequence LIMIT ?"
        )
        return tuple(
            NumberedPayload(
                epoch=epoch, sequence=sequence, payload_type=PayloadType(kind), payload=payload, payload_hash=digest, items=items
            )
            for epoch, sequence, kind, payload, digest, items in self._file.rows(query, (self._file.meta("epoch") or b"", start, limit))
        )

    def acknowledge(self, acknowledgements: Sequence[Acknowledgement], *, checkpoint: str, at: Instant) -> dict[int, Acknowledgement]:
        """Keeps verified receipts and the verified checkpoint and drops the items they prove; the rows that are done, by receipt."""
        done: dict[int, Acknowledgement] = {}
        with self._file.transaction() as db:
            epoch = read_meta(db, "epoch") or b""
            for each in acknowledgements:
                rows = db.execute("SELECT id, type, content FROM waiting WHERE sequence = ? ORDER BY id", (each.sequence,)).fetchall()
                done.update((row[0], each) for row in rows)
                _park_refused(db, rows, each)
                if rows and rows[0][1] == PayloadType.ACCOUNT:
                    refusal = each.refusals[0] if each.refusals else None
                    code, reason = (refusal.code, refusal.reason) if refusal else (EntryOutcome.ACCEPTED, "")
                    note_answers(db, [row[2] for row in rows], code, reason, at=at)
                if rows and rows[0][1] == PayloadType.REGISTRATION:
                    if not each.refusals:
                        # It may have been refused before, while the ledger's admins had not yet made room for it.
                        db.execute("DELETE FROM refused WHERE type = ? AND content = ?", (PayloadType.REGISTRATION, rows[0][2]))
                    write_meta(db, "registration", rows[0][2])
                db.execute("DELETE FROM waiting WHERE sequence = ?", (each.sequence,))
                db.execute(
                    "UPDATE payload SET state = 'acknowledged', payload = NULL, entry_index = ?, outcomes = ?, receipt = ?,"
                    " acknowledged_at = ? WHERE epoch = ? AND sequence = ?",
                    (each.index, json.dumps(each.outcomes), each.receipt, at, epoch, each.sequence),
                )
            write_meta(db, "checkpoint", checkpoint.encode())
            write_meta(db, "last_receipt_at", str(at).encode())
        return done

    def set_checkpoint(self, note: str) -> None:
        """Keeps a checkpoint that was verified, also as consistent with the one before."""
        self._file.set_meta("checkpoint", note.encode())

    def quarantined(self) -> list[tuple[bytes, int, str, int, int, str, bytes]]:
        """Payloads set aside: epoch, number, type, items, time made, reason, payload."""
        return self._file.rows("SELECT epoch, sequence, type, items, made_at, outcomes, payload FROM payload WHERE state = 'quarantined'")

    def refused(self, limit: int) -> list[tuple[str, bytes, str, str, int, int]]:
        """The latest refused items: type, content, code, reason, index of the entry, its time."""
        return self._file.rows("SELECT type, content, code, reason, entry_index, at FROM refused ORDER BY id DESC LIMIT ?", (limit,))

    def refused_registration(self) -> tuple[str, str, int] | None:
        """Code, reason and time if the ledger refused the registration that it answered to last."""
        row = self._file.row(
            "SELECT code, reason, at FROM refused WHERE type = ? AND content = (SELECT value FROM meta WHERE key = 'registration')"
            " ORDER BY id DESC LIMIT 1",
            (PayloadType.REGISTRATION,),
        )
        return None if row is None else (str(row[0]), str(row[1]), int(row[2]))

    def receipts(self, limit: int) -> list[tuple[int, int, bytes, str, int, int]]:
        """The latest receipts: index, number, epoch, outcomes as JSON, time received, items."""
        return self._file.rows(
            "SELECT entry_index, sequence, epoch, outcomes, acknowledged_at, items FROM payload"
            " WHERE state = 'acknowledged' ORDER BY entry_index DESC LIMIT ?",
            (limit,),
        )

    def receipt(self, index: int) -> str | None:
        """The receipt of the entry at `index` as a C2SP tlog-proof."""
        row = self._file.row("SELECT receipt FROM payload WHERE entry_index = ?", (index,))
        return None if row is None else str(row[0])


def drop_receipts(db: Connection, *, before: Instant | None) -> None:
    """Deletes acknowledged payloads (`before` None: all), but not the last one of the epoch: Hello is compared with it."""
    epoch = read_meta(db, "epoch") or b""
    db.execute(
        "DELETE FROM payload WHERE state = 'acknowledged' AND (?1 IS NULL OR acknowledged_at < ?1) AND NOT (epoch = ?2 AND sequence ="
        " (SELECT MAX(sequence) FROM payload WHERE epoch = ?2 AND state = 'acknowledged'))",
        (before, epoch),
    )


def _insert_payload(db: Connection, payload: NumberedPayload, at: Instant) -> None:
    db.execute(
        "INSERT INTO payload(epoch, sequence, type, hash, items, made_at, state, payload) VALUES(?, ?, ?, ?, ?, ?, 'sent', ?)",
        (payload.epoch, payload.sequence, payload.payload_type, payload.payload_hash, payload.items, at, payload.payload),
    )
    write_meta(db, "next_sequence", str(payload.sequence + 1).encode())


def _park_refused(db: Connection, rows: Sequence[Any], acknowledgement: Acknowledgement) -> None:
    for refusal in acknowledgement.refusals:
        if refusal.ordinal < len(rows):
            _, kind, content = rows[refusal.ordinal]
            db.execute(
                "INSERT INTO refused(type, content, code, reason, entry_index, at) VALUES(?, ?, ?, ?, ?, ?)",
                (kind, content, refusal.code, refusal.reason, acknowledgement.index, acknowledgement.at),
            )
