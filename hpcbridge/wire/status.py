# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Errors as gRPC status and back: one map, both directions.

The gRPC code is for people and generic clients; our own program reads the exact code from the trailing metadata `hpcbridge-code`
and the advice from `hpcbridge-hint-bin`. Trouble inside the service arrives as LedgerUnavailable: that a ledger says it is broken is
no proof for the member, whose own integrity checks speak for themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import grpc

from hpcbridge.errors import (
    BadData,
    CertificateExpired,
    EnrolmentRefused,
    HpcbridgeError,
    IdentityError,
    IntegrityError,
    LedgerUnavailable,
    QuotaExceeded,
    Refused,
    SignatureInvalid,
)
from hpcbridge.model.entries import EntryOutcome, RejectionCode

CODE_KEY = "hpcbridge-code"
HINT_KEY = "hpcbridge-hint-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""How long to wait, as any gRPC client understands it (gRFC A6)."""
_MAX_TEXT = 1000

_INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
_UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
_FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

REFUSALS: Mapping[str, grpc.StatusCode] = {
    EntryOutcome.NOT_PERMITTED: grpc.StatusCode.PERMISSION_DENIED,
    EntryOutcome.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    EntryOutcome.NOT_APPROVED: _FAILED_PRECONDITION,
    EntryOutcome.ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    EntryOutcome.ILLEGAL_TRANSITION: _FAILED_PRECONDITION,
    EntryOutcome.STALE: _FAILED_PRECONDITION,
    EntryOutcome.MALFORMED: _INVALID_ARGUMENT,
    EntryOutcome.UNKNOWN_TYPE: grpc.StatusCode.UNIMPLEMENTED,
    EntryOutcome.TOKEN_INVALID: grpc.StatusCode.PERMISSION_DENIED,
    EntryOutcome.EQUIVOCATION: _FAILED_PRECONDITION,
    EntryOutcome.NO_CREDIT: _FAILED_PRECONDITION,
    EntryOutcome.NO_CAPACITY: _FAILED_PRECONDITION,
    EntryOutcome.OUTDATED: _FAILED_PRECONDITION,
    EntryOutcome.CLOSED: _FAILED_PRECONDITION,
    EntryOutcome.TOO_MANY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    RejectionCode.MALFORMED_HEADER: _INVALID_ARGUMENT,
    RejectionCode.NOT_AUTHENTIC: _UNAUTHENTICATED,
    RejectionCode.REVOKED: _UNAUTHENTICATED,
    RejectionCode.WRONG_ORIGIN: _INVALID_ARGUMENT,
    RejectionCode.TOO_LARGE: _INVALID_ARGUMENT,
    RejectionCode.UNKNOWN_CONTRACT: _INVALID_ARGUMENT,
    RejectionCode.CLOSED_EPOCH: _FAILED_PRECONDITION,
    RejectionCode.NUMBER_USED: grpc.StatusCode.ALREADY_EXISTS,
}
"""gRPC code of each way to say no."""

FAMILIES: Mapping[type[HpcbridgeError], grpc.StatusCode] = {
    EnrolmentRefused: grpc.StatusCode.PERMISSION_DENIED,
    CertificateExpired: _UNAUTHENTICATED,
    SignatureInvalid: _UNAUTHENTICATED,
    IdentityError: _UNAUTHENTICATED,
    BadData: _INVALID_ARGUMENT,
    QuotaExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    LedgerUnavailable: grpc.StatusCode.UNAVAILABLE,
    IntegrityError: grpc.StatusCode.DATA_LOSS,
    HpcbridgeError: grpc.StatusCode.INTERNAL,
}
"""gRPC code of the other families; the first one an error is an instance of counts."""

_BY_NAME: Mapping[str, type[HpcbridgeError]] = {
    kind.__name__: kind for kind in (EnrolmentRefused, CertificateExpired, SignatureInvalid, IdentityError, BadData)
}
_WITHOUT_OUR_CODE: Mapping[grpc.StatusCode, str] = {
    grpc.StatusCode.PERMISSION_DENIED: EntryOutcome.NOT_PERMITTED,
    grpc.StatusCode.NOT_FOUND: EntryOutcome.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: EntryOutcome.ALREADY_EXISTS,
    grpc.StatusCode.INVALID_ARGUMENT: EntryOutcome.MALFORMED,
    grpc.StatusCode.FAILED_PRECONDITION: EntryOutcome.ILLEGAL_TRANSITION,
    grpc.StatusCode.UNIMPLEMENTED: EntryOutcome.UNKNOWN_TYPE,
}
_TOO_LARGE = ("Sent message larger than max", "SERVER: Received message larger than max")
"""How the library says that our own message was too large; of the server's answers it says "CLIENT: Received"."""
_HANDSHAKE_HINTS = (
    (
        "CERTIFICATE_VERIFY_FAILED",
        "the server's certificate is not of the CA pinned at enrolment: check the address; if the ledger was set up anew, enrol again",
    ),
    ("Hostname Verification", "the server's certificate is for another name: check server_name in profile.json or [[ledger]]"),
    ("UNKNOWN_CA", "the ledger does not know this certificate's CA: this identity belongs to another ledger"),
    ("CERTIFICATE_EXPIRED", "this certificate has expired: hpcbridgectl identity renew"),
    ("TLSV1_ALERT", "the ledger refused this certificate: hpcbridgectl identity show"),
    ("WRONG_VERSION_NUMBER", "what listens there does not speak TLS: is it the ledger's port (7443 by default)?"),
)
_REACH_HINT = "is hpcbridge-ledgerd running there, and does the firewall let this machine through?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a server ends a call with."""

    code: grpc.StatusCode
    details: str
    metadata: tuple[tuple[str, str | bytes], ...]


