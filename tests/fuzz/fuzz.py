# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Fuzzes one target with atheris: `python -m tests.fuzz.fuzz TARGET -runs=100000 -seed=1`; the recordings are where it begins.

Arguments behind the target's name are libFuzzer's. What broke a promise is written to `crash-…` in the current folder.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hpcbridge.schedulers", "hpcbridge.model"]):
    from tests.fuzz.targets import LONGEST, TARGETS, seeds


def main() -> None:
    name, *options = sys.argv[1:]
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds(name)):
            (Path(corpus) / f"{number:04}").write_bytes(seed)
        atheris.Setup([sys.argv[0], *options, f"-max_len={LONGEST}", "-timeout=20", "-rss_limit_mb=2048", corpus], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
