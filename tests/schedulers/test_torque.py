# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""TORQUE: the finer points of the parser that no recording shows, on reports made from its forms."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hpcbridge.errors import ReportUnreadable, ScriptFailed
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.nodes import Availability
from hpcbridge.schedulers.pbs import is_narrowed
from hpcbridge.schedulers.report import Answer, ProblemKind, Report
from hpcbridge.schedulers.torque.nodes import slots_in_use
from hpcbridge.schedulers.torque.requests import parse_exec_gpus, parse_exec_host
from hpcbridge.schedulers.torque.scheduler import TorqueScheduler
from hpcbridge.schedulers.torque.states import STATES, node_availability
from tests.benchmarks.torque_load import reports

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "recorded" / "torque"
ZOO = RECORDED / "6.1.3" / "zoo"


def report(query: str, stdout: bytes | str, *, stderr: bytes = b"", exit_status: int = 0) -> Report:
    return Report(query, (query,), exit_status, stdout.encode() if isinstance(stdout, str) else stdout, stderr)


def job_xml(job_id: str = "7", state: str = "R", *, inside: str = "", requested: str = "<nodes>1:ppn=2</nodes>", ctime: int = 1000) -> str:
    return (
        f"<Job><Job_Id>{job_id}.head1</Job_Id><Job_Owner>alice@head1</Job_Owner><job_state>{state}</job_state><queue>batch</queue>"
        f"<ctime>{ctime}</ctime><Resource_List>{requested}</Resource_List>{inside}</Job>"
    )


def document(*records: str) -> str:
    return f"<Data>{''.join(records)}</Data>\n"


def read(*records: str, version: str | None = None) -> Answer[Job]:
    scheduler = TorqueScheduler("c1")
    if version is not None:
        scheduler.about(report("about", f"Server: head1\n    pbs_version = {version}\n\n"))
    return scheduler.jobs(report("jobs", document(*records)))


def only(answer: Answer[Job]) -> Job:
    assert not answer.problems
    (job,) = answer.records
    return job


@pytest.mark.parametrize(
    ("letter", "state"),
    [("Q", "QUEUED"), ("W", "QUEUED"), ("T", "QUEUED"), ("H", "QUEUED_HELD"), ("R", "RUNNING"), ("E", "RUNNING"), ("S", "SUSPENDED")],
)
def test_every_documented_letter_has_its_state(letter: str, state: str) -> None:
    assert only(read(job_xml(state=letter))).state == state
    assert set(STATES) == set("QWTHRES")


def test_an_unknown_letter_is_kept_and_told() -> None:
    answer = read(job_xml(state="Z"))
    assert answer.records[0].state is JobState.UNDETERMINED
    assert answer.records[0].native_state == "Z"
    assert [problem.kind for problem in answer.problems] == [ProblemKind.UNKNOWN_STATE]


@pytest.mark.parametrize(
    ("status", "version", "outcome", "code", "signal"),
    [
        ("0", None, "COMPLETED", 0, None),
        ("3", None, "FAILED", 3, None),
        ("127", None, "FAILED", 127, None),
        ("255", None, "FAILED", 255, None),
        ("137", None, "FAILED", None, 9),
        ("143", None, "FAILED", None, 15),
        ("265", None, "FAILED", None, 9),
        ("267", None, "FAILED", None, 11),
        ("271", None, "CANCELLED", None, 15),
        ("-11", "6.1.3", "TIMEOUT", None, None),
        ("-12", "6.1.3", "TIMEOUT", None, None),
        ("-10", "2.5.13", "TIMEOUT", None, None),
        ("-10", "4.2.10", "OUT_OF_MEMORY", None, None),
        ("-10", None, "FAILED", None, None),
        ("-3", "6.1.3", "FAILED", None, None),
    ],
)
def test_exit_status_says_how_a_job_ended(status: str, version: str | None, outcome: str, code: int | None, signal: int | None) -> None:
    ended = f"<exec_host>node01/0</exec_host><exit_status>{status}</exit_status><comp_time>2000</comp_time>"
    job = only(read(job_xml(state="C", inside=ended), version=version))
    assert (job.outcome, job.exit_code, job.exit_signal) == (outcome, code, signal)
    assert job.ended_at == 2_000_000


