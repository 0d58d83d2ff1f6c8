# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The RPMs under test, built as `make rpm` builds them, and one that says what a Debian root gives to RPMs.

A machine's root is Debian's, so its RPM database is empty. `base_package` provides what is really there (shared libraries with the
versions of their symbols, programs, the version of systemd): the dependencies of ours are resolved against that, none is overridden.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.booted_machine import BootedMachine

CHECKOUT = Path(__file__).resolve().parent.parent
_BUILD = CHECKOUT / "packaging" / "rpm" / "build"
_PROGRAMS = ("/bin/sh", "/usr/bin/env", "/usr/bin/python3", "/usr/bin/python3.11")
_ELFDEPS = "/usr/lib/rpm/elfdeps"


@dataclass(frozen=True)
class Packages:
    """Files of one build."""

    library: Path
    agent: Path
    ledger: Path


def build_packages(output: Path, *, release: str = "1") -> Packages:
    """Builds our RPMs into `output`, or waits for and takes what another process builds there; RuntimeError with the end of the log."""
    output.parent.mkdir(parents=True, exist_ok=True)
    listed = output.with_suffix(".built")
    with output.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not listed.exists():
            listed.write_text(_build(output, release))
    made = {path.name.partition("-0")[0]: path for path in map(Path, listed.read_text().split())}
    return Packages(library=made["hpcbridge"], agent=made["hpcbridge-agent"], ledger=made["hpcbridge-ledger"])


def _build(output: Path, release: str) -> str:
    done = subprocess.run(
        [_BUILD, output, "--define", f"package_release {release}"],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{_BUILD}: exit status {done.returncode}: {done.stderr}")
    return done.stdout


def base_package(root: Path, output: Path) -> Path:
    """Builds the RPM whose provides are what `root` has."""
    libraries = [*root.glob("usr/lib/x86_64-linux-gnu/*.so*"), *root.glob("usr/lib64/*.so*"), *root.glob("usr/lib/aarch64-linux-gnu/*.so*")]
    files = "".join(f"{path}\n" for path in sorted(libraries) if path.is_file())
    provides = set(subprocess.run([_ELFDEPS, "--provides"], input=files, capture_output=True, text=True, check=True).stdout.split("\n"))
    provides |= {program for program in _PROGRAMS if (root / program.lstrip("/")).exists()}
    provides |= {"rtld(GNU_HASH)", "shadow-utils", f"systemd = {_version_of('systemd', root)}"}
    output.mkdir(parents=True, exist_ok=True)
    spec = output / "debian-root.spec"
    spec.write_text(
        "Name: debian-root\nVersion: 1\nRelease: 1\nSummary: What this file system provides\nLicense: none\n"
        + "".join(f"Provides: {each}\n" for each in sorted(filter(None, provides)))
        + "%description\nWhat this file system provides.\n%files\n"
    )
    subprocess.run(
        ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {output}", "--define", f"_dbpath {output}/db", spec],
        capture_output=True,
        check=True,
    )
    return next((output / "RPMS").rglob("*.rpm"))


def install(machine: BootedMachine, *packages: Path, downgrade: bool = False) -> str:
    """Installs or upgrades RPMs with all their dependencies and scripts, as dnf would; what rpm said. `downgrade`: also earlier ones."""
    folder = "/var/tmp/packages"
    machine.run("mkdir", "-p", folder)
    for package in packages:
        machine.copy(package, f"{folder}/{package.name}")
    # Debian's rpm asks whether a Debian is meant.
    options = ("--oldpackage", "--replacepkgs") if downgrade else ()
    done = machine.try_run(
        "rpm", "--upgrade", "--force-debian", *options, *(f"{folder}/{package.name}" for package in packages), timeout=120
    )
    if done.returncode != 0:
        raise RuntimeError(f"rpm: exit status {done.returncode}: {done.stderr}{done.stdout}")
    return done.stderr + done.stdout


def _version_of(package: str, root: Path) -> str:
    query = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "--show", "--showformat=${Version}", package]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.partition("-")[0]
