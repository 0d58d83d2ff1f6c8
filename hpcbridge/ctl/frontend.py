# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What `check` looks at on a frontend, in the order in which a daemon would fail. Runs two collecting scripts; changes nothing."""

from __future__ import annotations

import grp
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from hpcbridge.accounts.ownership import why_root_must_not_run
from hpcbridge.config import AgentConfig, load_agent_config
from hpcbridge.config.findings import Advice, Finding, check_closed_to_writers, check_directory, tried
from hpcbridge.ctl.context import now
from hpcbridge.daemon.location import locate
from hpcbridge.errors import CertificateExpired, ConfigError, HpcbridgeError
from hpcbridge.identity.certificates import read_certificate, verify_issued, verify_valid_at
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.accounts import AccountAction
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers import SCHEDULERS
from hpcbridge.schedulers.sources import QUERIES, asks_pyslurm, has_scripts, missing_scripts, open_source
from hpcbridge.wire.client import Endpoint, LedgerClient, endpoints_of
from hpcbridge.wire.control import ask
from hpcbridge.wire.credentials import check_libraries
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.reaching import reach

MOST_CLOCK_MS = 600_000
"""The ledger's time stands at its last entry, at most a tick of a minute ago; more than this is the clock."""


def frontend_findings(file: Path) -> Iterator[Finding]:
    """Everything on this frontend, by its configuration file."""
    yield tried("libraries", _check_libraries)
    loaded: list[AgentConfig] = []
    yield tried("configuration", lambda: _load(loaded, file))
    if not loaded:
        return
    config = loaded[0]
    yield tried("configuration file", lambda: _check_file(file))
    yield from _scheduler(config)
    database, address = config.cluster.location_database, config.cluster.location_address
    if database is not None and address is not None:
        yield tried("location", lambda: _locate(database, address))
    yield tried("offer", lambda: _check_offer(config))
    yield tried("accounts of tenants", lambda: _check_accounts(config))
    yield tried("state directory", lambda: check_directory(config.state_directory, quota_bytes=config.spool.quota_bytes))
    holders = _holders(config.spool_path)
    yield tried("daemon", lambda: _check_daemon(config, holders))
    yield tried("control group", lambda: _check_group(config))
    if config.metrics.address or config.metrics.textfile:
        yield tried("metrics", lambda: _check_metrics(config, running=bool(holders)))
    yield from _ledger(config)


def _scheduler(config: AgentConfig) -> Iterator[Finding]:
    if config.scheduler.environment:
        yield tried("environment", lambda: _check_environment(config))
    scripts = tried("scripts", lambda: _check_scripts(config))
    yield scripts
    if scripts.failed:
        return
    about = tried("scheduler", lambda: _ask_scheduler(config))
    yield about
    if config.cluster.queues and not about.failed:
        yield tried("queues", lambda: _check_queues(config))


def _ledger(config: AgentConfig) -> Iterator[Finding]:
    identity = tried("identity", lambda: _check_identity(config))
    yield identity
    if identity.failed and not isinstance(identity.error, CertificateExpired):
        return
    keys = KeyDirectory(config.identity_directory)
    for endpoint in _endpoints(config, keys):
        yield tried(f"ledger {endpoint.address}", lambda endpoint=endpoint: _check_endpoint(keys, endpoint))  # type: ignore[misc]


def _check_libraries() -> str:
    check_libraries()
    return "grpcio and protobuf are as they must be"


def _load(loaded: list[AgentConfig], file: Path) -> str:
    loaded.append(load_agent_config(file))
    return f"{file}, cluster {loaded[0].cluster.name}"


def _check_file(file: Path) -> str:
    check_closed_to_writers(file)
    return "nobody but its owner may change it"


def _check_environment(config: AgentConfig) -> str:
    for name, value in config.scheduler.environment.items():
        for place in value.split(":") if value.startswith("/") else ():
            if not Path(place).exists():
                raise ConfigError(
                    f"[scheduler.environment] {name}: there is no {escape_text(place)}", hint="scripts see only what stands there"
                )
    return ", ".join(sorted(config.scheduler.environment))


