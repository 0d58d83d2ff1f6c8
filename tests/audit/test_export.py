# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The export file: what was written is what is proven, and no byte of it may be another."""

from __future__ import annotations

import io
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcbridge.audit.export import leaves_of_chunks, read_leaves, read_note, write_export
from hpcbridge.audit.replay import prove_log
from hpcbridge.audit.verify import Hidden, Leaf, LogFault, Pins, Verified
from hpcbridge.errors import BadData, IntegrityError
from hpcbridge.ledger.merkle import leaf_hash
from hpcbridge.wire.generated import ledger_pb2
from tests.honest_log import HonestLog, certificate
from tests.small_network import SmallNetwork


@pytest.fixture(scope="session")
def exported(network: SmallNetwork, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("export") / "ledger.export"
    written = write_export(path, network.log.checkpoint(), network.log.leaves)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert written == path.stat().st_size
    assert [each.name for each in path.parent.iterdir()] == ["ledger.export"]
    return path.read_bytes()


def prove(content: bytes, pins: Pins) -> Verified:
    file = io.BytesIO(content)
    note = read_note(file)
    return prove_log(read_leaves(file), note, pins)


def test_round_trip(exported: bytes, log: HonestLog) -> None:
    file = io.BytesIO(exported)
    assert read_note(file) == log.checkpoint().note
    assert list(read_leaves(file)) == log.leaves
    assert prove(exported, log.pins).entries == len(log.leaves)


def test_any_single_changed_byte_is_found(exported: bytes, log: HonestLog) -> None:
    """Every byte of head and checkpoint and of where entry 0 begins, then one in 37; every bit of every byte in the full size."""
    chance = random.Random(7)
    places = [*range(320), *range(320 + chance.randrange(37), len(exported), 37)]
    missed = [place for place in places if not found(flipped(exported, place, 1 << chance.randrange(8)), log.pins)]
    assert missed == []


@pytest.mark.full
def test_any_single_changed_bit_is_found(exported: bytes, log: HonestLog) -> None:
    for place in range(len(exported)):
        for bit in range(8):
            assert found(flipped(exported, place, 1 << bit), log.pins), (place, bit)


def test_a_changed_byte_passes_where_the_root_is_not_compared(exported: bytes, log: HonestLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the key hint of an envelope is covered by the root alone."""
    hint = exported.rindex(b"\x1a\x20") + 2
    assert found(flipped(exported, hint, 1), log.pins)
    monkeypatch.setattr("hpcbridge.audit.verify.hmac.compare_digest", lambda *_: True)
    monkeypatch.setattr("hpcbridge.audit.replay.Replay.add", lambda *_: ())
    assert not found(flipped(exported, hint, 1), log.pins)


@pytest.mark.parametrize("length", [0, 5, 20, 25, 60, 200, -1, -2, -300])
def test_cut_off(exported: bytes, log: HonestLog, length: int) -> None:
    with pytest.raises((BadData, IntegrityError)):
        prove(exported[:length], log.pins)


def test_cut_off_between_two_entries_says_how_many_are_missing(exported: bytes, log: HonestLog) -> None:
    last = log.leaves[-1]
    with pytest.raises(LogFault, match=f"over {len(log.leaves)} entries, {len(log.leaves) - 1} are here"):
        prove(exported[: -len(last) - 5], log.pins)


def test_something_left_over(exported: bytes, log: HonestLog) -> None:
    with pytest.raises(BadData, match=f"entry {len(log.leaves)}: begins with the byte 0x0a"):
        prove(exported + b"\n", log.pins)


def test_a_length_beyond_every_entry_is_refused_before_it_is_read(exported: bytes) -> None:
    file = io.BytesIO(b"L\xff\xff\xff\xff")
    with pytest.raises(BadData, match="a length of 4294967295 bytes"):
        list(read_leaves(file))


def test_a_second_signature_is_refused_because_nobody_would_check_it(exported: bytes, log: HonestLog) -> None:
    note = log.checkpoint().note
    longer = f"{note}— witness.example {note.rsplit(' ', 1)[1]}"
    content = exported.replace(f"{len(note.encode())}\n{note}".encode(), f"{len(longer.encode())}\n{longer}".encode())
    assert content != exported
    with pytest.raises(BadData, match="one signature"):
        read_note(io.BytesIO(content))


def test_an_existing_file_is_not_overwritten(tmp_path: Path, log: HonestLog) -> None:
    path = tmp_path / "there"
    path.write_text("precious")
    with pytest.raises(BadData, match="not overwritten"):
        write_export(path, log.checkpoint(), log.leaves)
    assert path.read_text() == "precious"


def test_nothing_is_left_of_an_export_that_does_not_fit_its_checkpoint(tmp_path: Path, log: HonestLog) -> None:
    with pytest.raises(LogFault, match="do not have the root"):
        write_export(tmp_path / "new", log.checkpoint(), log.leaves[:-1])
    assert list(tmp_path.iterdir()) == []


def test_an_own_export_hides_what_is_others(log: HonestLog, tmp_path: Path) -> None:
    """A member's own: its entries with their bytes, all others as hashes; root, own signatures and numbers are proven."""
    own = own_leaves(log, "hpc-one")
    path = tmp_path / "own"
    write_export(path, log.checkpoint(), own)
    pins = Pins(origin=log.pins.origin, log_key=log.pins.log_key, authority=log.pins.authority, own_key=log_key_of(log, "hpc-one"))
    verified = prove(path.read_bytes(), pins)
    seen = sum(isinstance(leaf, bytes) for leaf in own)
    assert (verified.signatures, verified.unproven, verified.hidden) == (seen, 0, len(own) - seen)
    assert prove(path.read_bytes(), log.pins).unproven == seen
    hidden = own[0]
    assert isinstance(hidden, Hidden)
    with pytest.raises(LogFault, match="root"):
        prove_log([Hidden(bytes(32)), *own[1:]], log.checkpoint().note, pins)


def test_a_live_ledger_must_send_every_leaf_in_order(log: HonestLog) -> None:
    size = len(log.leaves)
    assert list(leaves_of_chunks(chunks(log.leaves), size)) == log.leaves
    assert list(leaves_of_chunks(chunks(log.leaves), 5)) == log.leaves[:5]
    with pytest.raises(LogFault, match=f"entry {size}: the ledger sends no more"):
        list(leaves_of_chunks(chunks(log.leaves), size + 1))
    with pytest.raises(LogFault, match="entry 10: the ledger sent entry 20"):
        list(leaves_of_chunks((chunk for chunk in chunks(log.leaves) if chunk.start != 10), size))


def chunks(leaves: list[bytes]) -> Iterator[ledger_pb2.EntriesChunk]:
    for start in range(0, len(leaves), 10):
        part = [ledger_pb2.LeafOrHash(bytes=leaf) for leaf in leaves[start : start + 10]]
        yield ledger_pb2.EntriesChunk(start=start, leaves=part)


def own_leaves(log: HonestLog, member: str) -> list[Leaf]:
    own = [applied.number is not None and applied.number.submitter == f"{member}/main" for applied in log.applied]
    return [leaf if mine else Hidden(leaf_hash(leaf)) for leaf, mine in zip(log.leaves, own, strict=True)]


def log_key_of(log: HonestLog, member: str) -> bytes:
    from hpcbridge.identity.certificates import read_certificate

    return read_certificate(certificate(f"{member}/main"), log.pins.origin).public_key


def flipped(content: bytes, place: int, bits: int) -> bytes:
    return content[:place] + bytes([content[place] ^ bits]) + content[place + 1 :]


def found(content: bytes, pins: Pins) -> bool:
    try:
        prove(content, pins)
    except (BadData, IntegrityError):
        return True
    return False
