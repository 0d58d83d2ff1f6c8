# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What `check` finds, one thing after the other, and what every check of files needs: owners, modes, space. Nothing is changed.

A failure keeps the daemon from starting or from doing what it is for; advice is what a sysadmin should know and may want so.
"""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpcbridge.errors import ConfigError, HpcbridgeError, StorageError

LEAST_FREE_BYTES = 64 << 20
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Advice(HpcbridgeError):
    """Not wrong, and perhaps not meant."""

    exit_status = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. `error` None: it is fine and `text` says what was found."""

    what: str
    text: str
    error: HpcbridgeError | None = None

    @property
    def failed(self) -> bool:
        """True if somebody must act."""
        return self.error is not None and not isinstance(self.error, Advice)

    @property
    def word(self) -> str:
        """The first word of its line."""
        return "failed" if self.failed else "ok" if self.error is None else "note"


def tried(what: str, attempt: Callable[[], str]) -> Finding:
    """Looks at one thing; what is wrong with it becomes part of the finding."""
    try:
        return Finding(what=what, text=attempt())
    except HpcbridgeError as error:
        return Finding(what=what, text="", error=error)
    except OSError as error:
        return Finding(what=what, text="", error=ConfigError(f"{error.filename or what}: {error.strerror or error}"))


def check_closed_to_writers(path: Path) -> None:
    """ConfigError if others than the owner may change a file: it decides what the daemon runs."""
    facts = path.stat()
    if facts.st_mode & _OTHERS_WRITE:
        raise ConfigError(
            f"{path}: others than its owner may change it (mode {stat.S_IMODE(facts.st_mode):04o})", hint=f"chmod go-w {path}"
        )


def check_directory(path: Path, *, quota_bytes: int = 0) -> str:
    """The state directory: there, of one account with all that is in it, writable, with space left."""
    if not path.is_dir():
        raise ConfigError(f"{path}: no such directory", hint="make it and give it to the daemon's account")
    owner = path.stat().st_uid
    _check_owner(path, owner)
    _check_writable(path, owner)
    facts = os.statvfs(path)
    free = facts.f_bavail * facts.f_frsize
    if free < LEAST_FREE_BYTES:
        raise ConfigError(f"{path}: {free >> 20} MiB are left on its disk", hint="make room: what cannot be kept is lost, or worse")
    if free < quota_bytes:
        raise Advice(f"{path}: {free >> 20} MiB are left on its disk, and {quota_bytes >> 20} MiB may be needed", hint="df")
    return f"{path}, of {name_of(owner)}, {free >> 20} MiB free"


def name_of(uid: int) -> str:
    """The account's name, or its number if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _check_owner(path: Path, owner: int) -> None:
    """A daemon cannot read what a person made as root in its directory: the usual accident after `enrol`."""
    for place in (path, *sorted(path.rglob("*"))):
        facts = place.lstat()
        if facts.st_uid != owner:
            raise ConfigError(
                f"{place}: belongs to {name_of(facts.st_uid)}, the directory {path} to {name_of(owner)}",
                hint=f"chown -R {name_of(owner)}: {path}   (was enrol or init run as another account?)",
            )


def _check_writable(path: Path, owner: int) -> None:
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise StorageError(f"{path}: its file system is read-only", hint="mount, dmesg: was it mounted so, or did the disk fail?")
    if os.geteuid() not in (0, owner):
        raise Advice(f"{path}: belongs to {name_of(owner)}; only that account or root can look further", hint="run check as root")
    try:
        with tempfile.NamedTemporaryFile(dir=path, prefix=".check."):
            return
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}", hint="df, mount, dmesg; modes of the folders above") from error
