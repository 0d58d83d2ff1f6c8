# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Prints reports as the schedulers would, with a hostile value in one field: recorded reports in which one value is exchanged.

What a scheduler does to a text before it prints it was seen on real ones (tests/recorded, `zoo`, `hostile`, `ended`):

* Slurm prints names raw, newlines included, in squeue, sacct -P and scontrol -o. Nothing is quoted.
* TORQUE's XML writes <>&" as entities; control and Latin-1 bytes and newlines pass raw.
* OpenPBS's JSON up to 23.06 writes short escapes for line ends, tabs and the like, and other control bytes and Latin-1 as `^` and a
  letter. A quote gets a backslash unless there is one before it or it comes first; a backslash stays as it is with what follows, but goes
  from before a quote mark or a comma. A value that strtod reads to its end goes out bare and whole, with the white space around it (line
  ends too), except one that begins with a zero and is 1 or more. Names of variables pass raw up to their first `=`. Newer releases print
  through a library, with every escape; the tests try both.
* Grid Engine's XML writes <>&"' as entities, except that < in a job name comes out as %lt;. Other bytes pass raw. qacct and qconf
  print values raw, each on its line.
* The standard JSON is printed by a site's script with a JSON library; both ways of such libraries with characters that are not
  ASCII are tried.

These are C programs: a text of theirs ends before its first NUL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from hpcbridge.schedulers import SCHEDULERS
from hpcbridge.schedulers.recording import load_recording
from hpcbridge.schedulers.report import Report

RECORDED = Path(__file__).parents[1] / "recorded"
Escape = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Field:
    """One value of one record that a stranger writes. `before` ends where it begins, `length` is the bytes it replaces.

    `anybody`: every user may write it, so it must not cost the rest of the report. `forgeable`: the form is raw text, so a value may
    make another record of the report doubtful (which is then kept out and named), though never say anything of it.
    """

    scheduler: str
    what: str
    query: str
    subject: str
    print_with: Callable[[bytes], Report]
    anybody: bool = True
    forgeable: bool = False

    @property
    def name(self) -> str:
        return f"{self.scheduler}-{self.query}-{self.what}"


def c_string(value: bytes) -> bytes:
    return value.partition(b"\0")[0]


def raw(value: bytes) -> bytes:
    return c_string(value)


def raw_with_nul(value: bytes) -> bytes:
    """No C program prints one, but a damaged file may hold it."""
    return value


def torque_xml(value: bytes) -> bytes:
    value = c_string(value)
    for character, entity in ((b"&", b"&amp;"), (b"<", b"&lt;"), (b">", b"&gt;"), (b'"', b"&quot;")):
        value = value.replace(character, entity)
    return value


def gridengine_xml(value: bytes) -> bytes:
    return torque_xml(value).replace(b"'", b"&apos;")


def gridengine_job_name(value: bytes) -> bytes:
    return gridengine_xml(value).replace(b"&lt;", b"%lt;")


def openpbs_json(value: bytes) -> bytes:
    """The value as 23.06 prints it behind its colon, quoted or bare."""
    value = c_string(value)
    if _reads_as_number(value):
        return value
    escaped = re.sub(rb"\\(['\",])|\\([^'\",])|(?<!^)\"|[\b\f\n\r\t]", _openpbs_escape, value, flags=re.DOTALL)
    return b'"' + re.sub(rb"[^ -~\t-\r]", lambda found: bytes([94, (found.group()[0] + 64) % 256]), escaped) + b'"'


