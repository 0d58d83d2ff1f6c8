# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One transaction of the command line: as `submitter` does it, with a word on what an earlier command had left."""

from __future__ import annotations

from hpcbridge.ctl.output import note
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.transactions import Body
from hpcbridge.submitter import submit as submitter
from hpcbridge.submitter.submit import DEADLINE_SECONDS, Earlier, Submitted
from hpcbridge.wire.client import LedgerClient

__all__ = ["Submitted", "submit"]


def submit(keys: KeyDirectory, client: LedgerClient, body: Body, *, deadline_seconds: float = DEADLINE_SECONDS) -> Submitted:
    """Sends one transaction and returns what the ledger made of it, accepted or refused."""
    return submitter.submit(keys, client, body, deadline_seconds=deadline_seconds, on_earlier=_tell)


def _tell(earlier: Earlier) -> None:
    submitted = earlier.submitted
    note(f"note: a transaction of an earlier command is now entry {submitted.index}: {', '.join(submitted.outcomes)}")
