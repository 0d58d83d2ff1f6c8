# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""S2: the ledger is killed at random moments under submitters; what it acknowledged is there once, in order, under one history."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hpcbridge.errors import HpcbridgeError
from hpcbridge.ledger.checkpoint import parse_checkpoint
from hpcbridge.ledger.merkle import leaf_hash, root_of
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.wire.client import LedgerClient, SubmitStream, endpoints_of
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.receipts import open_leaf, read_receipt
from tests.ledger_author import Author, job_changes
from tests.ledger_simulator import LedgerSimulator

SUBMITTERS = 3
QUICK_KILLS = 6
FULL_KILLS = 500
PROGRAM = "from hpcbridge.service.main import main; main()"


@dataclass
class Diary:
    """What one submitter was told."""

    receipts: dict[int, bytes] = field(default_factory=dict)  # sequence → leaf
    roots: dict[int, bytes] = field(default_factory=dict)  # size → root
    trouble: list[str] = field(default_factory=list)


class Submitter(threading.Thread):
    """Keeps a window of envelopes on their way, and starts again from Hello whenever the stream breaks."""

    def __init__(self, author: Author, cluster: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.author = author
        self.cluster = cluster
        self.stop = stop
        self.diary = Diary()
        self.sent: dict[int, bytes] = {}

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                with LedgerClient(endpoints_of(self.author.keys), self.author.keys, deadline_seconds=2) as client:
                    self.session(client)
            except HpcbridgeError:
                self.stop.wait(0.05)

    def session(self, client: LedgerClient) -> None:
        stream, reply = self.author.hello(client)
        if self.author.sequence == 0:
            stream.close()
            stream = self.author.open(client)
            last = 1
        else:
            last = reply.last_sequence
        acknowledged = max(self.diary.receipts, default=1)
        if last < acknowledged:
            self.diary.trouble.append(f"{acknowledged} was acknowledged, the ledger has {last}")
        again = [self.sent[number] for number in range(acknowledged + 1, self.author.sequence + 1)]
        if again:
            stream.send_envelopes(again)
        self.pump(stream, on_their_way=len(again))

    def pump(self, stream: SubmitStream, on_their_way: int) -> None:
        while not (self.stop.is_set() and on_their_way == 0):
            while on_their_way < 40 and not self.stop.is_set():
                envelope = self.author.envelope(job_changes(self.cluster, self.author.sequence))
                self.sent[self.author.sequence] = envelope
                stream.send_envelopes([envelope])
                on_their_way += 1
            reply = next(stream)
            if reply.WhichOneof("reply") != "receipts":
                self.diary.trouble.append(str(reply))
                return
            on_their_way -= len(reply.receipts.receipts)
            self.note(reply.receipts)
        stream.close()

    def note(self, receipts: ledger_pb2.Receipts) -> None:
        note = receipts.checkpoint.note
        checkpoint = parse_checkpoint(note, self.author.origin, self.author.log_key)
        if self.diary.roots.setdefault(checkpoint.size, checkpoint.root) != checkpoint.root:
            self.diary.trouble.append(f"two roots of size {checkpoint.size}")
        for message in receipts.receipts:
            receipt = read_receipt(message, note, origin=self.author.origin, log_public_key=self.author.log_key)
            sequence = open_leaf(receipt.leaf).payload.header.sequence
            if self.diary.receipts.setdefault(sequence, receipt.leaf) != receipt.leaf:
                self.diary.trouble.append(f"number {sequence} became two entries")


@pytest.fixture
def network(tmp_path: Path) -> Iterator[tuple[LedgerSimulator, list[Submitter], threading.Event]]:
    ledger = LedgerSimulator(tmp_path)
    authors = [Author(ledger.provider(f"p{number}", cluster=f"c{number}")) for number in range(SUBMITTERS)]
    ledger.stop()
    stop = threading.Event()
    submitters = [Submitter(author, f"c{number}", stop) for number, author in enumerate(authors)]
    yield ledger, submitters, stop
    stop.set()


def start(ledger: LedgerSimulator) -> subprocess.Popen[str]:
    listen = ledger.config.listen
    config = ledger.directory / "ledgerd.toml"
    store = ledger.config.store.directory
    config.write_text(
        f'[listen]\naddress = "{listen.address}"\nenrolment = "{listen.enrolment}"\n[store]\ndirectory = "{store}"\n'
    )
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, "--config", str(config), "run"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("serving on"):
            return process
    raise AssertionError(f"the ledger did not start again: exit {process.wait()}")


@pytest.mark.parametrize("kills", [QUICK_KILLS, pytest.param(FULL_KILLS, marks=[pytest.mark.full, pytest.mark.timeout(3600)])])
def test_kill_minus_nine(network: tuple[LedgerSimulator, list[Submitter], threading.Event], kills: int) -> None:
    ledger, submitters, stop = network
    chance = random.Random(7)
    process = start(ledger)
    for submitter in submitters:
        submitter.start()
    for _ in range(kills):
        threading.Event().wait(chance.uniform(0.3, 1.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        process = start(ledger)
    threading.Event().wait(1.0)
    stop.set()
    for submitter in submitters:
        submitter.join(30)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert [submitter.diary.trouble for submitter in submitters] == [[]] * SUBMITTERS

    ledger.start()
    leaves = [leaf.bytes for chunk in ledger.client().read_entries(0) for leaf in chunk.leaves]
    ledger.stop()
    roots: dict[int, bytes] = {}
    for submitter in submitters:
        entries = [opened for opened in map(open_leaf, leaves[1:]) if opened.payload.header.epoch == submitter.author.epoch]
        assert [opened.payload.header.sequence for opened in entries] == list(range(1, len(entries) + 1))
        assert all(opened.entry.outcomes == (EntryOutcome.ACCEPTED,) for opened in entries)
        stored = {opened.payload.header.sequence: leaves[opened.entry.index] for opened in entries}
        assert len(submitter.diary.receipts) > 20
        assert submitter.diary.receipts.items() <= stored.items()
        for size, root in submitter.diary.roots.items():
            assert roots.setdefault(size, root) == root
    for size in random.Random(1).sample(sorted(roots), min(20, len(roots))):
        assert root_of(map(leaf_hash, leaves[:size])) == roots[size]
