# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl record` and `parse`: what a site sends us holds everything the parser saw and nobody's name."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hpcbridge.ctl.main import cli
from hpcbridge.schedulers import SCHEDULERS
from hpcbridge.schedulers.anonymise.recording import anonymise
from hpcbridge.schedulers.report import Report
from tests.replayed_scheduler import replay

RECORDED = Path(__file__).parents[1] / "recorded"
CASES = sorted(path.parent for name in SCHEDULERS for path in RECORDED.glob(f"{name}/*/*/meta.json"))
CASES = [case for case in CASES if "local" not in case.parts]  # no script answers for the scheduler that is this machine
NEUTRAL = {"root", "None", "NONE", "sge", "slurm", "nobody", "localhost", "template", "global"}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def case_name(case: Path) -> str:
    return "/".join(case.parts[-3:])


def recorded(case: Path, tmp_path: Path, *arguments: str) -> tuple[Path, dict[str, Any]]:
    scheduler = replay(case, tmp_path / "scripts")
    folder = tmp_path / "recording"
    options = ["--scheduler", scheduler, "--scripts", str(tmp_path / "scripts"), "--job", "1", "-o", "json"]
    done = run("record", str(folder), *options, *arguments)
    assert done.exit_code in (0, 65), done.output
    return folder, json.loads(done.stdout)


def parsed(folder: Path) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run("parse", str(folder)).stdout)
    return answer


