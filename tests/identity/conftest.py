# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A small network: one CA, one member with a key."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hpcbridge.identity.authority import Authority
from hpcbridge.identity.keys import new_key
from hpcbridge.model.identities import Submitter

AT = 1_750_000_000_000


@pytest.fixture(name="at")
def _at() -> int:
    return AT


@pytest.fixture(name="origin")
def _origin() -> str:
    return "ledger.example.org"


@pytest.fixture(name="authority")
def _authority(tmp_path: Path, origin: str) -> Authority:
    return Authority.create(tmp_path / "authority", origin, at=AT)


@pytest.fixture(name="submitter")
def _submitter() -> Submitter:
    return Submitter("uni-north", "frontend-1")


@pytest.fixture(name="key")
def _key() -> ec.EllipticCurvePrivateKey:
    return new_key()
