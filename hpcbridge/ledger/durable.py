# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Files that survive a power cut, and belong to one process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from hpcbridge.errors import ConfigError
from hpcbridge.failpoints import reach


def sync_directory(directory: Path) -> None:
    """Makes new and renamed files of a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        reach("directory.before_sync")
        os.fsync(descriptor)
        reach("directory.after_sync")
    finally:
        os.close(descriptor)


def lock_file(descriptor: int, path: Path) -> None:
    """Takes `path`, open as `descriptor`, for this process until it is closed; ConfigError if another one has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(f"{path} is in use by another process", hint="is hpcbridge-ledgerd running already?") from error
