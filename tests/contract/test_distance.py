# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Distances against two independent ways: the haversine in floating point, and the law of cosines with fifty digits."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpcbridge.contract.distance import EARTH_RADIUS_METRES, Place, metres_between

HALF_CIRCLE = 20_015_115
"""π × 6,371,009 is 20,015,115.07."""
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")

latitudes = st.integers(-90_000_000, 90_000_000)
longitudes = st.integers(-180_000_000, 180_000_000)
places = st.tuples(latitudes, longitudes)


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[Place, Place]:
    """Two places that are close to each other or to each other's antipode, down to one micro-degree."""
    latitude, longitude = draw(places)
    reach = 10 ** draw(st.integers(0, 7))
    near = (
        max(-90_000_000, min(90_000_000, latitude + draw(st.integers(-reach, reach)))),
        (longitude + draw(st.integers(-reach, reach)) + 180_000_000) % 360_000_000 - 180_000_000,
    )
    if draw(st.booleans()):
        near = (-near[0], near[1] - 180_000_000 if near[1] > 0 else near[1] + 180_000_000)
    return (latitude, longitude), near


def haversine(here: Place, there: Place) -> float:
    one, other = ([math.radians(part / 1e6) for part in place] for place in (here, there))
    share = math.sin((other[0] - one[0]) / 2) ** 2 + math.cos(one[0]) * math.cos(other[0]) * math.sin((other[1] - one[1]) / 2) ** 2
    return 2 * EARTH_RADIUS_METRES * math.atan2(math.sqrt(share), math.sqrt(max(0.0, 1 - share)))


def sine(microdegrees: int) -> Decimal:
    angle = PI * microdegrees / 180_000_000
    total = term = angle
    for factor in range(2, 90, 2):
        term *= -angle * angle / (factor * (factor + 1))
        total += term
    return total


def cosine_of_angle(metres: Decimal) -> Decimal:
    """Cosine of the angle that spans so many metres, by its series."""
    angle = metres / EARTH_RADIUS_METRES
    total = term = Decimal(1)
    for factor in range(1, 90, 2):
        term *= -angle * angle / (factor * (factor + 1))
        total += term
    return total


@given(st.tuples(places, places) | neighbours())
@example(((0, 0), (0, 180_000_000)))
@example(((90_000_000, 12), (-90_000_000, -34)))
@example(((0, 179_999_999), (0, -179_999_999)))
@example(((52_520_000, 13_400_000), (52_520_001, 13_400_001)))
def test_against_the_haversine(pair: tuple[Place, Place]) -> None:
    expected = haversine(*pair)
    assert abs(metres_between(*pair) - expected) <= max(1.0, expected / 1e6)


@given(st.tuples(places, places) | neighbours())
def test_to_the_nearest_metre(pair: tuple[Place, Place]) -> None:
    """The bound that the module's text proves: the true cosine lies between those of half a metre more and half a metre less."""
    (latitude, longitude), (other, meridian) = pair
    with localcontext() as context:
        context.prec = 60
        cosines = sine(90_000_000 - latitude) * sine(90_000_000 - other)
        true = sine(latitude) * sine(other) + cosines * sine(90_000_000 - abs(longitude - meridian))
        metres = metres_between(*pair)
        reach = Decimal("0.50000003")
        assert cosine_of_angle(min(metres + reach, PI * EARTH_RADIUS_METRES)) <= true + Decimal("1e-50")
        assert cosine_of_angle(max(metres - reach, Decimal(0))) >= true - Decimal("1e-50")


@given(places, places)
def test_the_same_both_ways(here: Place, there: Place) -> None:
    assert metres_between(here, there) == metres_between(there, here)
    assert 0 <= metres_between(here, there) <= HALF_CIRCLE


@given(places)
def test_nothing_is_zero_metres_away_but_itself(place: Place) -> None:
    assert metres_between(place, place) == 0
    latitude, longitude = place
    assert metres_between(place, (-latitude, longitude - 180_000_000 if longitude > 0 else longitude + 180_000_000)) == HALF_CIRCLE


@given(places, places, places)
def test_no_detour_is_shorter(here: Place, there: Place, over: Place) -> None:
    """Three roundings of half a metre each."""
    assert metres_between(here, there) <= metres_between(here, over) + metres_between(over, there) + 1


@given(longitudes, longitudes, latitudes)
def test_a_pole_has_no_longitude_and_the_date_line_is_one_line(one: int, other: int, latitude: int) -> None:
    for pole in (90_000_000, -90_000_000):
        assert metres_between((pole, one), (pole, other)) == 0
        assert metres_between((pole, one), (latitude, other)) == metres_between((pole, 0), (latitude, 0))
    assert metres_between((latitude, 180_000_000), (latitude, -180_000_000)) == 0
    assert metres_between((latitude, 180_000_000), (0, one)) == metres_between((latitude, -180_000_000), (0, one))


@pytest.mark.parametrize(
    ("here", "there", "metres"),
    [
        ((0, 0), (0, 1), 0),
        ((0, 0), (0, 5), 1),
        ((0, 0), (1_000_000, 0), 111_195),
        ((0, 0), (90_000_000, 0), 10_007_558),
        ((0, 0), (0, 180_000_000), HALF_CIRCLE),
        ((52_520_000, 13_405_000), (48_137_000, 11_575_000), 504_339),
        ((13_756_000, 100_502_000), (35_690_000, 139_692_000), 4_603_026),
        ((-33_869_000, 151_209_000), (51_507_000, -128_000), 16_993_990),
    ],
)
def test_figures_that_must_never_change(here: Place, there: Place, metres: int) -> None:
    assert metres_between(here, there) == metres
