# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridged`: reads its configuration, puts the parts together, and runs them until it is told to stop."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import logging
import os
import random
import secrets
import sys
import threading
import time
from pathlib import Path

from hpcbridge import __version__
from hpcbridge.agent.accounts import Accounts, Allowance, NoAccounts
from hpcbridge.agent.commands import ACTING, Parts, handlers
from hpcbridge.agent.gateway import Gateway
from hpcbridge.agent.listener import Listener
from hpcbridge.agent.memory import Memory, Publication
from hpcbridge.agent.metrics import AgentCollector
from hpcbridge.agent.monitor import QUESTIONS, Monitor
from hpcbridge.agent.observations import Observations
from hpcbridge.agent.publish import PublishMode
from hpcbridge.agent.registering import registration_of
from hpcbridge.agent.renewal import Renewal, look_every
from hpcbridge.agent.rows import Item
from hpcbridge.agent.spool import Spool
from hpcbridge.agent.vanished import Patience
from hpcbridge.config import AGENT_CONFIG, AgentConfig, changed_keys, load_agent_config
from hpcbridge.daemon.exposition import MetricsServer
from hpcbridge.daemon.journal import start_logging
from hpcbridge.daemon.pacing import Pace
from hpcbridge.daemon.supervisor import Supervisor
from hpcbridge.daemon.systemd import Notifier
from hpcbridge.daemon.textfile import Textfile
from hpcbridge.daemon.vitals import forbid_core_dumps, read_frontend
from hpcbridge.daemon.worker import Worker
from hpcbridge.errors import ConfigError, HpcbridgeError, IdentityError
from hpcbridge.identity.certificates import read_certificate, verify_issued
from hpcbridge.identity.keys import public_bytes
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.profile import Profile
from hpcbridge.model.accounts import Actor
from hpcbridge.model.clusters import Registration
from hpcbridge.model.identities import CertificateFacts
from hpcbridge.model.quantities import Instant, format_instant
from hpcbridge.model.transactions import PayloadType
from hpcbridge.schedulers import SCHEDULERS
from hpcbridge.schedulers.acting import ScriptActor
from hpcbridge.schedulers.sources import open_source
from hpcbridge.wire.accounts import HelperActor
from hpcbridge.wire.client import Endpoint, LedgerClient
from hpcbridge.wire.control import ControlServer
from hpcbridge.wire.convert import decode, encode
from hpcbridge.wire.credentials import check_libraries

logger = logging.getLogger(__name__)

ABOUT_SECONDS = 600
COST_SECONDS = 60
ENDED_SECONDS = 5
HOUSEKEEPING_SECONDS = 300
ACCOUNTS_SECONDS = 5
ACCOUNTS_LIMIT_SECONDS = 300
"""How much longer than a query an acting script may take."""
LONGEST_PAUSE_SECONDS = 60.0
"""However long something was down: ended jobs leave the scheduler's list after minutes."""
_DAY_MS = 86_400_000
_LOCK_ATTEMPTS = 100
_MIXED = "were files of two enrolments mixed? Restore all of one from a backup, or move the directory away and enrol again"


def main(arguments: list[str] | None = None) -> int:
    """Entry point; the exit status is that of interfaces.md: 78 configuration, 3 integrity, 70 input/output."""
    options = parser().parse_args(arguments)
    try:
        config = load_agent_config(options.config)
        start_logging(config.log.level, os.environ, program="hpcbridged", fields={"cluster": config.cluster.name})
        return _run(config, options.config)
    except HpcbridgeError as error:
        hint = f" ({error.hint})" if error.hint else ""
        sys.stderr.write(f"hpcbridged: {error}{hint}\n")
        return error.exit_status


def parser() -> argparse.ArgumentParser:
    """What may stand on the command line."""
    known = argparse.ArgumentParser(prog="hpcbridged", description="Watches a cluster's scheduler and brings what changes to the ledger.")
    known.add_argument("--config", type=Path, default=AGENT_CONFIG, metavar="FILE", help="configuration (default: %(default)s)")
    known.add_argument("--version", action="version", version=f"hpcbridged {__version__}")
    return known


def _run(config: AgentConfig, path: Path) -> int:
    forbid_core_dumps()
    check_libraries()
    identity, profile = _identity(config)
    keep_ms = config.spool.keep_days * _DAY_MS
    with (
        Spool(config.spool_path, cluster=config.cluster.name, quota_bytes=config.spool.quota_bytes, keep_ms=keep_ms) as spool,
        identity.lock(attempts=_LOCK_ATTEMPTS),  # a command that numbered with this key would end this daemon's epoch
        LedgerClient(_endpoints(config, profile), identity) as client,
    ):
        _check_belongs(spool, profile, config)
        return _Daemon(config, identity, spool, client, path=path).run()


