# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One map of errors and gRPC codes: the whole table, both directions."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from hpcbridge.errors import (
    BadData,
    CertificateExpired,
    ConfigError,
    EnrolmentRefused,
    HpcbridgeError,
    IdentityError,
    IntegrityError,
    LedgerUnavailable,
    Refused,
    SchedulerError,
    SignatureInvalid,
    StorageError,
)
from hpcbridge.model.entries import EntryOutcome, RejectionCode
from hpcbridge.wire.status import FAMILIES, REFUSALS, Status, error_of, status_of


class Failure(grpc.RpcError):
    """What the library raises on the member's side when a server ended a call with this status."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def code(self) -> grpc.StatusCode:
        return self._status.code

    def details(self) -> str:
        return self._status.details

    def trailing_metadata(self) -> Any:
        return self._status.metadata


REFUSAL_CODES = [code.value for code in (*EntryOutcome, *RejectionCode) if code is not EntryOutcome.ACCEPTED]


def test_each_refusal_has_a_place_in_the_table() -> None:
    assert sorted(REFUSALS) == sorted(REFUSAL_CODES)
    assert grpc.StatusCode.OK not in {*REFUSALS.values(), *FAMILIES.values()}


@pytest.mark.parametrize("code", REFUSAL_CODES)
def test_refusals_arrive_as_they_left(code: str) -> None:
    error = error_of(Failure(status_of(Refused(code, "because of ünicode", hint="do this"))), "ledger:7443")
    assert isinstance(error, Refused)
    assert (error.code, error.reason, error.hint) == (code, "because of ünicode", "do this")


@pytest.mark.parametrize("kind", [EnrolmentRefused, CertificateExpired, SignatureInvalid, IdentityError, BadData])
def test_families_arrive_as_they_left(kind: type[HpcbridgeError]) -> None:
    error = error_of(Failure(status_of(kind("what happened", hint="do this"))), "ledger:7443")
    assert type(error) is kind
    assert (str(error), error.hint) == ("what happened", "do this")


@pytest.mark.parametrize("kind", [LedgerUnavailable, IntegrityError, StorageError, ConfigError, SchedulerError, HpcbridgeError])
def test_trouble_of_the_service_is_worth_another_try(kind: type[HpcbridgeError]) -> None:
    """Its word is no proof: a member does not stop for good because a ledger says that it is broken."""
    error = error_of(Failure(status_of(kind("broken inside"))), "ledger:7443")
    assert type(error) is LedgerUnavailable
    assert error.transient
    assert "ledger:7443" in str(error)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_each_code_without_our_metadata_becomes_one_of_our_errors(code: grpc.StatusCode) -> None:
    error = error_of(Failure(Status(code=code, details="", metadata=())), "ledger:7443")
    assert type(error) in (Refused, IdentityError, LedgerUnavailable)


def test_a_code_nobody_knows_falls_back_on_the_family() -> None:
    status = Status(code=grpc.StatusCode.UNAVAILABLE, details="x", metadata=(("hpcbridge-code", "NEW_ONE"),))
    assert type(error_of(Failure(status), "ledger:7443")) is LedgerUnavailable


def test_long_texts_are_cut() -> None:
    status = status_of(Refused("STALE", "x" * 5000, hint="y" * 5000))
    assert len(status.details) == 1000
    assert all(len(value) <= 1000 for _, value in status.metadata)


REFUSED = "failed to connect; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: connect: Connection refused (111)"
UNTRUSTED = "Ssl handshake failed: error:1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: self signed certificate"


@pytest.mark.parametrize(
    ("details", "told", "advice"),
    [
        (REFUSED, "cannot be reached: Connection refused (111)", "hpcbridge-ledgerd running"),
        (UNTRUSTED, "cannot be reached: CERTIFICATE_VERIFY_FAILED", "CA pinned at enrolment"),
    ],
)
def test_causes_are_told_in_few_words(details: str, told: str, advice: str) -> None:
    error = error_of(Failure(Status(code=grpc.StatusCode.UNAVAILABLE, details=details, metadata=())), "ledger:7443")
    assert told in str(error)
    assert "OPENSSL_internal" not in str(error)
    assert advice in error.hint
