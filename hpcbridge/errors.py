# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Six error families, by who must act.

Each error carries its facts as attributes, ``str()`` for the log, ``hint`` for the person,
``transient`` for the worker that decides whether to try again, and ``exit_status`` for the program.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


class HpcbridgeError(Exception):
    """Root of every error hpcbridge raises on purpose."""

    transient = False
    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(HpcbridgeError):
    """A file, permission or option that the sysadmin must change."""

    exit_status = 78


class SchedulerError(HpcbridgeError):
    """The scheduler's side failed; nothing is known, which is not the same as nothing being there."""

    transient = True


class ScriptFailed(SchedulerError):
    """A script ended with an error: `argv`, `exit_status_seen` and the beginning of its standard error."""

    def __init__(self, argv: Sequence[str], exit_status_seen: int, stderr: str, *, hint: str = "") -> None:
        # Slurm frames its worst news with a line of asterisks.
        worded = (line.strip() for line in stderr.splitlines() if any(map(str.isalnum, line)))
        super().__init__(f"{argv[0]}: exit status {exit_status_seen}: {next(worded, 'no message')[:200]}", hint=hint)
        self.argv = tuple(argv)
        self.exit_status_seen = exit_status_seen
        self.stderr = stderr


class ScriptMissing(SchedulerError):
    """There is no script for this query: `script` is where it would be."""

    def __init__(self, script: str) -> None:
        super().__init__(f"{script}: no such script", hint="[scheduler] names the folder of the collecting scripts")
        self.script = script


class ScriptTimedOut(SchedulerError):
    """A script was still running after `seconds`; its whole process group was killed."""

    def __init__(self, argv: Sequence[str], seconds: float) -> None:
        super().__init__(
            f"{argv[0]}: no answer within {seconds:g} s",
            hint="is the scheduler's server hanging? Run the script by hand to see.",
        )
        self.argv = tuple(argv)
        self.seconds = seconds


class ReportUnreadable(SchedulerError):
    """A report that cannot be used, with the line that shows it. It changes nothing that was known before."""

    def __init__(self, reason: str, *, line_number: int | None = None, line: str = "") -> None:
        place = f" (line {line_number}: {_quoted(line[:200])})" if line_number is not None else ""
        super().__init__(f"{reason}{place}")
        self.reason = reason
        self.line_number = line_number
        self.line = line


def _quoted(text: str) -> str:
    """In quotes as repr chooses them. What is printable was escaped by whoever read it: a second time would show other bytes."""
    if not text.isprintable():
        return repr(text)
    quote = '"' if "'" in text and '"' not in text else "'"
    return f"{quote}{text}{quote}"


class IdentityError(HpcbridgeError):
    """Keys, certificates and enrolment: a person must enrol, renew or repair."""

    exit_status = 77


class CertificateExpired(IdentityError):
    """A certificate that is past its end; renewal is still possible for the renewal window."""


class SignatureInvalid(IdentityError):
    """A signature that does not belong to these bytes and this key."""


class EnrolmentRefused(IdentityError):
    """The enrolment port refused: token wrong, used, expired, or name not allowed."""


class LedgerUnavailable(HpcbridgeError):
    """The ledger cannot be reached or asks to come back later; nothing is lost by waiting."""

    transient = True
    exit_status = 69


class QuotaExceeded(LedgerUnavailable):
    """One identity takes more of the service than its share; in `wait_seconds` (0: not known) there is room again."""

    def __init__(self, message: str, *, hint: str = "", wait_seconds: float = 0.0) -> None:
        super().__init__(message, hint=hint or (f"come again in {math.ceil(wait_seconds)} s" if wait_seconds else ""))
        self.wait_seconds = wait_seconds


class ReceiptPending(LedgerUnavailable):
    """A transaction was numbered and journaled, but no receipt came in time: whether it is an entry is not known yet.

    The next call that writes with this identity sends the same bytes again, and they count once. To make the same order anew would be a
    second one.
    """


class Refused(HpcbridgeError):
    """The contract or the service said no, with a code of `model.entries.EntryOutcome` or `Rejection`."""

    exit_status = 77

    def __init__(self, code: str, reason: str, *, hint: str = "") -> None:
        super().__init__(f"{code}: {reason}", hint=hint)
        self.code = code
        self.reason = reason


class IntegrityError(HpcbridgeError):
    """Bytes contradict each other. The process stops and stays stopped until a human has looked."""

    exit_status = 3


class BadData(HpcbridgeError):
    """A file given to a command is not what it claims to be: a proof, a receipt, an export, a recording."""

    exit_status = 65


class StorageError(HpcbridgeError):
    """An input/output error on our own files; the process ends and the next start verifies."""

    exit_status = 70
