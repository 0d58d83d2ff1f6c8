# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""hpcbridged.toml: the agent's sections."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hpcbridge.config.checks import check_address, check_positive, is_loopback
from hpcbridge.config.cluster import ClusterSection, check_location, check_queues, registration_of
from hpcbridge.config.log import LogSection
from hpcbridge.config.source import Source
from hpcbridge.model.clusters import Registration
from hpcbridge.model.quantities import check_name
from hpcbridge.schedulers import SCHEDULERS

AGENT_CONFIG = Path("/etc/hpcbridge/hpcbridged.toml")
SCRIPTS_DIRECTORY = Path("/usr/share/hpcbridge/scheduler_scripts")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerSection:
    """Which scheduler, where its scripts are, and what they may see of the environment. ``owners`` are those whose processes count as jobs
    where this machine itself is the cluster (``local``); ``pyslurm`` says whether Slurm is asked through it where that works.

    ``accounts`` says who makes tenants' accounts: the privileged ``helper`` behind ``accounts_socket``, the daemon itself (``direct``) with
    the scripts in ``accounts_scripts`` (those of the scheduler if that is not given), or nobody (``none``).
    """

    name: str
    scripts: Path = SCRIPTS_DIRECTORY
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: int = 30
    max_report_bytes: int = 256 * 1024 * 1024
    owners: tuple[str, ...] = ()
    pyslurm: Literal["auto", "yes", "no"] = "auto"
    accounts: Literal["helper", "direct", "none"] = "helper"
    accounts_socket: Path = Path("/run/hpcbridge-accounts/accounts.sock")
    accounts_scripts: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSection:
    """What leaves the site; ``owners`` are published in mode ``tenants`` beside those who rented."""

    mode: Literal["tenants", "pseudonyms", "full"] = "tenants"
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSection:
    """One endpoint of the ledger; several make a connection profile."""

    address: str
    server_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalsSection:
    """Seconds between two questions to the scheduler, and between two samples to the ledger."""

    jobs: int = 15
    nodes: int = 30
    queues: int = 60
    vitals: int = 30
    cluster_state: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSection:
    """How much the spool may hold, how long acknowledged payloads stay, and how long a job that left the scheduler's list may stay
    unexplained by accounting (which does not know it, or does not answer) before the ledger is told that it is UNDETERMINED.
    """

    quota_bytes: int = 1024 * 1024 * 1024
    keep_days: int = 7
    vanished_grace_seconds: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSection:
    """The socket that hpcbridgectl talks to."""

    socket: Path = Path("/run/hpcbridge/control.sock")
    group: str = "hpcbridge"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSection:
    """Where Prometheus may ask for figures, "" for nowhere. Nobody has to log in there, so other machines reach it only if
    ``open_to_network`` says so.
    """

    address: str = "127.0.0.1:9464"
    open_to_network: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """hpcbridged.toml."""

    cluster: ClusterSection
    scheduler: SchedulerSection
    state_directory: Path = Path("/var/lib/hpcbridge")
    publish: PublishSection = PublishSection()
    ledger: tuple[LedgerSection, ...] = ()
    intervals: IntervalsSection = IntervalsSection()
    spool: SpoolSection = SpoolSection()
    control: ControlSection = ControlSection()
    metrics: MetricsSection = MetricsSection()
    log: LogSection = field(default_factory=LogSection)

    @property
    def identity_directory(self) -> Path:
        """Key, certificate and what was pinned at enrolment."""
        return self.state_directory / "identity"

    @property
    def spool_path(self) -> Path:
        """The spool's database file."""
        return self.state_directory / "spool.db"

    @property
    def accounts_scripts(self) -> Path:
        """The folder of the acting scripts where the daemon runs them itself."""
        return self.scheduler.accounts_scripts or self.scheduler.scripts / self.scheduler.name

    @property
    def registration(self) -> Registration:
        """``[cluster]`` in the words of the ledger."""
        return registration_of(self.cluster)


def load_agent_config(path: Path) -> AgentConfig:
    """Reads hpcbridged.toml; ConfigError naming file, line and key."""
    source = Source(path)
    config = source.read(AgentConfig)
    check_location(source, config.cluster)
    check_queues(source, config.cluster.queues)
    try:
        check_name("name", config.cluster.name)
        _ = config.registration
    except (ValueError, ArithmeticError) as error:
        raise source.error(("cluster",), str(error)) from error
    _check_scheduler(source, config.scheduler)
    _check_metrics(source, config.metrics)
    for section, name in ((config.scheduler, "scheduler"), (config.intervals, "intervals"), (config.spool, "spool")):
        check_positive(source, section, name)
    for number, endpoint in enumerate(config.ledger):
        check_address(source, endpoint.address, ("ledger", "address"), f"[[ledger]] number {number + 1}: address", number=number + 1)
    return config


def _check_scheduler(source: Source, section: SchedulerSection) -> None:
    name = section.name
    if name not in SCHEDULERS:
        near = difflib.get_close_matches(name, SCHEDULERS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(sorted(SCHEDULERS))}"
        raise source.error(("scheduler", "name"), f"[scheduler] name = {name[:40]!r} is no scheduler we know", hint=hint)
    if name == "local" and not section.owners:
        raise source.error(
            ("scheduler", "owners"),
            "[scheduler] owners: name at least one",
            hint="those whose processes on this machine are to be seen as jobs",
        )
    if name != "local" and section.owners:
        raise source.error(
            ("scheduler", "owners"),
            f"[scheduler] owners has no meaning for {name}",
            hint='[publish] owners are those whose jobs are published; this one is for name = "local"',
        )
    if name != "slurm" and section.pyslurm == "yes":
        raise source.error(("scheduler", "pyslurm"), f"[scheduler] pyslurm has no meaning for {name}")


def _check_metrics(source: Source, section: MetricsSection) -> None:
    if not section.address:
        return
    place = ("metrics", "address")
    check_address(source, section.address, place, "[metrics] address")
    if not (section.open_to_network or is_loopback(section.address)):
        raise source.error(
            place,
            f"[metrics] address {section.address!r} is open to other machines, and anybody there may read it",
            hint="say open_to_network = true beside it if that is meant",
        )
