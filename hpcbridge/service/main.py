# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""``hpcbridge-ledgerd``: init, run, backup, accept-clock, rebuild-high-water. Answers go to standard output, all else to standard error."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import click

from hpcbridge import __version__
from hpcbridge.config import LEDGER_CONFIG, LedgerConfig, StoreSection, changed_keys, load_ledger_config
from hpcbridge.daemon.exposition import MetricsServer
from hpcbridge.daemon.journal import start_logging
from hpcbridge.daemon.signals import RELOAD_SIGNAL, StopSignals
from hpcbridge.daemon.systemd import Notifier
from hpcbridge.daemon.textfile import Textfile
from hpcbridge.daemon.vitals import forbid_core_dumps
from hpcbridge.errors import BadData, ConfigError, HpcbridgeError
from hpcbridge.model.quantities import format_instant
from hpcbridge.service.checking import ledger_findings
from hpcbridge.service.clock import accept_clock, wall_clock
from hpcbridge.service.copying import back_up
from hpcbridge.service.founding import Foundation, found
from hpcbridge.service.ledger_service import LedgerService
from hpcbridge.service.metrics import LedgerCollector
from hpcbridge.service.opening import rebuild_high_water

logger = logging.getLogger(__name__)

STATUS_SECONDS = 10.0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hpcbridge-ledgerd")
@click.option("--config", type=click.Path(path_type=Path), help=f"configuration file  [default: {LEDGER_CONFIG}, if it is there]")
@click.option("--directory", type=click.Path(path_type=Path), help="directory of store and keys, instead of [store] directory")
@click.pass_context
def cli(context: click.Context, config: Path | None, directory: Path | None) -> None:
    """The ledger service of hpcbridge."""
    forbid_core_dumps()  # this process holds the keys of the CA and the log
    context.obj = lambda: _load(config, directory)


@cli.command()
@click.option("--origin", required=True, help="name of the ledger, for ever; a domain name you own is a good one")
@click.option("--admin", default="admin", show_default=True, help="name of the first admin")
@click.option("--parameter", "parameters", multiple=True, metavar="K=V", help="network parameter other than its default")
@click.pass_obj
def init(config_of: Callable[[], LedgerConfig], origin: str, admin: str, parameters: tuple[str, ...]) -> None:
    """Make CA, log key and entry 0, and print the first admin's token."""
    config = config_of()
    address = config.listen.public_enrolment or _reachable(config.listen.enrolment, config.listen.server_names[0])
    foundation = Foundation(
        origin=origin, first_admin=admin, enrolment_address=address, parameters=tuple(sorted(map(_parameter, parameters)))
    )
    token = found(config.store.directory, foundation, at=wall_clock(), random=secrets.token_bytes)
    directory = config.store.directory
    _say(f"ledger {origin} made in {directory}")
    _say(f"back up {directory / 'keys'} now, off line: without it this ledger cannot go on")
    _say("start it:          hpcbridge-ledgerd run")
    _say(f"then, as {admin}:  hpcbridgectl enrol    (paste the token below; it is good once, and soon expires)")
    click.echo(token)


@cli.command()
@click.pass_obj
def run(config_of: Callable[[], LedgerConfig]) -> None:
    """Serve until SIGTERM; at SIGHUP read [log] again."""
    config = config_of()
    start_logging(config.log.level, os.environ, program="hpcbridge-ledgerd")
    notifier = Notifier(os.environ)
    gc.freeze()  # what was imported lives as long as the process
    gc.set_threshold(50_000, 20, 50)  # a group makes tens of thousands of objects and no cycles
    service = LedgerService(config)
    with StopSignals(reload=True) as signals, contextlib.ExitStack() as at_end:
        service.on_end = signals.poke
        service.start()
        _say("serving on {} and, for enrolment, {}".format(*service.addresses))
        notifier.ready()
        at_end.enter_context(_shown(config, service))
        _tell(service, notifier)
        pause = min(STATUS_SECONDS, (notifier.watchdog_seconds or 2 * STATUS_SECONDS) / 2)
        while not service.wait(0) and (received := signals.wait(pause)) in (None, RELOAD_SIGNAL):
            if received == RELOAD_SIGNAL:
                notifier.reloading()
                config = _reloaded(config, config_of)
                notifier.ready()
            _tell(service, notifier)
        notifier.stopping()
        service.stop()
    if service.failure is not None:
        raise service.failure


@cli.command()
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def backup(config_of: Callable[[], LedgerConfig], target: Path) -> None:
    """Copy the store to FILE while the ledger runs, and verify the copy. The keys are not in it."""
    head = back_up(config_of().store.directory, target)
    _say(f"copied to {target} and verified: size {head.size}, root {head.root.hex()}")


