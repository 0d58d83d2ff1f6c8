# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""hpcbridged.toml: the agent's sections."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from hpcbridge.config.checks import check_address, check_positive
from hpcbridge.config.cluster import ClusterSection, check_location, check_queues, check_site, registration_of
from hpcbridge.config.log import LogSection
from hpcbridge.config.metrics import MetricsSection, check_metrics
from hpcbridge.config.source import Source
from hpcbridge.model.clusters import Registration
from hpcbridge.model.quantities import check_name
from hpcbridge.schedulers import SCHEDULERS

AGENT_CONFIG = Path("/etc/hpcbridge/hpcbridged.toml")
SCRIPTS_DIRECTORY = Path("/usr/share/hpcbridge/scheduler_scripts")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerSection:
    """The scheduler of this cluster and the scripts that ask it."""

    name: Annotated[str, "which one: slurm, torque, openpbs, gridengine, standard (a site's own scripts) or local (this machine itself)"]
    scripts: Annotated[
        Path,
        "folder with a folder of collecting scripts for each scheduler; copy and change them if your site is special",
    ] = SCRIPTS_DIRECTORY
    environment: Annotated[
        Mapping[str, str],
        "all that scripts see beside PATH: SLURM_CONF; SGE_ROOT and PATH; PBS_DEFAULT and TORQUE_ACCOUNTING",
    ] = field(default_factory=dict)
    timeout_seconds: Annotated[int, "a script that takes longer is ended, with everything it started"] = 30
    max_report_bytes: Annotated[int, "a script that prints more is ended, and its report not used"] = 256 * 1024 * 1024
    owners: Annotated[tuple[str, ...], "for local only: accounts whose processes on this machine count as jobs"] = ()
    pyslurm: Annotated[
        Literal["auto", "yes", "no"],
        "for slurm only: ask through pyslurm where its release fits (auto), always (yes) or never (no)",
    ] = "auto"
    accounts: Annotated[
        Literal["helper", "direct", "none"],
        "who makes tenants' accounts: the privileged helper behind accounts_socket, the daemon itself (direct), or nobody (none)",
    ] = "helper"
    accounts_socket: Annotated[Path, "where the helper hpcbridge-accounts listens"] = Path("/run/hpcbridge-accounts/accounts.sock")
    accounts_scripts: Annotated[
        Path | None,
        "folder of the acting scripts account_create, account_renew, account_close; unset: those beside the scheduler's other scripts",
    ] = None
    accounts_open_at_most: Annotated[int, "accounts of tenants that are there at once; further rentals wait for one to be closed"] = 500
    accounts_a_day_at_most: Annotated[int, "accounts made within 24 hours; further rentals wait"] = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSection:
    """What leaves the site. The cluster's totals, its queues, and which nodes are up are sent in every mode."""

    mode: Annotated[
        Literal["tenants", "pseudonyms", "full"],
        "whose jobs are published: those of tenants; all, with pseudonyms for owners; or all as they are (full)",
    ] = "tenants"
    owners: Annotated[tuple[str, ...], "accounts whose jobs are published in mode tenants beside those who rented"] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSection:
    """One endpoint of the ledger; write the section once for each. Without any, those told at enrolment are used."""

    address: Annotated[str, "HOST:PORT of the ledger"]
    server_name: Annotated[str, "name in the ledger's certificate; unset: as told at enrolment"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalsSection:
    """Seconds between two questions to the scheduler and between two samples; stretched while the scheduler answers slowly."""

    jobs: Annotated[int, "seconds between two questions for jobs"] = 15
    nodes: Annotated[int, "seconds between two questions for nodes"] = 30
    queues: Annotated[int, "seconds between two questions for queues"] = 60
    vitals: Annotated[int, "seconds between two looks at this machine's load and memory"] = 30
    cluster_state: Annotated[int, "seconds between two samples of the cluster sent to the ledger"] = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSection:
    """What waits for the ledger, on disk."""

    quota_bytes: Annotated[
        int,
        "the most the spool may hold; when it is full samples give way first, and what is lost becomes a signed gap",
    ] = 1024 * 1024 * 1024
    keep_days: Annotated[int, "days that payloads stay here after the ledger's receipt was verified"] = 7
    vanished_grace_seconds: Annotated[
        int,
        "seconds that a job which left the scheduler's list may stay unexplained by accounting before the ledger hears UNDETERMINED",
    ] = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSection:
    """The socket that hpcbridgectl talks to."""

    socket: Annotated[
        Path,
        "path of the socket; root and the daemon's account may act, others only look",
    ] = Path("/run/hpcbridge/control.sock")
    group: Annotated[str, "members of this group may look"] = "hpcbridge"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """hpcbridged.toml."""

    cluster: Annotated[ClusterSection, "the cluster as it is registered"]
    scheduler: Annotated[SchedulerSection, "how to ask it"]
    state_directory: Annotated[Path, "where identity and spool are kept; open to the daemon's account alone"] = Path("/var/lib/hpcbridge")
    publish: Annotated[PublishSection, "what leaves the site"] = PublishSection()
    ledger: Annotated[tuple[LedgerSection, ...], "where the ledger is"] = ()
    intervals: Annotated[IntervalsSection, "how often"] = IntervalsSection()
    spool: Annotated[SpoolSection, "how much may wait"] = SpoolSection()
    control: Annotated[ControlSection, "for hpcbridgectl"] = ControlSection()
    metrics: Annotated[MetricsSection, "for Prometheus"] = field(default_factory=MetricsSection)
    log: Annotated[LogSection, "for the journal"] = field(default_factory=LogSection)

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
    check_site(source, config.cluster)
    check_location(source, config.cluster)
    check_queues(source, config.cluster.queues)
    try:
        check_name("name", config.cluster.name)
        _ = config.registration
    except (ValueError, ArithmeticError) as error:
        raise source.error(("cluster",), str(error)) from error
    _check_scheduler(source, config.scheduler)
    check_metrics(source, config.metrics)
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
