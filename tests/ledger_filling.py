# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Fills a store with entries that look like job changes, group by group, with a real tree beside it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from hpcbridge.ledger.merkle import leaf_hash
from hpcbridge.ledger.records import Group, Number, StoredEntry
from hpcbridge.ledger.store import Store
from hpcbridge.ledger.tiles import Tree
from hpcbridge.model.entries import Event, EventType

EPOCH = b"e" * 16


class LeavesInMemory:
    """A reader over leaves in memory."""

    def __init__(self, leaves: Sequence[bytes] = ()) -> None:
        self.all = list(leaves)
        self.tiles: dict[int, bytes] = {}

    def size(self) -> int:
        return len(self.all)

    def leaves(self, start: int, stop: int) -> list[bytes]:
        return self.all[start:stop]

    def tile(self, tile_id: int) -> bytes | None:
        return self.tiles.get(tile_id)


def leaf_of(index: int) -> bytes:
    return b"entry %d " % index + sha256(b"%d" % index).digest() * (1 + index % 9)


def next_group(tree: Tree, count: int) -> Group:
    """The next `count` entries; appends them to the tree."""
    entries = []
    writes: dict[str, bytes | None] = {}
    for index in range(tree.size, tree.size + count):
        leaf = leaf_of(index)
        tree.append(leaf_hash(leaf))
        audience = f"c{index % 3}"
        event = Event(
            type=EventType.JOB_CHANGED, audience=audience, audience_number=index // 3 + 1, subject=f"job/{index}", body=b"body %d" % index
        )
        number = Number(submitter=f"{audience}/a", epoch=EPOCH, sequence=index // 3 + 1, payload_hash=sha256(leaf).digest())
        entries.append(StoredEntry(index=index, leaf=leaf, number=number, events=(event,) * (index % 3)))
        writes[f"job/{audience}/{index % 50}/00000001"] = b"value %d" % index
        if index % 10 == 9:
            writes[f"job/c{(index - 5) % 3}/{(index - 5) % 50}/00000001"] = None
    return Group(entries=tuple(entries), writes=writes, tiles=tree.take_full_tiles(), root=tree.root(), engine_position=tree.size)


def fill(store: Store, count: int, *, group: int = 64) -> Tree:
    """Appends entries until the store has `count` more."""
    tree = Tree(store)
    target = tree.size + count
    while tree.size < target:
        store.append(next_group(tree, min(group, target - tree.size)))
    return tree
