# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""generateAccessUsername: the name of the account that a rental gets on its cluster.

It is made of the rental's name and the market's seed, so that every replica makes the same one, it says nothing of the user, and nobody
could foresee it. No two rentals of a network ever have the same one: a name that was given stays on record for ever.

Without vowels and without signs that look like others: no word comes about, so none that a system reserves for an account of its own, and
the name survives being read out or copied by hand.
"""

from __future__ import annotations

import hashlib
import itertools

from hpcbridge.contract.market import rental_of_username
from hpcbridge.contract.seed import market_seed
from hpcbridge.contract.standing import stored_member
from hpcbridge.contract.state import StateView

LETTERS = "bcdfghjkmnpqrstvwxz"
SIGNS = f"{LETTERS}23456789"
LENGTH = 12
"""19 × 27¹¹ names, about 10¹⁷: a million rentals make two equal first choices once in 200,000 networks, and then the second is taken."""


def access_username(view: StateView, rental: str) -> str:
    """The first choice that no rental had yet, and no member has: `^[a-z][a-z0-9]{7,14}$`."""
    seed = market_seed(view)
    choices = (username_choice(seed, rental, attempt) for attempt in itertools.count())
    return next(name for name in choices if rental_of_username(view, name) is None and stored_member(view, name) is None)


def username_choice(seed: bytes, rental: str, attempt: int) -> str:
    """What the hash of seed, rental and attempt spells: a letter, then letters and digits."""
    number = int.from_bytes(hashlib.sha256(b"hpcbridge access username v1" + seed + f"{rental}/{attempt}".encode()).digest(), "big")
    number, first = divmod(number, len(LETTERS))
    signs = [LETTERS[first]]
    while len(signs) < LENGTH:
        number, sign = divmod(number, len(SIGNS))
        signs.append(SIGNS[sign])
    return "".join(signs)
