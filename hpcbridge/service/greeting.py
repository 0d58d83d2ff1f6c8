# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Hello: what each side has of a chain of numbers, and whether this log is still the one the member saw.

A member that shows a checkpoint under our own signature which our log does not continue has the proof of a fork: this log is older than
what was signed. Then nothing may be signed any more.
"""

from __future__ import annotations

from hpcbridge.contract.records import StoredEpoch, decode_stored
from hpcbridge.contract.versions import is_later
from hpcbridge.errors import BadData, IntegrityError, Refused
from hpcbridge.ledger.checkpoint import parse_checkpoint
from hpcbridge.ledger.store import StoreReader
from hpcbridge.ledger.tiles import Tree
from hpcbridge.model.entries import Checkpoint, EntryOutcome
from hpcbridge.model.identities import parse_submitter
from hpcbridge.model.transactions import PayloadType
from hpcbridge.service.readers import ReadState
from hpcbridge.service.signer import Published
from hpcbridge.wire.generated import entries_pb2, ledger_pb2

_EVER = frozenset({PayloadType.CONTRACT})
"""What a contract takes of a later one: the word that activates it."""
_NEVER = frozenset({PayloadType.GENESIS})


class ForkSeen(IntegrityError):
    """A member holds a checkpoint of ours that this log does not continue."""


class Greeter:
    """Answers Hello. Safe to use from any thread."""

    def __init__(self, origin: str, log_public_key: bytes, *, tree: Tree, window: int) -> None:
        self._origin = origin
        self._log_public_key = log_public_key
        self._tree = tree
        self._window = window

    def answer(self, hello: ledger_pb2.Hello, reader: StoreReader, published: Published) -> ledger_pb2.HelloReply:
        """The reply; Refused or BadData for a Hello that is none of ours, ForkSeen for one that proves a fork."""
        try:
            submitter = parse_submitter(hello.submitter)
        except ValueError as error:
            raise Refused(EntryOutcome.MALFORMED, f"Hello: {error}") from error
        checkpoint = published.checkpoint
        proof = self._consistency(hello.checkpoint, checkpoint) if hello.checkpoint else ()
        view = ReadState(reader)
        stored = view.get(f"epoch/{submitter}")
        epoch = None if stored is None else decode_stored(StoredEpoch, stored)
        return ledger_pb2.HelloReply(
            origin=self._origin,
            epoch=b"" if epoch is None else epoch.epoch,
            last_sequence=0 if epoch is None else epoch.last_sequence,
            last_payload_hash=b"" if epoch is None else epoch.last_payload_hash,
            epoch_closed=epoch is not None and epoch.closed,
            payload_types=[each.value for each in PayloadType if each in _EVER or (each not in _NEVER and not is_later(view, each))],
            window=self._window,
            checkpoint=entries_pb2.Checkpoint(note=checkpoint.note),
            consistency_proof=proof,
            at=published.at,
        )

    def _consistency(self, note: str, ours: Checkpoint) -> tuple[bytes, ...]:
        try:
            theirs = parse_checkpoint(note, self._origin, self._log_public_key)
        except (IntegrityError, BadData) as error:
            raise BadData(f"the checkpoint in Hello is not signed by this ledger's key: {error}") from error
        self.check_not_forked(theirs, ours)
        return self._tree.consistency_proof(theirs.size, ours.size) if theirs.size else ()

    def check_not_forked(self, theirs: Checkpoint, ours: Checkpoint) -> None:
        """ForkSeen unless our log begins with what a member saw."""
        if theirs.size > ours.size:
            raise ForkSeen(
                f"a member holds our checkpoint of {theirs.size} entries, this log ends at {ours.size}: an older copy was restored",
                hint="keep this store and the member's checkpoint as evidence; bring back the newest store",
            )
        if self._tree.root(theirs.size) != theirs.root:
            raise ForkSeen(
                f"a member holds our checkpoint of {theirs.size} entries with another root than this log's: two histories were signed",
                hint="keep this store and the member's checkpoint as evidence; bring back the store that was signed first",
            )
