# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The door to a database of places by IP address, as a site got it from whoever makes such: a file in the MaxMind DB format (.mmdb).

Only the site's own address is looked up, in a file of the site; nothing is asked of anybody. The library is optional (extra `location`).
"""

from __future__ import annotations

import errno
from pathlib import Path
from types import ModuleType
from typing import Any

from hpcbridge.errors import ConfigError

try:
    import maxminddb as _maxminddb
except ImportError:
    _maxminddb = None  # type: ignore[assignment,unused-ignore]

_library: ModuleType | None = _maxminddb
_WRITE_IT = "write the place itself instead: location = [latitude, longitude]"


def locate(database: Path, address: str) -> tuple[int, int]:
    """Latitude and longitude of an IP address in micro-degrees; ConfigError if the file does not tell."""
    if _library is None:
        told = "[cluster] location_database: the library maxminddb is not installed"
        raise ConfigError(told, hint=f"pip install maxminddb, or {_WRITE_IT}")
    record = _record(_library, database, address)
    place = record.get("location") if isinstance(record, dict) else None
    if not isinstance(place, dict):
        raise ConfigError(
            f"{database} knows no place for {address}",
            hint=f"use an address of yours that others see, and a database of cities; or {_WRITE_IT}",
        )
    latitude, longitude = _micro(place.get("latitude"), limit=90), _micro(place.get("longitude"), limit=180)
    if latitude is None or longitude is None:
        raise ConfigError(f"{database} names no latitude and longitude for {address}", hint=_WRITE_IT)
    return latitude, longitude


def _record(library: ModuleType, database: Path, address: str) -> Any:
    try:
        with library.open_database(str(database), library.MODE_FILE) as reader:
            return reader.get(address)
    except FileNotFoundError as error:
        raise ConfigError(f"{database}: no such file", hint="check [cluster] location_database") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # an empty file
            raise _damaged(database) from error
        raise ConfigError(f"{database}: cannot be read: {error.strerror}", hint="is it open to this account?") from error
    except ValueError as error:  # an IPv6 address and a database of IPv4 alone
        raise ConfigError(f"{database}: {error}", hint=_WRITE_IT) from error
    except (library.InvalidDatabaseError, IndexError, KeyError, TypeError) as error:
        raise _damaged(database) from error


def _damaged(database: Path) -> ConfigError:
    return ConfigError(f"{database} is not a .mmdb file, or is damaged", hint="get it again")


def _micro(degrees: Any, *, limit: int) -> int | None:
    """To the nearest micro-degree, a tenth of a metre; None for what is no place on Earth."""
    if isinstance(degrees, bool) or not isinstance(degrees, int | float) or not -limit <= degrees <= limit:
        return None
    return round(degrees * 1_000_000)
