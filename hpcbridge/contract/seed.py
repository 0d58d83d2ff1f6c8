# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The market's seed: what orders offers and names accounts, so that neither says anything and every replica comes to the same.

Every accepted sample of every cluster is stirred in. Users see none of them, and a provider only its own, so none of them can foresee the
seed of the next request; admins and auditors, who see all, could.
"""

from __future__ import annotations

import hashlib

from hpcbridge.contract.state import Draft, StateView

_KEY = "market/seed"
_FIRST = hashlib.sha256(b"hpcbridge market seed v1").digest()


def market_seed(view: StateView) -> bytes:
    """32 bytes."""
    return view.get(_KEY) or _FIRST


def stir(draft: Draft, content: bytes) -> None:
    """The next seed: of the one before and of what was told."""
    draft.put(_KEY, hashlib.sha256(market_seed(draft) + hashlib.sha256(content).digest()).digest())


def blind_rank(seed: bytes, request: str, cluster: str) -> bytes:
    """By which the clusters of a request are ordered."""
    return hashlib.sha256(seed + f"{request}/{cluster}".encode()).digest()
