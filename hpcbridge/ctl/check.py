# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl check`: will the daemon (or the ledger) start with this configuration? Looks, runs the `about` script, changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from hpcbridge.config import AGENT_CONFIG, AgentConfig, LedgerConfig, load_agent_config, load_ledger_config
from hpcbridge.ctl.context import Context, now, output_option, pass_context
from hpcbridge.ctl.output import note, print_json, print_line
from hpcbridge.daemon.location import locate
from hpcbridge.errors import ConfigError, HpcbridgeError
from hpcbridge.identity.authority import Authority
from hpcbridge.identity.certificates import read_certificate, verify_issued, verify_valid_at
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers import SCHEDULERS
from hpcbridge.schedulers.sources import QUERIES, asks_pyslurm, has_scripts, missing_scripts, open_source
from hpcbridge.wire.client import Endpoint, LedgerClient, endpoints_of
from hpcbridge.wire.generated import ledger_pb2

_FAILED = "failed"
Config = TypeVar("Config")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One thing that was looked at. `error` None: it is fine and `text` says what was found."""

    what: str
    text: str
    error: HpcbridgeError | None = None


@click.command(short_help="Will the daemon start with this configuration?")
@click.option(
    "--config", "path", type=click.Path(path_type=Path), metavar="FILE", help="Which file; one named ledgerd.toml is the ledger's."
)
@output_option
@pass_context
@click.pass_context
def check(click_context: click.Context, context: Context, path: Path | None) -> None:
    """Check configuration, identity, scripts and the way to the ledger, before the daemon starts.

    Exit status 0 if all is fine, else that of the first thing that is not.
    """
    file = path or context.config or AGENT_CONFIG
    checks = _ledger_checks(file) if file.name.startswith("ledgerd") else _agent_checks(file)
    done = list(_said(checks, quiet=context.json))
    failures = [each.error for each in done if each.error is not None]
    if context.json:
        print_json({"all_right": not failures, "checks": [_as_json(each) for each in done]})
    else:
        print_line(f"{len(failures)} of {len(done)} checks failed." if failures else "All is fine.", style="bold")
    click_context.exit(failures[0].exit_status if failures else 0)


def _said(checks: Iterator[Checked], *, quiet: bool) -> Iterator[Checked]:
    for each in checks:
        if not quiet:
            told = f"{_FAILED if each.error else 'ok':<6}  {each.what}: {each.error or each.text}"
            print_line(told, style="red" if each.error else "", indent=8)
            if each.error is not None and each.error.hint:
                print_line(f"        → {each.error.hint}", style="cyan", indent=10)
        yield each


def _as_json(checked: Checked) -> dict[str, object]:
    error = checked.error
    return {
        "what": checked.what,
        "ok": error is None,
        "text": checked.text if error is None else str(error),
        "hint": None if error is None else error.hint or None,
    }


def _agent_checks(file: Path) -> Iterator[Checked]:
    loaded: list[AgentConfig] = []
    yield _tried("configuration", lambda: f"{file}, cluster {_kept(loaded, load_agent_config(file)).cluster.name}")
    if not loaded:
        return
    config = loaded[0]
    database, address = config.cluster.location_database, config.cluster.location_address
    if database is not None and address is not None:
        yield _tried("location", lambda: _locate(database, address))
    scripts = _tried("scripts", lambda: _check_scripts(config))
    yield scripts
    if scripts.error is None:
        yield _tried("scheduler", lambda: _ask_scheduler(config))
    identity = _tried("identity", lambda: _check_identity(config))
    yield identity
    if identity.error is None:
        keys = KeyDirectory(config.identity_directory)
        for endpoint in _endpoints(config, keys):
            yield _tried(f"ledger {endpoint.address}", lambda endpoint=endpoint: _check_endpoint(keys, endpoint))  # type: ignore[misc]
    yield _tried("spool", lambda: _check_directory(config.spool_path.parent))


def _ledger_checks(file: Path) -> Iterator[Checked]:
    loaded: list[LedgerConfig] = []
    yield _tried("configuration", lambda: f"{file}, listens on {_kept(loaded, load_ledger_config(file)).listen.address}")
    if not loaded:
        return
    directory = loaded[0].store.directory
    yield _tried("CA", lambda: f"of {Authority.load(directory / 'keys').origin}")
    yield _tried("log key", lambda: _check_log_key(KeyDirectory(directory / "keys")))
    yield _tried("store", lambda: _check_store(directory))


def _tried(what: str, attempt: Callable[[], str]) -> Checked:
    try:
        return Checked(what=what, text=attempt())
    except HpcbridgeError as error:
        return Checked(what=what, text="", error=error)


def _kept(place: list[Config], value: Config) -> Config:
    place.append(value)
    return value


def _ask_scheduler(config: AgentConfig) -> str:
    source = open_source(config.scheduler)
    try:
        about = SCHEDULERS[config.scheduler.name](config.cluster.name).about(source.run("about"))
    finally:
        source.close()
    return escape_text(f"{about.name} {about.version or '(version unknown)'} answers")


def _check_scripts(config: AgentConfig) -> str:
    if not has_scripts(config.scheduler):
        return f"none needed: this machine is the cluster, its jobs are processes of {', '.join(config.scheduler.owners)}"
    directory = config.scheduler.scripts / config.scheduler.name
    if missing := missing_scripts(config.scheduler):
        raise ConfigError(f"{directory}: no script {', '.join(missing)}", hint="check [scheduler] scripts in the configuration")
    first = "; pyslurm is asked first" if asks_pyslurm(config.scheduler) else ""
    return f"{', '.join(QUERIES)} in {directory}{first}"


def _locate(database: Path, address: str) -> str:
    latitude, longitude = locate(database, address)
    return f"{address} is at {latitude / 1_000_000:.4f}, {longitude / 1_000_000:.4f} by {database}"


def _check_identity(config: AgentConfig) -> str:
    keys = KeyDirectory(config.identity_directory)
    if not keys.is_enrolled():
        raise ConfigError(
            f"{keys.path}: not enrolled yet", hint=f"ask your network's admin for a token, then: hpcbridgectl --identity {keys.path} enrol"
        )
    keys.load_key()
    facts = read_certificate(keys.load_certificate(), keys.load_profile().origin)
    verify_issued(facts, keys.load_authority())
    verify_valid_at(facts, now())
    return f"{facts.submitter} ({facts.role.value.lower()})"


def _endpoints(config: AgentConfig, keys: KeyDirectory) -> tuple[Endpoint, ...]:
    server_name = keys.load_profile().server_name
    configured = tuple(Endpoint(each.address, each.server_name or server_name) for each in config.ledger)
    return configured or endpoints_of(keys)


def _check_endpoint(keys: KeyDirectory, endpoint: Endpoint) -> str:
    with LedgerClient((endpoint,), keys) as client:
        status = client.call("GetStatus", ledger_pb2.GetStatusRequest())
    origin = keys.load_profile().origin
    if status.origin != origin:
        raise ConfigError(f"{endpoint.address} is the ledger {status.origin[:63]!r}, the identity is of {origin!r}")
    return f"{origin} answers"


def _check_directory(path: Path) -> str:
    if not path.is_dir():
        raise ConfigError(f"{path}: no such directory", hint="make it and give it to the daemon's account")
    return f"in {path}"


def _check_log_key(keys: KeyDirectory) -> str:
    keys.load_log_key()
    return "there, closed to others"


def _check_store(directory: Path) -> str:
    missing = [name for name in ("ledger.db", "high-water") if not (directory / name).exists()]
    if missing:
        raise ConfigError(f"{directory}: no {', '.join(missing)}", hint="make a new ledger: hpcbridge-ledgerd init --origin NAME")
    note("the store itself is checked by hpcbridge-ledgerd at its start")
    return f"in {directory}"
