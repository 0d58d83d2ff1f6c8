# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Named places where a test may make the process die or an operation fail: before and after every durable step.

`HPCBRIDGE_FAILPOINT="store.before_commit:exit"` in the environment arms a place; several are separated by commas. The form is
`name:action[:count]`; the action happens once, at the count-th visit (the first if no count is given). Actions:

* `exit`: the process ends at once, like kill -9: no clean-up, no buffered output;
* `raise`: `FailpointReached`, an error nobody expects;
* `eio`, `enospc`: the `OSError` that a failing or full disk gives.

Nothing is armed in normal operation, and `reach` then only looks at an empty table.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from hpcbridge.errors import ConfigError

EXIT_STATUS = 86
"""Exit status of a process that ended at a fail point; nothing else uses it."""

_OS_ERRORS = {"eio": errno.EIO, "enospc": errno.ENOSPC}
_ACTIONS = ("exit", "raise", *_OS_ERRORS)


class FailpointReached(Exception):
    """What the action `raise` raises; it belongs to no error family on purpose."""


@dataclass(slots=True)
class _Trap:
    action: str
    visits_left: int


_traps: dict[str, _Trap] = {}


def reach(name: str) -> None:
    """Called where the fail point `name` stands; does what is armed there, if anything."""
    if _traps:
        _spring(name)


def arm(text: str) -> None:
    """Arms what `text` says (form above) and nothing else; an empty text disarms everything. ConfigError if it cannot be read."""
    traps = dict(_parse(item) for item in text.split(",") if item)
    _traps.clear()
    _traps.update(traps)


def _parse(item: str) -> tuple[str, _Trap]:
    name, action, count = (*item.split(":"), "1")[:3] if item.count(":") in {1, 2} else ("", "", "")
    if not name or action not in _ACTIONS or not count.isdecimal() or int(count) == 0:
        raise ConfigError(
            f"fail point {item[:80]!r} is not name:action[:count]",
            hint=f"unset HPCBRIDGE_FAILPOINT, or use one of the actions {', '.join(_ACTIONS)}",
        )
    return name, _Trap(action, int(count))


def _spring(name: str) -> None:
    trap = _traps.get(name)
    if trap is None:
        return
    trap.visits_left -= 1
    if trap.visits_left > 0:
        return
    del _traps[name]
    if trap.action == "exit":
        os._exit(EXIT_STATUS)
    if trap.action == "raise":
        raise FailpointReached(name)
    raise OSError(_OS_ERRORS[trap.action], f"fail point {name}")


arm(os.environ.get("HPCBRIDGE_FAILPOINT", ""))