def names_in(answer: dict[str, Any]) -> set[str]:
    people = {job[key] for job in answer["jobs"] or [] for key in ("owner", "account")}
    nodes = {name for job in answer["jobs"] or [] for name in job["nodes"]} | {node["name"] for node in answer["nodes"] or []}
    number = re.compile(r"[-+]?(?:nan|inf(?:inity)?|[0-9.]+(?:e[0-9]+)?)", re.IGNORECASE)  # stay, for the parser has to cope with them
    return {name for name in people | nodes if name and name not in NEUTRAL and len(name) > 2 and not number.fullmatch(name)}


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_an_anonymised_recording_says_the_same_and_names_nobody(case: Path, tmp_path: Path) -> None:
    folder, told = recorded(case, tmp_path)
    raw, _ = recorded(case, tmp_path / "raw", "--raw")
    assert told["anonymised"]["differences"] == []
    assert told["anonymised"]["left"] == {}
    before, after = parsed(raw), parsed(folder)
    for what in ("jobs", "nodes", "queues"):
        assert _shape(before[what]) == _shape(after[what])
    common = set(told["anonymised"]["common"])
    texts = {path.name: path.read_bytes().decode("utf-8", "replace") for path in folder.iterdir()}
    for name in names_in(before) - common:
        for file, text in texts.items():
            assert not re.search(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", text), (name, file)
    assert str(tmp_path) not in "".join(texts.values())


def _shape(records: list[dict[str, Any]] | None) -> object:
    """All that is neither a name nor a text."""
    keys = ("state", "outcome", "cores", "gpus", "memory_bytes", "submitted_at", "started_at", "ended_at", "exit_code",
            "exit_signal", "array_pending", "walltime_limit_seconds", "availability", "cores_used", "cores_total")  # fmt: skip
    return None if records is None else [[record.get(key) for key in keys] for record in records]


@pytest.mark.parametrize("case", [case for case in CASES if case.name == "zoo"], ids=case_name)
def test_a_raw_recording_is_byte_for_byte(case: Path, tmp_path: Path) -> None:
    folder, told = recorded(case, tmp_path, "--raw")
    assert told["anonymised"] is None
    for path in folder.glob("*.out"):
        assert path.read_bytes() == (case / path.name).read_bytes()
        assert path.with_suffix(".err").read_bytes() == (case / path.name).with_suffix(".err").read_bytes()
    meta, original = (json.loads((each / "meta.json").read_text()) for each in (folder, case))
    assert meta["taken_at"].endswith("Z")
    for query, facts in meta["queries"].items():
        assert facts["exit_status"] == original["queries"][query]["exit_status"]


def test_two_recordings_of_one_cluster_share_no_token(tmp_path: Path) -> None:
    case = RECORDED / "slurm/22.05.8/zoo"
    owners = [{job["owner"] for job in parsed(recorded(case, tmp_path / name)[0])["jobs"]} - NEUTRAL for name in ("one", "two")]
    assert owners[0]
    assert not owners[0] & owners[1]


def test_a_name_with_a_newline_stays_one(tmp_path: Path) -> None:
    case = RECORDED / "slurm/22.05.8/zoo"
    folder, _ = recorded(case, tmp_path)
    for path in folder.glob("*.out"):
        before, after = (case / path.name).read_bytes(), path.read_bytes()
        assert len(before) == len(after)
        assert [byte for byte in before if not chr(byte).isalnum() and byte < 128] == [
            byte for byte in after if not chr(byte).isalnum() and byte < 128
        ]


def test_what_a_user_wrote_is_replaced_wherever_a_newline_puts_it() -> None:
    """Recorded on 26.05: the line of the submission repeats the newline in the name, and what follows looks like a field."""
    record = (
        b"JobId=1 JobName=covid\nJobId=9 JobState=RUNNING UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=1 JobState=PENDING "
        b"Reason=None NumCPUs=1 Command=(null) SubmitLine=sbatch --job-name=covid\nJobId=9 JobState=RUNNING --wrap sleep 500; : "
        b"--password=hunter2 WorkDir=/tmp Comment=patient 4711 StdErr=/dev/null\n"
    )
    made = anonymise({"ended_fallback": Report("ended_fallback", ("scontrol",), 0, record, b"")})
    printed = made.reports["ended_fallback"].stdout
    for secret in (b"covid", b"hunter2", b"4711", b"patient", b"sleep"):
        assert secret not in printed
    assert len(printed) == len(record)
    for kept in (b"JobId=9 JobState=RUNNING UserId=", b" JobState=PENDING Reason=None NumCPUs=1 Command=(null) SubmitLine="):
        assert kept in printed


def test_without_a_person_s_eye_nothing_is_sent(tmp_path: Path) -> None:
    scheduler = replay(RECORDED / "slurm/22.05.8/zoo", tmp_path / "scripts")
    done = run("record", str(tmp_path / "new"), "--scheduler", scheduler, "--scripts", str(tmp_path / "scripts"))
    assert done.exit_code == 0, done.output
    assert "Look at the files before you send them" in done.stderr
    assert "values replaced" in done.stdout
    assert oct((tmp_path / "new").stat().st_mode)[-3:] == "700"


def test_a_script_that_is_missing_or_hangs_is_said_and_left_out(tmp_path: Path) -> None:
    scheduler = replay(RECORDED / "slurm/22.05.8/zoo", tmp_path / "scripts")
    (tmp_path / "scripts/slurm/queues").unlink()
    config = tmp_path / "hpcbridged.toml"
    hang = tmp_path / "scripts/slurm/nodes"
    hang.write_text("#!/bin/sh\nexec sleep 60\n")
    config.write_text(
        '[cluster]\nname = "lab"\nlogin_address = "l"\n'
        f'[scheduler]\nname = "{scheduler}"\nscripts = "{tmp_path / "scripts"}"\ntimeout_seconds = 1\n'
    )
    done = run("--config", str(config), "record", str(tmp_path / "new"), "-o", "json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert sorted(told["unanswered"]) == ["nodes", "queues"]
    assert "1 s" in told["unanswered"]["nodes"] or "1.0 s" in told["unanswered"]["nodes"]
    assert parsed(tmp_path / "new")["nodes"] is None
    assert parsed(tmp_path / "new")["jobs"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["record", "DIR"], 78, "which scheduler"),
        (["record", "DIR", "--scheduler", "slurmy"], 78, "'slurmy' is not known"),
        (["record", "DIR", "--scheduler", "slurm", "--scripts", "/nonexistent"], 78, "nothing to record"),
        (["record"], 2, "Missing argument"),
    ],
)
def test_what_cannot_be_recorded(tmp_path: Path, arguments: list[str], status: int, words: str) -> None:
    missing = ["--config", str(tmp_path / "none.toml")] if arguments == ["record", "DIR"] and os.access("/etc/hpcbridge", os.F_OK) else []
    done = run(*missing, *[str(tmp_path / "new") if word == "DIR" else word for word in arguments])
    assert done.exit_code == status, done.output
    assert words in done.output
    assert not (tmp_path / "new").exists()


def test_a_folder_with_anything_in_it_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("full", "file", "link"):
        done = run("record", str(tmp_path / name), "--scheduler", "slurm")
        assert done.exit_code == 65, done.output
        assert str(tmp_path / name) in done.stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]


