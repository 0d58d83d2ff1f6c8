# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The attributes of one record of an OpenPBS report: by their indentation, as they stand in their lines, and cast by who reads them.

`Variable_List`, where any user may write anything, is stepped over and never looked into. But a variable's name is printed raw and
may close its list and go on with attributes, even with whole records of other jobs. What can be known of that: the server puts
its own variables (`PBS_O_HOST`) last, so they stand outside of the list then. And qstat ends a name at its first `=`: what stands
behind it is the variable's value, in which newlines are escaped, and next comes another variable, as deep as those of the list. So no
forged attribute of a job holds a `=`, unless something that deep follows it without a group around it. Hence `exec_vnode` is refused
where such a line follows, it is read as printed, nothing escaped stands for a `=` in it, and a job that runs or ran must have one.
What remains: a job that only waits, or was deleted while it did, can be forged under an id that nobody has.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from hpcbridge.model.quantities import escape_text

Attributes = dict[str, str]

_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})')
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SHORT = 128
"""Short texts repeat from job to job: one copy of each is kept."""


JOB_ATTRIBUTES = (
    "Job_Name", "Job_Owner", "job_state", "queue", "Account_Name", "ctime", "mtime", "qtime", "etime", "stime", "obittime",
    "history_timestamp", "exec_vnode", "Hold_Types", "substate", "comment", "run_count", "Exit_status", "array_state_count",
    "array_indices_remaining", "Resource_List", "resources_used",
)  # fmt: skip
"""What is read of a job; anything else is stepped over."""


class RecordReader:
    """Reads records of one layout: attributes by their names, those of a group (`Resource_List`) by `group.name`."""

    def __init__(self, unit: bytes) -> None:
        deep = unit * 3
        at, inner = re.escape(deep.decode()), re.escape(unit.decode())
        self._attribute = re.compile(f'\n{at}({inner})?"([^"\n]{{0,256}})":[ \t]?([^\n]*)')
        self._wanted = re.compile(f'\n{at}"({"|".join(JOB_ATTRIBUTES)})":[ \t]?([^\n]*)')
        self._inner = re.compile(f'\n{at}{inner}"([^"\n]{{0,256}})":[ \t]?([^\n]*)')
        self._nodes = f'\n{deep.decode()}"exec_vnode":'
        self._deeper = f'\n{deep.decode()}{unit.decode()}"'
        self._listed = f'\n{deep.decode()}"Resource_List":'
        self._used_words = f'\n{deep.decode()}"resources_used":'
        self._closing = f"\n{deep.decode()}}}"
        self._groups: dict[str, Attributes] = {}
        self._list = b"\n" + deep + b'"Variable_List":'
        self._group_end = b"\n" + deep + b"}"
        self._used = b"\n" + deep + b'"resources_used":'
        self._changed = b"\n" + deep + b'"mtime":'
        self._servers_own = b"\n" + deep + unit + b'"PBS_O_'

    def read(self, body: bytes) -> Attributes:
        """The attributes as printed. Raises ValueError for an attribute that stands twice: one may be forged."""
        found: Attributes = {}
        group = ""
        for inner, name, value in self._attribute.findall(self._without_variables(body)):
            if not inner:
                key = name
                group = key + "." if value in _OPENING else ""
            elif group:
                key = group + name
            else:
                continue
            if key in found:
                raise ValueError(f"{escape_text(key, limit=64)} stands twice")
            found[key] = value
        return found

    def read_job(self, body: bytes) -> tuple[Attributes, Attributes]:
        """Of a job, the attributes named JOB_ATTRIBUTES, as printed, and its Resource_List, raw. Raises ValueError as `read` does."""
        text = self._without_variables(body)
        place = text.find(self._nodes)
        if place >= 0 and text.startswith(self._deeper, text.find("\n", place + 1)):
            raise ValueError("exec_vnode is the end of a variable's name")
        found, fields = self._wanted.findall(text), dict[str, str]()
        fields.update(found)
        if len(fields) < len(found):
            raise ValueError("an attribute stands twice")
        fields["walltime"] = dict(self._inner.findall(self._group(text, self._used_words))).get("walltime", "")
        return fields, self._listed_in(self._group(text, self._listed))

    def _group(self, text: str, opening: str) -> str:
        start = text.find(opening)
        return text[start : text.find(self._closing, start)] if start >= 0 else ""

    def _listed_in(self, region: str) -> Attributes:
        """The values of a group, raw. Many jobs ask for the same, so a group that was read in this report is not read again."""
        known = self._groups.get(region)
        if known is not None:
            return known
        found = self._inner.findall(region)
        fields = {name: raw_of(value) for name, value in found}
        if len(fields) < len(found):
            raise ValueError("a resource stands twice")
        self._groups[region] = fields
        return fields

    def _without_variables(self, body: bytes) -> str:
        start = body.find(self._list)
        if start >= 0:
            end = body.find(self._group_end, start)
            tail = body[end:]
            if end < 0 or self._servers_own in tail or self._list in tail:
                raise ValueError("Variable_List has no end, or was closed by a variable's name")
            body = body[:start] + tail
        return body.decode("utf-8", "surrogateescape")

    def fingerprint(self, body: bytes) -> tuple[bytes, str]:
        """What tells a record from the same one a poll ago, and its mtime: all of it but mtime and what a running job has used so far."""
        used = body.find(self._used)
        after_used = body.find(self._group_end, used) if used >= 0 else -1
        if after_used < 0:
            used = after_used = 0
        changed = body.find(self._changed, after_used)
        after_changed = body.find(b"\n", changed + 1) if changed >= 0 else -1
        if after_changed < 0:
            changed = after_changed = len(body)
        digest = hashlib.blake2b(body[:used], digest_size=16)
        digest.update(body[after_used:changed])
        digest.update(body[after_changed:])
        value = body[changed + len(self._changed) : after_changed].decode("utf-8", "surrogateescape")
        return digest.digest(), raw_of(value.strip())


_OPENING = frozenset({"{", "["})


def has_items(body: bytes, name: str, unit: bytes) -> bool:
    """True if the array `name` of a record holds anything; newer releases print it in one line."""
    opening = b"\n" + unit * 3 + b'"' + name.encode() + b'":'
    start = body.find(opening)
    if start < 0:
        return False
    end = body.find(b"]", start)
    return b'"' in body[start + len(opening) : end if end >= 0 else len(body)]


def raw_of(value: str) -> str:
    """A value as it stands in its line, without the comma and the quotes around it: for everything that is not free text."""
    if value[-1:] == ",":
        value = value[:-1]
    return value[1:-1] if len(value) > 1 and value[0] == '"' == value[-1] else value


def text_of(value: str, *, limit: int) -> str:
    """Free text, harmless, with JSON's escapes undone; a backslash that escapes nothing stays.

    Newer releases print a text that is JSON itself as an object or a list; it goes on in other lines and is not put together again.
    """
    return _short_text(value, limit) if len(value) <= _SHORT else _text(value, limit)


def _text(value: str, limit: int) -> str:
    if value in _OPENING:
        return ""
    raw = raw_of(value)[: 6 * limit]
    return escape_text(_ESCAPE.sub(_unescaped, raw) if "\\" in raw else raw, limit=limit)


_short_text = lru_cache(maxsize=8192)(_text)


def _unescaped(match: re.Match[str]) -> str:
    word = match.group(1)
    if word.startswith("u"):
        return chr(int(word[1:], 16))
    return _ESCAPES.get(word, word)
