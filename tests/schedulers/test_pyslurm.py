# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""pyslurm in its child process: the same records as the commands, and the commands wherever it fails.

The child is the real program; the module it imports is tests/pyslurm_stand_in, because no pyslurm can be installed for the Slurm that
the tests run. tests/live/test_pyslurm.py is for a machine that has a matching one.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.errors import ReportUnreadable, SchedulerError, ScriptFailed
from hpcbridge.model.jobs import Job, JobState
from hpcbridge.schedulers.recording import load_recording, normalise
from hpcbridge.schedulers.report import Report
from hpcbridge.schedulers.scripts import ScriptRunner
from hpcbridge.schedulers.slurm.pyslurm_source import PyslurmSource
from hpcbridge.schedulers.slurm.scheduler import SlurmScheduler
from tests.fake_scheduler import SCHEDULER, FakeScheduler

STAND_IN = Path(__file__).parents[1] / "pyslurm_stand_in"
DATA = Path(__file__).parent / "data" / "pyslurm-24.11"
RECORDED = Path(__file__).parents[1] / "recorded" / "slurm" / "24.11.5"
TIMES = ("submitted_at", "started_at", "ended_at", "wall_seconds")
ABOUT = b"slurm 24.11.5\nSlurmctld(primary) at test is UP\nClusterName             = test\n"
LOGGER = "hpcbridge.schedulers.slurm.pyslurm_source"


