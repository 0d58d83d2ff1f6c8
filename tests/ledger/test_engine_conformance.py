# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What every engine must keep, tried on all of `ENGINES` and on one in memory that loses, repeats, delays and reorders submits."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from hpcbridge.errors import IntegrityError, LedgerUnavailable
from hpcbridge.ledger.engine import Batch, Engine
from hpcbridge.ledger.engines import ENGINES
from hpcbridge.ledger.engines.sqlite import SqliteEngine
from hpcbridge.ledger.merkle import leaf_hash
from hpcbridge.ledger.records import Group, Number, StoredEntry
from hpcbridge.ledger.store import Store
from hpcbridge.ledger.tiles import Tree
from hpcbridge.model.identities import Submitter
from tests.faulty_engine import FaultyEngine
from tests.ledger_filling import EPOCH

MakeEngine = Callable[[int], Engine]
UNDER_TEST: Mapping[str, MakeEngine] = {**ENGINES, **{f"faulty-{seed}": partial(FaultyEngine, seed=seed) for seed in (1, 2, 3)}}


def batch(*envelopes: bytes) -> Batch:
    return Batch(proposer=Submitter("system", "replica"), at=1, envelopes=envelopes, signature=b"s")


def seen_from(engine: Engine, position: int) -> list[tuple[int, Batch]]:
    """Everything after `position` of a closed engine."""
    return list(engine.follow(position))


@pytest.fixture(params=UNDER_TEST)
def make_engine(request: pytest.FixtureRequest) -> MakeEngine:
    return UNDER_TEST[request.param]


def submit_until_seen(engine: Engine, batches: list[Batch]) -> None:
    """What a proposer does: again, until each came out."""
    seen: set[tuple[bytes, ...]] = set()
    complete = threading.Event()
    wanted = {one.envelopes for one in batches}

    def look() -> None:
        for _, ordered in engine.follow(0):
            seen.add(ordered.envelopes)
            if wanted <= seen:
                complete.set()
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    while not complete.is_set():
        for one in batches:
            if one.envelopes not in seen:
                engine.submit(one)
        complete.wait(0.005)
    thread.join()


def test_all_followers_see_one_order_without_gaps(make_engine: MakeEngine) -> None:
    engine = make_engine(0)
    batches = [batch(b"%d" % n) for n in range(60)]
    submit_until_seen(engine, batches)
    engine.close()
    order = seen_from(engine, 0)
    assert [position for position, _ in order] == list(range(1, len(order) + 1))
    submitted = {one.envelopes for one in batches}
    assert submitted == {one.envelopes for _, one in order}
    for position in range(len(order) + 1):
        assert seen_from(engine, position) == order[position:]


def test_follow_waits_wakes_up_and_ends_on_close(make_engine: MakeEngine) -> None:
    engine = make_engine(7)
    seen: list[int] = []
    first = threading.Event()

    def look() -> None:
        for position, _ in engine.follow(7):
            seen.append(position)
            first.set()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    assert not first.wait(0.05)
    while not first.is_set():
        engine.submit(batch(b"x"))
        first.wait(0.01)
    engine.close()
    thread.join(10)
    assert not thread.is_alive()
    assert seen == list(range(8, 8 + len(seen)))
    with pytest.raises(LedgerUnavailable):
        engine.submit(batch(b"late"))


def test_trim_forgets_only_what_came_before(make_engine: MakeEngine) -> None:
    engine = make_engine(0)
    submit_until_seen(engine, [batch(b"%d" % n) for n in range(20)])
    engine.trim(5)
    engine.trim(3)
    with pytest.raises(IntegrityError):
        engine.trim(10_000)
    engine.close()
    assert seen_from(engine, 5)[0][0] == 6
    with pytest.raises(IntegrityError):
        seen_from(engine, 4)