def _check_scripts(config: AgentConfig) -> str:
    if not has_scripts(config.scheduler):
        return f"none needed: this machine is the cluster, its jobs are processes of {', '.join(config.scheduler.owners)}"
    directory = config.scheduler.scripts / config.scheduler.name
    if missing := missing_scripts(config.scheduler):
        raise ConfigError(f"{directory}: no script {', '.join(missing)}", hint="check [scheduler] scripts in the configuration")
    for query in QUERIES:
        script = directory / query
        if not script.stat().st_mode & 0o111:
            raise ConfigError(f"{script}: is not executable", hint=f"chmod +x {script}")
        check_closed_to_writers(script)
    first = "; pyslurm is asked first" if asks_pyslurm(config.scheduler) else ""
    return f"{', '.join(QUERIES)} in {directory}{first}"


def _ask_scheduler(config: AgentConfig) -> str:
    source = open_source(config.scheduler)
    try:
        about = SCHEDULERS[config.scheduler.name](config.cluster.name).about(source.run("about"))
    finally:
        source.close()
    return escape_text(f"{about.name} {about.version or '(version unknown)'} answers")


def _check_queues(config: AgentConfig) -> str:
    source = open_source(config.scheduler)
    try:
        answer = SCHEDULERS[config.scheduler.name](config.cluster.name).queues(source.run("queues"), nodes=None, jobs=None)
    finally:
        source.close()
    known = {queue.name for queue in answer.records}
    unknown = [queue.name for queue in config.cluster.queues if queue.name not in known]
    if unknown:
        raise ConfigError(
            f"[[cluster.queues]]: the scheduler knows no queue {', '.join(map(escape_text, unknown))}",
            hint=f"it has: {', '.join(map(escape_text, sorted(known))) or 'none'}",
        )
    return ", ".join(sorted(queue.name for queue in config.cluster.queues))


def _check_offer(config: AgentConfig) -> str:
    cluster = config.cluster
    if cluster.location is None and cluster.location_database is None:
        raise Advice("[cluster] location is not given", hint="without it nobody pays a surcharge for distance")
    if cluster.rates is None and not any(queue.rates for queue in cluster.queues):
        raise Advice("[cluster.rates] are not given", hint="nothing is offered for rent without them")
    _check_login_address(cluster.login_address)
    return f"at {cluster.login_address}, with rates and a place"


def _locate(database: Path, address: str) -> str:
    latitude, longitude = locate(database, address)
    return f"{address} is at {latitude / 1_000_000:.4f}, {longitude / 1_000_000:.4f} by {database}"


def _check_login_address(address: str) -> None:
    try:
        socket.getaddrinfo(address, None)
    except OSError as error:
        raise Advice(
            f"[cluster] login_address: {escape_text(address)} is no name that this host finds",
            hint="tenants are told it: was the host renamed, or is it known outside only?",
        ) from error


def _check_accounts(config: AgentConfig) -> str:
    section = config.scheduler
    if section.accounts == "none":
        raise Advice('[scheduler] accounts = "none": nobody can use what they rent here', hint="leave the rates out, or have accounts made")
    if section.accounts == "helper":
        if not section.accounts_socket.is_socket():
            told = f"{section.accounts_socket}: the helper that makes accounts is not there"
            hint = 'systemctl enable --now hpcbridge-accounts.socket, or [scheduler] accounts = "direct" or "none"'
            raise (Advice if config.cluster.rates is None else ConfigError)(told, hint=hint)
        return f"by the helper at {section.accounts_socket}"
    folder = config.accounts_scripts
    for script in (folder / str(action) for action in AccountAction):
        if not script.exists():
            raise ConfigError(f"{script}: no such script", hint="[scheduler] accounts_scripts names the folder; docs/accounts.md")
        if not os.access(script, os.X_OK):
            raise ConfigError(f"{script}: is not executable", hint=f"chmod +x {script}")
        check_closed_to_writers(script)
        if wrong := why_root_must_not_run(script):
            raise ConfigError(wrong, hint="acting scripts make accounts: nobody else may change them")
    return f"by the scripts in {folder}"


