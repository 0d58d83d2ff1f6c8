# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Every recording under tests/recorded/<scheduler>/<version>/<case>/ against its expected.json and its truth.json.

A new recording is a new folder; there is no code per case. `expected.json` is the whole normal form, reviewed when it was written;
`truth.json` holds what is known without any parser (semantics: tests/recorded/README.md).
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.errors import BadData
from hpcbridge.schedulers import SCHEDULERS
from hpcbridge.schedulers.recording import Normalised, asked_ids, load_recording, normalise

RECORDED = Path(__file__).parents[1] / "recorded"
CASES = sorted(path.parent for name in SCHEDULERS for path in RECORDED.glob(f"{name}/*/*/meta.json"))


@pytest.fixture(params=CASES, ids=lambda case: "/".join(case.parts[-3:]))
def case(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.param
    return folder


def test_there_are_recordings() -> None:
    assert len(CASES) >= 12


def test_recording_gives_what_was_reviewed(case: Path) -> None:
    expected = json.loads((case / "expected.json").read_text())
    assert _normalised(case).as_json() == expected


def test_recording_gives_what_is_true(case: Path) -> None:
    truth = json.loads((case / "truth.json").read_text())
    normalised = _normalised(case)
    _compare_jobs(truth, normalised)
    _compare_nodes(truth, normalised)
    _compare_queries(truth["queries"], normalised)


def test_a_second_look_at_the_same_recording_changes_nothing(case: Path) -> None:
    assert _normalised(case) == _normalised(case)


def _normalised(case: Path) -> Normalised:
    return normalise(load_recording(case))


def _compare_jobs(truth: dict[str, Any], normalised: Normalised) -> None:
    jobs = {job["job_id"]: job for job in normalised.as_json()["jobs"] or []}
    for job_id, facts in truth["jobs"].items():
        assert job_id in jobs
        assert {key: jobs[job_id][key] for key in facts} == facts
    counts = truth["counts"]
    if "job_records" in counts:
        assert len(jobs) == counts["job_records"]
    if "job_records_by_state" in counts:
        assert Counter(job["state"] for job in jobs.values()) == counts["job_records_by_state"]
    if "jobs_by_state" in counts:
        assert Counter(job["state"] for job in jobs.values()) == counts["jobs_by_state"]
    pending = {job["array_job_id"]: job["array_pending"] for job in jobs.values() if job["array_pending"] is not None}
    if "array_pending" in counts:
        assert pending == counts["array_pending"]
    assert not set(counts.get("absent_job_ids", ())) & {job_id.partition("_")[0] for job_id in jobs}


def _compare_nodes(truth: dict[str, Any], normalised: Normalised) -> None:
    nodes = {node["name"]: node for node in normalised.as_json()["nodes"] or []}
    for name, facts in truth["nodes"].items():
        assert {key: nodes[name][key] for key in facts} == facts


def _compare_queries(queries: dict[str, str], normalised: Normalised) -> None:
    failed = {problem.query for problem in normalised.problems if problem.kind in ("failed", "unreadable")}
    assert failed == {query for query, answer in queries.items() if answer.startswith("failed")}
    if queries.get("nodes", "").startswith("failed"):
        assert normalised.nodes is None
    if queries.get("queues", "").startswith("failed"):
        assert normalised.queues is None
    of_jobs = [answer for query, answer in queries.items() if query in ("jobs", "ended", "ended_fallback")]
    if queries.get("jobs", "").startswith("failed"):
        assert normalised.jobs is None or normalised.jobs
    else:
        assert (normalised.jobs is not None) is any(not answer.startswith("failed") for answer in of_jobs)


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        (None, "meta.json"),
        ("{", "not JSON"),
        ("[]", "must be an object"),
        ('{"version": "1", "cluster": "c", "queries": {}}', "scheduler must be"),
        ('{"scheduler": "slurmy", "version": "1", "cluster": "c", "queries": {}}', "'slurmy' is not known"),
        ('{"scheduler": "slurm", "version": "1", "queries": {}}', "cluster must be"),
        ('{"scheduler": "slurm", "version": "1", "cluster": "c"}', "queries must be"),
        ('{"scheduler": "slurm", "version": "1", "cluster": "c", "queries": {"../x": {}}}', "not the name of a query"),
        ('{"scheduler": "slurm", "version": "1", "cluster": "c", "queries": {"jobs": {"exit_status": 0}}}', "queries.jobs.argv"),
        ('{"scheduler": "slurm", "version": "1", "cluster": "c", "queries": {"jobs": {"argv": ["x"]}}}', "queries.jobs.exit_status"),
        ('{"scheduler": "slurm", "version": "1", "cluster": "c", "queries": {"jobs": {"argv": [], "exit_status": 0}}}', "jobs.out"),
    ],
)
def test_a_folder_that_is_no_recording_is_refused_by_name(tmp_path: Path, meta: str | None, words: str) -> None:
    if meta is not None:
        (tmp_path / "meta.json").write_text(meta)
    with pytest.raises(BadData, match=words):
        load_recording(tmp_path)


@pytest.mark.parametrize(
    ("argv", "ids"),
    [
        (["sh", "-c", "for id; do …; done", "ended_fallback", "22", "4_1"], ("22", "4_1")),
        (["/x/slurm/ended_fallback", "19+1", "25_[2-4,7]"], ("19+1", "25_[2-4,7]")),
        (["scontrol", "-o", "show", "job", "22,4_[1,3],33"], ("22", "4_[1,3]", "33")),
        (["sacct", "-j", "22", "-o", "JobID,JobName"], ()),
        ([], ()),
    ],
)
def test_ids_stand_at_the_end_of_a_command(argv: list[str], ids: tuple[str, ...]) -> None:
    assert asked_ids(argv) == ids


def test_how_a_site_spells_its_accounting_command_does_not_matter(tmp_path: Path) -> None:
    case = RECORDED / "slurm" / "22.05.8" / "purged"
    expected = _normalised(case)
    meta = json.loads((case / "meta.json").read_text())
    for path in case.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for argv in (["/opt/site/ended"], ["sacct", "-j22,32"], ["sacct", "-o", "JobID", "-j", "22,32"], ["sacct", "-S", "1795349000"]):
        meta["queries"]["ended"]["argv"] = argv
        (tmp_path / "meta.json").write_text(json.dumps(meta))
        assert _normalised(tmp_path) == expected
