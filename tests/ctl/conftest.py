# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One ledger for each file of tests, with its admin enrolled as root/desk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ctl_network import Network, start_network

__all__ = ["Network", "network"]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = start_network(tmp_path_factory.mktemp("network"))
    try:
        network.ok("root", "enrol", "--installation", "desk", stdin=network.first_token)
        yield network
    finally:
        network.service.stop()
