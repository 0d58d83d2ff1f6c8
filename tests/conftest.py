# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Several tests at once (`pytest -n 2 --dist loadfile`): the tests of a file stay together, and what takes longest begins first.

Other accounts, which some tests play, may pass through the folders in which pytest makes those of the tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

_LONGEST = ("machine", "end_to_end", "agent", "accounts", "client", "ctl", "schedulers")
"""Folders in the order in which they are begun; all others follow."""
_TESTS = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the folders in order if there is more than one worker."""
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)


@pytest.fixture(scope="session", autouse=True)
def way_to_tests_for_other_accounts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A worker's folders lie one deeper than those of a pytest alone."""
    base = tmp_path_factory.getbasetemp()
    for folder in (base, *base.parents):
        if not folder.name.startswith(("pytest-", "popen-")):
            break
        folder.chmod(0o711)


def _rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(_TESTS).parts[0]
    return _LONGEST.index(folder) if folder in _LONGEST else len(_LONGEST)
