# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Which characters the output may use: dashes, arrows and bars where the locale has them, plain ones of the same width elsewhere."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Mapping
from typing import TextIO

_PLAIN: Mapping[str, str] = {"–": "-", "…": "~", "→": ">", "×": "x", "█": "#"}
_ERRORS = "hpcbridge.plain"


def use_known_signs() -> None:
    """Has both streams print what the locale can show: no crash, no broken bytes, a question mark at worst."""
    codecs.register_error(_ERRORS, _replaced)
    for stream, own in ((sys.stdout, sys.__stdout__), (sys.stderr, sys.__stderr__)):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="ascii" if stream is own and _is_plain_locale() else None, errors=_ERRORS)


def shows_lines(stream: TextIO) -> bool:
    """True if box-drawing characters come out as such."""
    return (stream.encoding or "").lower().startswith("utf")


def _is_plain_locale() -> bool:
    """True in the locale C or POSIX. Python then writes UTF-8 all the same (PEP 538, PEP 540), which no terminal of that locale shows."""
    return bool(sys.flags.utf8_mode) and os.environ.get("PYTHONUTF8") != "1" and "utf8" not in sys._xoptions  # noqa: SLF001 - documented there


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(each, "?") for each in error.object[error.start : error.end]), error.end
