# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.profile import Profile
from hpcbridge.model.identities import Role, Submitter
from tests.honest_log import ORIGIN, HonestLog, certificate
from tests.small_network import SmallNetwork


@pytest.fixture(scope="session")
def network() -> SmallNetwork:
    """An admin, two providers, an auditor, 40 odd entries. Nobody may append to this one."""
    return SmallNetwork.busy()


@pytest.fixture
def log(network: SmallNetwork) -> HonestLog:
    return network.log


@pytest.fixture
def identity(tmp_path: Path, log: HonestLog) -> KeyDirectory:
    """What hpc-one's installation has pinned."""
    directory = KeyDirectory(tmp_path / "identity")
    directory.create()
    directory.save_authority(certificate("ca"))
    directory.save_log_public_key(log.log_key.public_key().public_bytes_raw())
    directory.save_certificate(certificate("hpc-one/main"))
    directory.save_profile(
        Profile(
            origin=ORIGIN,
            submitter=Submitter("hpc-one", "main"),
            role=Role.PROVIDER,
            ledger_addresses=("127.0.0.1:7443",),
            enrolment_address="127.0.0.1:7444",
            server_name="ledger.example",
        )
    )
    return directory
