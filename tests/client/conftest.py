# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One ledger for each file of tests, where a rental ends a second after its last job, and a site, played."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ctl_network import Network, start_network
from tests.played_site import PlayedSite

__all__ = ["Network", "network", "site"]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = start_network(tmp_path_factory.mktemp("network"), parameters=(("rental_grace_ms", 1000),))
    try:
        network.ok("root", "enrol", "--installation", "desk", stdin=network.first_token)
        yield network
    finally:
        network.service.stop()


@pytest.fixture(scope="module")
def site(network: Network) -> Iterator[PlayedSite]:
    site = PlayedSite(network, "north", "aurora")
    site.open()
    yield site
    site.client.close()
