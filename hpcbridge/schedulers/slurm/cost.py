# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What our polling costs slurmctld: the counters of remote procedure calls that `sdiag` prints, by account (sdiag(1)).

Times are those of the controller's threads in microseconds, waiting for its locks included. An account is known by its number: names are
cut to their column. All that one account asks counts, by our scripts or by hand.
"""

from __future__ import annotations

import re

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.quantities import Instant, escape_text
from hpcbridge.schedulers.report import Effort, Report
from hpcbridge.schedulers.slurm.lines import check_success, lines_of

_TIME = re.compile(r"(sdiag output at|Data since) .*\((\d{1,11})\)\Z", re.ASCII)
_BY_USER = "Remote Procedure Call statistics by user"
_USER = re.compile(r"\s.*\(\s*(\d{1,10})\)\s*count:(\d{1,18})\s+ave_time:\d+\s+total_time:(\d{1,18})\s*\Z", re.ASCII)


def effort_from(report: Report, *, user_id: int) -> Effort:
    """The counters of `user_id`, 0 where the controller has counted nothing of it yet, and of all accounts."""
    check_success(report)
    lines = lines_of(report)
    times = {match.group(1): int(match.group(2)) * 1000 for line in lines[:5] if (match := _TIME.match(line))}
    if len(times) != 2 or _BY_USER not in lines:
        raise ReportUnreadable("no statistics of calls by user", line_number=1, line=escape_text(lines[0]))
    calls: dict[int, tuple[int, int]] = {}
    for number, line in enumerate(lines[lines.index(_BY_USER) + 1 :], lines.index(_BY_USER) + 2):
        if not line.strip():
            break
        match = _USER.match(line)
        if not match:
            raise ReportUnreadable("not an account's count of calls", line_number=number, line=escape_text(line))
        calls[int(match.group(1))] = int(match.group(2)), int(match.group(3))
    own_calls, own_us = calls.get(user_id, (0, 0))
    return Effort(
        at=Instant(times["sdiag output at"]),
        since_at=Instant(times["Data since"]),
        calls=own_calls,
        busy_us=own_us,
        all_calls=sum(count for count, _ in calls.values()),
        all_busy_us=sum(spent for _, spent in calls.values()),
    )
