# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Several tests at once (`pytest -n 2 --dist loadgroup`): the tests of a file stay together, and what takes longest begins first.

The booted machines are one group, because they share the packages and the two machines they are installed on.

Other accounts, which some tests play, may pass through the folders in which pytest makes those of the tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

_LONGEST = ("machine", "end_to_end", "agent", "accounts", "client", "ctl", "schedulers")
"""Folders in the order in which they are begun; all others follow."""
_TOGETHER = frozenset({"machine"})
_TESTS = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Gives each test its group, and puts the folders in order if there is more than one worker."""
    if not config.pluginmanager.hasplugin("xdist") or not config.getoption("tx", default=None):
        return
    for item in items:
        folder, place = _place(item)
        item.add_marker(pytest.mark.xdist_group(folder if folder in _TOGETHER else place))
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
    folder, _ = _place(item)
    return _LONGEST.index(folder) if folder in _LONGEST else len(_LONGEST)


def _place(item: pytest.Item) -> tuple[str, str]:
    """Folder below tests/ and path of a test's file; an empty folder for those that lie there directly."""
    path = item.path.relative_to(_TESTS)
    return (path.parts[0] if len(path.parts) > 1 else ""), str(path)
