# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Configuration: what is right is read exactly, what is wrong is named with file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpcbridge.config import MAX_QUEUE_TEXT, MAX_QUEUES, QUEUE_FIGURES, AgentConfig, load_agent_config, load_ledger_config
from hpcbridge.contract.queueoffers import queues_fault
from hpcbridge.errors import ConfigError
from hpcbridge.model.clusters import Program, QueueOffer, Rates, Registration

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
        ("cpu_core_per_hour = 0.05", "cpu_core_per_hour = 0", ["rates.cpu_core_per_hour: 0 is no price", "0.000001"]),
        ("cpu_core_per_hour = 0.05", 'cpu_core_per_hour = "0.05"', [":14:", "cluster.rates.cpu_core_per_hour: expected a number, got"]),
        ("location = [35.681236, 139.767125]", 'location = ["35.6", 139.7]', [":6:", "cluster.location: expected a number, got text"]),
        ("cpu_core_per_hour = 0.05", "cpu_core_per_hour = 1e9999999", [":3:", "rates.cpu_core_per_hour", "at most 1000000000"]),
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


QUEUES = """\
[[cluster.queues]]
name = "batch"

[[cluster.queues]]
name = "gpu"
max_cores = 64
gpus = 4
gpu_type = "A100"
memory_bytes = 549755813888
max_walltime_seconds = 172800

[cluster.queues.rates]
cpu_core_per_hour = 0.03
gpu_core_per_hour = 1.5

[[cluster.queues]]
name = "nearly-free"
rates = { cpu_core_per_hour = 0.000001 }

"""
"""Stands before [cluster.rates]; its first line is number 13."""


def with_queues(text: str = QUEUES) -> str:
    return GOOD.replace("[cluster.rates]", f"{text}[cluster.rates]", 1)


