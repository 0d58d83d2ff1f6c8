# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The packages as files: what rpmlint says, what they need and bring, and that the same sources give the same bytes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import pytest

from tests.machine_packages import CHECKOUT, Packages

SPEC = CHECKOUT / "packaging" / "rpm" / "hpcbridge.spec"
LINT = CHECKOUT / "packaging" / "rpm" / "rpmlint.toml"
OLDEST_GLIBC = (2, 28)  # EL8


def query(package: Path, what: str) -> list[str]:
    done = subprocess.run(["rpm", "--query", "--package", what, package], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def lint(packages: Packages, *arguments: str) -> str:
    # The spec reads a list that lies among its sources.
    spec = packages.library.parents[2] / "SOURCES" / SPEC.name
    shutil.copy(SPEC, spec)
    argv = ["rpmlint", *arguments, *map(str, astuple(packages)), str(spec)]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(spec.parent)}
    (spec.parent / ".rpmmacros").write_text(f"%_sourcedir {spec.parent}\n")
    return subprocess.run(argv, capture_output=True, text=True, env=environment, check=False, timeout=120).stdout


def test_rpmlint_says_nothing_but_what_is_explained(packages: Packages) -> None:
    said = lint(packages, "--config", str(LINT))
    assert " 0 errors, 0 warnings" in said, said
    assert " 0 errors" not in lint(packages)


def test_it_runs_on_every_glibc_from_el8_on(packages: Packages) -> None:
    versions = {
        tuple(map(int, found[1].split(".")))
        for each in query(packages.library, "--requires")
        if (found := re.search(r"GLIBC_([0-9.]+)", each))
    }
    assert (2, 17) <= max(versions) <= OLDEST_GLIBC


def test_what_is_bundled_is_named_and_nothing_private_is_offered(packages: Packages) -> None:
    provides = query(packages.library, "--provides")
    named = {found[1] for each in provides if (found := re.match(r"bundled\(python3dist\(([a-z0-9-]+)\)\) = [0-9]", each))}
    assert {"grpcio", "cryptography", "msgspec", "protobuf", "click", "rich"} <= named
    assert not [each for each in provides if ".so" in each]


def test_only_configuration_is_configuration(packages: Packages) -> None:
    assert query(packages.agent, "--configfiles") == ["/etc/hpcbridge/hpcbridged.toml"]
    assert query(packages.ledger, "--configfiles") == ["/etc/hpcbridge/ledgerd.toml"]
    assert query(packages.library, "--configfiles") == []


def test_the_spec_has_the_version_of_the_program(packages: Packages) -> None:
    version = subprocess.run(
        [sys.executable, "-c", "import hpcbridge; print(hpcbridge.__version__)"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert f"hpcbridge-{version.stdout.strip()}-1" in packages.library.name


@pytest.mark.parametrize("system", ["rhel 8", "rhel 9", "rhel 10", "fedora 44"])
def test_the_spec_is_read_by_every_distribution(system: str, packages: Packages) -> None:
    sources = packages.library.parents[2] / "SOURCES"
    name, number = system.split()
    argv = ["rpmspec", "--parse", "--define", f"{name} {number}", "--define", f"_sourcedir {sources}", str(SPEC)]
    parsed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    bundled = system in ("rhel 8", "rhel 9")
    assert ("bundled(python3dist(grpcio))" in parsed) == bundled
    assert ("python3-grpcio" in parsed) != bundled


@pytest.mark.full
def test_the_same_sources_give_the_same_packages(packages: Packages, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "hpcbridge"
    names = ("LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "setup.cfg", "constraints.txt")
    for name in ("hpcbridge", "scheduler_scripts", "systemd", "packaging", "docs"):
        shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in names:
        (copy / name).write_bytes((CHECKOUT / name).read_bytes())  # of another age
    done = subprocess.run(
        [copy / "packaging/rpm/build", tmp_path / "other-name"],
        env={**os.environ, "PYTHON": sys.executable, "TZ": "Asia/Tokyo", "LC_ALL": "C"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in map(Path, done.stdout.split())}
    assert digests == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in astuple(packages)}


@pytest.mark.full
def test_pyslurm_goes_into_a_package_of_its_own(machine_root: Path, tmp_path: Path) -> None:
    """With a stand-in: no release of pyslurm fits the Slurm of the machine that tests."""
    assert machine_root.is_dir()
    source = tmp_path / "pyslurm-22.5.0"
    source.mkdir()
    shutil.copy(CHECKOUT / "tests" / "pyslurm_stand_in" / "pyslurm.py", source)
    (source / "setup.py").write_text('from setuptools import setup\nsetup(name="pyslurm", version="22.5.0", py_modules=["pyslurm"])\n')
    archive = shutil.make_archive(str(source), "gztar", root_dir=tmp_path, base_dir=source.name)
    done = subprocess.run(
        [CHECKOUT / "packaging/rpm/build", tmp_path / "output", "--with", "pyslurm"],
        env={**os.environ, "PYTHON": sys.executable, "PYSLURM": archive}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    files = {Path(path).name.partition("-0.")[0]: query(Path(path), "--list") for path in done.stdout.split()}
    assert any(path.endswith("/site-packages/pyslurm.py") for path in files["hpcbridge-pyslurm"])
    assert not [path for path in files["hpcbridge"] if "site-packages/pyslurm" in path]
    needed = query(next(Path(path) for path in done.stdout.split() if "pyslurm" in Path(path).name), "--requires")
    assert "hpcbridge-agent = 0.1.0-1" in needed
