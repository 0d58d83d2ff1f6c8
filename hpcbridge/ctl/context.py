# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What every command knows: the global options, and from them which identity speaks and by which way.

A person's own identity talks to the ledger directly. Where the daemon's identity is meant, and wherever there is no own one, a
command goes through the daemon's control socket, so that the daemon's numbers have one owner.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from hpcbridge.config import AGENT_CONFIG, AgentConfig, ControlSection, load_agent_config
from hpcbridge.ctl.output import note
from hpcbridge.ctl.ways import DaemonWay, OwnWay, Way
from hpcbridge.errors import CertificateExpired, ConfigError, LedgerUnavailable
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.quantities import Instant
from hpcbridge.submitter import certificate
from hpcbridge.wire.client import LedgerClient, endpoints_of
from hpcbridge.wire.control import ask

DAEMON_IDENTITY = Path("/var/lib/hpcbridge/identity")
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(slots=True, kw_only=True)
class Context:
    """Global options and what follows from them. Files are read and connections made only when a command asks."""

    identity: Path | None = None
    ledger: str | None = None
    config: Path | None = None
    output: str = "table"
    _client: LedgerClient | None = field(default=None, repr=False)

    @property
    def json(self) -> bool:
        """True if the answer is for a program."""
        return self.output == "json"

    def agent_config(self) -> AgentConfig | None:
        """The daemon's configuration: the named file, or the usual one if it is there and open to this account."""
        if self.config is not None:
            return load_agent_config(self.config)
        return load_agent_config(AGENT_CONFIG) if os.access(AGENT_CONFIG, os.R_OK) else None

    def control_path(self) -> Path:
        """The daemon's control socket."""
        config = self.agent_config()
        return ControlSection().socket if config is None else config.control.socket

    def has_daemon(self) -> bool:
        """True if a control socket is there; whether somebody answers shows later."""
        return self.control_path().is_socket()

    def control(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """One command to the daemon on this machine; LedgerUnavailable with advice if there is none."""
        if not self.has_daemon():
            raise LedgerUnavailable(
                f"no hpcbridged on this machine (no socket {self.control_path()})",
                hint="start it: systemctl start hpcbridged; from another machine ask the ledger, for example with --cluster NAME",
            )
        return ask(self.control_path(), command, arguments=arguments)

    def identity_path(self) -> Path:
        """The named identity, or the person's own."""
        return self.identity if self.identity is not None else own_identity()

    def keys(self) -> KeyDirectory:
        """The identity as files; ConfigError with advice if nobody enrolled here."""
        keys = KeyDirectory(self.identity_path())
        if not keys.is_enrolled():
            raise ConfigError(
                f"no identity in {keys.path}",
                hint="enrol with a token from your network's admin (hpcbridgectl enrol), or name another directory with --identity",
            )
        return keys

    def is_daemons(self) -> bool:
        """True if the identity in question is the daemon's own."""
        config = self.agent_config()
        daemons = DAEMON_IDENTITY if config is None else config.identity_directory
        return self.identity_path().resolve() == daemons.resolve()

    def ledger_client(self) -> LedgerClient:
        """A connection to the ledger with the identity's own key and a certificate that is fresh; closed with the command."""
        if self._client is None:
            keys = self.keys()
            certificate.check_own_certificate(keys)
            if not self.is_daemons():
                renew_if_due(keys, now())
            self._client = LedgerClient(endpoints_of(keys, self.ledger), keys)
            click.get_current_context().call_on_close(self._client.close)
        return self._client

    @property
    def is_connected(self) -> bool:
        """True once a command asked the ledger by itself."""
        return self._client is not None

    def kept_fresh(self) -> contextlib.AbstractContextManager[object]:
        """For what follows a stream: the certificate is renewed meanwhile, so that its end does not cut the stream."""
        if self.is_daemons():
            return contextlib.nullcontext()  # the daemon renews it
        keys, client = self.keys(), self.ledger_client()

        def look() -> None:
            at = now()
            # what fails is told once it matters: the stream is cut, and `refresh_client` says why
            if at >= certificate.renewal_due_at(keys) and certificate.renew_if_due(keys, at) is None:
                client.use_new_certificate()

        return certificate.KeptFresh(keys, look)

    def refresh_client(self) -> None:
        """For what follows events for days: a newer certificate where one is due, and a connection that uses it."""
        client = self.ledger_client()
        try:
            if not self.is_daemons():
                renew_if_due(self.keys(), now())
        except CertificateExpired as error:
            note(f"note: {error}")
        client.reconnect()

    def way(self) -> Way:
        """How this command reaches the ledger: with the own identity, else through the daemon."""
        own = KeyDirectory(self.identity_path()).is_enrolled()
        if own and not (self.is_daemons() and self.has_daemon()):
            return OwnWay(self.keys(), self.ledger_client())
        if self.has_daemon() and (self.identity is None or self.is_daemons()):
            return DaemonWay(self.control)
        self.keys()
        raise ConfigError(f"no way to the ledger with {self.identity_path()}")


pass_context = click.make_pass_decorator(Context)


def output_option(function: Function) -> Function:
    """`-o` behind the command as well as before it."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        default=None,
        expose_value=False,
        callback=_set_output,
        help="How to print the answer.",
    )(function)


def own_identity() -> Path:
    """Where a person's identity lives."""
    root = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(root) / "hpcbridge"


def now() -> Instant:
    """The wall clock: for people and for renewal, never for order."""
    return time.time_ns() // 1_000_000


def renew_if_due(keys: KeyDirectory, at: Instant) -> None:
    """Renews a certificate past half of its life. A failure matters only once the certificate has expired."""
    failure = certificate.renew_if_due(keys, at)
    if failure is not None:
        note(f"note: the certificate could not be renewed yet ({failure}); it is still valid")


def _set_output(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Context).output = value
