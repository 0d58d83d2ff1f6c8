# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Stands in for pyslurm in a real child process: its modern API as far as hpcbridge uses it, over what the real one gave.

The data under tests/schedulers/data/pyslurm-24.11/ are the attributes that pyslurm 24.11 gave on a Slurm 24.11.5, by `to_dict()` of
Jobs, Nodes and Partitions. Of job 68, whose name and comment are not UTF-8, `to_dict()` told nothing but its UnicodeDecodeError: it has
here the attributes of job 69, which the same user submitted by the same command, and the name it was submitted with. Variables of the
environment make the module misbehave: PYSLURM_VERSION is another version, PYSLURM_DATA another folder, PYSLURM_DOES one of the words below.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

__version__ = os.environ.get("PYSLURM_VERSION", "24.11.0")

_DATA = Path(os.environ.get("PYSLURM_DATA", Path(__file__).parents[1] / "schedulers" / "data" / "pyslurm-24.11"))
_DOES = os.environ.get("PYSLURM_DOES", "")
_NOT_UTF8 = {"name": b"bad\xff\xfeutf8", "comment": b"\xc3\x28 latin1 \xe9"}

_COMPUTES = types.ModuleType("pyslurm.core.job.job")


def _get_exit_code(status: int) -> tuple[int, int]:
    """As pyslurm does it: of a code from 128 on, the rest."""
    code, number = (0, status & 0x7F) if status & 0x7F else (status >> 8, 0)
    return (code - 128 if code >= 128 else code), number


if _DOES == "computes":
    _COMPUTES._get_exit_code = _get_exit_code  # type: ignore[attr-defined]
    sys.modules[_COMPUTES.__name__] = _COMPUTES

if _DOES == "no_slurm_conf":
    raise RuntimeError("slurm_init: Unable to process configuration file")
if _DOES == "exits":
    os._exit(1)


class RPCError(Exception):
    """What Slurm answered in place of what was asked for."""


class _Thing:
    """One job, node or partition: attributes as the real ones, which raise where they cannot be computed."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self._facts = facts

    def __getattr__(self, name: str) -> Any:
        facts: dict[str, Any] = object.__getattribute__(self, "_facts")
        if name not in facts:
            raise AttributeError(name)
        if name == "exit_code" and "status" in facts and _DOES == "computes":
            return sys.modules[_COMPUTES.__name__]._get_exit_code(facts["status"])[0]
        if isinstance(facts[name], bytes):
            return facts[name].decode()
        if facts[name] == {"no such user": True}:
            raise KeyError("getpwuid(): uid not found")
        return facts[name]

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in sorted(self._facts)}


def _load(name: str) -> dict[Any, _Thing]:
    os.write(1, b"slurm_load_something: what libslurm has to say\n")  # a C library cares nothing for sys.stdout
    if _DOES == "hangs":
        child = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.write(2, f"waits with {child.pid}\n".encode())
        threading.Event().wait()
    if _DOES == "refuses":
        raise RPCError("Unable to contact slurm controller (connect failure)")
    if _DOES == "eats_memory":
        return {number: _Thing({"name": bytearray(512 << 20)}) for number in range(8)}
    if _DOES == "crashes":
        os.abort()
    records: dict[str, dict[str, Any]] = json.loads(gzip.decompress((_DATA / f"{name}.json.gz").read_bytes()))
    if name == "jobs" and "EXC" in records.get("68", {}):
        records["68"] = {**records["69"], "id": 68, **_NOT_UTF8}
    return {int(key) if key.isdecimal() else key: _Thing(facts) for key, facts in records.items()}


class Jobs:
    @staticmethod
    def load() -> dict[Any, _Thing]:
        return _load("jobs")


class Nodes:
    @staticmethod
    def load() -> dict[Any, _Thing]:
        return _load("nodes")


class Partitions:
    @staticmethod
    def load() -> dict[Any, _Thing]:
        return _load("partitions")


if _DOES == "is_old":
    del Jobs
