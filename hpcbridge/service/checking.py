# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What `check` looks at on a ledger's host. Opens no store and changes nothing: the store itself is verified at every start."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from hpcbridge.config import LedgerConfig, load_ledger_config
from hpcbridge.config.findings import Advice, Finding, check_closed_to_writers, check_directory, tried
from hpcbridge.errors import ConfigError, IdentityError
from hpcbridge.identity.certificates import read_authority
from hpcbridge.ledger.engines import ENGINES
from hpcbridge.service.opening import HIGH_WATER_FILE, STORE_FILE, load_keys
from hpcbridge.wire.credentials import check_libraries

_DAY_MS = 86_400_000
_SOON_MS = 90 * _DAY_MS


def ledger_findings(file: Path, config: LedgerConfig | None = None) -> Iterator[Finding]:
    """Everything on this host, by its configuration file, or by `config` where there is no file."""
    yield tried("libraries", _check_libraries)
    loaded: list[LedgerConfig] = [] if config is None else [config]
    if config is None:
        yield tried("configuration", lambda: _load(loaded, file))
        if not loaded:
            return
        yield tried("configuration file", lambda: _check_file(file))
    config = loaded[0]
    directory = config.store.directory
    yield tried("keys", lambda: _check_keys(directory))
    yield tried("store", lambda: _check_store(directory))
    yield tried("state directory", lambda: check_directory(directory))
    running = _is_locked(directory)
    yield tried("ports", lambda: _check_ports(config, running=running))
    yield tried("names", lambda: _check_names(config))


def _check_libraries() -> str:
    check_libraries()
    return "grpcio and protobuf are as they must be"


def _load(loaded: list[LedgerConfig], file: Path) -> str:
    config = load_ledger_config(file)
    if config.engine.name not in ENGINES:
        raise ConfigError(f"[engine] name: {config.engine.name!r} is not one of {', '.join(ENGINES)}")
    loaded.append(config)
    return f"{file}, listens on {config.listen.address}"


def _check_file(file: Path) -> str:
    check_closed_to_writers(file)
    return "nobody but its owner may change it"


def _check_keys(directory: Path) -> str:
    keys = load_keys(directory)
    ends_at = read_authority(keys.authority.certificate).not_after_at
    left = ends_at - time.time_ns() // 1_000_000
    if left < 0:
        raise IdentityError("the certificate of the CA has ended", hint="is the clock of this host right? date")
    if left < _SOON_MS:
        raise Advice(f"the certificate of the CA ends in {left // _DAY_MS} days", hint="plan its rotation: docs/operations.md")
    return f"of {keys.authority.origin}, closed to others; the CA's certificate has {left // _DAY_MS} days left"


def _check_store(directory: Path) -> str:
    missing = [name for name in (STORE_FILE, HIGH_WATER_FILE) if not (directory / name).exists()]
    if missing:
        raise ConfigError(f"{directory}: no {', '.join(missing)}", hint="make a new ledger: hpcbridge-ledgerd init --origin NAME")
    return f"in {directory}; what is in it is verified at each start"


def _is_locked(directory: Path) -> bool:
    """True if a ledger runs on this store."""
    try:
        descriptor = os.open(directory / f"{STORE_FILE}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _check_ports(config: LedgerConfig, *, running: bool) -> str:
    listen = config.listen
    addresses = [listen.address, listen.enrolment, *filter(None, (config.metrics.address,))]
    if running:
        for address in addresses[:2]:
            _try_connection(address)
        return f"a ledger runs and listens on {listen.address} and {listen.enrolment}"
    for address in addresses:
        host, port = _parts(address)
        try:
            socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
        except OSError as error:
            raise ConfigError(f"{address}: {error.strerror or error}", hint="ss -tlnp; is it an address of this host?") from error
    return f"{', '.join(addresses)} are free"


def _try_connection(address: str) -> None:
    host, port = _parts(address)
    try:
        socket.create_connection(({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port), timeout=5).close()  # noqa: S104 - compared
    except OSError as error:
        hint = "it was started with another configuration: restart it"
        raise ConfigError(f"a ledger runs on this store, and not on {address}: {error.strerror or error}", hint=hint) from error


def _check_names(config: LedgerConfig) -> str:
    """Members are told the first name at enrolment and look it up for ever."""
    for name in config.listen.server_names:
        try:
            socket.getaddrinfo(name, None)
        except OSError as error:
            raise Advice(
                f"[listen] server_names: {name[:80]!r} is no name that this host finds",
                hint="members look it up: was this host renamed? Keep the old name too, or they must all change their [[ledger]]",
            ) from error
    return ", ".join(config.listen.server_names)


def _parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