def _identity(config: AgentConfig) -> tuple[KeyDirectory, Profile]:
    identity = KeyDirectory(config.identity_directory)
    if not identity.is_enrolled():
        raise ConfigError(
            f"{identity.path}: this frontend is not enrolled",
            hint=f"get a token from the ledger's admin, then: hpcbridgectl --identity {identity.path} enrol --installation NAME",
        )
    profile = identity.load_profile()
    identity.load_log_public_key()
    try:
        facts = read_certificate(identity.load_certificate(), profile.origin)
        verify_issued(facts, identity.load_authority())
    except IdentityError as error:
        raise IdentityError(f"{identity.path}: certificate.pem or ca.pem: {error}", hint=error.hint or _MIXED) from error
    if facts.submitter != profile.submitter or facts.public_key != public_bytes(identity.load_key()):
        raise ConfigError(f"{identity.path}: certificate.pem, key.pem and profile.json do not belong together", hint=_MIXED)
    if facts.not_after_at <= _now():
        logger.warning("certificate_expired not_after_at=%s renewed=soon", format_instant(facts.not_after_at))
    return identity, profile


def _endpoints(config: AgentConfig, profile: Profile) -> tuple[Endpoint, ...]:
    """Those of the configuration, else those told at enrolment."""
    if config.ledger:
        return tuple(Endpoint(each.address, each.server_name or profile.server_name) for each in config.ledger)
    return tuple(Endpoint(address, profile.server_name) for address in profile.ledger_addresses)


def _check_belongs(spool: Spool, profile: Profile, config: AgentConfig) -> None:
    """A spool speaks of one chain of numbers on one ledger about one cluster; mixing them would lose all three."""
    owner = f"{profile.origin} {profile.submitter} {config.cluster.name}"
    known = spool.meta("owner")
    if known is None:
        spool.set_meta("owner", owner.encode())
    elif known.decode() != owner:
        raise ConfigError(
            f"{spool.path} is the spool of {known.decode()!r}, not of {owner!r}",
            hint="name, identity or ledger changed: move the old spool away first, unless that was a mistake",
        )


