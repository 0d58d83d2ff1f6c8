# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Configuration: what is right is read exactly, what is wrong is named with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcbridge.config import AgentConfig, load_agent_config, load_ledger_config
from hpcbridge.errors import ConfigError
from hpcbridge.model.clusters import Program, Rates, Registration

GOOD = """\
state_directory = "/tmp/state"

[cluster]
name = "north"
login_address = "login.north.example"
location = [35.681236, 139.767125]
installs_programs = true

[[cluster.programs]]
name = "gromacs"
version = "2024.1"

[cluster.rates]
cpu_core_per_hour = 0.05
gpu_core_per_hour = 1

[scheduler]
name = "slurm"
environment = { SLURM_CONF = "/etc/slurm/slurm.conf" }

[publish]
mode = "full"

[[ledger]]
address = "ledger.example:7443"
server_name = "ledger.example"

[intervals]
jobs = 5
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "hpcbridged.toml"
    path.write_text(text)
    return path


def load(folder: Path, text: str) -> AgentConfig:
    return load_agent_config(write(folder, text))


def test_everything_written_is_read_exactly(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    assert config.registration == Registration(
        cluster="north",
        login_address="login.north.example",
        latitude_microdegrees=35_681_236,
        longitude_microdegrees=139_767_125,
        programs=(Program(name="gromacs", version="2024.1"),),
        installs_programs=True,
        rates=Rates(cpu_core_per_hour=50_000, gpu_core_per_hour=1_000_000),
    )
    assert config.scheduler.environment == {"SLURM_CONF": "/etc/slurm/slurm.conf"}
    assert config.intervals.jobs == 5
    assert config.intervals.nodes == 30
    assert config.ledger[0].server_name == "ledger.example"
    assert config.spool_path == Path("/tmp/state/spool.db")
    assert config.identity_directory == Path("/tmp/state/identity")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('mode = "full"', 'mod = "full"', [":22:", "publish.mod", "did you mean 'mode'"]),
        ("[publish]", "[publsh]", [":21:", "publsh", "did you mean 'publish'"]),
        ("jobs = 5", 'jobs = "5"', [":29:", "intervals.jobs"]),
        ("jobs = 5", "jobs = 0", [":29:", "intervals", "at least 1"]),
        ('mode = "full"', 'mode = "everything"', [":22:", "publish.mode"]),
        ('name = "north"', 'name = "North Pole"', [":3:", "lower-case"]),
        ("location = [35.681236, 139.767125]", "location = [135.6, 139.7]", ["latitude", "at most 90"]),
        ("cpu_core_per_hour = 0.05", "cpu_core_per_hour = 0.0000001", ["six decimals"]),
        ('address = "ledger.example:7443"', 'address = "ledger.example"', ["HOST:PORT"]),
        ('state_directory = "/tmp/state"', 'state_directory = "state"', ["absolute"]),
        ("[intervals]", "[intervals", ["not TOML", "line 28"]),
        ("jobs = 5", "jobs = true", [":29:", "intervals.jobs: expected a whole number, got true or false"]),
        ('state_directory = "/tmp/state"', "state_directory = 7", [":1:", "state_directory: expected a path in quotes, got 7"]),
        ('mode = "full"', 'mode = "ful"', [":22:", "publish.mode: invalid value 'ful'", "known are: tenants, pseudonyms, full"]),
        ('name = "slurm"', 'name = "slurm"\ntimeout_seconds = 0', [":19:", "[scheduler] timeout_seconds = 0: must be at least 1"]),
        ('address = "ledger.example:7443"', 'address = "x:y:7443"', [":25:", "HOST:PORT", "[::1]:7443"]),
        ('address = "ledger.example:7443"', 'address = "ledger.example:65536"', ["HOST:PORT"]),
        ('name = "slurm"', 'name = "gridengin"', [":18:", "'gridengin' is no scheduler", "did you mean 'gridengine'"]),
        ('name = "slurm"', 'name = "x"', [":18:", "known are: ", "slurm", "torque"]),
        ('name = "slurm"', 'name = "slurm"\nowners = ["alice"]', [":19:", "no meaning for slurm", "[publish] owners"]),
        ('name = "slurm"', 'name = "torque"\npyslurm = "yes"', [":19:", "pyslurm has no meaning for torque"]),
        ('name = "slurm"', 'name = "slurm"\npyslurm = "perhaps"', [":19:", "known are: auto, yes, no"]),
        ("[intervals]", '[metrics]\naddress = "0.0.0.0:9464"\n[intervals]', [":29:", "other machines", "open_to_network = true"]),
        ("[intervals]", '[metrics]\naddress = "frontend:9464"\n[intervals]', [":29:", "other machines"]),
        ("[intervals]", '[metrics]\naddress = "9464"\n[intervals]', [":29:", "HOST:PORT"]),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    text = f"{caught.value} {caught.value.hint}"
    assert all(part in text for part in ["hpcbridged.toml", *expected]), text
    assert caught.value.exit_status == 78


@pytest.mark.parametrize(
    "lines",
    ['address = ""', 'address = "127.0.0.2:1"', 'address = "[::1]:9464"', 'address = "localhost:9464"',
     'address = "0.0.0.0:9464"\nopen_to_network = true'],
)  # fmt: skip
def test_where_metrics_may_be_served(tmp_path: Path, lines: str) -> None:
    assert load(tmp_path, f"{GOOD}\n[metrics]\n{lines}\n").metrics.address == lines.split('"')[1]
    assert load(tmp_path, GOOD).metrics.address == "127.0.0.1:9464"


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file") as caught:
        load_agent_config(tmp_path / "hpcbridged.toml")
    assert "--config" in caught.value.hint


def test_what_is_no_text_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_agent_config(tmp_path)
    (tmp_path / "hpcbridged.toml").write_bytes(b"# caf\xe9")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_agent_config(tmp_path / "hpcbridged.toml")


def test_a_required_section_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="scheduler"):
        load(tmp_path, '[cluster]\nname = "north"\n')


def test_an_empty_ledger_file_gives_the_defaults_of_the_manual(tmp_path: Path) -> None:
    path = tmp_path / "ledgerd.toml"
    path.write_text("")
    config = load_ledger_config(path)
    assert config.listen.address.endswith(":7443")
    assert config.listen.enrolment.endswith(":7444")
    assert config.store.directory == Path("/var/lib/hpcbridge-ledger")
    assert config.limits.window == 256
