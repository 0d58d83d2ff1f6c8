# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What open rentals hold of a queue and have not begun to use: it is taken off what is free, so that nobody is promised the same cores.

Once a job of a rental is seen, its cores are among those the scheduler counts as used, and whoever settles the rental gives them back here.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hpcbridge.contract.records import decode_stored, encode_stored
from hpcbridge.contract.state import Draft, StateView, scan_all
from hpcbridge.errors import IntegrityError

_PREFIX = "queueheld/"

Held = tuple[int, int]
"""Cores and GPUs."""


class StoredHeld(msgspec.Struct, frozen=True, array_like=True):
    """`queueheld/<cluster>/<queue>`; there is none where nothing is held."""

    cores: int
    gpus: int


def all_held(view: StateView) -> Mapping[str, Mapping[str, Held]]:
    """By cluster and queue."""
    found: dict[str, dict[str, Held]] = {}
    for key, data in scan_all(view, _PREFIX):
        cluster, _, queue = key.removeprefix(_PREFIX).partition("/")
        held = decode_stored(StoredHeld, data)
        found.setdefault(cluster, {})[queue] = (held.cores, held.gpus)
    return found


def held_of(view: StateView, cluster: str, queue: str) -> Held:
    """What is held of one queue."""
    data = view.get(_key(cluster, queue))
    if data is None:
        return 0, 0
    held = decode_stored(StoredHeld, data)
    return held.cores, held.gpus


def take_capacity(draft: Draft, cluster: str, queue: str, *, cores: int, gpus: int) -> None:
    """Holds more of a queue; whether it is free is for the caller to know."""
    before = held_of(draft, cluster, queue)
    _put(draft, _key(cluster, queue), StoredHeld(cores=before[0] + cores, gpus=before[1] + gpus))


def give_capacity(draft: Draft, cluster: str, queue: str, *, cores: int, gpus: int) -> None:
    """Gives back what was held, once."""
    before = held_of(draft, cluster, queue)
    _put(draft, _key(cluster, queue), StoredHeld(cores=before[0] - cores, gpus=before[1] - gpus))


def _put(draft: Draft, key: str, held: StoredHeld) -> None:
    if held.cores < 0 or held.gpus < 0:
        raise IntegrityError(f"entry {draft.index} would give back more than {key} holds")
    if held.cores or held.gpus:
        draft.put(key, encode_stored(held))
    else:
        draft.remove(key)


def _key(cluster: str, queue: str) -> str:
    return f"{_PREFIX}{cluster}/{queue}"
