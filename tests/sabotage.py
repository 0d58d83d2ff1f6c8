# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Programs that switch one defence of a process off before it begins, for negative controls of tests that kill real processes."""

from __future__ import annotations

NEVER_COMMITS = """
import contextlib
from hpcbridge.agent.spool_file import SpoolFile

@contextlib.contextmanager
def transaction(file):
    with file.lock:
        if not file._db.in_transaction:
            file._db.execute("BEGIN IMMEDIATE")
        yield file._db

prepare = SpoolFile._prepare

def prepare_then_stop(file):
    prepare(file)
    SpoolFile.transaction = transaction

SpoolFile._prepare = prepare_then_stop
"""
"""The spool says that it kept something and never commits."""

DAEMON = """
import sys
from hpcbridge.agent.main import main

sys.exit(main(sys.argv[1:]))
"""
"""hpcbridged, after what was switched off."""
