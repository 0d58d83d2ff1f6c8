# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What travels through the service: an admitted envelope, the answer to it, and the desk that waits for the answer.

Answers are made for many envelopes at once: a desk renders all of its answers of a group in the signer's thread and gets the result on
the event loop, so that the loop does nothing per envelope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hpcbridge.fold import Opened
from hpcbridge.model.entries import Expect, Receipt, Rejected, Retry


@dataclass(frozen=True, slots=True)
class Placed:
    """The envelope is (or was already) the entry at `index`; `leaf` None if it must be read from the store first.

    `reasons` has one sentence per refused item, as far as they are still known.
    """

    index: int
    leaf: bytes | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Receipted:
    """A receipt for the envelope, with the reasons beside it."""

    receipt: Receipt
    reasons: tuple[str, ...]


Verdict = Placed | Expect | Retry | Rejected
"""What the fold, or the proposer instead of it, said of one envelope."""
Answer = Receipted | Expect | Retry | Rejected
"""The same, once what it says is durable and signed."""


class Desk(Protocol):
    """Somebody who waits for answers: a member's stream, or the system node itself."""

    def render(self, answers: Sequence[tuple[bytes, Answer]]) -> Any:
        """Called on the signer's thread with (payload hash, answer) in the order of the log; returns what `hand_over` shall get."""

    def hand_over(self, rendered: Any) -> None:
        """Called on the event loop with what `render` returned."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One admitted envelope on its way. `owner` is the member whose connection brought it; empty for the ledger's own.

    `opened` is what admission found in it, so that the fold need not open it again; None if that is not at hand.
    """

    envelope: bytes
    payload_hash: bytes
    desk: Desk
    owner: str = ""
    opened: Opened | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A proposal and the verdict on it."""

    proposal: Proposal
    verdict: Verdict
