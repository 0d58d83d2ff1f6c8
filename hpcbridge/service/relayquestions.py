# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The relay's two methods of the API, served like the unary questions."""

from __future__ import annotations

from collections.abc import Mapping

from hpcbridge.errors import Refused
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.relay import SealedKind
from hpcbridge.service.queries import Question, Scope
from hpcbridge.wire.generated import ledger_pb2


def leave_sealed(request: ledger_pb2.LeaveSealedRequest, scope: Scope) -> ledger_pb2.LeaveSealedReply:
    """A box for the other party of a rental."""
    expires_at = scope.library.relay.leave(scope.view, scope.caller, request.rental, kind=_kind(request.kind), box=request.box)
    return ledger_pb2.LeaveSealedReply(expires_at=expires_at)


def collect_sealed(request: ledger_pb2.CollectSealedRequest, scope: Scope) -> ledger_pb2.CollectSealedReply:
    """What the other party left."""
    found = scope.library.relay.collect(
        scope.view, scope.caller, request.rental, kind=_kind(request.kind), acknowledge=request.acknowledge
    )
    return ledger_pb2.CollectSealedReply(
        state=found.state.value,
        box=found.box,
        left_at=found.left_at or 0,
        expires_at=found.expires_at or 0,
        collected_at=found.collected_at or 0,
    )


def _kind(number: int) -> SealedKind:
    for kind in SealedKind:
        if ledger_pb2.SealedKind.Value.Value(kind.value) == number:
            return kind
    raise Refused(EntryOutcome.MALFORMED, f"kind {number} is not known: PASSCODE or CONTACT")


RELAY_QUESTIONS: Mapping[str, Question] = {"LeaveSealed": leave_sealed, "CollectSealed": collect_sealed}
"""The unary methods of the relay by name."""