def _openpbs_escape(found: re.Match[bytes]) -> bytes:
    whole, special, other = found.group(0), found.group(1), found.group(2)
    if special is not None:
        return whole if special == b'"' else special
    if other is not None:
        return whole
    return {b"\b": b"\\b", b"\f": b"\\f", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t"}.get(whole, b"\\" + whole)


def openpbs_json_of_a_library(value: bytes) -> bytes:
    """The value as newer releases print it."""
    value = c_string(value)
    return value if _reads_as_number(value) else openpbs_quoted(value)


def openpbs_variable(value: bytes) -> bytes:
    """The name of a variable as 23.06 prints it: raw, up to its first `=`. What stands behind that is its value."""
    name, equals, rest = c_string(value).partition(b"=")
    return b'"' + name + b'":' + (openpbs_json(rest) + b',\n                "Z":' if equals else b"")


def openpbs_quoted(value: bytes) -> bytes:
    """Always quoted, NUL and all."""
    escapes = ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n"), (b"\t", b"\\t"), (b"\r", b"\\r"), (b"\b", b"\\b"), (b"\f", b"\\f"))
    for character, escape in escapes:
        value = value.replace(character, escape)
    return b'"' + value + b'"'


def _reads_as_number(value: bytes) -> bool:
    hexadecimal = rb"0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][-+]?\d+)?"
    decimal = rb"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
    word = rb"[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN](?:\([0-9A-Za-z_]*\))?"
    if re.fullmatch(rb"\s*[-+]?(?:" + hexadecimal + rb"|" + decimal + rb"|" + word + rb")\s*", value) is None:
        return False
    text = value.strip()
    number = float.fromhex(text.decode()) if text[:2].lower() == b"0x" else float(text) if text[:1] == b"0" else 0.0
    return not value.startswith(b"0") or number < 1


def gridengine_raw(value: bytes) -> bytes:
    """qsub(1) refuses names and accounts with these characters, so they do not stand in the accounting file."""
    return re.sub(rb"[\n\t\r/:@\\*?]", b"", c_string(value))


def element(tag: str) -> Escape:
    return lambda value: f"<{tag}>".encode() + torque_xml(value) + f"</{tag}>".encode()


@cache
def recorded(case: str, query: str) -> Report:
    return load_recording(RECORDED / case).reports[query]


def replaced(report: Report, place: bytes, escape: Escape, value: bytes) -> Report:
    """The report with what the first group of `place` matched exchanged."""
    found = re.search(place, report.stdout, re.DOTALL)
    assert found, (report.query, place)
    start, end = found.span(1)
    return replace(report, stdout=report.stdout[:start] + escape(value) + report.stdout[end:])


def _fields_of(
    scheduler: str,
    case: str,
    query: str,
    subject: str,
    places: Mapping[str, bytes],
    *,
    escape: Escape,
    anybody: bool = True,
    forgeable: bool = False,
) -> list[Field]:
    def printer(place: bytes) -> Callable[[bytes], Report]:
        return lambda value: replaced(recorded(case, query), place, escape, value)

    return [Field(scheduler, what, query, subject, printer(place), anybody, forgeable) for what, place in places.items()]


_SQUEUE = rb"\n[0-9:-]+\|[0-9a-f]{8}\|15\|15\|15\|" + rb"[^|]*\|" * 3


def _slurm(version: str) -> list[Field]:
    case = f"slurm/{version}/zoo"
    job, ended, fallback = ("slurm", case, "jobs", "15"), ("slurm", case, "ended", "1"), ("slurm", case, "ended_fallback", "1")
    of_administrators = {
        name: _SQUEUE + rb"[^|]*\|" * skipped + rb"([^|]*)\|"
        for name, skipped in (("owner", 0), ("account", 1), ("queue", 2), ("reason", 4))
    }
    rest = rb"\|[0-9a-f]{8}\|inf\|[0-9a-f]{8}\|done-ok\n"
    of_accounting = {"owner": rb"\|(alice)\|[0-9a-f]{8}\|proj1" + rest, "account": rb"\|(proj1)" + rest}
    of_fallback = {"name": rb"JobId=1 JobName=(done-ok) ", "folder": rb"JobId=1 JobName=done-ok [^\n]*WorkDir=([^ \n]*)"}
    return [
        *_fields_of(*job, {"name": rb"\|(run-mixed)\n"}, escape=raw),
        *_fields_of(*job, {"name with NUL": rb"\|(run-mixed)\n"}, escape=raw_with_nul),
        *_fields_of(*job, of_administrators, escape=raw, anybody=False),
        *_fields_of(*ended, {"name": rb"\|(done-ok)\n"}, escape=raw),
        *_fields_of(*ended, of_accounting, escape=raw, anybody=False),
        *_fields_of(*fallback, of_fallback, escape=raw, forgeable=True),
        *_fields_of(
            "slurm", case, "nodes", "c5", {"reason": rb"NodeName=c5 [^\n]*Reason=([^\n\[]*)"}, escape=raw, anybody=False, forgeable=True
        ),
    ]


SLURM = [*_slurm("22.05.8"), *_slurm("26.05.5")]

_TORQUE_JOB = rb"<Job><Job_Id>26\.[^<]*</Job_Id>"
_NODE01 = rb"<name>node01</name>.*?"


def _torque(version: str) -> list[Field]:
    job = ("torque", f"torque/{version}/zoo", "jobs", "26")
    node = ("torque", f"torque/{version}/zoo", "nodes", "node01")
    of_anybody = {
        "name": _TORQUE_JOB + rb"<Job_Name>([^<]*)<",
        "variables": _TORQUE_JOB + rb".*?<Variable_List>([^<]*)<",
        "comment": _TORQUE_JOB + rb".*?<comment>([^<]*)<",
        "output": _TORQUE_JOB + rb".*?<Output_Path>([^<]*)<",
    }
    of_administrators = {
        "owner": _TORQUE_JOB + rb"<Job_Name>[^<]*</Job_Name><Job_Owner>([^<@]*)@",
        "queue": _TORQUE_JOB + rb".*?<queue>([^<]*)<",
    }
    of_nodes = {"message": _NODE01 + rb"<status>[^<]*uname=([^,<]*)", "properties": _NODE01 + rb"<properties>([^<]*)<"}
    return [
        *_fields_of(*job, of_anybody, escape=torque_xml),
        *_fields_of(*job, {"name with NUL": _TORQUE_JOB + rb"<Job_Name>([^<]*)<"}, escape=lambda value: value.replace(b"<", b"")),
        *_fields_of(*job, {"account": _TORQUE_JOB + rb".*?()</Job>"}, escape=element("Account_Name")),
        *_fields_of(*job, of_administrators, escape=torque_xml, anybody=False),
        *_fields_of(*node, of_nodes, escape=torque_xml, anybody=False),
        *_fields_of(*node, {"note": _NODE01 + rb"()</Node>"}, escape=element("note"), anybody=False),
    ]


TORQUE = [*_torque("4.2.10"), *_torque("6.1.3")]

_PBS_JOB = rb"\"29\.pbs01\":\{.*?"
_PBS = ("openpbs", "openpbs/23.06.06/zoo")
OPENPBS = [
    *_fields_of(
        *_PBS,
        "jobs",
        "29",
        {
            "name": _PBS_JOB + rb"\"Job_Name\":(\"[^\"]*\")",
            "value of a variable": _PBS_JOB + rb"\"PBS_O_LANG\":(\"[^\"]*\")",
            "comment": _PBS_JOB + rb"\"comment\":(\"[^\"]*\")",
            "arguments": _PBS_JOB + rb"\"Submit_arguments\":(\"[^\"]*\")",
            "project": _PBS_JOB + rb"\"project\":(\"[^\"]*\")",
        },
        escape=openpbs_json,
    ),
    *_fields_of(
        *_PBS,
        "jobs",
        "29",
        {
            "name (library)": _PBS_JOB + rb"\"Job_Name\":(\"[^\"]*\")",
            "value of a variable (library)": _PBS_JOB + rb"\"PBS_O_LANG\":(\"[^\"]*\")",
        },
        escape=openpbs_json_of_a_library,
    ),
    *_fields_of(
        *_PBS, "jobs", "29", {"name of a variable (raw)": _PBS_JOB + rb"(\"PBS_O_LANG\":)"}, escape=openpbs_variable, forgeable=True
    ),
    *_fields_of(
        *_PBS, "jobs", "29", {"name of a variable": _PBS_JOB + rb"(\"PBS_O_LANG\"):"}, escape=lambda value: openpbs_quoted(c_string(value))
    ),
    *_fields_of(*_PBS, "jobs", "29", {"name with NUL": _PBS_JOB + rb"\"Job_Name\":(\"[^\"]*\")"}, escape=openpbs_quoted),
    *_fields_of(
        *_PBS,
        "jobs",
        "29",
        {"owner": _PBS_JOB + rb"\"Job_Owner\":(\"[^\"]*\")", "queue": _PBS_JOB + rb"\"queue\":(\"[^\"]*\")"},
        escape=openpbs_json,
        anybody=False,
    ),
    *_fields_of(
        *_PBS,
        "jobs",
        "29",
        {"account": _PBS_JOB + rb"\"Job_Name\":\"[^\"]*\",()\n"},
        escape=lambda value: b'\n            "Account_Name":' + openpbs_json(value) + b",",
    ),
    *_fields_of(
        "openpbs",
        "openpbs/23.06.06/ended",
        "ended",
        "35",
        {"name": rb"\"35\.pbs01\":\{.*?\"Job_Name\":(\"[^\"]*\")", "comment": rb"\"35\.pbs01\":\{.*?\"comment\":(\"[^\"]*\")"},
        escape=openpbs_json,
    ),
    *_fields_of(
        *_PBS,
        "nodes",
        "cn01",
        {"comment": rb"\"cn01\":\{()\n"},
        escape=lambda value: b'\n            "comment":' + openpbs_json(value) + b",",
        anybody=False,
    ),
]

_GE_JOB = rb"<JB_job_number>41</JB_job_number>.*?"
_GE = ("gridengine", "gridengine/8.1.9/zoo")
GRIDENGINE = [
    *_fields_of(
        *_GE,
        "jobs",
        "41",
        {"name": _GE_JOB + rb"<JB_name>([^<]*)<", "full name": _GE_JOB + rb"<full_job_name>([^<]*)<"},
        escape=gridengine_job_name,
    ),
    *_fields_of(
        *_GE,
        "jobs",
        "41",
        {"name with NUL": _GE_JOB + rb"<JB_name>([^<]*)<"},
        escape=lambda value: value.replace(b"<", b"").replace(b"&", b""),
    ),
    *_fields_of(*_GE, "jobs", "41", {"owner": _GE_JOB + rb"<JB_owner>([^<]*)<"}, escape=gridengine_xml, anybody=False),
    *_fields_of(
        *_GE,
        "jobs",
        "41",
        {"account": _GE_JOB + rb"()<binding>", "queue": _GE_JOB + rb"()<binding>"},
        escape=lambda value: b"<JB_project>" + gridengine_xml(value) + b"</JB_project>",
        anybody=False,
    ),
    *_fields_of(*_GE, "nodes", "gpu01", {"name of a job": rb"<jobvalue jobid='41' name='job_name'>([^<]*)<"}, escape=gridengine_job_name),
    *_fields_of(
        "gridengine",
        "gridengine/8.1.9/ended",
        "ended",
        "1551",
        {
            "name": rb"jobname +(h_rt) *\n",
            "account": rb"jobnumber +1551 *\ntaskid[^\n]*\naccount +(\w+) *\n",
            "category": rb"jobnumber +1551 *\n.*?category +([^\n]*)",
        },
        escape=gridengine_raw,
    ),
]


def _standard_base() -> dict[str, Any]:
    job = {"state": "RUNNING", "owner": "alice", "account": "proj1", "queue": "batch", "name": "run", "native_state": "R", "reason": "none",
           "cores": 1, "nodes": ["n1"], "submitted_at": "2026-11-22T10:00:00Z", "started_at": "2026-11-22T10:00:01Z"}  # fmt: skip
    return {"jobs": [{"job_id": str(number), **job} for number in range(1, 6)]}


def _standard_node_base() -> dict[str, Any]:
    node = {"availability": "UP", "native_state": "idle", "reason": "none", "queues": ["batch"], "cores_total": 8, "cores_used": 0}
    return {"nodes": [{"name": f"n{number}", **node} for number in range(1, 6)]}


def _standard_fields() -> list[Field]:
    def printer(query: str, key: str, *, ascii_only: bool) -> Callable[[bytes], Report]:
        def report(value: bytes) -> Report:
            document = _standard_node_base() if query == "nodes" else _standard_base()
            records = document[query if query == "nodes" else "jobs"]
            records[2][key] = [value.decode("utf-8", "replace")] if key == "nodes" else value.decode("utf-8", "replace")
            text = json.dumps({query if query == "nodes" else "jobs": records}, ensure_ascii=ascii_only)
            return Report(query, ("site",), 0, text.encode() + b"\n", b"")

        return report

    places = [("jobs", key) for key in ("name", "owner", "account", "queue", "reason", "native_state", "nodes")]
    places += [("ended", "name"), ("nodes", "reason"), ("nodes", "native_state"), ("nodes", "gpu_type")]
    return [
        Field(
            "standard",
            f"{key} ({'ASCII' if ascii_only else 'UTF-8'})",
            query,
            "n3" if query == "nodes" else "3",
            printer(query, key, ascii_only=ascii_only),
        )
        for query, key in places
        for ascii_only in (True, False)
    ]


FIELDS: list[Field] = [field for field in (*SLURM, *TORQUE, *OPENPBS, *GRIDENGINE, *_standard_fields()) if field.scheduler in SCHEDULERS]
