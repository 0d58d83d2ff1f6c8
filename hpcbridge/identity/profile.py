# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The connection profile of an installation: who it is, and where its ledger lives. JSON, read strictly."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from hpcbridge.identity.tokens import check_address
from hpcbridge.model.identities import Role, Submitter, parse_submitter
from hpcbridge.model.quantities import check_origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What enrolment leaves behind. Addresses are host:port; `server_name` is the name the ledger's TLS certificate must carry."""

    origin: str
    submitter: Submitter
    role: Role
    ledger_addresses: tuple[str, ...]
    enrolment_address: str
    server_name: str


class _ProfileFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    origin: str
    submitter: str
    role: Role
    ledger_addresses: tuple[str, ...]
    enrolment_address: str
    server_name: str


def encode_profile(profile: Profile) -> bytes:
    """Indented JSON: people read it."""
    file = _ProfileFile(
        origin=profile.origin,
        submitter=str(profile.submitter),
        role=profile.role,
        ledger_addresses=profile.ledger_addresses,
        enrolment_address=profile.enrolment_address,
        server_name=profile.server_name,
    )
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def decode_profile(content: bytes) -> Profile:
    """Reads a profile; ValueError names the field that is wrong."""
    file = msgspec.json.decode(content, type=_ProfileFile)
    if not file.ledger_addresses:
        raise ValueError("ledger_addresses is empty")
    return Profile(
        origin=check_origin(file.origin),
        submitter=parse_submitter(file.submitter),
        role=file.role,
        ledger_addresses=tuple(check_address(address) for address in file.ledger_addresses),
        enrolment_address=check_address(file.enrolment_address),
        server_name=file.server_name,
    )
