# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Whose is a file: what root runs, nobody but root may have written.

A file counts as root's if it and every folder above it belong to root and nobody else may write there. A folder that everybody may
write to but with the sticky bit (like /tmp) lets nobody replace what is root's in it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

MAX_FILES = 10_000
"""A folder of scripts has dozens; a setting that names / should not keep anybody waiting."""


def why_root_must_not_run(script: Path) -> str:
    """The reason, or an empty text. What lies beside and below a script counts as its parts, and so does the folder `accounts` beside its
    own, from which the scripts of each scheduler take theirs.
    """
    folder = script.absolute().parent
    checked = 0
    for path in (script, folder, folder.parent / "accounts"):
        for member in _with_all_below(path):
            checked += 1
            if checked > MAX_FILES:
                return f"{folder}: there are too many files here to look at each"
            if wrong := why_not_roots(member):
                return wrong
    return ""


def why_not_roots(path: Path) -> str:
    """The reason, or an empty text if this path is root's alone: as it is written and, where a link is on it, as it is resolved."""
    for way in {path, path.resolve()}:
        for place in (way, *way.parents):
            try:
                found, link = place.stat(), place.lstat()
            except OSError as error:
                return f"{place}: {error.strerror}"
            if found.st_uid != 0 or link.st_uid != 0:
                return f"{place}: belongs to uid {found.st_uid or link.st_uid}; what root runs must belong to root"
            is_sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX and place != way
            if found.st_mode & 0o022 and not is_sticky:
                return f"{place}: others than root may write there (mode {stat.S_IMODE(found.st_mode):04o}); chmod go-w it"
    return ""


def _with_all_below(path: Path) -> Iterator[Path]:
    if path.exists():
        yield path
    for above, folders, files in os.walk(path):
        for name in (*folders, *files):
            yield Path(above) / name