def test_a_limit_of_an_unknown_version_is_told_by_what_was_used() -> None:
    used = "<resources_used><walltime>00:00:21</walltime><mem>3gb</mem></resources_used><exit_status>-10</exit_status>"
    assert only(read(job_xml(state="C", inside=used, requested="<walltime>00:00:15</walltime>"))).outcome is Outcome.TIMEOUT
    requested = "<walltime>01:00:00</walltime><mem>2gb</mem>"
    assert only(read(job_xml(state="C", inside=used, requested=requested))).outcome is Outcome.OUT_OF_MEMORY


def test_without_an_exit_status_a_job_was_deleted_in_the_queue_or_purged() -> None:
    assert only(read(job_xml(state="C", inside="<mtime>1500</mtime>"))).outcome is Outcome.CANCELLED
    assert only(read(job_xml(state="C", inside="<mtime>1500</mtime>"))).ended_at == 1_500_000
    ran = only(read(job_xml(state="C", inside="<exec_host>node01/0</exec_host><start_time>1200</start_time>")))
    assert (ran.state, ran.outcome, ran.exit_code, ran.exit_signal) == (JobState.FAILED, Outcome.CANCELLED, None, None)


@pytest.mark.parametrize(
    ("requested", "cores", "gpus", "memory"),
    [
        ("<nodes>2:ppn=8</nodes><mem>2gb</mem>", 16, 0, 2 << 30),
        ("<nodes>1:ppn=4+2:ppn=8:ib</nodes>", 20, 0, None),
        ("<nodes>node01:ppn=2+node03:ppn=6:ib</nodes><pmem>100mb</pmem>", 8, 0, 8 * (100 << 20)),
        ("<nodes>1:ppn=2:gpus=2+1:gpus=1</nodes>", 3, 3, None),
        ("<nodes>1</nodes><procs>12</procs>", 12, 0, None),
        ("<ncpus>6</ncpus><vmem>9gb</vmem>", 6, 0, None),
        ("<nodes>2</nodes><gres>gpu:2</gres>", 2, 4, None),
        ("<nodes>1:ppn=99999999999999</nodes>", None, None, None),
        ("<walltime>999999999:00:00</walltime>", None, None, None),
    ],
)
def test_a_waiting_job_asks_for(requested: str, cores: int | None, gpus: int | None, memory: int | None) -> None:
    job = only(read(job_xml(state="Q", requested=requested)))
    assert (job.cores, job.gpus, job.memory_bytes) == (cores, gpus, memory)


def test_task_requests_of_six() -> None:
    tasks = (
        "<req_information><task_count.0>2</task_count.0><lprocs.0>4</lprocs.0><memory.0>1gb</memory.0><gpus.0>1</gpus.0></req_information>"
    )
    job = only(read(job_xml(state="Q", inside=tasks, requested="")))
    assert (job.cores, job.gpus, job.memory_bytes) == (8, 2, 2 << 30)


@pytest.mark.parametrize(
    ("text", "names", "slots"),
    [
        ("node01/0+node01/1", ("node01",), 2),
        ("node02/0-7+node01/4-11,14", ("node02", "node01"), 17),
        ("a/0+b/0+a/1", ("a", "b"), 3),
    ],
)
def test_slots_of_a_job(text: str, names: tuple[str, ...], slots: int) -> None:
    assert parse_exec_host(text) == (names, slots)


@pytest.mark.parametrize("text", ["node01", "node01/", "node01/3-1", "no de/0", "node01/0-9999999999", "node01/0-1000000,0-5"])
def test_slots_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="slots"):
        parse_exec_host(text)


