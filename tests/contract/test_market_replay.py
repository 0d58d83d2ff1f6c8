# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The kept log of contract version 2, real envelopes and all, replays to the same bytes: here, in other processes, and in other Pythons.

A replay needs three packages that are built for one version of Python each; the full test installs them for every other one it finds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.contract import CONTRACT_VERSION, metering
from hpcbridge.contract.events import decode_event
from hpcbridge.fold import Applied, WorkingState, fold
from hpcbridge.model.entries import Entry, EntryOutcome, EventType
from hpcbridge.model.market import RentalEnd, UsageNotice
from hpcbridge.model.transactions import Envelope, PayloadType
from hpcbridge.wire.convert import decode
from tests.contract.market_stories import REFUSALS
from tests.contract.version_1 import read_leaves
from tests.contract.version_2 import FIGURES, LOG, check, replay

PACKAGES = ("msgspec", "protobuf", "cryptography")
OTHERS = ("python3.11", "python3.12", "python3.13", "python3.14")
ROOT = Path(__file__).resolve().parent.parent.parent
KEPT = json.loads(FIGURES.read_text())
SCRIPT = """
import json, sys
from pathlib import Path
from tests.contract.version_2 import replay
print(json.dumps([list(sys.version_info[:2]), replay(Path(sys.argv[1]))]))
"""


def replay_with(python: str, *, seed: str) -> Any:
    """Version and figures, as another process sees them."""
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "-c", SCRIPT, str(LOG)]
    return json.loads(subprocess.run(command, env=environment, capture_output=True, check=True, text=True, cwd=ROOT).stdout)


def test_the_kept_log_replays_byte_for_byte_and_is_still_told_like_this() -> None:
    assert replay(LOG) == KEPT
    assert check() == []


def test_the_kept_log_meets_everything() -> None:
    state, events, types = WorkingState(), set[str](), set[str]()
    ends, outcomes = set[str](), set[EntryOutcome]()
    for leaf in read_leaves(LOG):
        entry = decode(Entry, leaf)
        types.add(decode(Envelope, entry.envelope).payload_type)
        applied = fold(state, entry.envelope, index=entry.index, at=entry.at, proposer=entry.proposer, origin="test")
        assert isinstance(applied, Applied)
        state.put(applied)
        outcomes |= set(entry.outcomes)
        for event in applied.events:
            record = decode_event(event).record
            events.add(event.type)
            ends |= {str(record.end)} if event.type is EventType.RENTAL_ENDED and hasattr(record, "end") else set()
            events |= {record.excess} if isinstance(record, UsageNotice) else set()
    assert types == {kind.value for kind in PayloadType}
    assert ends == {end.value for end in RentalEnd}
    assert outcomes >= {code for code, _ in REFUSALS.values()}
    assert set(EventType) - events <= {EventType.CONTRACT_ACTIVATED, EventType.EPOCH_CLOSED}
    assert {"CORES", "GPUS", "WALLTIME", "JOBS"} <= events


def test_control_another_rounding_does_not_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "charge", lambda rate, seconds: -(-rate * seconds // 3600) + 1)
    with pytest.raises(AssertionError):
        replay(LOG)


def test_another_process_comes_to_the_same_bytes() -> None:
    for seed in ("0", "4242"):
        assert replay_with(sys.executable, seed=seed)[1] == KEPT


@pytest.mark.full
def test_another_version_of_python_comes_to_the_same_bytes() -> None:
    others = other_pythons()
    if not others:
        pytest.skip("there is no other Python from 3.11 on here; name one in HPCBRIDGE_OTHER_PYTHON")
    for version, python in others.items():
        assert replay_with(str(with_packages(version, python)), seed="1") == [[int(part) for part in version.split(".")], KEPT]


def other_pythons() -> dict[str, str]:
    """Other versions than this, by version: named, on the path, or where pyenv keeps them."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    named = [os.environ.get("HPCBRIDGE_OTHER_PYTHON", ""), *OTHERS, *map(str, sorted(pyenv.glob("3.*/bin/python3")))]
    found: dict[str, str] = {}
    for name in filter(None, map(shutil.which, filter(None, named))):
        command = [name, "-c", "import sys, ssl, sqlite3; print('%d.%d' % sys.version_info[:2])"]
        answer = subprocess.run(command, capture_output=True, check=False, text=True)
        version = answer.stdout.strip()
        if answer.returncode == 0 and int(version.split(".")[1]) >= 11:
            found.setdefault(version, name)
    found.pop(f"{sys.version_info[0]}.{sys.version_info[1]}", None)
    return found


def with_packages(version: str, python: str) -> Path:
    """An environment of its own for that Python, kept under build/ for the next time."""
    place = ROOT / "build" / "replay" / version
    if not (place / "ready").exists():
        subprocess.run([python, "-m", "venv", "--clear", str(place)], check=True)
        pip = [str(place / "bin" / "pip"), "install", "-q", "-c", str(ROOT / "constraints.txt"), *PACKAGES]
        subprocess.run(pip, check=True)
        (place / "ready").touch()
    return place / "bin" / "python"


def test_the_log_is_of_the_newest_version() -> None:
    first = decode(Entry, next(iter(read_leaves(LOG))))
    assert first.index == 0
    assert CONTRACT_VERSION == 2, "a later version has a log of its own, and this one is never made again"
