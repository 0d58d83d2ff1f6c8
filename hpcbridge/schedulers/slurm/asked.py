# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What a recorded command asked squeue or sacct for: fields by name, letters of a format, widths that may have cut something."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

SQUEUE_FIELDS = (
    "jobarrayid", "jobid", "arrayjobid", "arraytaskid", "hetjobid", "hetjoboffset", "username", "account", "partition", "state",
    "reason", "submittime", "eligibletime", "starttime", "endtime", "timelimit", "numcpus", "numnodes", "nodelist", "tres-alloc",
    "tres-per-node", "tres-per-job", "tres-per-task", "minmemory", "exit_code", "requeue", "restartcnt", "name",
)  # fmt: skip
"""What squeue -O calls the columns after the nonce, in the order of our own list."""

_SQUEUE_LETTERS = {
    "i": "jobarrayid", "A": "jobid", "F": "arrayjobid", "K": "arraytaskid", "u": "username", "a": "account", "P": "partition",
    "T": "state", "r": "reason", "V": "submittime", "S": "starttime", "e": "endtime", "l": "timelimit", "C": "numcpus", "D": "numnodes",
    "N": "nodelist", "b": "tres-per-node", "m": "minmemory", "j": "name",
}  # fmt: skip
"""The same columns as squeue -o asks for them (squeue(1)); both ids of a job have the same header there too."""

_LETTER = re.compile(r"%[.0-9]*([A-Za-z])")
_WIDE_LETTER = re.compile(r"%\.?[0-9]+[A-Za-z]")
_WIDE_FIELD = re.compile(r":\.?[0-9]")


def asked_of_squeue(argv: Sequence[str], *, timed: bool) -> Sequence[str] | None:
    """Fields, after the first where that is the elapsed time with the nonce; None where the command does not say (a site's script)."""
    values = _option_values(argv, "squeue", ("-O", "--Format"))
    if not values:
        letters = [_LETTER.findall(value) for value in _option_values(argv, "squeue", ("-o", "--format"))]
        return [_SQUEUE_LETTERS.get(letter, letter) for letter in letters[-1][timed:]] if letters else None
    fields = [field.partition(":")[0].strip().lower() for field in values[-1].split(",")]
    return ["tres-per-node" if field == "gres" else field for field in fields[timed:]]


def fields_of_squeue(argv: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Each field of -O with what the command wants behind it; empty where there is no -O."""
    values = _option_values(argv, "squeue", ("-O", "--Format"))
    words = [field.partition(":") for field in values[-1].split(",")] if values else []
    return [(field.strip().lower(), suffix) for field, _, suffix in words]


def widths_of_squeue(argv: Sequence[str]) -> list[str]:
    """The columns that the command cuts to a width: what is missing of them cannot be seen."""
    fields = [field for value in _option_values(argv, "squeue", ("-O", "--Format")) for field in value.split(",")]
    letters = [word for value in _option_values(argv, "squeue", ("-o", "--format")) for word in _WIDE_LETTER.findall(value)]
    return [field for field in fields if _WIDE_FIELD.search(field)] + letters


def asked_of_sacct(argv: Sequence[str]) -> Sequence[str]:
    """Fields in small letters, widths left out."""
    values = _option_values(argv, "sacct", ("-o", "--format"))
    asked = [field.partition("%")[0].strip().lower() for value in values for field in value.split(",") if field]
    return [field for field in asked if field != "all"]


def _option_values(argv: Sequence[str], program: str, options: tuple[str, str]) -> list[str]:
    """Values of an option in its four spellings, from behind the program's name on."""
    names = [PurePath(argument).name for argument in argv]
    rest = list(argv[names.index(program) + 1 :]) if program in names else []
    short, long = options
    values = []
    for number, argument in enumerate(rest):
        if argument in options:
            values += rest[number + 1 : number + 2]
        elif argument.startswith(f"{long}="):
            values.append(argument.partition("=")[2])
        elif argument.startswith(short) and not argument.startswith("--"):
            values.append(argument[len(short) :])
    return values
