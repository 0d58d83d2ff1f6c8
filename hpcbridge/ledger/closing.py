# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The mark of an orderly stop: the digest of the store's file as it was left.

SQLite's pages hold bytes that mean nothing, and no check of content can see those change. While the ledger is stopped nobody writes the
file, so any other digest at the next start is a fault of the disk or a stranger's hand. After a crash there is no mark, and the checks
of content stand alone.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from hpcbridge.failpoints import reach
from hpcbridge.ledger.damage import check_failed
from hpcbridge.ledger.durable import sync_directory
from hpcbridge.ledger.schema import errors_while

MARK_SUFFIX = ".closed"


def mark_closed(path: Path) -> None:
    """Writes the mark of the store at `path`, which has just been closed for good."""
    new = path.with_name(f"{path.name}{MARK_SUFFIX}.new")
    with errors_while("marking as closed", path), new.open("w", encoding="ascii") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(f"{_digest(path)}\n")
        file.flush()
        reach("closing.before_sync")
        os.fsync(file.fileno())
        reach("closing.after_sync")
    with errors_while("marking as closed", path):
        new.replace(_mark(path))
        sync_directory(path.parent)


def take_mark(path: Path) -> None:
    """Before anything is written: IntegrityError if the file is not the one that was closed; then the mark is gone."""
    mark = _mark(path)
    with errors_while("comparing with its last stop", path):
        if not mark.exists():
            return
        if mark.read_bytes() != f"{_digest(path)}\n".encode():
            raise check_failed(
                "the file as it was closed", f"bytes of {path} changed while the ledger was stopped; if you restored it, remove {mark}"
            )
        mark.unlink()
        sync_directory(path.parent)


def _mark(path: Path) -> Path:
    return path.with_name(path.name + MARK_SUFFIX)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
