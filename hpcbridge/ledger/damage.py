# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The one answer to a store that contradicts itself."""

from __future__ import annotations

from hpcbridge.errors import IntegrityError

DAMAGED_HINT = (
    "the store is damaged: keep the file for analysis, restore the newest backup or rebuild from another replica; "
    "the high-water file shows whether that copy is new enough"
)


def check_failed(what: str, finding: str) -> IntegrityError:
    """The error that names the failed check, what it found, and what to do."""
    return IntegrityError(f"check of {what} failed: {finding}", hint=DAMAGED_HINT)