class World:
    """Scripts that answer as the commands would, and a source with a child in front of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.scripts = FakeScheduler(directory / "scripts")
        self.scripts.answers("about", ABOUT)
        for query in ("jobs", "nodes", "queues", "ended", "ended_fallback"):
            self.scripts.answers(query, f"{query} of the scripts\n".encode())
        self._sources: list[PyslurmSource] = []

    def source(self, *, python: str = sys.executable, **settings: Any) -> PyslurmSource:
        environment = {"PYTHONPATH": str(STAND_IN), **settings.pop("environment", {})}
        limits = {"timeout_seconds": 30.0, "max_bytes": 1 << 20, **settings}
        fallback = ScriptRunner(self.scripts.directory, scheduler=SCHEDULER, environment={}, **limits)
        source = PyslurmSource(fallback, python=python, environment=environment, **limits)
        self._sources.append(source)
        return source

    def program(self, body: str) -> str:
        """A program in the place of Python: says hello, waits for the request and does what `body` says."""
        path = self.directory / "python"
        hello = """printf '{"hello":"24.11.0"}\\n'; read -r request"""
        path.write_text(f"#!/bin/sh\n{hello}\n{body}\n")
        path.chmod(0o755)
        return str(path)

    def close(self) -> None:
        for source in self._sources:
            source.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def child_pid(source: PyslurmSource) -> int | None:
    child = source._child
    return None if child is None else child._process.pid


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER and record.levelno >= logging.WARNING]


def of_the_scripts(report: Report) -> bool:
    return report.stdout == f"{report.query} of the scripts\n".encode()


def test_one_child_answers_question_after_question(world: World, caplog: pytest.LogCaptureFixture) -> None:
    source = world.source()
    scheduler = SlurmScheduler("ci")
    jobs = scheduler.jobs(source.run("jobs"))
    pid = child_pid(source)
    nodes = scheduler.nodes(source.run("nodes"))
    queues = scheduler.queues(source.run("queues"), nodes=nodes.records, jobs=jobs.records)
    assert (len(jobs.records), len(nodes.records), len(queues.records)) == (71, 15, 12)
    assert jobs.problems + nodes.problems + queues.problems == ()
    assert pid is not None
    assert child_pid(source) == pid
    assert lines_of(caplog) == []
    assert world.scripts.calls() == ["about"]
    report = source.run("jobs")
    assert report.argv == ("pyslurm", "24.11.0", "jobs")
    assert report.cpu_ms is not None
    for query, arguments in (("ended", ["1"]), ("ended_fallback", ["1"]), ("about", [])):
        assert source.run(query, arguments).stdout.startswith((b"ended", b"slurm"))


def test_it_says_what_the_commands_say_of_the_same_jobs(world: World) -> None:
    """The zoo was submitted twice, to the Slurm that was asked through pyslurm and to the one of the recording `zoo`."""
    cli = normalise(load_recording(RECORDED / "zoo")).as_json()
    source, scheduler = world.source(), SlurmScheduler("ci")
    jobs = scheduler.jobs(source.run("jobs"))
    nodes = scheduler.nodes(source.run("nodes"))
    queues = scheduler.queues(source.run("queues"), nodes=nodes.records, jobs=jobs.records)
    recorded = normalise(load_recording(RECORDED / "pyslurm"))
    assert recorded.jobs == jobs.records
    assert recorded.nodes == nodes.records
    assert recorded.queues == queues.records
    own = recorded.as_json()
    assert _differences(own["jobs"], cli["jobs"], "job_id") == {
        # what pyslurm cannot tell: the docstring of slurm_pyslurm.py
        "2": {"exit_code": (None, 3)},
        "4_2": {"exit_code": (None, 7)},
        "19+1": {"gpus": (None, 0)},
        # what happened on one of the two only: a later job took the place of this one
        "58": {
            "state": ("RUNNING", "FAILED"),
            "phase": ("RUN", "END"),
            "outcome": (None, "PREEMPTED"),
            "native_state": ("RUNNING", "PREEMPTED"),
        },
    }
    assert _differences(own["nodes"], cli["nodes"], "name") == {
        "c8": {
            "native_state": ("MIXED+COMPLETING", "MIXED+COMPLETING+PLANNED"),
            "cores_used": (7, 6),
            "memory_bytes_used": (734003200, 629145600),
        }
    }
    more_jobs = {"cores_used", "cores_available", "jobs_queued", "jobs_running"}
    differences = _differences(own["queues"], cli["queues"], "name")
    assert all(fields.keys() <= more_jobs for fields in differences.values())
    assert set(differences) == {"batch", "hidden", "inf", "long", "scav", "short"}  # those with c8


def _differences(own: list[Mapping[str, Any]], cli: list[Mapping[str, Any]], key: str) -> dict[str, dict[str, tuple[Any, Any]]]:
    """By record, for each field the values here and there; of times only whether they are known."""
    others = {record[key]: record for record in cli}
    found: dict[str, dict[str, tuple[Any, Any]]] = {}
    for record in own:
        other = others[record[key]]
        if record.get("state") != other.get("state"):
            other = {**other, **{field: record[field] for field in TIMES}}
        for field, value in record.items():
            same = (value is None) == (other[field] is None) if field in TIMES else value == other[field]
            if not same:
                found.setdefault(record[key], {})[field] = (value, other[field])
    return found


def test_text_that_is_not_utf_8_is_kept(world: World) -> None:
    jobs = {job.job_id: job for job in SlurmScheduler("ci").jobs(world.source().run("jobs")).records}
    assert (jobs["68"].name, jobs["60"].name) == ("bad\\xff\\xfeutf8", "new\\x0aline")
    (other,) = [job for job in normalise(load_recording(RECORDED / "zoo")).jobs or () if job.job_id == "68"]
    assert other.name == jobs["68"].name


def test_an_unchanged_job_is_the_same_object_and_a_changed_one_is_not(tmp_path: Path, world: World) -> None:
    source = world.source(environment=_data(tmp_path, {}))
    scheduler = SlurmScheduler("ci")
    first = {job.job_id: job for job in scheduler.jobs(source.run("jobs")).records}
    _data(tmp_path, {"12": {"run_time": 500}, "13": {"state": "COMPLETING"}})
    second = {job.job_id: job for job in scheduler.jobs(source.run("jobs")).records}
    assert second["12"] is first["12"]
    assert (second["13"].native_state, first["13"].native_state) == ("COMPLETING", "RUNNING")
    assert second["12"].wall_seconds != 500
    _data(tmp_path, {}, nodes={"c8": {"configured_gres": {"gpu:a100": 2}}})  # a job on c8 may have got GPUs now
    third = {job.job_id: job for job in scheduler.jobs(source.run("jobs")).records}
    assert (first["30"].gpus, third["30"].gpus) == (0, None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"user_id": 4711, "user_name": {"no such user": True}}, {"owner": "4711"}),
        ({"state": "LEVITATING"}, {"state": JobState.UNDETERMINED}),
        ({"gres_per_node": {"gres/gpu": 1, "gres/gpu:h100": 2, "shard": 4}, "num_nodes": 2}, {"gpus": 6, "gpu_type": "h100"}),
        ({"gres_per_node": {"gpu:a100": {"count": "2", "indexes": "0-1"}}}, {"gpus": 4, "gpu_type": "a100"}),
        ({"allocated_nodes": "c[1-4]"}, {"gpus": None}),
        ({"time_limit": None}, {"walltime_limit_seconds": None}),
        ({"time_limit": 525600}, {"walltime_limit_seconds": None}),
        ({"memory": None}, {"memory_bytes": None}),
        ({"account": None}, {"account": None}),
        ({"array_id": 12, "array_task_id": 7}, {"job_id": "12_7", "array_index": 7}),
        ({"array_id": 12, "array_task_id": None}, {"job_id": "12_0", "array_index": 0}),
        ({"state": "FAILED", "exit_code": 9}, {"exit_code": None, "exit_signal": None}),  # 9 or 137
        ({"state": "FAILED", "exit_code": 0, "exit_code_signal": 9}, {"exit_code": None, "exit_signal": 9}),
        ({"state": "FAILED", "exit_code_signal": 1, "allocated_nodes": None}, {"exit_code": None, "exit_signal": None}),
    ],
)
def test_what_a_job_may_say(tmp_path: Path, world: World, changes: dict[str, Any], expected: dict[str, Any]) -> None:
    source = world.source(environment=_data(tmp_path, {"12": changes}))
    jobs = SlurmScheduler("ci").jobs(source.run("jobs")).records
    (job,) = [job for job in jobs if job.name == "run-multi"]
    assert {field: getattr(job, field) for field in expected} == expected


@pytest.mark.parametrize(
    ("status", "code", "signal_"), [(137 << 8, 137, None), (9 << 8, 9, None), (11, None, 11), (0xFFFFFFFE, None, None)]
)
def test_an_exit_code_is_known_where_pyslurm_can_be_watched_computing_it(
    tmp_path: Path, world: World, status: int, code: int | None, signal_: int | None
) -> None:
    data = _data(tmp_path, {"12": {"state": "FAILED", "exit_code": 9, "status": status}})
    for does, expected in (("computes", (code, signal_)), ("", (None, None))):
        source = world.source(environment={**data, "PYSLURM_DOES": does})
        (job,) = [job for job in SlurmScheduler("ci").jobs(source.run("jobs")).records if job.job_id == "12"]
        assert (job.exit_code, job.exit_signal) == expected


@pytest.mark.parametrize("changes", [{"cpus": "many"}, {"submit_time": None}, {"exit_code_signal": 400, "state": "FAILED"}, {"cpus": -1}])
def test_a_job_that_cannot_be_true_is_kept_out_alone(tmp_path: Path, world: World, changes: dict[str, Any]) -> None:
    source = world.source(environment=_data(tmp_path, {"12": changes}))
    answer = SlurmScheduler("ci").jobs(source.run("jobs"))
    assert len(answer.records) == 70
    assert [problem.subject for problem in answer.problems] == ["12"]


def test_two_records_of_one_job_contradict_each_other(tmp_path: Path, world: World) -> None:
    source = world.source(environment=_data(tmp_path, {"12": {"array_id": 25, "array_task_id": 1}}))
    answer = SlurmScheduler("ci").jobs(source.run("jobs"))
    assert [problem.subject for problem in answer.problems] == ["25_1", "25_1"]


def test_nodes_whose_gpus_nobody_counts_do_not_have_none_in_use(tmp_path: Path, world: World) -> None:
    nodes: dict[str, Any] = {name: {"allocated_gres": {}, "allocated_tres": {}} for name in ("c3", "c4")}
    nodes["c7"] = {"configured_gres": {"gpu:a100": 2}}
    source = world.source(environment=_data(tmp_path, {}, nodes=nodes))
    found = {node.name: node for node in SlurmScheduler("ci").nodes(source.run("nodes")).records}
    assert (found["c3"].gpus_total, found["c3"].gpus_used) == (2, None)
    assert (found["c7"].gpus_used, found["c1"].gpus_used) == (0, 0)


def _data(directory: Path, jobs: Mapping[str, Any], *, nodes: Mapping[str, Any] | None = None) -> dict[str, str]:
    """The recorded dumps with other values, as the environment that makes the stand-in read them."""
    for name, changes in (("jobs", jobs), ("nodes", nodes or {}), ("partitions", {})):
        records = json.loads(gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))
        for key, values in changes.items():
            records[key].update(values)
        (directory / f"{name}.json.gz").write_bytes(gzip.compress(json.dumps(records).encode(), 1))
    return {"PYSLURM_DATA": str(directory)}


@pytest.mark.parametrize(
    ("environment", "reason", "words"),
    [
        ({"PYTHONPATH": ""}, "import", "No module named 'pyslurm'"),
        ({"PYSLURM_VERSION": "25.05.1"}, "release", "pyslurm is 25.05.1, Slurm is 24.11"),
        ({"PYSLURM_VERSION": "24.1.0"}, "release", "pyslurm is 24.1.0"),
        ({"PYSLURM_DOES": "is_old"}, "import", "older than 23.2"),
        ({"PYSLURM_DOES": "no_slurm_conf"}, "import", "configuration file"),
        ({"PYSLURM_DOES": "exits"}, "died", ""),
        ({"PYSLURM_DOES": "crashes"}, "died", ""),
        ({"PYSLURM_DOES": "refuses"}, "error", "Unable to contact slurm controller"),
        ({"PYSLURM_DOES": "eats_memory"}, "error", "MemoryError"),
    ],
)
def test_where_it_fails_the_scripts_answer_and_one_line_says_why(
    world: World, caplog: pytest.LogCaptureFixture, environment: dict[str, str], reason: str, words: str
) -> None:
    source = world.source(environment=environment)
    for query in ("jobs", "nodes", "jobs", "queues", "jobs"):
        assert of_the_scripts(source.run(query))
    (line,) = lines_of(caplog)
    assert f"reason={reason} " in line
    assert words in line
    assert world.scripts.calls() == ["about", "jobs", "nodes", "jobs", "queues", "jobs"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("""printf '{"id":1,"query":"jobs","gpu_nodes":[]}\\n[3,{"id":1,"na'; kill -9 $$""", "died"),
        ("""printf '{"id":1,"query":"jobs"}\\n[3,{"id":1}]\\n'; exec sleep 1000""", "hangs"),
        ("trap '' TERM; while :; do sleep 1000; done", "hangs"),
        ("""printf 'slurm_load_jobs error\\n{"id":1,"query":"jobs"}\\n{"id":1,"end":0}\\n'; exec sleep 1000""", "garbage"),
        ("""printf '{"id":1,"query":"jobs"}\\n{"id":1,"end":2}\\n'; exec sleep 1000""", "garbage"),
        ("""printf '{"id":1,"query":"jobs"}\\nmore\\n{"id":1,"end":1}\\n'; exec sleep 1000""", "garbage"),
        ("""printf '{"id":1,"end":0}\\n'; exec sleep 1000""", "garbage"),
        ("""printf '{"id":1,"query":"jobs"}\\n{"id":1,"end":0,\\n'; exec sleep 1000""", "garbage"),
        ("""printf '{"id":7,"query":"jobs"}\\n{"id":7,"end":0}\\n'; exec sleep 1000""", "hangs"),
        ("yes '[0,{\"id\":1}]' | head -c 104857600; exec sleep 1000", "too_much"),
        ("head -c 104857600 /dev/zero; exec sleep 1000", "too_much"),
    ],
)
def test_an_answer_that_is_none_is_never_an_empty_one(
    world: World, caplog: pytest.LogCaptureFixture, body: str, reason: str
) -> None:
    source = world.source(python=world.program(body), timeout_seconds=0.8 if reason == "hangs" else 60)
    for _ in range(3):
        assert of_the_scripts(source.run("jobs"))
    (line,) = lines_of(caplog)
    assert f"reason={reason} " in line
    assert child_pid(source) is None


def test_a_child_that_is_killed_while_it_waits_takes_its_own_children_along(world: World, caplog: pytest.LogCaptureFixture) -> None:
    source = world.source(environment={"PYSLURM_DOES": "hangs"}, timeout_seconds=60)
    reports: list[Report] = []
    asker = threading.Thread(target=lambda: reports.append(source.run("jobs")))
    asker.start()
    grandchild = _wait_for_grandchild(source)
    pid = child_pid(source)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    asker.join(10)
    assert of_the_scripts(reports[0])
    assert "reason=died" in lines_of(caplog)[0]
    assert not Path(f"/proc/{grandchild}").exists() or "Z" in Path(f"/proc/{grandchild}/stat").read_text().rpartition(")")[2]


def test_a_stop_is_heard_in_mid_answer(world: World) -> None:
    source = world.source(environment={"PYSLURM_DOES": "hangs"}, timeout_seconds=60)
    stopping = threading.Event()
    threading.Timer(0.7, stopping.set).start()
    with pytest.raises(SchedulerError, match="stopped"):
        source.run("jobs", stopping=stopping)
    assert child_pid(source) is None


def _wait_for_grandchild(source: PyslurmSource) -> int:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        child = source._child
        words = bytes(child._stderr).decode().split() if child else []
        if "waits" in words and words[-1].isdecimal():
            return int(words[-1])
        time.sleep(0.02)
    raise TimeoutError


def test_it_is_tried_again_and_said_when_it_works(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=LOGGER)
    body = f'test -e {world.directory}/twice || {{ touch {world.directory}/twice; exit 1; }}\nexec {sys.executable} "$@"'
    path = world.directory / "python"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    source = world.source(python=str(path))
    assert of_the_scripts(source.run("jobs"))
    assert of_the_scripts(source.run("jobs"))
    source._resting_until -= 3600  # an hour later
    assert source.run("jobs").argv[0] == "pyslurm"
    messages = [record.getMessage().partition(" reason")[0] for record in caplog.records if record.name == LOGGER]
    assert messages == [
        "pyslurm is not used, the scripts answer", "pyslurm is used version=24.11.0", "pyslurm answers again version=24.11.0",
    ]  # fmt: skip


def test_another_release_of_slurm_ends_the_child_or_gives_it_another_chance(world: World, caplog: pytest.LogCaptureFixture) -> None:
    source = world.source()
    assert source.run("jobs").argv[0] == "pyslurm"
    world.scripts.answers("about", ABOUT.replace(b"24.11.5", b"25.05.2"))
    source.run("about")
    assert of_the_scripts(source.run("jobs"))
    assert "reason=release" in lines_of(caplog)[0]
    world.scripts.answers("about", ABOUT)
    source.run("about")
    assert source.run("jobs").argv[0] == "pyslurm"


def test_a_slurm_of_unknown_release_is_asked_through_the_scripts(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.scripts.answers("about", b"our own words\n")
    source = world.source()
    assert of_the_scripts(source.run("jobs"))
    assert of_the_scripts(source.run("jobs"))
    (line,) = lines_of(caplog)
    assert "the release of Slurm is not known" in line


def test_the_child_ends_with_its_standard_input(world: World) -> None:
    source = world.source()
    source.run("jobs")
    child = source._child
    assert child is not None
    assert child._process.stdin is not None
    child._process.stdin.close()
    assert child._process.wait(5) == 0


def test_closing_the_source_leaves_no_process(world: World) -> None:
    source = world.source()
    source.run("jobs")
    pid = child_pid(source)
    source.close()
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("stdout", "error", "words"),
    [
        (b"", ReportUnreadable, "cut off"),
        (b'{"id":1,"query":"jobs","gpu_nodes":[]}\n[0,{"id":1', ReportUnreadable, "cut off"),
        (b'{"id":1,"query":"jobs","gpu_nodes":[]}\n', ReportUnreadable, "the begin does not say"),
        (b'{"id":1,"query":"jobs"}\n[0,{"id":1}]\n{"id":1,"end":2}\n', ReportUnreadable, "how many there are"),
        (b'{"id":1,"query":"nodes"}\n{"id":1,"end":0}\n', ReportUnreadable, "what was asked"),
        (b'{"id":1,"query":"jobs"}\n[0,"1",{"id":1]\n{"id":1,"end":1}\n', ReportUnreadable, "not a record of the pyslurm child"),
        (b'{"id":1,"query":"jobs"}\n[0,{"id":1}]\n{"id":1,"end":1}\n', ReportUnreadable, "not a record of the pyslurm child"),
        (b'{"id":1,"query":"jobs"}\n[0,"1",{"id":1}]\n["id",1]\n', ReportUnreadable, "not a line of the pyslurm child"),
        (b'{"id":1,"query":"jobs"}\n[0,' + b"[" * 100_000 + b']\n{"id":1,"end":1}\n', ReportUnreadable, "not a record"),
        (b'{"id":1,"error":"RPCError: Unable to contact"}\n', ScriptFailed, "Unable to contact"),
    ],
)
def test_a_recorded_answer_that_is_none_is_rejected_whole(stdout: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        SlurmScheduler("ci").jobs(Report("jobs", ("pyslurm", "24.11.0", "jobs"), 0, stdout, b""))


def test_what_stands_twice_must_agree() -> None:
    """An id is said as users type it and in its parts, a name alone and among the attributes: damage to one of them is seen."""
    jobs, nodes = (load_recording(RECORDED / "pyslurm").reports[query] for query in ("jobs", "nodes"))
    for old, new in ((b'"25_1"', b'"25_7"'), (b'"array_task_id":1,', b'"array_task_id":8,'), (b'"array_task_id":1,', b"")):
        answer = SlurmScheduler("ci").jobs(dataclasses.replace(jobs, stdout=jobs.stdout.replace(old, new)))
        assert answer.problems
        assert "25_1" not in {job.job_id for job in answer.records}
        assert not {"25_7", "25_8"} & {job.job_id for job in answer.records}
    damaged = SlurmScheduler("ci").nodes(dataclasses.replace(nodes, stdout=nodes.stdout.replace(b'"name":"c3"', b'"name":"c33"')))
    assert [problem.subject for problem in damaged.problems] == ["c3"]
    assert len(damaged.records) == 14


def test_no_jobs_are_proven_by_head_and_end() -> None:
    stdout = b'{"id":1,"query":"jobs","pyslurm":"24.11.0","gpu_nodes":[],"gpu_queues":[]}\n{"id":1,"end":0,"cpu_ms":1}\n'
    answer = SlurmScheduler("ci").jobs(Report("jobs", ("pyslurm", "24.11.0", "jobs"), 0, stdout, b""))
    assert (answer.records, answer.problems) == ((), ())


@pytest.mark.full
def test_a_large_cluster_is_read_in_time(tmp_path: Path, world: World) -> None:
    """20,000 jobs: what has not changed is recognised, so the second reading is the one that counts."""
    records = json.loads(gzip.decompress((DATA / "jobs.json.gz").read_bytes()))
    environment = _data(tmp_path, {})
    many = {str(number): {**records["13"], "id": number, "name": f"job-{number}"} for number in range(1, 20_001)}
    (tmp_path / "jobs.json.gz").write_bytes(gzip.compress(json.dumps(many).encode(), 1))
    source, scheduler = world.source(environment=environment, max_bytes=64 << 20, timeout_seconds=60), SlurmScheduler("ci")
    report = source.run("jobs")
    durations = []
    answers: list[tuple[Job, ...]] = []
    for _ in range(2):
        began = time.process_time()
        answers.append(scheduler.jobs(report).records)
        durations.append(time.process_time() - began)
    assert len(answers[0]) == 20_000
    assert all(one is other for one, other in zip(*answers, strict=True))
    assert durations[0] < 3
    assert durations[1] < 1
