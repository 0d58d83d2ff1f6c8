# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A log of contract version 2: every story of the market one after another, signed, and what a replay of it must come to.

Run as a module with a folder as argument, this file writes such a log; with `--check` it says whether the kept one still replays, and still
is what these stories make. Keys are new each time: two logs of the same stories have the same outcomes, and not the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from hpcbridge.contract.state import Effects, effects_hash
from hpcbridge.fold import Applied, WorkingState, fold
from hpcbridge.model.entries import Entry, EntryOutcome
from hpcbridge.model.market import ContractActivation
from hpcbridge.model.nodes import Availability
from hpcbridge.model.transactions import Body, NodeChange, NodeChanges, Revocation, Tick
from hpcbridge.wire.convert import decode
from tests.contract.market_book import PARTIES, Book, opened
from tests.contract.market_stories import every_story, start
from tests.contract.version_1 import DATA, read_leaves, write_leaves
from tests.fold_world import DAY_MS, Party, World

LOG, FIGURES = DATA / "version-2.log", DATA / "version-2.json"


class SignedBook(Book):
    """A book whose entries are envelopes that members sealed, folded by a ledger."""

    def __init__(self, directory: Path) -> None:
        self.world = World(directory)
        self.parties: dict[str, Party] = {"ledger": self.world.node, "root": self.world.root}
        for name, role in PARTIES.items():
            if name not in self.parties:
                self.parties[name] = self.world.enrol(name, role)
        super().__init__()
        self.state = self.world.state

    def enter(self, who: str, body: Body) -> Effects:
        """As a signed transaction; an installation that was silent for long renews its certificate first."""
        self.world.at, party = self.at, self.parties[who]
        if party is not self.world.node and self.world.signer(party).not_after_at <= self.at + DAY_MS:  # type: ignore[operator]
            self.world.renew(party)
        applied = self.world.send(party, body)
        assert isinstance(applied, Applied), applied
        self.last = applied.entry.index
        return Effects(writes=applied.writes, events=applied.events, outcomes=applied.entry.outcomes, reasons=applied.reasons)

    def _found(self) -> None:
        """The world has done that."""


def tell(directory: Path) -> SignedBook:
    """Every story, in one log."""
    book = SignedBook(directory)
    opened(credit=1_000_000_000_000, book=book)
    for _, story in every_story():
        story(book)
    book.check_all()
    _the_rest(book)
    return book


def _the_rest(book: Book) -> None:
    """Types that the market does not need."""
    change = NodeChange(node="n1", availability=Availability.UP, native_state="IDLE", reason=None, observed_at=book.at)
    book.accepted("siteone", NodeChanges(cluster="c1", changes=(change,)))
    book.say("root", ContractActivation(version=2))
    rental = start(book, "bob")
    book.accepted("root", Revocation(member="bob", installation=None, reason="left"))
    book.accepted("root", Revocation(member=rental.provider, installation=None, reason="left"))
    book.accepted("ledger", Tick())


def replay(path: Path) -> dict[str, Any]:
    """Figures of a log that is folded again; AssertionError if an entry does not come to the bytes that are kept."""
    state, digest, told, entries = WorkingState(), hashlib.sha256(), hashlib.sha256(), 0
    for leaf in read_leaves(path):
        entry = decode(Entry, leaf)
        answer = fold(state, entry.envelope, index=entry.index, at=entry.at, proposer=entry.proposer, origin="test")
        if not isinstance(answer, Applied) or answer.leaf != leaf:
            raise AssertionError((entry.index, entry.outcomes, answer))
        state.put(answer)
        digest.update(leaf)
        told.update(effects_hash((), answer.events))
        entries += 1
    return {"entries": entries, "state": state.digest().hex(), "events": told.hexdigest(), "leaves": digest.hexdigest()}


def outcomes(leaves: list[bytes]) -> list[tuple[EntryOutcome, ...]]:
    """What became of each entry."""
    return [decode(Entry, leaf).outcomes for leaf in leaves]


def record(folder: Path) -> None:
    """Writes log and figures."""
    with tempfile.TemporaryDirectory() as directory:
        book = tell(Path(directory))
    write_leaves(folder / LOG.name, (applied.leaf for applied in book.world.applied))
    (folder / FIGURES.name).write_text(json.dumps(replay(folder / LOG.name), indent=2) + "\n")


def check() -> list[str]:
    """What the kept log is not any more; empty if nothing."""
    faults = [] if replay(LOG) == json.loads(FIGURES.read_text()) else ["it does not replay to the figures beside it"]
    with tempfile.TemporaryDirectory() as directory:
        made = [applied.leaf for applied in tell(Path(directory)).world.applied]
    return faults if outcomes(made) == outcomes(list(read_leaves(LOG))) else [*faults, "the stories are told otherwise now"]


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        sys.exit("; ".join(check()) or 0)
    record(Path(sys.argv[1]))
