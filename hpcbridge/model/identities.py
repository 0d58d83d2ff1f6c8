# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Members, installations, keys and callers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hpcbridge.model.quantities import Instant, check_name


class Role(StrEnum):
    """What a member may be; Table 1 of the permissions is written over these."""

    PROVIDER = "PROVIDER"
    """Owns clusters."""
    USER = "USER"
    """Rents."""
    ADMIN = "ADMIN"
    """Registers and revokes members, and watches."""
    SYSTEM_NODE = "SYSTEM_NODE"
    """A replica of the ledger itself."""


@dataclass(frozen=True, slots=True, order=True)
class Submitter:
    """One installation of a member: its own key and its own chain of numbers. Text form `name/installation`."""

    member: str
    installation: str

    def __str__(self) -> str:
        return f"{self.member}/{self.installation}"


def parse_submitter(text: str) -> Submitter:
    """Reads `name/installation`; ValueError if either part is not a name."""
    member, separator, installation = text.partition("/")
    if not separator:
        raise ValueError(f"submitter {text[:90]!r} is not name/installation")
    return Submitter(check_name("member", member), check_name("installation", installation))


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who a signed transaction or a query speaks for, with the rights in force at that moment."""

    submitter: Submitter
    role: Role
    attributes: tuple[tuple[str, str], ...] = ()
    approved: bool = True
    """False while the member waits for an admin's decision, or was rejected or suspended."""

    @property
    def member(self) -> str:
        """The member whose rights count."""
        return self.submitter.member

    def has_attribute(self, name: str) -> bool:
        """True if the certificate carries the attribute with any value but `false`."""
        return any(key == name and value != "false" for key, value in self.attributes)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What the contract needs to know of a certificate; read from its DER bytes outside the contract and compared there."""

    serial: str
    submitter: Submitter
    role: Role
    attributes: tuple[tuple[str, str], ...]
    public_key: bytes
    not_before_at: Instant
    not_after_at: Instant
    certificate: bytes
