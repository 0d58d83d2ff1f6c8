# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Times of OpenPBS: `Sun Nov 22 11:07:11 2026`, local to whoever ran qstat and without a zone, beside a few in seconds since the epoch.

Which zone it was, the command says (`findings.zone_of`). It is proven wrong where a time of the past lies after the clock of the
client (`timestamp`), or where a job was changed for the last time before it became history (`history_timestamp`, in seconds).
"""

from __future__ import annotations

import datetime
import re

from hpcbridge.model.quantities import Instant, instant_from_seconds
from hpcbridge.schedulers.openpbs.attributes import raw_of

SLACK_MS = 300_000
"""Clocks of server and client may differ by so much; zones differ by at least fifteen minutes."""

_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}
_TIME = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})\Z", re.ASCII)
_CLOCK = re.compile(r"[A-Z][a-z]{2} .{6} [01]\d:[0-5]\d:[0-5]\d|[A-Z][a-z]{2} .{6} 2[0-3]:[0-5]\d:[0-5]\d", re.ASCII)
_MOST_REMEMBERED = 4_096


class LocalTimes:
    """Reads times of one zone; the same text is read once."""

    def __init__(self, zone: datetime.tzinfo) -> None:
        self._zone = zone
        self._known: dict[str, Instant | None] = {}
        self._days: dict[str, int] = {}

    @property
    def zone(self) -> datetime.tzinfo:
        """The zone the times are local to."""
        return self._zone

    def read(self, text: str) -> Instant | None:
        """The instant of a value as it stands in its line; None for one that the end of summer time makes ambiguous.

        Raises ValueError for what is no time.
        """
        if text in self._known:
            return self._known[text]
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
            self._days.clear()
        moment = self._known[text] = self._parse(raw_of(text))
        return moment

    def _parse(self, text: str) -> Instant | None:
        if self._zone is datetime.UTC and (day := self._days.get(text[4:10] + text[19:])) is not None and _CLOCK.match(text):
            return instant_from_seconds(day + (int(text[11:13]) * 60 + int(text[14:16])) * 60 + int(text[17:19]))
        match = _TIME.match(text)
        month = _MONTHS.get(match.group(1)) if match else None
        if not match or month is None:
            raise ValueError(f"{text[:40]!r} is not a time")
        day, hour, minute, second, year = (int(part) for part in match.group(2, 3, 4, 5, 6))
        local = datetime.datetime(year, month, day, hour, minute, min(second, 59), tzinfo=self._zone)
        if local.utcoffset() != local.replace(fold=1).utcoffset():
            return None
        seconds = int(local.timestamp())
        if self._zone is datetime.UTC:
            self._days[text[4:10] + text[19:]] = seconds - seconds % 86_400
        return instant_from_seconds(seconds)


def zone_is_wrong(*, latest: Instant | None, taken_at: Instant | None) -> bool:
    """True if something of the past is said to be later than the report itself."""
    return latest is not None and taken_at is not None and latest > taken_at + SLACK_MS
