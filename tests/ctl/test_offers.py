# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Asking for offers at the command line, and the figures that people type there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hpcbridge.ctl.figures import amount, parse_amount, parse_place, parse_program, parse_size, parse_walltime
from hpcbridge.model.clusters import Program
from hpcbridge.model.market import MAX_MICRO
from tests.ctl_market import asked, open_market
from tests.ctl_network import Network


@pytest.fixture(scope="module")
def market(network: Network) -> Network:
    open_market(network)
    return network


def test_offers_are_listed_by_queue_and_blind(market: Network) -> None:
    result = market.run("ulla", "offers", "--cores", "16", "--walltime", "02:00:00", "--program", "gromacs")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert (len(lines), lines[0].split()[0]) == (3, "OFFER")
    assert any("64/128" in line and "0.02" in line and "2.304" in line and "0 s  free now" in line for line in lines)
    assert "hpcbridgectl rent r" in result.stderr
    assert "hpcbridgectl why r" in result.stderr
    for name in ("aurora", "north", "sunrise", "midday", "pebble", "gravel"):
        assert name not in result.output


def test_offers_for_programs(market: Network) -> None:
    answer = asked(market, "ulla", "offers", "--cores", "4", "--gpus", "0", "--memory", "1G", "--location", "13.7563,100.5018")
    assert answer["offers"] == []
    assert answer["request"]["asked"]["memory_bytes"] == 1 << 30
    near = asked(market, "ulla", "offers", "--cores", "4", "--location", "13.7563,100.5018")
    place = near["request"]["asked"]
    assert (place["latitude_microdegrees"], place["longitude_microdegrees"]) == (13_800_000, 100_500_000)
    assert {each["rates"]["cpu_core_per_hour"] for offer in near["offers"] for each in offer["queues"]} == {21_200}
    assert asked(market, "ulla", "offers", "--request", near["request"]["request"]) == near


def test_no_offers_points_to_the_reasons(market: Network) -> None:
    result = market.run("ulla", "offers", "--cores", "5000")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No offers for r" in result.stderr
    assert "2 clusters were left out: hpcbridgectl why r" in result.stderr


@pytest.mark.parametrize("name", ["north", "root"])
def test_only_users_ask(market: Network, name: str) -> None:
    result = market.run(name, "offers", "--cores", "1")
    assert (result.exit_code, "NOT_PERMITTED" in result.stderr) == (77, True)


@pytest.mark.parametrize("arguments", [
    "", "--cores 0", "--cores -1", "--cores x", "--cores 99999999999", "--cores 1 --gpu-type a100", "--cores 1 --walltime 90",
    "--cores 1 --walltime 0s", "--cores 1 --walltime 900d", "--cores 1 --memory lots", "--cores 1 --memory 0", "--cores 1 --location 91,0",
    "--cores 1 --location north", "--cores 1 --program grömacs", "--cores 1 --program a --program a", "--request r1 --cores 1",
])  # fmt: skip
def test_what_makes_no_sense_is_not_sent(market: Network, arguments: str) -> None:
    assert market.run("ulla", "offers", *arguments.split()).exit_code == 2


@pytest.mark.parametrize("request_name", ["r999999", "nonsense", "r1"])
def test_a_request_that_is_not_there(market: Network, request_name: str) -> None:
    result = market.run("ulla", "offers", "--request", request_name)
    assert (result.exit_code, "NOT_FOUND" in result.stderr, "hint:" in result.stderr) == (1, True, True)


@pytest.mark.parametrize(("micro", "text"), [(0, "0"), (1, "0.000001"), (37_244_160, "37.24416"), (-160_000, "-0.16"), (5_000_000, "5"),
                                             (100_000_000, "100"), (None, "–")])  # fmt: skip
def test_amounts_as_shown(micro: int | None, text: str) -> None:
    assert amount(micro) == text
    if micro is not None and micro >= 0:
        assert parse_amount(text) == micro


@pytest.mark.parametrize(("parse", "text", "value"), [
    (parse_amount, "12.5", 12_500_000), (parse_walltime, "02:00:00", 7200), (parse_walltime, "1-00:00:01", 86_401),
    (parse_walltime, "90min", 5400), (parse_walltime, "36h", 129_600), (parse_walltime, "2d", 172_800), (parse_size, "64G", 64 << 30),
    (parse_size, "1024", 1024), (parse_size, "2 TiB", 2 << 40),
    (parse_program, "gromacs/2023.3", Program(name="gromacs", version="2023.3")),
    (parse_program, "gromacs", Program(name="gromacs", version="")), (parse_place, "-33.8688, 151.2093", (-33_900_000, 151_200_000)),
    (parse_place, "90,-180", (90_000_000, -180_000_000)),
])  # fmt: skip
def test_figures_as_typed(parse: Callable[[str], Any], text: str, value: Any) -> None:
    assert parse(text) == value


UNCLEAR = {
    parse_amount: ("1,5", "-1", "1.0000001", "1e3", "nan", "", "١", "9" * 40, str(MAX_MICRO // 1_000_000 + 1)),
    parse_walltime: ("90", "2:00", "1:60:00", "h", "-1h", "", "0s", "00:00:00", "367d", "99999999h"),
    parse_size: ("1.5G", "-1", "G", "", "0", "4097P", "999999999999999P"),
    parse_program: ("", "/1", "a/"),
    parse_place: ("13.8", "nan,0", "0,181", "1e2,0", ","),
}


@pytest.mark.parametrize(("parse", "text"), [(parse, text) for parse, texts in UNCLEAR.items() for text in texts])
def test_figures_that_are_not_clear(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"give|more than|no place"):
        parse(text)
