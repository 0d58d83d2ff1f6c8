# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The engine decides the order of batches, and nothing else. It knows no jobs, no numbers, no entries.

There is no leader and no lease: any replica may submit at any time, and again, and again. What comes twice out of `follow` is made
harmless by the fold, where a number is consumed once. So an engine position is not a log index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from hpcbridge.model.identities import Submitter
from hpcbridge.model.quantities import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Envelopes proposed together. `proposer` is the replica, `at` its time, `signature` its signature over them, made elsewhere."""

    proposer: Submitter
    at: Instant
    envelopes: tuple[bytes, ...]
    signature: bytes


class Engine(Protocol):
    """Total order over batches. All methods may be called from any thread."""

    def submit(self, batch: Batch) -> None:
        """Proposes a batch; it may come to be ordered never, once or several times. Returning promises nothing.

        The proposer submits again until it sees the batch in `follow`. LedgerUnavailable if the engine takes no more now.
        """

    def follow(self, position: int) -> Iterator[tuple[int, Batch]]:
        """The batches after `position`, each with its own position, for ever; waits where there is none yet.

        Every follower sees the same batches at the same positions, positions rise without gaps, and only what is durable appears, or
        what becomes durable in the commit that stores it. Ends after `close`. IntegrityError if `position` is before what was trimmed.
        """

    def trim(self, position: int) -> None:
        """Every replica has stored everything up to and including `position`; nobody will follow from before it."""

    def close(self) -> None:
        """Takes no more batches; followers end when they have seen what was ordered."""