def _check_daemon(config: AgentConfig, holders: tuple[int, ...]) -> str:
    """Who has the spool open: one daemon that answers, or nobody."""
    path = config.spool_path
    try:
        status = ask(config.control.socket, "status") if config.control.socket.is_socket() else None
    except HpcbridgeError:
        status = None
    if len(holders) > 1:
        raise ConfigError(f"{path}: processes {', '.join(map(str, holders))} have it open", hint="only one hpcbridged may run on a spool")
    if holders and status is None:
        raise ConfigError(
            f"{path}: process {holders[0]} has it open and does not answer at {config.control.socket}",
            hint="a second hpcbridged with another [control] socket? systemctl status hpcbridged",
        )
    return "it does not run" if status is None else f"running since {status['agent']['started_at']}"


def _holders(path: Path) -> tuple[int, ...]:
    """Processes that have a file open, as far as this account may see."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(link.samefile(path) for link in (process / "fd").iterdir()):
                found.append(int(process.name))
        except OSError:
            continue  # gone, somebody else's, or there is no spool yet
    return tuple(sorted(found))


def _check_group(config: AgentConfig) -> str:
    try:
        members = grp.getgrnam(config.control.group).gr_mem
    except KeyError as error:
        raise Advice(
            f"[control] group: there is no group {config.control.group!r}", hint="only root and the daemon's account may look then"
        ) from error
    return f"{config.control.group}: {', '.join(members) or 'nobody yet'}"


def _check_metrics(config: AgentConfig, *, running: bool) -> str:
    textfile = config.metrics.textfile
    if textfile is not None and not textfile.parent.is_dir():
        raise ConfigError(f"[metrics] textfile: there is no {textfile.parent}", hint="is node_exporter installed, and is that its folder?")
    address = config.metrics.address
    if address and not running:
        host, _, port = address.rpartition(":")
        try:
            socket.create_server((host.strip("[]"), int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
        except OSError as error:
            raise ConfigError(f"[metrics] address {address}: {error.strerror or error}", hint="take another port") from error
    return " and ".join(filter(None, (address, str(textfile or ""))))


def _check_identity(config: AgentConfig) -> str:
    keys = KeyDirectory(config.identity_directory)
    if not keys.is_enrolled():
        raise ConfigError(
            f"{keys.path}: not enrolled yet", hint=f"ask your network's admin for a token, then: hpcbridgectl --identity {keys.path} enrol"
        )
    keys.load_key()
    facts = read_certificate(keys.load_certificate(), keys.load_profile().origin)
    verify_issued(facts, keys.load_authority())
    try:
        verify_valid_at(facts, now())
    except CertificateExpired as error:
        raise CertificateExpired(str(error), hint="the daemon renews it at its start; if not: is the clock right (date)?") from error
    return f"{facts.submitter} ({facts.role.value.lower()})"


def _endpoints(config: AgentConfig, keys: KeyDirectory) -> tuple[Endpoint, ...]:
    server_name = keys.load_profile().server_name
    configured = tuple(Endpoint(each.address, each.server_name or server_name) for each in config.ledger)
    return configured or endpoints_of(keys)


def _check_endpoint(keys: KeyDirectory, endpoint: Endpoint) -> str:
    reach(endpoint, keys)
    with LedgerClient((endpoint,), keys) as client:
        status = client.call("GetStatus", ledger_pb2.GetStatusRequest())
    origin = keys.load_profile().origin
    if status.origin != origin:
        raise ConfigError(f"{endpoint.address} is the ledger {status.origin[:63]!r}, the identity is of {origin!r}")
    away = now() - status.last_entry_at
    if abs(away) > MOST_CLOCK_MS:
        raise ConfigError(
            f"{endpoint.address}: its time and the clock of this host are {abs(away) // 60_000} minutes apart",
            hint="date; chronyc tracking. Or the ledger does not tick: ask its admins",
        )
    return f"{origin} answers"
