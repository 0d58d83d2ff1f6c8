# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""An auditor at the command line counts the money of an export; what is no whole log, or was changed, is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ctl_market import asked, open_market
from tests.ctl_network import Network


@pytest.fixture(scope="module")
def export(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with a rental that was given back and one that is open."""
    open_market(network)
    network.enrol("root", "audrey", "user", "--attribute", "auditor=true")
    network.ok("root", "admin", "credit", "ulla", "50", "--reference", "invoice 1")
    for given_back in (True, False):
        request = asked(network, "ulla", "offers", "--cores", "16", "--walltime", "2h")["request"]["request"]
        rental = asked(network, "ulla", "rent", "--best", request)["rental"]
        if given_back:
            network.ok("ulla", "rentals", "cancel", rental)
    path = tmp_path_factory.mktemp("export") / "log.export"
    network.ok("audrey", "ledger", "export", str(path))
    return path


def test_every_account_and_line(network: Network, export: Path) -> None:
    money = asked(network, "audrey", "ledger", "money", str(export))
    (ulla,) = money["accounts"]
    assert (ulla["balance"] + ulla["held"], money["credited"], money["lines"]) == (50_000_000, 50_000_000, 3)
    assert ulla == asked(network, "ulla", "balance")
    (back, held) = money["rentals"]
    assert [line["kind"] for line in back["statement"]] == ["DEPOSIT", "REFUND"]
    assert ulla["held"] == held["rental"]["deposit"] > 0
    shown = network.ok("audrey", "ledger", "money", str(export))
    assert ("3 lines of 2 statements" in shown, "CANCELLED" in shown) == (True, True)
    lines = network.ok("audrey", "ledger", "money", str(export), "--rental", back["rental"]["rental"])
    assert ("REFUND" in lines, str(back["statement"][1]["index"]) in lines) == (True, True)


def test_who_has_pins_alone_can_count(network: Network, export: Path) -> None:
    assert asked(network, "north", "ledger", "money", str(export))["credited"] == 50_000_000


def test_what_is_refused(network: Network, export: Path, tmp_path: Path) -> None:
    whole = export.read_bytes()
    own, cut, changed = (tmp_path / name for name in ("own", "cut", "changed"))
    network.ok("ulla", "ledger", "export", str(own))
    cut.write_bytes(whole[:-40])
    middle = len(whole) // 2
    changed.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    for arguments, status, words in (
        ((str(own),), 65, "hidden"),
        ((str(cut),), 65, "cut off"),
        ((str(changed),), 65, "changed: "),
        ((str(tmp_path / "none"),), 65, "cannot be read"),
        ((str(export), "--rental", "l999999"), 1, "l999999"),
        ((), 2, "FILE"),
    ):
        result = network.run("audrey", "ledger", "money", *arguments)
        assert (result.exit_code, words in result.stderr) == (status, True), (arguments, result.exit_code, result.stderr)