@cli.command()
@click.pass_context
def check(context: click.Context) -> None:
    """Look for what would keep this ledger from starting: keys, store, disk, ports, names. Changes nothing."""
    given = {} if context.parent is None else context.parent.params
    file = given.get("config") or (LEDGER_CONFIG if LEDGER_CONFIG.exists() else None)
    known = file is not None and given.get("directory") is None
    failure: HpcbridgeError | None = None
    for finding in ledger_findings(file or LEDGER_CONFIG, None if known else context.obj()):
        click.echo(f"{finding.word:<6}  {finding.what}: {finding.error or finding.text}")
        if finding.error is not None and finding.error.hint:
            click.echo(f"        → {finding.error.hint}")
        failure = failure or (finding.error if finding.failed else None)
    if failure is not None:
        context.exit(failure.exit_status)


@cli.command("accept-clock")
@click.pass_obj
def accept(config_of: Callable[[], LedgerConfig]) -> None:
    """Say that this machine's clock is right now, after it jumped."""
    now = wall_clock()
    accept_clock(config_of().store.directory, now)
    _say(f"{format_instant(now)} will be accepted as the time, once, by the running service or at its next start")


@cli.command("rebuild-high-water")
@click.argument("checkpoints", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def rebuild(config_of: Callable[[], LedgerConfig], checkpoints: tuple[Path, ...]) -> None:
    """Make a lost high-water file from the largest of the CHECKPOINTS (files) that members hold. Ask all of them."""
    mark = rebuild_high_water(config_of().store.directory, [_read_note(path) for path in checkpoints])
    _say(f"high-water file made for {mark.size} entries with root {mark.root.hex()}")
    _say("if any member holds a larger checkpoint than those given, this ledger may sign a second history: be sure you asked all")


def main() -> NoReturn:
    """Entry point: one place turns errors into text and exit status."""
    status = 0
    try:
        status = cli(standalone_mode=False, prog_name="hpcbridge-ledgerd") or 0
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except click.Abort:
        status = 130
    except HpcbridgeError as error:
        _say(f"hpcbridge-ledgerd: {error}")
        if error.hint:
            _say(f"  {error.hint}")
        status = error.exit_status
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that hang in a failing disk must not keep a stopped ledger alive, nor may anything close its files in passing.
    os._exit(status)


def _load(path: Path | None, directory: Path | None) -> LedgerConfig:
    known = path or (LEDGER_CONFIG if LEDGER_CONFIG.exists() else None)
    config = LedgerConfig() if known is None else load_ledger_config(known)
    return config if directory is None else replace(config, store=StoreSection(directory=directory))


def _reloaded(config: LedgerConfig, config_of: Callable[[], LedgerConfig]) -> LedgerConfig:
    """Takes over what can change while it serves; what is wrong with the file changes nothing."""
    try:
        new = config_of()
    except ConfigError as error:
        logger.error("reload_refused nothing_changed message=%r hint=%r", str(error)[:500], error.hint)  # noqa: TRY400 - a typing error
        return config
    logging.getLogger().setLevel(new.log.level.upper())
    kept = replace(config, log=new.log)
    logger.info("reloaded changed=%s", ",".join(changed_keys(config, kept)) or "nothing")
    if waiting := changed_keys(kept, new):
        logger.warning("reload_needs_restart keys=%s", ",".join(waiting))
    return kept


def _tell(service: LedgerService, notifier: Notifier) -> None:
    """The watchdog hears only that all is well; the status line says what is not."""
    well = service.health.look()
    notifier.status(service.status_line())
    if well:
        notifier.watchdog()


def _shown(config: LedgerConfig, service: LedgerService) -> contextlib.ExitStack:
    """The figures for Prometheus. A port or a file that somebody else has is no reason for a ledger not to serve."""
    collector = LedgerCollector(service.figures, service.health.life)
    shown = contextlib.ExitStack()
    if config.metrics.address:
        try:
            shown.enter_context(MetricsServer(config.metrics.address, collector))
        except ConfigError as error:
            logger.error("metrics_not_served reason=%r hint=%r", str(error), error.hint)  # noqa: TRY400 - it is told in full
    if config.metrics.textfile is not None:
        shown.enter_context(Textfile(config.metrics.textfile, collector))
    return shown


def _parameter(text: str) -> tuple[str, int]:
    name, separator, value = text.partition("=")
    if not separator or not value.isdecimal():
        raise ConfigError(f"parameter {text[:80]!r} is not NAME=NUMBER")
    return name, int(value)


def _reachable(listen: str, name: str) -> str:
    """Where others find what listens here: on all addresses means under the server's name."""
    host, _, port = listen.rpartition(":")
    return f"{name}:{port}" if host in ("0.0.0.0", "[::]", "") else listen  # noqa: S104 - compared, not bound


def _read_note(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{path}: not a checkpoint: {error}") from error


def _say(text: str) -> None:
    click.echo(text, err=True)
