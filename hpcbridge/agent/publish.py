# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What leaves the site. An append-only log cannot forget, so what a mode keeps back never reaches it.

`tenants`: only jobs of those who rented, of owners the sysadmin lists, and on the watch list. `pseudonyms`: all jobs, each owner but those
who rented under a random pseudonym from a table kept at the site, without job names and accounts. `full`: all jobs as they are.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection
from enum import StrEnum

from hpcbridge.model.jobs import Job

_PSEUDONYM = re.compile(r"p-[0-9a-f]{16}\Z")


class PublishMode(StrEnum):
    """How much leaves the site."""

    TENANTS = "tenants"
    """Tenants, listed owners and watched jobs."""
    PSEUDONYMS = "pseudonyms"
    """All jobs, nobody's name."""
    FULL = "full"
    """All jobs as they are."""


def is_wanted(job: Job, *, mode: PublishMode, owners: Collection[str], watched: Collection[str]) -> bool:
    """True if the ledger is to be told of this job. A member of a watched array counts as watched."""
    if mode is not PublishMode.TENANTS:
        return True
    return job.owner in owners or job.job_id in watched or (job.array_job_id is not None and job.array_job_id in watched)


def outgoing(job: Job, *, mode: PublishMode, tenants: Collection[str] = (), pseudonym_of: Callable[[str], str]) -> Job:
    """The job as it may leave the site. A tenant's username came from the ledger and is nobody's name; its jobs are metered by it."""
    if mode is not PublishMode.PSEUDONYMS or job.owner in tenants:
        return job
    owner = job.owner
    if owner is not None and not _PSEUDONYM.match(owner):
        owner = pseudonym_of(owner)
    return dataclasses.replace(job, owner=owner, name=None, account=None)


def make_pseudonym(random_bytes: bytes) -> str:
    """A pseudonym from eight random bytes."""
    return f"p-{random_bytes.hex()}"
