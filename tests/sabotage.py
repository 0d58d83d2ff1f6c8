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

WEDGED_BY_FILES = """
import os
import threading
from dataclasses import replace
from hpcbridge.daemon.supervisor import Supervisor
from hpcbridge.daemon.worker import Worker

add, beat, init = Supervisor.add, Worker.beat, Supervisor.__init__

def hold(name, overdue=lambda: None):
    path = os.path.join(os.environ["WEDGES"], name)
    while os.path.exists(path):
        overdue()
        threading.Event().wait(0.02)

def held(worker):
    hold(worker.name, lambda: setattr(worker, "_expected_by", 0.0))
    beat(worker)

def often(supervisor, name, step, *, pace, limit_seconds, load=None):
    pace = replace(pace, interval_seconds=min(pace.interval_seconds, 0.5), stretch=0)
    return add(supervisor, name, step, pace=pace, limit_seconds=limit_seconds, load=load)

Supervisor.__init__ = lambda supervisor, **options: init(supervisor, **options, tick_seconds=0.1)
Supervisor.add = often
Worker.beat = held
"""
"""Each worker hangs while there is a file of its name in the folder WEDGES, and its time is over at once; all act often."""

LEDGER_WEDGED_BY_FILES = """
import os
import threading
from hpcbridge.daemon.life import WatchedPool
from hpcbridge.service import running
from hpcbridge.service.applier import Applier
from hpcbridge.service.health import Health
from hpcbridge.service.main import main
from hpcbridge.service.node import Ticker
from hpcbridge.service.proposer import Proposer
from hpcbridge.service.signer import Signer

def hold(name):
    path = os.path.join(os.environ["WEDGES"], name)
    while os.path.exists(path):
        threading.Event().wait(0.02)

def holding(kind, method, name):
    honest = getattr(kind, method)

    def held(self, *arguments, **more):
        hold(name or self.name)
        return honest(self, *arguments, **more)

    setattr(kind, method, held)

holding(Proposer, "_propose", "proposer")
holding(Applier, "_apply", "applier")
holding(Signer, "sign", "signer")
holding(Ticker, "_tick", "loop")
timed = WatchedPool._timed
WatchedPool._timed = lambda pool, work, *arguments, **more: timed(pool, lambda: (hold(pool.name), work(*arguments, **more))[1])
running.CENSUS_SECONDS = 0.2
running.BEAT_SECONDS = 0.1
Health.__init__.__kwdefaults__["limit_seconds"] = 0.5
main()
"""
"""The same for the threads of the ledger; half a second is their limit."""

YEARS_LATER = """
import time
from hpcbridge.service import ledger_service
from hpcbridge.service.main import main

start = ledger_service.LedgerService.__init__

def later(service, config, **more):
    start(service, config, wall=lambda: time.time_ns() // 1_000_000 + 2 * 366 * 86_400_000, **more)

ledger_service.LedgerService.__init__ = later
main()
"""
"""hpcbridge-ledgerd on a machine whose clock is two years ahead."""

LOOKS_AT_ITS_CERTIFICATE_TWICE_A_MINUTE = """
from hpcbridge.agent import main

main.look_every = lambda facts: 30.0
"""
"""However short a certificate lives, its end is looked at every 30 s."""

DAEMON = """
import sys
from hpcbridge.agent.main import main

sys.exit(main(sys.argv[1:]))
"""
"""hpcbridged, after what was switched off."""
