# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The signer: reads back what was stored, recomputes the root by itself, and only then signs and publishes.

It shares nothing with the applier but the root it compares with. The high-water mark is durable before the signature exists, so that a
restored store cannot sign a second history. It overlaps with the applier's next group, and signs once for all groups that wait.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hpcbridge.daemon.durations import Durations
from hpcbridge.daemon.life import PULSE_SECONDS, Pulse
from hpcbridge.failpoints import reach
from hpcbridge.ledger.checkpoint import sign_checkpoint
from hpcbridge.ledger.checks import SignedPrefix
from hpcbridge.ledger.highwater import HighWater, Mark
from hpcbridge.model.entries import Checkpoint
from hpcbridge.model.quantities import Instant
from hpcbridge.service.proposals import Judged

MAX_WAITING_GROUPS = 16


@dataclass(frozen=True, slots=True)
class Published:
    """The newest signed checkpoint and the ledger's time at its last entry."""

    checkpoint: Checkpoint
    at: Instant


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group that is durable: the tree after it, its time, the verdicts that may be told once it is signed, whom its events are for."""

    size: int
    root: bytes
    at: Instant
    judged: tuple[Judged, ...]
    audiences: frozenset[str] = frozenset()


class Signer:
    """Owns the log key and the high-water file. `run` belongs to its thread, `put` to the applier's."""

    def __init__(
        self,
        prefix: SignedPrefix,
        high_water: HighWater,
        *,
        origin: str,
        key: Ed25519PrivateKey,
        publish: Callable[[Published, tuple[Judged, ...], frozenset[str]], None],
        pulse: Pulse | None = None,
    ) -> None:
        """`pulse` tells that the thread of `run` is well."""
        self._prefix = prefix
        self._high_water = high_water
        self._origin = origin
        self._key = key
        self._publish = publish
        self._published: Published | None = None
        self._groups: deque[StoredGroup] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._pulse = pulse or Pulse("signer", limit_seconds=PULSE_SECONDS, clock=time.monotonic)
        self.took = Durations()
        """How long signatures took: reading back, the high-water file, signing."""

    def sign(self, size: int, *, root: bytes, at: Instant) -> Published:
        """Checks and signs one tree head; IntegrityError, and no signature, if what is read back has another root."""
        began = time.monotonic()
        self._prefix.extend(size, root)
        self._high_water.write(Mark(size=size, root=root))
        reach("signer.before_sign")
        checkpoint = sign_checkpoint(self._origin, size, root=root, key=self._key)
        self._published = Published(checkpoint, at)
        self.took.add(time.monotonic() - began)
        return self._published

    def waiting(self) -> int:
        """How many stored groups wait for a signature."""
        return len(self._groups)

    def put(self, group: StoredGroup) -> None:
        """Hands over a stored group; waits while the signer is far behind."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._groups) < MAX_WAITING_GROUPS or self._stopping)
            self._groups.append(group)
            self._changed.notify_all()

    def stop(self) -> None:
        """`run` ends after what was put before."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """`run` ends, and what waits is not signed: the process ends."""
        with self._changed:
            self._stopping = True
            self._groups.clear()
            self._changed.notify_all()

    def run(self) -> None:
        """Signs and publishes until `stop`."""
        while groups := self._next():
            self._pulse.beat()
            last = groups[-1]
            published = self._published
            if published is None or published.checkpoint.size != last.size:
                published = self.sign(last.size, root=last.root, at=last.at)
            audiences = frozenset().union(*(group.audiences for group in groups))
            self._publish(published, tuple(judged for group in groups for judged in group.judged), audiences)

    def _next(self) -> list[StoredGroup]:
        """All groups that wait, in order; empty at the end."""
        self._pulse.rest()
        with self._changed:
            self._changed.wait_for(lambda: self._groups or self._stopping)
            groups = list(self._groups)
            self._groups.clear()
            self._changed.notify_all()
            return groups
