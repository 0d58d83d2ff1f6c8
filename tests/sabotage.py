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

WEDGED_AFTER_A_SECOND = """
import threading
from hpcbridge.agent.monitor import Monitor
from hpcbridge.daemon.supervisor import Supervisor

honest = Supervisor.add

def impatient(supervisor, name, step, *, pace, limit_seconds, load=None):
    return honest(supervisor, name, step, pace=pace, limit_seconds=1.0, load=load)

Supervisor.add = impatient
Monitor.ask_jobs = lambda monitor: threading.Event().wait()
"""
"""The jobs worker hangs where no timeout helps; after a second that counts as wedged."""

DAEMON = """
import sys
from hpcbridge.agent.main import main

sys.exit(main(sys.argv[1:]))
"""
"""hpcbridged, after what was switched off."""