def test_gpus_of_a_job() -> None:
    assert parse_exec_gpus("gpu01-gpu/0+gpu01-gpu/1+gpu02-gpu/0-3") == {"gpu01": 2, "gpu02": 4}


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("", 0),
        ("0/0.head1.cluster.local, 1/1.head1.cluster.local", 2),
        ("0/0.head1,1/0.head1,9/36[0].head1", 3),
        ("0-3/26.head1,15/42.head1,4-11/27.head1", 13),
        ("0-1,4/26.head1,2/27.head1", 4),
        ("0/1.head1,0/2.head1", 2),
        ("0/1.head1,0/1.head1", 1),
    ],
)
def test_slots_in_use_of_a_node(text: str, used: int) -> None:
    assert slots_in_use(text) == used


@pytest.mark.parametrize(
    "text", ["0", "0-3", "x/1.head1", "3-1/1.head1", "0/not a job", "0-99999999/1.head1", "0-999999/1.head1,0-9/2.head1"]
)
def test_slots_of_a_node_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"slot|job id"):
        slots_in_use(text)


@pytest.mark.parametrize(
    ("state", "occupied", "availability", "known"),
    [
        ("free", False, "UP", True),
        ("job-exclusive", True, "UP", True),
        ("job-exclusive,busy", True, "UP", True),
        ("job-sharing", True, "UP", True),
        ("reserve", False, "UP", True),
        ("time-shared", False, "UP", True),
        ("offline", True, "DRAINING", True),
        ("offline,job-exclusive", True, "DRAINING", True),
        ("offline", False, "DRAINED", True),
        ("down", True, "DOWN", True),
        ("down,offline,busy", True, "DOWN", True),
        ("state-unknown", False, "UNKNOWN", True),
        ("state-unknown,down", False, "DOWN", True),
        ("unknown", False, "UNKNOWN", True),
        ("free,melting", False, "UNKNOWN", False),
        ("", False, "UNKNOWN", False),
    ],
)
def test_words_of_a_node(state: str, *, occupied: bool, availability: str, known: bool) -> None:
    assert node_availability(state, occupied=occupied) == (Availability(availability), known)


def test_gpus_in_use_need_a_whole_report_of_jobs() -> None:
    node = "<Node><name>gpu01</name><state>free</state><np>8</np><gpus>4</gpus></Node>"
    scheduler = TorqueScheduler("c1")

    def used() -> int | None:
        return scheduler.nodes(report("nodes", f"<Data>{node}</Data>")).records[0].gpus_used

    holds = "<exec_host>gpu01/0-1</exec_host><exec_gpus>gpu01-gpu/0+gpu01-gpu/2</exec_gpus>"
    assert used() is None
    scheduler.jobs(report("jobs", document(job_xml(inside=holds), job_xml("8", "S", inside=holds))))
    assert used() == 2
    scheduler.jobs(report("jobs", document(job_xml(inside=holds), job_xml("8", inside="<ctime>9</ctime>"))))
    assert used() is None
    scheduler.jobs(report("jobs", document(job_xml(inside=holds), job_xml("8", "Z", inside=holds))))
    assert used() is None
    scheduler.jobs(report("jobs", ""))
    assert used() == 0
    with pytest.raises(ScriptFailed):
        scheduler.jobs(report("jobs", "", exit_status=111))
    assert used() is None


def test_a_node_that_sleeps_takes_no_work_and_a_suspended_job_keeps_a_node_from_being_drained() -> None:
    nodes = (
        "<Node><name>a</name><state>free</state><power_state>Sleep</power_state></Node>"
        "<Node><name>b</name><state>offline</state><status>state=free,jobs=48.head1,rectime=1</status></Node>"
        "<Node><name>c</name><state>free</state></Node><Node><name>c</name><state>down</state></Node>"
    )
    answer = TorqueScheduler("c1").nodes(report("nodes", f"<Data>{nodes}</Data>"))
    assert [(node.name, node.availability) for node in answer.records] == [("a", "DOWN"), ("b", "DRAINING")]
    assert [problem.subject for problem in answer.problems] == ["c", "c"]