class _Daemon:
    """All parts of one running agent."""

    def __init__(self, config: AgentConfig, identity: KeyDirectory, spool: Spool, client: LedgerClient, *, path: Path) -> None:
        self._config = config
        self._path = path
        self._identity = identity
        self._spool = spool
        self._client = client
        self._started_at = _now()
        self._registered_for: frozenset[str] | None = None
        self._observations = Observations()
        self._source = open_source(config.scheduler)
        self._scheduler = SCHEDULERS[config.scheduler.name](config.cluster.name)
        self._supervisor = Supervisor(
            clock=time.monotonic,
            jitter=random.random,
            notifier=Notifier(os.environ),
            check=spool.probe,
            status=self._status_line,
            reload=self._reload,
        )
        stopping = self._supervisor.stopping
        cluster = config.cluster.name
        self._memory = Memory(
            spool,
            Publication(mode=PublishMode(config.publish.mode), owners=frozenset(config.publish.owners)),
            patience=Patience(grace_ms=config.spool.vanished_grace_seconds * 1000, gap_ms=_gap_ms(config)),
            random_bytes=secrets.token_bytes,
            stored=self._wake_gateway,
        )
        self._renewal = Renewal(identity, clock=_now, renewed=self._renewed)
        self._gateway = Gateway(
            spool,
            self._memory,
            client,
            identity,
            cluster=cluster,
            stopping=stopping,
            clock=_now,
            random_bytes=secrets.token_bytes,
            evidence=config.state_directory,
            renew_soon=self._renew_soon,
        )
        self._accounts = Accounts(
            _actor(config, stopping),
            spool,
            client.call,
            identity,
            cluster=cluster,
            allowance=Allowance(
                open_at_most=config.scheduler.accounts_open_at_most, a_day_at_most=config.scheduler.accounts_a_day_at_most
            ),
            stopping=stopping,
            clock=_now,
            monotonic=time.monotonic,
            random_bytes=secrets.token_bytes,
            stored=self._wake_gateway,
            published=self._memory.take_tenants,
            login_address=lambda: self._config.cluster.login_address,
        )
        self._listener = Listener(
            client,
            spool,
            self._memory,
            member=self._gateway.profile.submitter.member,
            cluster=cluster,
            stopping=stopping,
            clock=_now,
            heard=self._wake_accounts,
            missed=self._compare_rentals,
        )
        self._monitor = Monitor(
            self._source,
            self._scheduler,
            self._memory,
            spool,
            self._observations,
            cluster=cluster,
            scheduler_name=config.scheduler.name,
            stopping=stopping,
            clock=_now,
            read_frontend=read_frontend,
            stored=self._wake_gateway,
            came_back=self._ask_about,
            takes_hardware=lambda: self._gateway.takes(PayloadType.REQUEST),
        )
        self._workers = self._add_workers()

    def run(self) -> int:
        """Runs until stopped; the exit status."""
        self._register(again=True)
        parts = self._parts()
        control = ControlServer(self._config.control.socket, handlers(parts), acting=ACTING, group=self._config.control.group)
        with contextlib.ExitStack() as at_end:
            at_end.callback(self._source.close)
            collector = AgentCollector(parts, self._supervisor.life)
            if self._config.metrics.address:
                at_end.enter_context(MetricsServer(self._config.metrics.address, collector))
            if self._config.metrics.textfile is not None:
                at_end.enter_context(Textfile(self._config.metrics.textfile, collector))
            control.start()
            at_end.callback(_close_quietly, control)
            threading.Thread(target=self._end_streams, name="closer", daemon=True).start()
            return self._supervisor.run()

    def _add_workers(self) -> dict[str, Worker]:
        intervals, monitor = self._config.intervals, self._monitor
        limit = 2.0 * self._config.scheduler.timeout_seconds + 60
        asks = {
            "about": (monitor.ask_about, ABOUT_SECONDS),
            "jobs": (monitor.ask_jobs, intervals.jobs),
            "ended": (monitor.ask_ended, min(ENDED_SECONDS, intervals.jobs)),
            "nodes": (monitor.ask_nodes, intervals.nodes),
            "queues": (monitor.ask_queues, intervals.queues),
            "vitals": (monitor.read_vitals, intervals.vitals),
            "samples": (monitor.sample, intervals.cluster_state),
            "housekeeping": (self._keep_house, HOUSEKEEPING_SECONDS),
        }
        if self._scheduler.counts_calls:
            asks["cost"] = (monitor.ask_cost, COST_SECONDS)
        add = self._supervisor.add
        workers = {
            name: add(
                name,
                step,
                pace=Pace(interval_seconds=seconds, longest_pause_seconds=LONGEST_PAUSE_SECONDS),
                limit_seconds=limit,
                load=functools.partial(monitor.asked_seconds, name) if name in QUESTIONS else None,
            )
            for name, (step, seconds) in asks.items()
        }
        looks = look_every(self._renewal.certificate())
        often = Pace(interval_seconds=looks, stretch=0, longest_pause_seconds=LONGEST_PAUSE_SECONDS)
        workers["renewal"] = add("renewal", self._renewal.run, pace=often, limit_seconds=180)
        stream = Pace(interval_seconds=0.2, stretch=0, longest_pause_seconds=LONGEST_PAUSE_SECONDS, breaks_after=1_000_000)
        workers["gateway"] = add("gateway", self._gateway.run, pace=stream, limit_seconds=180)
        workers["listener"] = add("listener", self._listener.run, pace=stream, limit_seconds=180)
        tenants = Pace(interval_seconds=ACCOUNTS_SECONDS, stretch=0, longest_pause_seconds=LONGEST_PAUSE_SECONDS)
        workers["accounts"] = add("accounts", self._serve_tenants, pace=tenants, limit_seconds=limit + ACCOUNTS_LIMIT_SECONDS)
        self._accounts.beat_with(workers["accounts"].beat)
        self._monitor.beat_with(workers["ended"].beat)
        self._gateway.beat_with(workers["gateway"].beat, recovered=workers["gateway"].recovered)
        self._listener.beat_with(workers["listener"].recovered)  # each answer shows that the stream works
        return workers

    def _parts(self) -> Parts:
        return Parts(
            config=self._config,
            started_at=self._started_at,
            spool=self._spool,
            memory=self._memory,
            observations=self._observations,
            gateway=self._gateway,
            client=self._client,
            certificate=self._renewal.certificate,
            hidden_events=lambda: self._listener.hidden,
            workers=self._supervisor.statuses,
            hurry=self._hurry,
            clock=_now,
            monotonic=time.monotonic,
            log_key=KeyDirectory(self._config.identity_directory).load_log_public_key(),
        )

    def _register(self, *, again: bool = False) -> None:
        """`[cluster]` is sent when it differs from what the ledger answered to last; with the key for addresses, if it takes one.

        `again`: also when that was refused, for a person may have made room for it.
        """
        registration = registration_of(self._config)
        if self._sends_key():
            key = self._identity.load_or_create_sealing_key().public_key().public_bytes_raw()
            registration = dataclasses.replace(registration, sealing_key=key)
        content = encode(registration)
        refused = again and self._spool.chain.refused_registration() is not None
        if (self._spool.meta("registration") == content and not refused) or self._spool.is_waiting(PayloadType.REGISTRATION, content):
            return
        self._spool.store((Item(payload_type=PayloadType.REGISTRATION, content=content, replaces="registration"),), at=_now())

    def _sends_key(self) -> bool:
        """Before the ledger's first word, what it was sent last decides: an earlier contract refuses a registration with a key."""
        if self._gateway.status.payload_types is not None:
            return self._gateway.takes(PayloadType.ACCOUNT_RENEWAL)
        last = self._spool.meta("registration")
        return last is not None and decode(Registration, last).sealing_key != b""

    def _serve_tenants(self) -> None:
        """The key for addresses is registered as soon as the ledger says that it takes one."""
        known = self._gateway.status.payload_types
        if known != self._registered_for:
            self._register()
            self._registered_for = known
        self._accounts.run()

    def _reload(self) -> None:
        """Takes over what can change while it runs: [cluster], [log], and the intervals that no judgement hangs on."""
        new, old = load_agent_config(self._path), self._config
        self._config = dataclasses.replace(
            old,
            cluster=dataclasses.replace(new.cluster, name=old.cluster.name),
            intervals=dataclasses.replace(new.intervals, jobs=old.intervals.jobs),
            log=new.log,
        )
        logging.getLogger().setLevel(new.log.level.upper())
        intervals = new.intervals
        for name in ("nodes", "queues", "vitals"):
            self._workers[name].act_every(getattr(intervals, name))
        self._workers["samples"].act_every(intervals.cluster_state)
        self._register(again=True)
        logger.info("reloaded changed=%s", ",".join(changed_keys(old, self._config)) or "nothing")
        if waiting := changed_keys(self._config, new):
            logger.warning("reload_needs_restart keys=%s", ",".join(waiting))

    def _keep_house(self) -> None:
        self._spool.trim(at=_now())
        self._memory.take_tenants()

    def _wake_gateway(self) -> None:
        self._gateway.wake()

    def _wake_accounts(self) -> None:
        self._workers["accounts"].wake()

    def _compare_rentals(self) -> None:
        """An event was held back: perhaps it was one on a rental."""
        self._accounts.reconcile_soon()
        self._workers["accounts"].wake()

    def _ask_about(self) -> None:
        """The scheduler may have come back as another version."""
        self._workers["about"].hurry()

    def _renew_soon(self) -> None:
        self._renewal.soon()
        self._workers["renewal"].hurry()

    def _renewed(self, facts: CertificateFacts) -> None:
        self._workers["renewal"].act_every(look_every(facts))
        self._client.use_new_certificate()
        self._workers["gateway"].hurry()

    def _hurry(self) -> None:
        """A person asks: look at the jobs, try to send and carry on with accounts, now."""
        self._workers["jobs"].hurry()
        self._accounts.hurry()
        self._workers["accounts"].hurry()
        self._workers["gateway"].hurry()
        self._gateway.wake()

    def _end_streams(self) -> None:
        """Streams wait for the ledger, not for our stop event; somebody has to end them."""
        self._supervisor.stopping.wait()
        self._gateway.wake()
        self._listener.close()

    def _status_line(self) -> str:
        snapshot, gateway = self._observations.snapshot, self._gateway.status
        jobs = "?" if snapshot.jobs is None else str(len(snapshot.jobs))
        reported = max((each.last_report_at for each in self._observations.queries() if each.last_report_at is not None), default=None)
        scheduler = {True: "answers", False: f"does not answer{_last('answer', reported)}", None: "not asked yet"}[snapshot.reachable]
        ledger = "connected" if gateway.connected else f"not connected{_last('receipt', gateway.last_receipt_at)}"
        return f"{jobs} jobs; scheduler {scheduler}; ledger {ledger}"


def _last(what: str, at: Instant | None) -> str:
    """Since when something is missing, as far as it is known."""
    return "" if at is None else f" (last {what} {format_instant(at)})"


def _actor(config: AgentConfig, stopping: threading.Event) -> Actor:
    """Who makes tenants' accounts here."""
    section = config.scheduler
    if section.accounts == "none":
        return NoAccounts()
    if section.accounts == "helper":
        return HelperActor(section.accounts_socket, stopping=stopping)
    return ScriptActor(config.accounts_scripts, environment=section.environment, stopping=stopping)


def _gap_ms(config: AgentConfig) -> int:
    """Between two reports that lie no further apart than this, none is missing but perhaps one."""
    return (2 * config.intervals.jobs + config.scheduler.timeout_seconds) * 1000


def _close_quietly(control: ControlServer) -> None:
    with contextlib.suppress(OSError):
        control.close()


def _now() -> Instant:
    return time.time_ns() // 1_000_000
