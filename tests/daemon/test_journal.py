# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Entries with fields over a real datagram socket, and lines where there is no journal."""

from __future__ import annotations

import ast
import io
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcbridge.daemon import journal
from hpcbridge.daemon.journal import JournalHandler, fields_of, leads_to_journal

SAYS = """
import logging, os
from hpcbridge.daemon.journal import start_logging
start_logging("info", os.environ, program="hpcbridged", fields={"cluster": "north"})
logging.getLogger("a.b").warning("job_watched job=%s", "4711")
"""


class Journal:
    """Reads what was sent as the journal would."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(10)

    def next(self) -> dict[str, str]:
        data, fields = self.socket.recv(1 << 20), {}
        while data:
            name, _, rest = data.partition(b"\n")
            length = int.from_bytes(rest[:8], "little")
            fields[name.decode()] = rest[8 : 8 + length].decode()
            assert rest[8 + length : 9 + length] == b"\n"
            data = rest[9 + length :]
        return fields


@pytest.fixture(name="there")
def _there(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "socket")
    yield made
    made.socket.close()


@pytest.fixture(name="logger")
def _logger(there: Journal) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    fallback = io.StringIO()
    handler = JournalHandler(str(there.path), {"HPCBRIDGE_CLUSTER": "north"}, fallback=fallback)
    logger = logging.getLogger("hpcbridge.some.part")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield logger, fallback
    logger.removeHandler(handler)
    handler.close()


def said(template: str, *arguments: object) -> dict[str, str]:
    return fields_of(logging.LogRecord("n", logging.INFO, "p", 1, template, arguments, None))


def test_an_event_has_its_values_as_fields(there: Journal, logger: tuple[logging.Logger, io.StringIO]) -> None:
    logger[0].warning("refused index=%d first_code=%s first_reason=%r", 7, "MALFORMED", "no 'x'")
    fields = there.next()
    assert fields["MESSAGE"] == "refused index=7 first_code=MALFORMED first_reason=\"no 'x'\""
    assert fields["PRIORITY"] == "4"
    assert fields["LOGGER"] == "hpcbridge.some.part"
    own = {name: value for name, value in fields.items() if name.startswith("HPCBRIDGE_")}
    assert own == {
        "HPCBRIDGE_CLUSTER": "north", "HPCBRIDGE_EVENT": "refused", "HPCBRIDGE_INDEX": "7",
        "HPCBRIDGE_FIRST_CODE": "MALFORMED", "HPCBRIDGE_FIRST_REASON": "no 'x'",
    }  # fmt: skip


def test_a_value_can_make_neither_a_field_nor_an_entry(there: Journal, logger: tuple[logging.Logger, io.StringIO]) -> None:
    logger[0].info("job_watched job=%s", "1 event=x\nPRIORITY=0\nHPCBRIDGE_EVENT\n%s")
    fields = there.next()
    assert fields["PRIORITY"] == "6"
    assert fields["HPCBRIDGE_EVENT"] == "job_watched"
    assert fields["HPCBRIDGE_JOB"] == "1 event=x\nPRIORITY=0\nHPCBRIDGE_EVENT\n%s"


@pytest.mark.parametrize(
    ("template", "arguments", "fields"),
    [
        ("started workers=%d", (3,), {"event": "started", "workers": "3"}),
        ("stop_incomplete workers=%s after=%.0fs", ("a b", 1.6), {"event": "stop_incomplete", "workers": "a b", "after": "2s"}),
        ("account_%s rental=%s", ("ready", "l7"), {"event": "account_ready", "rental": "l7"}),
        ("certificate_expired renewed=soon", (), {"event": "certificate_expired", "renewed": "soon"}),
        ("pyslurm is used version=%s", ("23.2",), {"version": "23.2"}),
        ("uid %d asked and may not", (5,), {}),
        ("half=%d%% done", (50,), {"half": "50%"}),
        ("%s", ("event job=1",), {}),
        ("odd job=%s", (), {}),
        ("", (), {}),
    ],
)
def test_what_is_a_field(template: str, arguments: tuple[object, ...], fields: dict[str, str]) -> None:
    assert said(template, *arguments) == fields


def test_every_message_of_ours_that_names_values_gives_them_all() -> None:
    """No template in the program is one that the reading of fields does not understand."""
    found = 0
    for path in Path(journal.__file__).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="logger")), args=[ast.Constant(value=str(template)), *_]):
                    names = {word.partition("=")[0] for word in template.split(" ") if "=%" in word}
                    values = [1 for each in re.findall(r"%+[^%]", template) if len(each) % 2 == 0]
                    assert names <= set(said(template, *values)), template
                    found += len(names)
    assert found > 100


def test_an_error_brings_its_traceback(there: Journal, logger: tuple[logging.Logger, io.StringIO]) -> None:
    nobody: dict[str, str] = {}
    try:
        _ = nobody["nothing"]
    except KeyError:
        logger[0].exception("call_failed method=%s", "Submit")
    fields = there.next()
    assert fields["PRIORITY"] == "3"
    assert "KeyError: 'nothing'" in fields["MESSAGE"]
    assert fields["HPCBRIDGE_METHOD"] == "Submit"


def test_a_journal_that_goes_and_comes_again(there: Journal, logger: tuple[logging.Logger, io.StringIO]) -> None:
    logger[0].info("one")
    assert there.next()["MESSAGE"] == "one"
    there.socket.close()
    there.path.unlink()
    logger[0].error("two\nlines")
    assert logger[1].getvalue() == "<3>two | lines\n"
    again = Journal(there.path)
    logger[0].info("three")
    assert again.next()["MESSAGE"] == "three"
    again.socket.close()


def test_what_a_journal_that_hangs_did_not_take_is_counted(
    there: Journal, logger: tuple[logging.Logger, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_WAIT_SECONDS", 0.01)
    sent = 0
    while not (lost := getattr(logger[0].handlers[0], "_lost")):  # noqa: B009 - no public way to see it
        logger[0].info("x" * 1000)
        sent += 1
        assert sent < 10_000
    there.socket.settimeout(0)
    taken = 0
    while taken < sent - lost:
        there.next()
        taken += 1
    logger[0].info("after")
    assert there.next()["HPCBRIDGE_LOST_ENTRIES"] == str(lost)
    logger[0].info("later")
    assert "HPCBRIDGE_LOST_ENTRIES" not in there.next()


def test_only_where_standard_error_is_the_journals() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading):
        facts = os.fstat(writing)
        assert leads_to_journal(stream, {"JOURNAL_STREAM": f"{facts.st_dev}:{facts.st_ino}"})
        assert not leads_to_journal(stream, {"JOURNAL_STREAM": f"{facts.st_dev}:{facts.st_ino + 1}"})
        assert not leads_to_journal(stream, {})
        assert not leads_to_journal(io.StringIO(), {"JOURNAL_STREAM": ":"})


def test_elsewhere_it_is_lines() -> None:
    done = subprocess.run([sys.executable, "-c", SAYS], capture_output=True, text=True, check=True)
    assert done.stderr == "WARNING a.b job_watched job=4711\n"