def test_queues_run_on_the_nodes_with_their_properties() -> None:
    nodes = "".join(
        f"<Node><name>{name}</name><state>{state}</state><np>8</np><properties>{properties}</properties></Node>"
        for name, state, properties in (("a", "free", "ib"), ("b", "free", "ib,big"), ("c", "offline", "big"))
    )
    queues = "".join(
        f"Queue: {name}\n    queue_type = Execution\n{more}    enabled = True\n    started = True\n\n"
        for name, more in (
            ("all", ""),
            ("ib", "    resources_default.neednodes = ib\n    resources_max.procct = 12\n"),
            ("big", "    resources_default.neednodes = big\n    resources_max.nodect = 1\n"),
            ("hosts", "    acl_host_enable = False\n    acl_hosts = c+a\n"),
            ("lost", "    acl_host_enable = False\n    acl_hosts = zz\n"),
        )
    )
    scheduler = TorqueScheduler("c1")
    known = scheduler.nodes(report("nodes", f"<Data>{nodes}</Data>")).records
    found = {queue.name: queue for queue in scheduler.queues(report("queues", queues), nodes=known, jobs=None).records}
    assert [(name, queue.nodes, queue.cores_total, queue.cores_available, queue.max_cores) for name, queue in found.items()] == [
        ("all", ("a", "b", "c"), 24, 16, 24),
        ("ib", ("a", "b"), 16, 16, 12),
        ("big", ("b", "c"), 16, 8, 8),
        ("hosts", ("c", "a"), 16, 8, 16),
        ("lost", (), None, None, None),
    ]
    without = scheduler.queues(report("queues", queues), nodes=None, jobs=None).records
    assert {queue.cores_total for queue in without} == {None}
    assert without[1].max_cores == 12


def test_the_parent_of_an_array_stands_only_where_its_members_do_not() -> None:
    parent = job_xml("37[]", "Q", inside="<job_array_request>1-10%2</job_array_request>")
    job = only(read(parent))
    assert (job.job_id, job.array_job_id, job.array_index, job.array_pending) == ("37[]", "37", None, 10)
    begun = only(read(parent.replace("<job_state>Q", "<job_state>R")))
    assert (begun.array_pending, begun.cores, begun.gpus, job.cores, job.gpus) == (None, None, None, 2, 0)
    over = only(read(parent.replace("<job_state>Q", "<job_state>C")))
    assert (over.state, over.outcome) == (JobState.UNDETERMINED, None)
    assert [job.job_id for job in read(parent, job_xml("37[1]"), job_xml("38")).records] == ["37[1]", "38"]
    assert only(read(job_xml("37-4"))).array_index == 4


def test_restarts_and_submit_time_of_a_requeued_job() -> None:
    waits = only(read(job_xml(state="Q", inside="<qtime>3000</qtime><start_count>2</start_count><start_time>1200</start_time>")))
    assert (waits.submitted_at, waits.started_at, waits.restarts) == (1_000_000, None, 2)
    assert only(read(job_xml(inside="<start_count>3</start_count>"))).restarts == 2
    assert only(read(job_xml())).restarts is None


def test_an_unchanged_record_is_the_same_object_though_its_time_runs() -> None:
    scheduler = TorqueScheduler("c1")

    def poll(walltime: int, *, state: str = "R", more: str = "") -> Job:
        used = f"<resources_used><walltime>00:00:{walltime}</walltime></resources_used>"
        used += f"<Walltime><Remaining>{90 - walltime}</Remaining></Walltime>"
        return scheduler.jobs(report("jobs", document(job_xml(state=state, inside=used + more)))).records[0]

    first = poll(10)
    assert poll(25) is first
    assert poll(25, more="<comment>moved</comment>") is not first
    ended = poll(30, state="C", more="<exit_status>0</exit_status>")
    assert ended.wall_seconds == 30
    assert poll(31, state="C", more="<exit_status>0</exit_status>").wall_seconds == 31


