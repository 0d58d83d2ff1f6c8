# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""docs/worked-example.md is what the code does, byte by byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import make_worked_example


def test_the_page_is_what_the_code_makes() -> None:
    assert make_worked_example.example() == make_worked_example.TARGET.read_text(encoding="utf-8"), "run: make docs"


def test_a_changed_page_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    changed = tmp_path / "worked-example.md"
    changed.write_text(make_worked_example.TARGET.read_text(encoding="utf-8").replace("1f4be4e0", "1f4be4e1"), encoding="utf-8")
    monkeypatch.setattr(make_worked_example, "TARGET", changed)
    monkeypatch.setattr("sys.argv", ["make_worked_example.py", "--check"])
    assert make_worked_example.main() == 1
    assert "is not what" in capsys.readouterr().err