def test_accounting_is_asked_for_an_array_and_not_for_a_range_of_it(tmp_path: Path) -> None:
    """sacct refuses a whole question because of a range (22.05: `Bad job array element specified: 35`)."""
    folder, _ = recorded(RECORDED / "slurm" / "22.05.8" / "situations", tmp_path, "--raw")
    assert any(job["job_id"] == "35_[1-2997:7]" and job["outcome"] == "CANCELLED" for job in parsed(folder)["jobs"])
    for query in ("ended", "ended_fallback"):
        argv = json.loads((folder / "meta.json").read_text())["queries"][query]["argv"]
        assert "35" in argv
        assert not any("[" in argument for argument in argv[1:])


def test_an_anonymisation_that_breaks_something_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a table that takes the state of a job for a name is found out by reading both."""
    fields = __import__("hpcbridge.schedulers.anonymise.fields", fromlist=["FIELDS"])
    monkeypatch.setitem(fields.FIELDS, "state", fields.Kind.FREE)
    scheduler = replay(RECORDED / "slurm/22.05.8/zoo", tmp_path / "scripts")
    done = run("record", str(tmp_path / "new"), "--scheduler", scheduler, "--scripts", str(tmp_path / "scripts"))
    assert done.exit_code == 65
    assert "does not say the same as the original" in done.stderr
    assert (tmp_path / "new" / "meta.json").exists()


def test_names_that_are_left_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a table that takes a list of nodes for structure leaves them there, and says so."""
    fields = __import__("hpcbridge.schedulers.anonymise.fields", fromlist=["FIELDS"])
    monkeypatch.setitem(fields.FIELDS, "user", fields.Kind.MIXED)
    monkeypatch.setitem(fields.FIELDS, "message", fields.Kind.KEEP)
    scripts = tmp_path / "scripts"
    scheduler = replay(RECORDED / "slurm/22.05.8/zoo", scripts)
    zoo = RECORDED / "slurm/22.05.8/zoo/about.out"
    (scripts / scheduler / "about").write_text(f"#!/bin/sh\ncat '{zoo}'\necho the cluster of alice, node c10\n")
    done = run("record", str(tmp_path / "new"), "--scheduler", scheduler, "--scripts", str(scripts), "-o", "json")
    left = json.loads(done.stdout)["anonymised"]
    assert "alice" in set(left["left"]) | set(left["common"])


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_a_page_for_people(case: Path) -> None:
    shown = run("parse", "-o", "table", str(case))
    answer = json.loads(run("parse", str(case)).stdout)
    assert shown.exit_code == run("parse", str(case)).exit_code
    for title, key in (("Jobs", "jobs"), ("Nodes", "nodes"), ("Queues", "queues")):
        records = answer[key]
        said = "nothing is known" if records is None else "none, and that is certain" if not records else str(len(records))
        assert f"{title}: {said}" in shown.stdout
    assert (f"Problems: {len(answer['problems'])}" in shown.stdout) == bool(answer["problems"])
    assert all(line.isprintable() for line in shown.stdout.split("\n"))
    assert run("-o", "table", "parse", str(case)).stdout == shown.stdout


def test_a_broken_recording_is_refused_by_name(tmp_path: Path) -> None:
    meta = '{"scheduler": "slurm", "version": "1", "cluster": "c", "queries": {"jobs": {"argv": [], "exit_status": 0}}}'
    (tmp_path / "meta.json").write_text(meta)
    (tmp_path / "jobs.err").write_text("")
    out = tmp_path / "jobs.out"

    def refused(words: str) -> None:
        done = run("parse", str(tmp_path))
        assert done.exit_code == 65, done.output
        assert "jobs.out" in done.stderr
        assert words in done.stderr
        assert done.stdout == ""

    refused("No such file")
    out.symlink_to("/etc/passwd")
    refused("is a link")
    out.unlink()
    out.mkdir()
    refused("Is a directory")
    out.rmdir()
    os.mkfifo(out)
    refused("not a regular file")
    out.unlink()
    with out.open("wb") as file:
        file.truncate((256 << 20) + 1)
    refused("larger than")
    out.unlink()
    (tmp_path / "meta.json").write_bytes(b"\xff{")
    assert "not JSON" in run("parse", str(tmp_path)).stderr
    (tmp_path / "meta.json").write_bytes(b"[" * 100_000)
    assert run("parse", str(tmp_path)).exit_code == 65
    assert run("parse", str(tmp_path / "nowhere")).exit_code == 65
    assert run("parse").exit_code == 2