def test_what_proves_that_there_are_no_jobs() -> None:
    scheduler = TorqueScheduler("c1")
    for nothing in (b"", b"\n", b"<Data></Data>", b'<?xml version="1.0"?>\n<Data>\n</Data>\n', b"<Data/>"):
        assert scheduler.jobs(report("jobs", nothing)) == Answer(records=())
    with pytest.raises(ScriptFailed):
        scheduler.jobs(report("jobs", "", stderr=b"qstat: something is wrong\n"))
    with pytest.raises(ScriptFailed):
        scheduler.jobs(report("jobs", document(job_xml()), exit_status=153))
    for query, ask in (("nodes", scheduler.nodes), ("about", scheduler.about)):
        with pytest.raises(ReportUnreadable, match="nothing was printed"):
            ask(report(query, ""))


def test_jobs_asked_for_by_their_ids_are_told_and_are_not_all() -> None:
    scheduler = TorqueScheduler("c1")

    def gpus_used() -> int | None:
        nodes = scheduler.nodes(report("nodes", (ZOO / "nodes.out").read_bytes())).records
        return next(node.gpus_used for node in nodes if node.name == "gpu01")

    zoo = scheduler.jobs(report("jobs", (ZOO / "jobs.out").read_bytes())).records
    assert gpus_used() == 1
    unknown = b"qstat: Unknown Job Id Error 99999.head1\n"
    one = (RECORDED / "6.1.3" / "one-job" / "ended.out").read_bytes()
    some = scheduler.jobs(Report("jobs", ("/usr/bin/qstat", "-x", "27", "99999"), 153, one, unknown))
    assert some.records == tuple(job for job in zoo if job.job_id == "27")
    assert gpus_used() is None
    for argv, stdout in ((("qstat", "-x", "99999"), b""), (("qstat", "-x", "-t"), one)):
        with pytest.raises(ScriptFailed):
            scheduler.jobs(Report("jobs", argv, 153, stdout, unknown))


@pytest.mark.parametrize(
    ("argv", "narrowed"),
    [
        ("qstat -x -t", False),
        ("env TZ=UTC qstat -t -f -F json", False),
        ("/opt/pbs/bin/qstat -f -F json @head1", False),
        ("/site/scripts/jobs", False),
        ("qstat -x 27", True),
        ("qstat -f -F json workq", True),
        ("qstat -fu alice", True),
    ],
)
def test_what_a_question_leaves_out(argv: str, *, narrowed: bool) -> None:
    assert is_narrowed(argv.split()) is narrowed


def test_ended_knows_unknown_ids_from_a_server_that_is_away() -> None:
    scheduler = TorqueScheduler("c1")
    unknown = b"qstat: Unknown Job Id Error 9.head1\n"
    assert scheduler.ended(report("ended", "", stderr=unknown, exit_status=153), ["9"]) == Answer(records=())
    old = b"qstat: Unknown Job Id 9.head1\n"
    known = scheduler.ended(report("ended", document(job_xml()) + document(job_xml("8")), stderr=old, exit_status=153), ["7", "8", "9"])
    assert [job.job_id for job in known.records] == ["7", "8"]
    for stderr, status in ((b"", 153), (unknown + b"qstat: cannot connect\n", 111), (b"qstat: Unauthorized Request\n", 159), (b"x\n", 0)):
        with pytest.raises(ScriptFailed):
            scheduler.ended(report("ended", "", stderr=stderr, exit_status=status), ["9"])
    with pytest.raises(ReportUnreadable):
        scheduler.ended(report("ended", ""), ["9"])
    with pytest.raises(ReportUnreadable):
        scheduler.ended(Report("ended", ("qstat", "-x", "9"), 0, b"", b""), ())
    assert scheduler.ended(Report("ended", ("qstat", "-x"), 0, b"", b""), ()) == Answer(records=())