def status_of(error: HpcbridgeError) -> Status:
    """Service side: `await context.abort(status.code, status.details, status.metadata)`."""
    name, code = _name_and_code(error)
    metadata: list[tuple[str, str | bytes]] = [(CODE_KEY, name)]
    if error.hint:
        metadata.append((HINT_KEY, error.hint[:_MAX_TEXT].encode()))
    if isinstance(error, QuotaExceeded) and error.wait_seconds:
        metadata.append((PUSHBACK_KEY, str(math.ceil(error.wait_seconds * 1000))))
    details = error.reason if isinstance(error, Refused) else str(error)
    return Status(code=code, details=details[:_MAX_TEXT], metadata=tuple(metadata))


def error_of(failure: grpc.RpcError, address: str) -> HpcbridgeError:
    """Member side: the error to raise for a call to `address` that failed."""
    code, details = failure.code(), failure.details() or ""
    metadata: dict[str, str | bytes] = dict(cast("Iterable[tuple[str, str | bytes]]", failure.trailing_metadata() or ()))
    name = str(metadata.get(CODE_KEY, ""))
    hint = _hint_text(metadata.get(HINT_KEY, b""))
    if name in _BY_NAME:
        return _BY_NAME[name](details, hint=hint)
    if name in REFUSALS:
        return Refused(name, details, hint=hint)
    if code is _UNAUTHENTICATED:
        return IdentityError(details, hint=hint)
    if not name and code is grpc.StatusCode.RESOURCE_EXHAUSTED and any(mark in details for mark in _TOO_LARGE):
        return Refused(RejectionCode.TOO_LARGE, "the request is larger than a message may be", hint="is a text of it too long?")
    if not name and code in _WITHOUT_OUR_CODE:
        return Refused(_WITHOUT_OUR_CODE[code], details, hint=hint)
    return _unavailable(code, details, address=address, hint=hint)


def _name_and_code(error: HpcbridgeError) -> tuple[str, grpc.StatusCode]:
    if isinstance(error, Refused):
        return error.code, REFUSALS.get(error.code, _FAILED_PRECONDITION)
    kind = next(kind for kind in FAMILIES if isinstance(error, kind))
    return kind.__name__, FAMILIES[kind]


def _unavailable(code: grpc.StatusCode, details: str, *, address: str, hint: str) -> LedgerUnavailable:
    match code:
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return LedgerUnavailable(f"ledger at {address} gave no answer in time", hint=hint or _REACH_HINT)
        case grpc.StatusCode.CANCELLED:
            return LedgerUnavailable(f"call to the ledger at {address} was cancelled", hint=hint)
        case grpc.StatusCode.DATA_LOSS | grpc.StatusCode.INTERNAL | grpc.StatusCode.UNKNOWN:
            return LedgerUnavailable(
                f"ledger at {address} has trouble of its own: {details[:300]}",
                hint=hint or "tell the people who run it; their log says more",
            )
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return LedgerUnavailable(f"ledger at {address} asks to slow down: {details[:300]}", hint=hint)
    advice = next((text for mark, text in _HANDSHAKE_HINTS if mark in details), _REACH_HINT)
    return LedgerUnavailable(f"ledger at {address} cannot be reached: {_last_cause(details)}", hint=hint or advice)


def _last_cause(details: str) -> str:
    """The library wraps causes into each other; the innermost one is what helps."""
    for mark in ("OPENSSL_internal:", "remote host: connect: ", "last error: UNAVAILABLE: ", "last error: UNKNOWN: "):
        if mark in details:
            return details.rpartition(mark)[2].split(": Invalid certificate")[0][:200]
    return details[:300] or "no reason given"


def _hint_text(raw: str | bytes) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
