# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Durations, sizes, host lists, array ranges and resources, honest and hostile."""

from __future__ import annotations

import pytest

from hpcbridge.schedulers.notation import (
    MAX_HOSTS,
    count_tasks,
    expand_hosts,
    parse_count,
    parse_duration,
    parse_resources,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0:00", 0), ("1:25", 85), ("30:00", 1800), ("1:00:00", 3600), ("00:05:00", 300), ("1-00:00:00", 86400), ("365-00:00:00", 31536000),
     ("UNLIMITED", None), ("N/A", None), ("INVALID", None), ("", None)],
)  # fmt: skip
def test_durations(text: str, seconds: int | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("100M", 100 << 20), ("1G", 1 << 30), ("1.50G", 3 << 29), ("2T", 2 << 40), ("4000", 4000 << 20), ("0", 0), ("250Gn"[:-1], 250 << 30)],
)
def test_sizes_default_to_the_unit(text: str, size: int) -> None:
    assert parse_size(text, unit="M") == size


@pytest.mark.parametrize(("text", "count"), [("8", 8), ("2K", 2048), ("0", 0), ("1.5K", 1536)])
def test_counts_as_slurm_shortens_them(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("c8", ("c8",)),
        ("c[1-2]", ("c1", "c2")),
        ("c[1-2,5],d1", ("c1", "c2", "c5", "d1")),
        ("n[0009-0011]", ("n0009", "n0010", "n0011")),
        ("r[0-1]n[1-2]", ("r0n1", "r0n2", "r1n1", "r1n2")),
        ("gpu[1-2]-ib", ("gpu1-ib", "gpu2-ib")),
        ("", ()),
        ("(null)", ()),
        ("None assigned", ()),
    ],
)
def test_host_lists(text: str, names: tuple[str, ...]) -> None:
    assert expand_hosts(text) == names


@pytest.mark.parametrize(
    ("text", "count"), [("2-9%2", 8), ("12,16,20%1", 3), ("1-2997:7", 429), ("7", 1), ("0-9:3", 4), ("1-4,7,10-20:5%3", 8)]
)
def test_array_ranges(text: str, count: int) -> None:
    assert count_tasks(text) == count


def test_resources() -> None:
    assert parse_resources("cpu=2,mem=200M,gres/gpu:a100=1") == {"cpu": "2", "mem": "200M", "gres/gpu:a100": "1"}
    assert parse_resources("N/A") == {}


@pytest.mark.parametrize("text", ["x", "1", "1:2:3:4", "-1:00", "٣:٠٠", "1:00\n", "9" * 50 + ":00"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["c[1-", "c[]", "c[2-1]", "c[a-b]", "c[1-2]]", "c,,d", "c d", "c[1-2][", "a[1]" * 20, "c\n"])
def test_what_is_no_host_list(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a|backwards|dimensions|stands"):
        expand_hosts(text)


@pytest.mark.parametrize("text", ["c[1-999999999]", "a[1-999]b[1-999]c[1-999]", ",".join(["c[1-60000]"] * 2)])
def test_a_short_text_may_not_stand_for_very_much(text: str) -> None:
    with pytest.raises(ValueError, match=f"more than {MAX_HOSTS}"):
        expand_hosts(text)


@pytest.mark.parametrize("text", ["", "1-", "2-1", "1-9:0", "1%", "a", "1,,2", "1-9999999999:1,1-9999999999"])
def test_what_is_no_array_range(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an array range|too many"):
        count_tasks(text)
