# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The state of a log, computed again from entry 0 by the fold the service itself uses, and compared entry by entry.

The leaf of an entry holds the outcome of each item and a hash of all it wrote and told, so a wrong outcome, a wrong time, an invented
entry or a hidden event shows here even where the root and all signatures are right. The whole state is kept in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hpcbridge.audit.verify import Leaf, LogFault, LogVerifier, Pins, Verified
from hpcbridge.errors import HpcbridgeError
from hpcbridge.fold import Applied, WorkingState, fold
from hpcbridge.identity.sealing import verify_envelope
from hpcbridge.model.entries import Checkpoint, Entry, Event
from hpcbridge.model.transactions import Envelope
from hpcbridge.wire.convert import decode


class Replay:
    """Takes every leaf in order, from entry 0. `verify` checks one signature; a caller that has just checked it passes its own."""

    def __init__(self, origin: str, *, verify: Callable[[Envelope, bytes], None] = verify_envelope) -> None:
        self.origin = origin
        self.size = 0
        self.state = WorkingState()
        self._verify = verify

    def add(self, leaf: bytes, entry: Entry | None = None) -> tuple[Event, ...]:
        """Folds the next entry and returns the events it caused; LogFault if the rules give another entry than the one in the log."""
        index = self.size
        try:
            said = entry if entry is not None else decode(Entry, leaf)
            applied = fold(
                self.state,
                said.envelope,
                index=index,
                at=said.at,
                proposer=said.proposer,
                origin=self.origin,
                verify=self._verify,
            )
        except (HpcbridgeError, ValueError) as error:
            raise LogFault(index, f"replay: {error}") from error
        if not isinstance(applied, Applied):
            raise LogFault(index, f"replay: by the rules this is no entry: {applied}")
        if applied.leaf != leaf:
            raise LogFault(index, f"replay: {_difference(said, applied.entry)}")
        self.state.put(applied)
        self.size += 1
        return applied.events


def prove_log(
    leaves: Iterable[Leaf],
    note: str,
    pins: Pins,
    *,
    seen: Iterable[Checkpoint] = (),
    watch: Callable[[int], None] = lambda _: None,
) -> Verified:
    """Everything that can be proven of a log: `verify_log`, and the replay unless leaves are hidden. `watch` hears of each entry done."""
    verifier = LogVerifier(pins)
    replay = Replay(pins.origin, verify=verifier.recheck)
    for index, leaf in enumerate(leaves):
        entry = verifier.add(leaf)
        if isinstance(leaf, bytes) and replay.size == index:
            replay.add(leaf, entry)
        watch(verifier.size)
    return verifier.finish(note, seen=seen)


def _difference(said: Entry, computed: Entry) -> str:
    if said.outcomes != computed.outcomes:
        return f"its outcomes are {_words(said)}, by the rules they are {_words(computed)}"
    if said.effects_hash != computed.effects_hash:
        return "what it did to the state, or the events it caused, are not what the rules say"
    return "its bytes are not the ones the rules give"


def _words(entry: Entry) -> str:
    return ", ".join(entry.outcomes[:8]) + (", …" if len(entry.outcomes) > 8 else "")
