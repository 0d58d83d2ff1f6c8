# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Distance between two places in whole metres along the surface of the Earth, from integer micro-degrees, with integers alone.

Every replica and every auditor must come to the same metre, and the sines of two machines' floating point need not agree. The Earth is
a sphere of its mean radius, which is at most 0.56 % from the ellipsoid: a price needs no more.

How, and how exactly. A place becomes a unit vector in units of 2⁻⁶⁰; the angle between two is atan2(|u × v|, u · v), which is as exact
for neighbours and antipodes as anywhere between (an arc cosine is not). A sine is wrong by less than 16 units: ten terms that drop about
one each, and what follows them is below two. A component, a product of two sines, is then wrong by at most 33, cross and dot product by
less than 256, and so is the angle in a plane where the vector is one unit long. A value of the table adds up at most 256 steps of
6.3 units: one for the ratio, three for the terms, 2⁻⁵⁸·⁸ for what follows them. All of it is below 2⁻⁴⁸ of a radian, 23 nanometres: the
result is the true distance on that sphere to the nearest metre, but for one that lies within that of the middle between two metres.
"""

from __future__ import annotations

from functools import lru_cache

EARTH_RADIUS_METRES = 6_371_009
"""Mean radius of the reference ellipsoid, (2a + b) / 3."""
HALF_TURN_MICRODEGREES = 180_000_000

_BITS = 60
_ONE = 1 << _BITS
_PI = 3_622_009_729_038_561_421
"""π in units of 2⁻⁶⁰."""
_RIGHT = 90_000_000
_STEP_BITS = 8
_STEPS = 1 << _STEP_BITS

Vector = tuple[int, int, int]
Place = tuple[int, int]
"""Latitude and longitude in micro-degrees."""


@lru_cache(maxsize=8192)
def metres_between(here: Place, there: Place) -> int:
    """Great-circle distance; both places must be on Earth: |latitude| ≤ 90 and |longitude| ≤ 180 degrees."""
    x, y, z = _vector(here)
    a, b, c = _vector(there)
    across = _root((y * c - z * b) ** 2 + (z * a - x * c) ** 2 + (x * b - y * a) ** 2) >> _BITS
    along = (x * a + y * b + z * c) >> _BITS
    return (_angle(across, along) * EARTH_RADIUS_METRES + (_ONE >> 1)) >> _BITS


@lru_cache(maxsize=8192)
def _vector(place: Place) -> Vector:
    latitude, longitude = place
    sine, cosine = _sine(latitude), _sine(_RIGHT - abs(latitude))
    east = _sine(_RIGHT - abs(longitude))
    return cosine * east >> _BITS, cosine * _sine(longitude) >> _BITS, sine


def _sine(microdegrees: int) -> int:
    """Sine of -180 to 180 degrees. The folds are exact, so a pole has no longitude and the date line is one line."""
    size = abs(microdegrees)
    size = min(size, HALF_TURN_MICRODEGREES - size)
    angle = size * _PI // HALF_TURN_MICRODEGREES
    square = angle * angle >> _BITS
    term = total = angle
    for factor in (6, 20, 42, 72, 110, 156, 210, 272, 342, 420):
        term = -((term * square >> _BITS) // factor)
        total += term
    return total if microdegrees >= 0 else -total


def _angle(across: int, along: int) -> int:
    """atan2 of two numbers that are not both 0, the first not negative: 0 to π."""
    forward = abs(along)
    angle = _arc(across, forward) if across <= forward else (_PI >> 1) - _arc(forward, across)
    return angle if along >= 0 else _PI - angle


def _arc(less: int, more: int) -> int:
    """Arc tangent of less / more ≤ 1: the nearest lower step of the table, and what is left of it as a short series."""
    ratio = (less << _BITS) // more
    step = ratio >> (_BITS - _STEP_BITS)
    rest = ((ratio << _STEP_BITS) - (step << _BITS) << _BITS) // ((_STEPS << _BITS) + step * ratio)
    return _ARCS[step] + _small_arc(rest)


def _small_arc(ratio: int) -> int:
    """Arc tangent of at most 1/256: what follows the third term is at most ratio⁷ / 7 = 2⁻⁵⁸·⁸."""
    square = ratio * ratio >> _BITS
    return ratio - (ratio * square >> _BITS) // 3 + ((ratio * square >> _BITS) * square >> _BITS) // 5


def _root(square: int) -> int:
    """Largest integer whose square is not above `square`, by Newton's steps from above."""
    if square == 0:
        return 0
    root = 1 << (square.bit_length() + 1 >> 1)
    while True:
        closer = root + square // root >> 1
        if closer >= root:
            return root
        root = closer


def _table() -> tuple[int, ...]:
    """Arc tangents of 0, 1/256, … 1, each from the one before: atan b - atan a = atan((b - a) / (1 + a b))."""
    arcs = [0]
    for step in range(_STEPS):
        arcs.append(arcs[-1] + _small_arc((_STEPS << _BITS) // (_STEPS * _STEPS + step * (step + 1))))
    return tuple(arcs)


_ARCS = _table()
