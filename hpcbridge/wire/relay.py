# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The relay's methods as Python functions, like those of `queries`: whatever carries the call. What is left is sealed before."""

from __future__ import annotations

import hashlib

from hpcbridge.model.quantities import Instant
from hpcbridge.model.relay import Sealed, SealedKind, SealedState
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.queries import Call, read


def leave_sealed(call: Call, rental: str, kind: SealedKind, *, box: bytes) -> Instant:
    """Leaves a sealed box for the other party of a rental, in place of an earlier one; until when it is kept."""
    request = ledger_pb2.LeaveSealedRequest(rental=rental, kind=kind.value, box=box)
    return int(call("LeaveSealed", request).expires_at)


def collect_sealed(call: Call, rental: str, kind: SealedKind) -> Sealed:
    """What the other party left. It stays there until `acknowledge_sealed`."""
    return read(_sealed, call("CollectSealed", ledger_pb2.CollectSealedRequest(rental=rental, kind=kind.value)))


def acknowledge_sealed(call: Call, rental: str, kind: SealedKind, *, box: bytes) -> Sealed:
    """Says that this box arrived and may be deleted. WAITING in the answer: another one was left meanwhile."""
    arrived = hashlib.sha256(box).digest()
    return read(_sealed, call("CollectSealed", ledger_pb2.CollectSealedRequest(rental=rental, kind=kind.value, acknowledge=arrived)))


def _sealed(reply: ledger_pb2.CollectSealedReply) -> Sealed:
    return Sealed(
        state=SealedState(ledger_pb2.SealedState.Value.Name(reply.state)),
        box=reply.box,
        left_at=reply.left_at or None,
        expires_at=reply.expires_at or None,
        collected_at=reply.collected_at or None,
    )
