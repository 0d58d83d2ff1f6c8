# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridge-accounts`: carries out the daemon's orders for accounts as root, and ends when there were none for a while.

systemd hands it the socket it listens on and starts it with the first order (sd_listen_fds(3), Accept=no), so that nothing privileged
runs while nobody rents. Which scripts it runs stands in the daemon's own configuration, `[scheduler]`. That file, the scripts and every
folder above them must be root's alone; the socket's peer must be root or the daemon's account.
"""

from __future__ import annotations

import argparse
import logging
import os
import pwd
import resource
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

from hpcbridge import __version__
from hpcbridge.accounts.ownership import why_not_roots, why_root_must_not_run
from hpcbridge.config.agent import AGENT_CONFIG, load_agent_config
from hpcbridge.errors import ConfigError, HpcbridgeError
from hpcbridge.schedulers.acting import ScriptActor
from hpcbridge.wire.accounts import serve

_FIRST_DESCRIPTOR = 3
"""sd_listen_fds(3)."""


def main(arguments: list[str] | None = None) -> int:
    """Entry point; 0 when idle, 78 for what a sysadmin has to change."""
    options = parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # passcodes are in this memory
    signal.signal(signal.SIGTERM, _leave)
    try:
        return _run(options)
    except HpcbridgeError as error:
        sys.stderr.write(f"hpcbridge-accounts: {error}{f' ({error.hint})' if error.hint else ''}\n")
        return error.exit_status


def parser() -> argparse.ArgumentParser:
    """What may stand on the command line."""
    known = argparse.ArgumentParser(prog="hpcbridge-accounts", description="Makes, renews and closes accounts for hpcbridged, as root.")
    known.add_argument("--config", type=Path, default=AGENT_CONFIG, help="the daemon's configuration (default: %(default)s)")
    known.add_argument("--user", default="hpcbridge", help="the daemon's account, which may give orders (default: %(default)s)")
    known.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="for one script (default: %(default)s)")
    known.add_argument("--idle", type=float, default=30.0, metavar="SECONDS", help="end when idle for so long (default: %(default)s)")
    known.add_argument("--socket", type=Path, help="listen there; without it, on the socket that systemd hands over")
    known.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return known


def _run(options: argparse.Namespace) -> int:
    if wrong := why_not_roots(options.config):
        raise ConfigError(wrong, hint="this file says what root runs")
    config = load_agent_config(options.config)
    actor = ScriptActor(
        config.accounts_scripts,
        environment=config.scheduler.environment,
        timeout_seconds=options.timeout,
        check=why_root_must_not_run,
    )
    with _listener(options.socket, uid=_uid_of(options.user)) as listener:
        serve(listener, actor, allowed_uids={0, _uid_of(options.user)}, idle_seconds=options.idle)
    return 0


def _listener(path: Path | None, *, uid: int) -> socket.socket:
    if path is None:
        if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
            raise ConfigError(
                "there is no socket to listen on", hint="start hpcbridge-accounts.socket with systemctl, or name one with --socket"
            )
        return socket.socket(fileno=_FIRST_DESCRIPTOR)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot listen there: {error.strerror}") from error
    finally:
        os.umask(mask)
    os.chown(path, uid, -1)
    listener.listen(8)
    return listener


def _uid_of(user: str) -> int:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise ConfigError(f"there is no account {user!r} here", hint="--user names the account that hpcbridged runs as") from error


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """Through the blocks that end a running script with everything it started."""
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