def test_about_says_how_long_ended_jobs_stay() -> None:
    about = TorqueScheduler("c1").about(report("about", (ZOO / "about.out").read_bytes()))
    assert (about.name, about.version, about.cluster_name, about.min_job_age_seconds) == ("torque", "6.1.3.h5", "head1.cluster.local", 3600)


def test_a_folded_and_an_unfolded_report_of_queues_are_the_same() -> None:
    folded = (ZOO / "queues.out").read_bytes()
    scheduler = TorqueScheduler("c1")
    answer = scheduler.queues(report("queues", folded), nodes=None, jobs=None)
    assert answer == scheduler.queues(report("queues", folded.replace(b"\n\t", b"")), nodes=None, jobs=None)
    assert answer.records[3].jobs_queued == 13
    for cut in (folded[:-1], folded[:200], folded[5:]):
        with pytest.raises(ReportUnreadable):
            scheduler.queues(report("queues", cut), nodes=None, jobs=None)


def test_made_up_load_is_read_whole() -> None:
    load = reports(300, 20)
    scheduler = TorqueScheduler("c1")
    jobs = scheduler.jobs(report("jobs", load["jobs"]))
    nodes = scheduler.nodes(report("nodes", load["nodes"]))
    assert (len(jobs.records), len(nodes.records), jobs.problems, nodes.problems) == (300, 20, (), ())
    running = sum(job.cores or 0 for job in jobs.records if job.state is JobState.RUNNING)
    assert running == sum(node.cores_used or 0 for node in nodes.records) > 0


@pytest.mark.parametrize("name", ["about", "jobs", "nodes", "queues", "ended", "ended_fallback"])
def test_scripts_are_shell_and_clean_their_environment(name: str) -> None:
    script = ROOT / "scheduler_scripts" / "torque" / name
    assert subprocess.run(["/bin/sh", "-n", str(script)], check=False).returncode == 0
    assert "env -i" in script.read_text()


def test_the_accounting_script_lets_out_nothing_but_what_was_asked_for(tmp_path: Path) -> None:
    script = ROOT / "scheduler_scripts" / "torque" / "ended_fallback"
    purged = (RECORDED / "6.1.3" / "purged" / "ended_fallback.out").read_bytes()
    for day, content in (
        ("20261120", b"11/20/2026 10:00:00;Q;31.head1;queue=old\n"),
        ("20261121", b"11/21/2026 10:00:00;Q;36[].head1;queue=a\n"),
        ("20261122", purged),
    ):
        (tmp_path / day).write_bytes(content)
    (tmp_path / "notes.txt").write_text("11/20/2026 10:00:00;Q;31.head1;queue=notes\n")

    def run(*ids: str, days: str = "8", folder: Path = tmp_path) -> subprocess.CompletedProcess[bytes]:
        environment = {"PATH": "/usr/bin:/bin", "TORQUE_ACCOUNTING": str(folder), "TORQUE_ACCOUNTING_DAYS": days}
        return subprocess.run([str(script), *ids], env=environment, capture_output=True, check=False)

    wanted = [line for line in purged.splitlines(keepends=True) if line.split(b";")[2].split(b".")[0] in (b"31", b"36[1]")]
    array = b"11/21/2026 10:00:00;Q;36[].head1;queue=a\n"
    assert run("31", "36[1]").stdout == b"11/20/2026 10:00:00;Q;31.head1;queue=old\n" + array + b"".join(wanted)
    assert run("31", "36[1]", days="2").stdout == array + b"".join(wanted)
    assert array not in run("31", "36").stdout
    nothing = run("3", "1")
    assert (nothing.returncode, nothing.stdout) == (0, b"")
    assert run("31", folder=tmp_path / "missing").returncode == 1
    (tmp_path / "empty").mkdir()
    assert run("31", folder=tmp_path / "empty").returncode == 1
