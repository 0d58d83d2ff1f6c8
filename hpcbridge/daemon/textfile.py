# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Writes a program's figures into a file for the textfile collector of Prometheus's node_exporter.

The file is replaced as a whole, so that nobody reads half of it, and removed when the program ends: old figures would look like new ones.
That it cannot be written is said once and hurts nobody.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from hpcbridge.errors import HpcbridgeError

logger = logging.getLogger(__name__)

EVERY_SECONDS = 15.0


class Textfile:
    """Writes `path` every 15 s from a thread of its own, from when it is entered until it is left."""

    def __init__(self, path: Path, collector: Collector) -> None:
        self._path = path
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(collector)
        self._stopping = threading.Event()
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="textfile", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._write(generate_latest(self._registry))
            except (OSError, HpcbridgeError) as error:
                self._say(f"{self._path}: {error}")
            else:
                self._say("")
            self._stopping.wait(EVERY_SECONDS)

    def _write(self, page: bytes) -> None:
        # The collector reads only names that end in .prom: the temporary one does not.
        descriptor, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(page)
                os.fchmod(file.fileno(), 0o644)  # node_exporter has an account of its own
            temporary.replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def _say(self, problem: str) -> None:
        if problem and problem != self._said:
            logger.warning("textfile_not_written reason=%s", problem)
        self._said = problem
