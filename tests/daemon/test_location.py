# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The place of a cluster from an IP address and a site's database: found, not found, and every file that is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hpcbridge.agent.registering import registration_of
from hpcbridge.config import load_agent_config
from hpcbridge.ctl.main import cli
from hpcbridge.daemon import location
from hpcbridge.daemon.location import locate
from hpcbridge.errors import ConfigError
from tests.tiny_mmdb import write_mmdb

CHIANG_MAI = {"city": {"names": {"en": "Chiang Mai"}}, "location": {"latitude": 18.7877, "longitude": 98.9931}}
NETWORKS: dict[str, Any] = {
    "203.0.113.0/24": CHIANG_MAI,
    "198.51.100.0/25": {"location": {"latitude": -33.0, "longitude": -180.0}},
    "192.0.2.1/32": {"country": {"iso_code": "TH"}},
    "192.0.2.2/32": {"location": {"latitude": 91.0, "longitude": 0.0}},
    "192.0.2.3/32": {"location": {"latitude": "18", "longitude": 0.0}},
    "192.0.2.4/32": {"location": {"latitude": 18.0}},
    "192.0.2.5/32": {"location": "here"},
    "192.0.2.6/32": "here",
    "192.0.2.7/32": {"location": {"latitude": float("nan"), "longitude": 0.0}},
    "192.0.2.8/32": {"location": {"latitude": 18.78770049, "longitude": 7}},
}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return write_mmdb(tmp_path / "places.mmdb", NETWORKS)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("203.0.113.0", (18_787_700, 98_993_100)),
        ("203.0.113.255", (18_787_700, 98_993_100)),
        ("198.51.100.127", (-33_000_000, -180_000_000)),
        ("192.0.2.8", (18_787_700, 7_000_000)),
    ],
)
def test_a_place_is_found(database: Path, address: str, place: tuple[int, int]) -> None:
    assert locate(database, address) == place


@pytest.mark.parametrize(
    ("address", "part"),
    [
        ("203.0.114.0", "knows no place"),
        ("198.51.100.128", "knows no place"),
        ("10.0.0.1", "knows no place"),
        ("192.0.2.1", "knows no place"),
        ("192.0.2.2", "names no latitude"),
        ("192.0.2.3", "names no latitude"),
        ("192.0.2.4", "names no latitude"),
        ("192.0.2.5", "knows no place"),
        ("192.0.2.6", "knows no place"),
        ("192.0.2.7", "names no latitude"),
        ("2001:db8::1", "IPv6"),
    ],
)
def test_no_place_is_said(database: Path, address: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part) as told:
        locate(database, address)
    assert (address in str(told.value), "location = " in told.value.hint) == (True, True)


def test_files_that_are_none(database: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        locate(tmp_path / "none.mmdb", "203.0.113.7")
    with pytest.raises(ConfigError, match="cannot be read"):
        locate(tmp_path, "203.0.113.7")
    whole = database.read_bytes()
    for content in (b"", b"not a database", whole[: len(whole) // 2], whole[:-20]):
        database.write_bytes(content)
        with pytest.raises(ConfigError, match=r"is not a \.mmdb file"):
            locate(database, "203.0.113.7")


def test_damaged_bytes_are_an_error_or_another_place_and_never_a_crash(database: Path) -> None:
    whole = database.read_bytes()
    for place in range(0, len(whole), 17):
        database.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            latitude, longitude = locate(database, "203.0.113.7")
        except ConfigError:
            continue
        assert (abs(latitude) <= 90_000_000, abs(longitude) <= 180_000_000) == (True, True)


def test_without_the_library(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location, "_library", None)
    with pytest.raises(ConfigError, match="not installed"):
        locate(database, "203.0.113.7")


def configuration(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "hpcbridged.toml"
    path.write_text("\n".join(['[cluster]\nname = "c1"\nlogin_address = "l"', *lines, '[scheduler]\nname = "slurm"\n']))
    return path


def test_it_is_registered(database: Path, tmp_path: Path) -> None:
    config = load_agent_config(configuration(tmp_path, f'location_database = "{database}"', 'location_address = "203.0.113.7"'))
    found = registration_of(config)
    assert (found.latitude_microdegrees, found.longitude_microdegrees) == (18_787_700, 98_993_100)
    written = load_agent_config(configuration(tmp_path, "location = [18.5, -7]"))
    assert registration_of(written) == written.registration
    assert registration_of(load_agent_config(configuration(tmp_path))).latitude_microdegrees is None


def test_check_looks_it_up(database: Path, tmp_path: Path) -> None:
    lines = [f'location_database = "{database}"', 'location_address = "203.0.113.7"']
    fine = CliRunner().invoke(cli, ["check", "--config", str(configuration(tmp_path, *lines))])
    assert "ok      location: 203.0.113.7 is at 18.7877, 98.9931" in fine.stdout
    database.unlink()
    failed = CliRunner().invoke(cli, ["check", "--config", str(configuration(tmp_path, *lines))])
    assert (failed.exit_code, "no such file" in failed.stdout) == (78, True)


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        (('location_database = "/x.mmdb"',), "go together"),
        (('location_address = "203.0.113.7"',), "go together"),
        (("location = [1, 2]", 'location_address = "203.0.113.7"'), "not both"),
        (("location = [1, 2]", 'location_database = "/x.mmdb"'), "not both"),
        (('location_database = "/x.mmdb"', 'location_address = "login.example"'), "is not an IP address"),
        (('location_database = "/x.mmdb"', 'location_address = "203.0.113.7:22"'), "is not an IP address"),
        (('location_database = "x.mmdb"', 'location_address = "203.0.113.7"'), "must be absolute"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, lines: tuple[str, ...], part: str) -> None:
    with pytest.raises(ConfigError, match=part) as told:
        load_agent_config(configuration(tmp_path, *lines))
    assert "hpcbridged.toml:" in str(told.value)
