# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Drafts, layers, the hash over effects, and the bytes of records."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcbridge.contract.jobrecords import FIELDS, HEAD, HEAD_BYTES, decode_job, encode_fields, fields_of
from hpcbridge.contract.records import ClusterRecord, decode_word, encode_word
from hpcbridge.contract.state import Draft, MemoryState, Write, effects_hash, prefix_end, scan_all
from hpcbridge.model.clusters import ClusterState, Queue, Registration, Vetting
from hpcbridge.model.entries import Event, EventType
from hpcbridge.model.jobs import Job, JobState, Outcome

keys = st.text("abc", min_size=1, max_size=3).map(lambda text: f"k/{text}")
changes = st.lists(st.tuples(keys, st.none() | st.binary(max_size=2)), max_size=20)


@given(st.tuples(changes, changes, changes), st.tuples(keys, keys), st.integers(1, 10))
def test_layers_scan_like_one_map(layers: tuple[list[Write], list[Write], list[Write]], ends: tuple[str, str], limit: int) -> None:
    (lower, upper, own), (start, stop) = layers, ends
    below = MemoryState()
    below.write(lower)
    layer = MemoryState(below)
    layer.scan("k/", "k0", 1)
    layer.write(upper)
    draft = Draft(layer)
    for key, value in own:
        if value is None:
            draft.remove(key)
        else:
            draft.put(key, value)
    model = dict([*lower, *upper, *own])
    expected = sorted((key, value) for key, value in model.items() if value is not None and start <= key < stop)[:limit]
    assert list(draft.scan(start, stop, limit)) == expected
    assert {key: draft.get(key) for key in model} == model
    assert scan_all(draft, "k/", page=3) == sorted((key, value) for key, value in model.items() if value is not None)


@given(changes, st.lists(st.tuples(changes, st.tuples(keys, keys), st.integers(1, 10)), max_size=6))
def test_a_layer_that_was_read_before_reads_what_was_written_since(lower: list[Write], steps: list[tuple[list[Write], Any, int]]) -> None:
    counted, model = _Counted(), dict(lower)
    counted.write(lower)
    layer = MemoryState(counted)
    for written, (start, stop), limit in steps:
        expected = sorted((key, value) for key, value in model.items() if value is not None and start <= key < stop)[:limit]
        assert list(layer.scan(start, stop, limit)) == expected
        assert {key: layer.get(key) for key in (*model, start)} == {start: model.get(start), **model}
        layer.write(written)
        model |= dict(written)
    assert max(counted.gets.values(), default=0) <= 1, "a key is read below once"


class _Counted(MemoryState):
    """A state that counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.gets: Counter[str] = Counter()

    def get(self, key: str) -> bytes | None:
        self.gets[key] += 1
        return super().get(key)


def test_a_place_is_scanned_below_once_for_all_entries_of_a_group() -> None:
    below = _Scanned()
    below.write((f"k/{number:02d}", b"x") for number in range(20))
    layer = MemoryState(below)
    for limit in (1, 2, 3, 5, 8, 13, 20, 40, 80):
        assert len(layer.scan("k/", "k0", limit)) == min(limit, 20)
    assert below.limits == [1, 2, 4, 8, 16, 32]


class _Scanned(MemoryState):
    """A state that keeps how much it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: list[int] = []

    def scan(self, start: str, stop: str, limit: int) -> Sequence[tuple[str, bytes]]:
        self.limits.append(limit)
        return super().scan(start, stop, limit)


def test_audiences_count_without_holes_and_nothing_leaks_before_effects() -> None:
    state = MemoryState()
    for first in (1, 3):
        draft = Draft(state)
        for name in ("b", "a", "b"):
            draft.tell(EventType.GAP_REPORTED, name, subject="s", body=b"")
        effects = draft.effects((), ())
        assert [event.audience_number for event in effects.events if event.audience == "b"] == [first, first + 1]
        assert [key for key, _ in effects.writes] == ["audience/a", "audience/b"]
        state.write(effects.writes)


def test_effects_hash_tells_everything_apart() -> None:
    event = Event(type=EventType.GAP_REPORTED, audience="a", audience_number=1, subject="s", body=b"x")
    hashes = [
        effects_hash(writes, events)
        for writes, events in (
            ((), ()),
            ((("a/b", b""),), ()),
            ((("a/b", None),), ()),
            ((("a/b", b"c"),), ()),
            ((("a/bc", b""),), ()),
            ((("a", b"1"), ("b", b"2")), ()),
            ((("a", b"12"),), ()),
            ((), (event,)),
            ((), (event, event)),
            ((), (Event(type=EventType.GAP_REPORTED, audience="a", audience_number=1, subject="sx", body=b""),)),
        )
    ]
    assert len(set(hashes)) == len(hashes)


def test_effects_hash_is_over_these_bytes() -> None:
    writes = (("cluster/c1", b"\x01\x02"), ("lostdue/1", None))
    event = Event(type=EventType.JOB_CHANGED, audience="siteone", audience_number=7, subject="c1/1#1", body=b"\x00")
    spelt = [
        b"hpcbridge effects v1",
        bytes([0, 0, 0, 2]),
        b"10:cluster/c1+2:\x01\x02",
        b"9:lostdue/1-",
        bytes([0, 0, 0, 1]),
        b"21:JOB_CHANGED/siteone/7",
        b"6:c1/1#1",
        b"1:\x00",
    ]
    assert effects_hash(writes, (event,)) == hashlib.sha256(b"".join(spelt)).digest()


def test_words_come_back() -> None:
    record = ClusterRecord(
        registration=Registration(cluster="c", login_address="x"),
        provider="p",
        vetting=Vetting.APPROVED,
        registered_at=1,
        state=ClusterState(cluster="c", observed_at=2, queues=(Queue(cluster="c", name="q", open=True, nodes=("n",)),)),
        heard_at=None,
    )
    assert decode_word(ClusterRecord, encode_word(record)) == record
    assert encode_word(record)[0] == 0x97, "an array of seven, not a map"


def test_jobs_come_back_with_every_field() -> None:
    values: dict[str, Any] = {name: 1 + place for place, name in enumerate(FIELDS)}
    texts = ("cluster", "job_id", "array_job_id", "het_job_id", "native_state", "reason", "owner", "account", "queue", "name", "gpu_type")
    values |= {name: name for name in texts} | {"nodes": ("n1", "n2"), "outcome": Outcome.TIMEOUT, "exit_code": -1}
    job = Job(state=JobState.FAILED, **values)
    assert set(FIELDS) | {"state"} == set(Job.__dataclass_fields__)
    record = HEAD.pack(8, 3, 5, 0) + encode_fields(fields_of(job))
    assert HEAD_BYTES == 18
    assert decode_job(record) == job


def test_prefix_end() -> None:
    assert "job/c1/zzz" < prefix_end("job/c1/") <= "job/c10"
    with pytest.raises(StopIteration):
        next(iter(scan_all(MemoryState(), "job/c1/")))