def test_many_proposers_at_once(make_engine: MakeEngine) -> None:
    engine = make_engine(0)

    def propose(name: int) -> None:
        for n in range(50):
            engine.submit(batch(b"%d.%d" % (name, n)))

    threads = [threading.Thread(target=propose, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.close()
    order = seen_from(engine, 0)
    assert [position for position, _ in order] == list(range(1, len(order) + 1))
    if isinstance(engine, SqliteEngine):
        assert len(order) == 200


class Replica:
    """Folds what comes out of an engine into a real store: an envelope is `submitter sequence text`, and only the next number counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store.open(path, create=not path.exists())
        self.tree = Tree(self.store)

    def restart(self) -> None:
        self.store.close()
        self.store = Store.open(self.path)
        self.tree = Tree(self.store)

    @property
    def position(self) -> int:
        return self.store.head().engine_position

    def last(self, submitter: str) -> int:
        found = self.store.last_number(submitter, EPOCH)
        return found[0] if found else 0

    def fold(self, position: int, ordered: Batch) -> None:
        entries: list[StoredEntry] = []
        last: dict[str, int] = {}
        for envelope in ordered.envelopes:
            submitter, sequence = envelope.decode().split()[:2]
            if int(sequence) != last.get(submitter, self.last(submitter)) + 1:
                continue
            last[submitter] = int(sequence)
            number = Number(submitter=submitter, epoch=EPOCH, sequence=int(sequence), payload_hash=sha256(envelope).digest())
            entries.append(StoredEntry(index=self.tree.size, leaf=envelope, number=number))
            self.tree.append(leaf_hash(envelope))
        writes: dict[str, bytes | None] = {f"last/{name}": b"%d" % sequence for name, sequence in last.items()}
        self.store.append(
            Group(
                entries=tuple(entries),
                writes=writes,
                tiles=self.tree.take_full_tiles(),
                root=self.tree.root(),
                engine_position=position,
            )
        )

    def everything(self) -> tuple[object, ...]:
        return (self.store.leaves(0, self.store.size()), self.store.scan("", "~", 1000), self.tree.root())


@pytest.mark.parametrize("rounds", [60, pytest.param(1500, marks=pytest.mark.full)])
@pytest.mark.parametrize("seed", [11, 12])
def test_replicas_agree_and_lose_nothing_under_random_submits_repeats_and_restarts(
    make_engine: MakeEngine, seed: int, rounds: int, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    engine = make_engine(0)
    replicas = [Replica(tmp_path / f"{name}.db") for name in ("a", "b")]
    names = ("one/a", "two/a", "three/b")
    acknowledged = dict.fromkeys(names, 0)
    for _ in range(rounds):
        name = chance.choice(names)
        first = chance.randint(max(1, acknowledged[name] - 2), acknowledged[name] + 1)  # often repeats, never what is beyond the window
        sent = [f"{name} {sequence} text".encode() for sequence in range(first, acknowledged[name] + 6)]
        engine.submit(batch(*sent))
        replica = chance.choice(replicas)
        if chance.random() < 0.1:
            replica.restart()
        catch_up(engine, replica)
        acknowledged[name] = max(acknowledged[name], replica.last(name))
        engine.trim(min(replica.position for replica in replicas))
    engine.close()
    for replica in replicas:
        replica.restart()
        catch_up(engine, replica)
    assert replicas[0].everything() == replicas[1].everything()
    for name in names:
        sequences = [int(leaf.split()[1]) for leaf in replicas[0].everything()[0] if leaf.startswith(name.encode())]  # type: ignore[attr-defined]
        assert sequences == list(range(1, len(sequences) + 1))
        assert len(sequences) >= acknowledged[name] > 0
    for replica in replicas:
        replica.store.close()


def catch_up(engine: Engine, replica: Replica) -> None:
    """Folds what is there now; an engine's `follow` would wait for more, so it is asked only for what is known to come."""
    known = engine._last() if isinstance(engine, SqliteEngine) else engine._first + len(engine._ordered)  # type: ignore[attr-defined]
    for position, ordered in itertools.islice(engine.follow(replica.position), known - replica.position):
        replica.fold(position, ordered)


def test_sqlite_engine_begins_where_the_store_is_and_forgets_what_was_not_stored(tmp_path: Path) -> None:
    replica = Replica(tmp_path / "ledger.db")
    engine = SqliteEngine(replica.position)
    for sequence in (1, 2, 3):
        engine.submit(batch(b"one/a %d" % sequence))
    position, ordered = next(engine.follow(0))
    replica.fold(position, ordered)
    engine.trim(position)
    replica.restart()
    engine = SqliteEngine(replica.position)
    engine.submit(batch(b"one/a 3"))
    engine.submit(batch(b"one/a 2", b"one/a 3"))
    engine.close()
    for position, ordered in engine.follow(replica.position):
        replica.fold(position, ordered)
    assert position == 3
    assert replica.last("one/a") == 3
    replica.store.close()


def test_sqlite_engine_is_bounded() -> None:
    engine = SqliteEngine(capacity=2)
    engine.submit(batch(b"1"))
    engine.submit(batch(b"2"))
    with pytest.raises(LedgerUnavailable, match="2 batches wait"):
        engine.submit(batch(b"3"))
    engine.trim(1)
    engine.submit(batch(b"3"))
