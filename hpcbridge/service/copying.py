# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A copy of the store while the ledger runs, verified like a store that is opened. Keys and the high-water file are not in it.

A copy that was not verified is a hope. An older copy does no harm either: a ledger whose high-water file saw more does not start on it.
"""

from __future__ import annotations

import os
from pathlib import Path

from hpcbridge.errors import ConfigError
from hpcbridge.failpoints import reach
from hpcbridge.ledger.durable import sync_directory
from hpcbridge.ledger.records import Head
from hpcbridge.ledger.schema import errors_while
from hpcbridge.ledger.store import Store, StoreReader
from hpcbridge.service.opening import STORE_FILE


def back_up(directory: Path, target: Path) -> Head:
    """Replaces `target` by a verified copy of the store in `directory`, and says what it holds; a copy that fails leaves it as it was."""
    if target.resolve().parent == directory.resolve():
        raise ConfigError(f"{target} is beside the store", hint="name another directory, best one that is copied to another machine")
    new = target.with_name(f".{target.name}.new")
    with StoreReader.open(directory / STORE_FILE) as store, errors_while("copying to", target):
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        store.copy_to(new)
    with Store.open(new) as copy:
        head = copy.head()
    with errors_while("keeping", target):
        new.with_name(f"{new.name}.lock").unlink(missing_ok=True)
        reach("copying.before_sync")
        _sync(new)
        new.replace(target)
        sync_directory(target.parent)
        reach("copying.after_sync")
    return head


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
