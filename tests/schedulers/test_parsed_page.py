# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""docs/parsed.md shows what parse prints today."""

from __future__ import annotations

from docs import make_parsed
from hpcbridge.schedulers import SCHEDULERS


def test_the_page_is_what_parse_prints() -> None:
    assert make_parsed.page() == make_parsed.PAGE.read_text(encoding="utf-8"), "run: make docs"


def test_every_scheduler_is_shown() -> None:
    assert {case.partition("/")[0] for _, case in make_parsed.SHOWN} == set(SCHEDULERS)
