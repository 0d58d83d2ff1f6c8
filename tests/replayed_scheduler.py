# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Collecting scripts that print what a recording holds: a scheduler of any kind, for what asks one as a whole."""

from __future__ import annotations

import json
from pathlib import Path


def replay(case: Path, scripts: Path) -> str:
    """Writes the scripts of one recording under `scripts`/<scheduler>; returns the scheduler's name."""
    meta = json.loads((case / "meta.json").read_text())
    scheduler: str = meta["scheduler"]
    folder = scripts / scheduler
    folder.mkdir(parents=True)
    for query, facts in meta["queries"].items():
        path = folder / query
        path.write_text(f'#!/bin/sh\ncat "{case / query}.out"\ncat "{case / query}.err" >&2\nexit {facts["exit_status"]}\n')
        path.chmod(0o755)
    return scheduler