def test_offered_queues_are_read_exactly(tmp_path: Path) -> None:
    assert load(tmp_path, with_queues()).registration.queues == (
        QueueOffer(name="batch"),
        QueueOffer(
            name="gpu",
            max_cores=64,
            gpus=4,
            gpu_type="A100",
            memory_bytes=512 << 30,
            max_walltime_seconds=48 * 3600,
            rates=Rates(cpu_core_per_hour=30_000, gpu_core_per_hour=1_500_000),
        ),
        QueueOffer(name="nearly-free", rates=Rates(cpu_core_per_hour=1, gpu_core_per_hour=0)),
    )
    assert load(tmp_path, with_queues()).registration.rates == Rates(cpu_core_per_hour=50_000, gpu_core_per_hour=1_000_000)
    assert load(tmp_path, GOOD).registration.queues == ()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('name = "nearly-free"', 'name = "gpu"', [":29:", "[[cluster.queues]] number 3: name 'gpu' is that of another one above"]),
        ('name = "nearly-free"', 'name = ""', [":29:", "number 3: name", "1 to 64"]),
        ('name = "nearly-free"', 'name = "free\\u0007"', [":29:", "number 3: name", "printable"]),
        ('name = "nearly-free"', f'name = "{"q" * 65}"', [":29:", "number 3: name", "1 to 64"]),
        ('name = "nearly-free"', "name = 3", [":29:", "cluster.queues.name: expected text in quotes"]),
        ('name = "nearly-free"\n', "", [":28:", "cluster.queues", "name"]),
        ("max_cores = 64", "max_cores = 0", [":18:", "number 2: max_cores = 0: from 1 to 2147483648"]),
        ("max_cores = 64", 'max_cores = "64"', [":18:", "cluster.queues.max_cores: expected a whole number"]),
        ("max_cores = 64", "max_cores = 64.5", [":18:", "cluster.queues.max_cores"]),
        ("max_cores = 64", "max_core = 64", [":18:", "unknown key 'cluster.queues.max_core'", "did you mean 'max_cores'"]),
        ("gpus = 4", "gpus = -1", [":19:", "number 2: gpus = -1"]),
        ('gpu_type = "A100"', 'gpu_type = ""', [":20:", "number 2: gpu_type"]),
        ('gpu_type = "A100"', 'gpu_type = "\u0410100"', [":20:", "number 2: gpu_type", "ASCII"]),
        ("memory_bytes = 549755813888", 'memory_bytes = "512GiB"', [":21:", "cluster.queues.memory_bytes: expected a whole number"]),
        ("memory_bytes = 549755813888", "memory_bytes = 0", [":21:", "number 2: memory_bytes = 0"]),
        ("memory_bytes = 549755813888", 'memory = "512GiB"', [":21:", "did you mean 'memory_bytes'"]),
        ("max_walltime_seconds = 172800", "max_walltime_seconds = 0", [":22:", "number 2: max_walltime_seconds = 0"]),
        ("cpu_core_per_hour = 0.03", "cpu_core_per_hour = 0.0000003", [":25:", "number 2: rates.cpu_core_per_hour", "six decimals"]),
        ("cpu_core_per_hour = 0.03", "cpu_core_per_hour = 0.0", [":25:", "number 2: rates.cpu_core_per_hour", "0 is no price"]),
        ("cpu_core_per_hour = 0.03", "cpu_core_per_hour = -0.03", [":25:", "number 2: rates.cpu_core_per_hour", "not below 0"]),
        ("cpu_core_per_hour = 0.03", "cpu_core_per_hour = 1e9999999", [":25:", "number 2: rates.cpu_core_per_hour"]),
        ("cpu_core_per_hour = 0.03", "cpu_core_per_hour = nan", [":25:", "number 2: rates.cpu_core_per_hour"]),
        ("cpu_core_per_hour = 0.03", 'cpu_core_per_hour = "0.03"', [":25:", "cluster.queues.rates.cpu_core_per_hour: expected a number"]),
        ("cpu_core_per_hour = 0.03\n", "", [":24:", "cluster.queues.rates", "cpu_core_per_hour"]),
        ("{ cpu_core_per_hour = 0.000001 }", "{ cpu_core_per_hour = -1 }", [":30:", "number 3: rates.cpu_core_per_hour", "not below 0"]),
        ("{ cpu_core_per_hour = 0.000001 }", "{ cpu_per_hour = 1 }", [":30:", "cluster.queues.rates.cpu_per_hour", "did you mean"]),
        ("{ cpu_core_per_hour = 0.000001 }", "5", [":30:", "cluster.queues.rates: expected a section, got a whole number"]),
    ],
)
def test_a_mistake_in_a_queue_is_named_with_its_place(tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    assert QUEUES.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, with_queues(QUEUES.replace(old, new)))
    text = f"{caught.value} {caught.value.hint}"
    assert all(part in text for part in ["hpcbridged.toml", *expected]), text


def test_the_queues_may_be_written_as_a_list(tmp_path: Path) -> None:
    listed = GOOD.replace("installs_programs = true", 'queues = [{ name = "a" }, { name = "b", gpus = 1 }]')
    assert load(tmp_path, listed).registration.queues == (QueueOffer(name="a"), QueueOffer(name="b", gpus=1))
    with pytest.raises(ConfigError, match=r"toml:7: .*number 2: gpus = -1"):
        load(tmp_path, listed.replace("gpus = 1", "gpus = -1"))


def test_too_many_queues(tmp_path: Path) -> None:
    many = "".join(f'[[cluster.queues]]\nname = "q{number}"\n' for number in range(MAX_QUEUES))
    offered = load(tmp_path, with_queues(many)).registration.queues
    assert (len(offered), queues_fault(offered)) == (MAX_QUEUES, "")
    with pytest.raises(ConfigError, match=rf"toml:{13 + 2 * MAX_QUEUES}: .*more than {MAX_QUEUES}"):
        load(tmp_path, with_queues(f'{many}[[cluster.queues]]\nname = "last"\n'))


def test_the_bounds_of_a_queue_are_those_of_the_contract() -> None:
    for key, (lowest, highest) in QUEUE_FIGURES.items():
        for figure, right in ((lowest, True), (highest, True), (lowest - 1, False), (highest + 1, False)):
            values: dict[str, Any] = {key: figure}
            assert (queues_fault((QueueOffer(name="q", **values),)) == "") is right, (key, figure)
    for length, right in ((0, False), (1, True), (MAX_QUEUE_TEXT, True), (MAX_QUEUE_TEXT + 1, False)):
        assert (queues_fault((QueueOffer(name="q" * length),)) == "") is right


