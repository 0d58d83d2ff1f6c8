# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What test_slurm_live.py shows of this machine's Slurm, shown of newer ones: each runs in the file system of a newer Debian."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.private_slurm import PrivateSlurm, SlurmMissing, processes_of
from tests.schedulers.test_slurm_live import (  # noqa: F401 — these are the tests of this file too
    LONG,
    Cluster,
    cluster,
    test_a_controller_that_is_down_is_no_empty_cluster,
    test_a_name_that_forges_a_record_forges_nothing,
    test_about,
    test_accounting_and_its_fallback_know_how_jobs_ended,
    test_arrays_are_members_and_one_pending_record,
    test_held_suspended_and_requeued_jobs,
    test_heterogeneous_and_gpu_jobs,
    test_jobs_that_end_by_themselves_or_are_cancelled,
    test_nodes_drain_with_and_without_jobs_and_queues_add_up,
    test_unchanged_lines_are_not_parsed_again,
)

pytestmark = [pytest.mark.slurm, pytest.mark.full]

MAKE_ROOTS = Path(__file__).parents[1] / "make_slurm_roots"
RELEASES = {"trixie": "24.11.", "forky": "26.05."}


@pytest.fixture(scope="module", params=RELEASES)
def suite(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def root(suite: str) -> Path:
    """The file system of a Debian, made if it is not there yet. Who cannot make one leaves these tests out, but not where CI=true."""
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            raise SlurmMissing("a private Slurm needs root")
        pytest.skip("a private Slurm needs root")
    made = subprocess.run([MAKE_ROOTS, suite], stdout=subprocess.PIPE, check=True, timeout=280)
    return Path(made.stdout.decode().strip()) / suite


@pytest.fixture(scope="module")
def private_slurm(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSlurm]:
    with PrivateSlurm(tmp_path_factory.mktemp("slurm"), accounting=True, root=root) as slurm:
        yield slurm


def test_it_is_the_release_it_should_be(cluster: Cluster, suite: str) -> None:  # noqa: F811 — the fixture, not the import
    assert (cluster.scheduler.about(cluster.runner.run("about")).version or "").startswith(RELEASES[suite])


def test_closing_leaves_no_process_behind(root: Path, tmp_path: Path) -> None:
    with PrivateSlurm(tmp_path / "slurm", nodes=1, root=root) as slurm:
        job_id = slurm.submit(LONG)
        slurm.wait_state(job_id, "RUNNING")
        assert processes_of(slurm.configuration)
        slurm.stop_controller()
    assert processes_of(slurm.configuration) == []
