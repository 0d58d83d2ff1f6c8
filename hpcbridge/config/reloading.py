# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What differs between a configuration that runs and the file as it is now."""

from __future__ import annotations

import dataclasses


def changed_keys(old: object, new: object) -> tuple[str, ...]:
    """Keys whose values differ, as they stand in the file: `log.level`. A list that differs is one key, as is a section that came."""
    return tuple(_changed(old, new, ""))


def _changed(old: object, new: object, place: str) -> list[str]:
    if old == new:
        return []
    if not dataclasses.is_dataclass(old) or type(old) is not type(new):
        return [place]
    names = (each.name for each in dataclasses.fields(old))
    return [key for name in names for key in _changed(getattr(old, name), getattr(new, name), f"{place}.{name}".lstrip("."))]
