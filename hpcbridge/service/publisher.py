# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What is signed becomes visible: receipts for those who wait, news for subscribers, the checkpoint for everybody.

Receipts are made on the signer's thread; the event loop gets one call per signature. Only those are woken for whom there is an event: with
thousands who listen, waking all of them for each entry would leave no time for anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from hpcbridge.errors import IntegrityError
from hpcbridge.ledger.tiles import Tree
from hpcbridge.model.entries import Receipt
from hpcbridge.service.proposals import Answer, Desk, Judged, Placed, Receipted
from hpcbridge.service.signer import Published


class Publisher:
    """Keeps the newest checkpoint. `publish` and `give_back` may be called from any thread, `news` on the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tree: Tree, *, leaf: Callable[[int], bytes | None], published: Published) -> None:
        self._loop = loop
        self._tree = tree
        self._leaf = leaf
        self._news: dict[str | None, asyncio.Event] = {}
        self.published = published

    @property
    def size(self) -> int:
        """Number of entries that are signed and thereby visible."""
        return self.published.checkpoint.size

    def news(self, audience: str | None) -> asyncio.Event:
        """Set when an event for this audience (None: any event) is published after this call."""
        return self._news.setdefault(audience, asyncio.Event())

    def publish(self, published: Published, judged: Sequence[Judged], audiences: frozenset[str]) -> None:
        """A new checkpoint, the answers that were waiting for it, and whom the new events are for."""
        rendered = _render(judged, lambda verdict: self.receipt(verdict, published))
        self._loop.call_soon_threadsafe(self._announce, published, rendered, audiences)

    def give_back(self, judged: Sequence[Judged]) -> None:
        """Answers that need no signature: nothing was stored for them."""
        rendered = _render(judged, lambda verdict: self.receipt(verdict, self.published))
        self._loop.call_soon_threadsafe(_hand_over, rendered)

    def receipt(self, placed: Placed, published: Published | None = None) -> Receipted:
        """A receipt for a visible entry under a checkpoint, the newest if None."""
        checkpoint = (published or self.published).checkpoint
        leaf = self._leaf(placed.index) if placed.leaf is None else placed.leaf
        if leaf is None:
            raise IntegrityError(f"entry {placed.index} is missing in the store")
        proof = self._tree.inclusion_proof(placed.index, checkpoint.size)
        return Receipted(Receipt(leaf=leaf, index=placed.index, proof=proof, checkpoint=checkpoint), placed.reasons)

    def _announce(self, published: Published, rendered: list[tuple[Desk, Any]], audiences: frozenset[str]) -> None:
        self.published = published
        for audience in (*audiences, None) if audiences else ():
            news = self._news.pop(audience, None)
            if news is not None:
                news.set()
        _hand_over(rendered)


def _render(judged: Sequence[Judged], receipt: Callable[[Placed], Receipted]) -> list[tuple[Desk, Any]]:
    """Each desk's answers together, in order."""
    answers: dict[Desk, list[tuple[bytes, Answer]]] = {}
    for each in judged:
        verdict = each.verdict
        answer = receipt(verdict) if isinstance(verdict, Placed) else verdict
        answers.setdefault(each.proposal.desk, []).append((each.proposal.payload_hash, answer))
    return [(desk, desk.render(of_desk)) for desk, of_desk in answers.items()]


def _hand_over(rendered: list[tuple[Desk, Any]]) -> None:
    for desk, replies in rendered:
        desk.hand_over(replies)