def test_the_dearest_price_is_one_the_contract_takes(tmp_path: Path) -> None:
    dearest = load(tmp_path, with_queues(QUEUES.replace("0.03", "1000000000"))).registration
    assert queues_fault(dearest.queues) == ""


def test_a_mistake_in_the_second_endpoint_is_named_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"toml:32: \[\[ledger\]\] number 2"):
        load(tmp_path, f'{GOOD}\n[[ledger]]\naddress = "nowhere"\n')


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
    with pytest.raises(ConfigError, match=r"hpcbridged.toml: the section \[scheduler\] is missing") as caught:
        load(tmp_path, '[cluster]\nname = "north"\nlogin_address = "l"\n')
    assert caught.value.hint == "it says how to ask it, and needs: name"


def test_the_file_of_the_package_untouched_says_that_all_of_it_is_comment(tmp_path: Path) -> None:
    shipped = Path(__file__).parent.parent / "packaging/config/hpcbridged.toml"
    with pytest.raises(ConfigError, match=r"the section \[cluster\] is missing") as caught:
        load(tmp_path, shipped.read_text())
    assert "every line of the file is still a comment" in caught.value.hint
    inner = shipped.read_text().splitlines()
    config = load(tmp_path, "\n".join(line[1:] if line[1:2] in "[abcdefghijklmnopqrstuvwxyz" and line[1:] else line for line in inner))
    assert config.cluster.login_address == "login.north.example"


def test_a_required_key_that_is_missing_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"hpcbridged.toml:3: \[cluster\] login_address is missing") as caught:
        load(tmp_path, GOOD.replace('login_address = "login.north.example"\n', ""))
    assert "where tenants log in" in caught.value.hint
    with pytest.raises(ConfigError, match=r"\[ledger\] address is missing"):
        load(tmp_path, GOOD.replace('address = "ledger.example:7443"\n', ""))


SITES = (
    ('login_address = ""', "login_address '' is no address"),
    ('login_address = "log in"', "login_address 'log in' is no address"),
    ('login_address = "l\\u00e9"', "is no address"),
    (f'login_address = "{"l" * 256}"', "is no address"),
)


@pytest.mark.parametrize(("line", "complaint"), SITES)
def test_a_login_address_that_the_ledger_would_refuse(tmp_path: Path, line: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=rf"hpcbridged.toml:5: .*{complaint}"):
        load(tmp_path, GOOD.replace('login_address = "login.north.example"', line))


@pytest.mark.parametrize(
    ("programs", "complaint"),
    [
        ([("a", "1"), ("a", "1")], "number 3: a 1 stands above already"),
        ([("", "1")], "number 2: name has 1 to 64 characters"),
        ([("a" * 65, "1")], "number 2: name has 1 to 64 characters"),
        ([("a", "1" * 65)], "number 2: version has at most 64 characters"),
        ([(f"a{number}", "") for number in range(1000)], "number 1001: more than 1000"),
    ],
)
def test_programs_that_the_ledger_would_refuse(tmp_path: Path, programs: list[tuple[str, str]], complaint: str) -> None:
    more = "".join(f'[[cluster.programs]]\nname = "{name}"\nversion = "{version}"\n' for name, version in programs)
    with pytest.raises(ConfigError, match=complaint):
        load(tmp_path, GOOD.replace("[cluster.rates]", f"{more}[cluster.rates]"))


def test_an_empty_ledger_file_gives_the_defaults_of_the_manual(tmp_path: Path) -> None:
    path = tmp_path / "ledgerd.toml"
    path.write_text("")
    config = load_ledger_config(path)
    assert config.listen.address.endswith(":7443")
    assert config.listen.enrolment.endswith(":7444")
    assert config.store.directory == Path("/var/lib/hpcbridge-ledger")
    assert config.limits.window == 256
