# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Key files: closed to others, never overwritten, whole or not there; one process at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hpcbridge.errors import ConfigError, HpcbridgeError, StorageError
from hpcbridge.identity import keystore
from hpcbridge.identity.authority import Authority
from hpcbridge.identity.keys import public_bytes
from hpcbridge.identity.keystore import KeyDirectory, load_p256_key, write_file
from hpcbridge.identity.profile import Profile
from hpcbridge.model.identities import Role, Submitter

PROFILE = Profile(
    origin="ledger.example.org",
    submitter=Submitter("uni-north", "frontend-1"),
    role=Role.PROVIDER,
    ledger_addresses=("ledger.example.org:7443", "[::1]:7443"),
    enrolment_address="ledger.example.org:7444",
    server_name="ledger.example.org",
)


@pytest.fixture(name="directory")
def _directory(tmp_path: Path) -> KeyDirectory:
    return KeyDirectory(tmp_path / "identity")


def test_key_is_made_once_and_private(directory: KeyDirectory) -> None:
    key = directory.create_key()
    assert (directory.path / "key.pem").stat().st_mode & 0o777 == 0o600
    assert directory.path.stat().st_mode & 0o777 == 0o700
    assert public_bytes(directory.load_key()) == public_bytes(key)
    assert directory.load_key_pem().startswith(b"-----BEGIN PRIVATE KEY-----")
    with pytest.raises(ConfigError, match="not overwritten"):
        directory.create_key()
    assert public_bytes(directory.load_key()) == public_bytes(key)


def test_cut_off_enrolment_goes_on_with_the_same_key(directory: KeyDirectory) -> None:
    assert public_bytes(directory.load_or_create_key()) == public_bytes(directory.load_or_create_key())
    assert not directory.is_enrolled()


def test_no_temporary_files_stay(directory: KeyDirectory) -> None:
    directory.create_key()
    directory.save_profile(PROFILE)
    with pytest.raises(ConfigError):
        directory.create_key()
    assert sorted(path.name for path in directory.path.iterdir()) == ["key.pem", "profile.json"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_key_readable_by_others_is_refused(directory: KeyDirectory, mode: int) -> None:
    directory.create_key()
    path = directory.path / "key.pem"
    path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        directory.load_key()
    assert str(path) in str(caught.value)
    assert f"{mode:04o}" in str(caught.value)
    assert f"chmod 600 {path}" in caught.value.hint
    assert caught.value.exit_status == 78


def test_control_without_the_check_an_open_key_is_used(directory: KeyDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.create_key()
    (directory.path / "key.pem").chmod(0o644)
    monkeypatch.setattr(keystore, "_check_secret", lambda *_: None)
    directory.load_key()


def test_open_sealing_and_log_keys_are_refused_too(directory: KeyDirectory) -> None:
    directory.create_sealing_key()
    directory.create_log_key()
    for name in ("sealing-key.pem", "log-key.pem"):
        (directory.path / name).chmod(0o644)
    with pytest.raises(ConfigError, match=r"sealing-key\.pem: mode 0644"):
        directory.load_sealing_key()
    with pytest.raises(ConfigError, match=r"log-key\.pem: mode 0644"):
        directory.load_log_key()


def test_directory_that_others_can_write_to_is_refused(directory: KeyDirectory) -> None:
    directory.path.mkdir(mode=0o700)
    directory.path.chmod(0o770)
    with pytest.raises(ConfigError, match="lets others write"):
        directory.create_key()


def test_missing_key_says_enrol(directory: KeyDirectory) -> None:
    with pytest.raises(ConfigError, match="not there") as caught:
        directory.load_key()
    assert "enrol" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"garbage", b"x" * 100_000])
def test_garbage_key_is_refused(directory: KeyDirectory, content: bytes) -> None:
    directory.create()
    write_file(directory.path / "key.pem", content, mode=0o600)
    with pytest.raises(ConfigError, match=r"key\.pem"):
        directory.load_key()


def test_wrong_kinds_of_keys_are_refused(directory: KeyDirectory) -> None:
    directory.create_log_key()
    with pytest.raises(ConfigError, match="not a P-256 key"):
        load_p256_key(directory.path / "log-key.pem")
    key = ec.generate_private_key(ec.SECP384R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_file(directory.path / "key.pem", pem, mode=0o600)
    with pytest.raises(ConfigError, match="not a P-256 key"):
        directory.load_key()
    write_file(directory.path / "log-key.pem", pem, mode=0o600)
    with pytest.raises(ConfigError, match="not an Ed25519 key"):
        directory.load_log_key()


def test_log_key_is_pinned_as_raw_bytes(directory: KeyDirectory) -> None:
    key = directory.create_log_key()
    assert directory.load_log_public_key() == key.public_key().public_bytes_raw()
    assert directory.load_log_key().public_key() == key.public_key()
    write_file(directory.path / "log-key.pub", b"nonsense")
    with pytest.raises(ConfigError, match=r"log-key\.pub"):
        directory.load_log_public_key()


def test_certificates_come_back_as_der(directory: KeyDirectory, authority: Authority) -> None:
    directory.create()
    directory.save_authority(authority.certificate)
    directory.save_certificate(authority.certificate)
    assert directory.load_authority() == directory.load_certificate() == authority.certificate
    two = (directory.path / "ca.pem").read_bytes() * 2
    write_file(directory.path / "ca.pem", two)
    with pytest.raises(ConfigError, match="not one certificate"):
        directory.load_authority()


def test_profile_round_trip_and_strictness(directory: KeyDirectory) -> None:
    directory.create()
    directory.save_profile(PROFILE)
    assert directory.load_profile() == PROFILE
    path = directory.path / "profile.json"
    good = path.read_text()
    for old, new in [
        ('"origin"', '"orgin"'),
        ("uni-north/frontend-1", "uni-north"),
        ('"PROVIDER"', '"ROOT"'),
        ("ledger.example.org:7444", "ledger.example.org"),
        ("{", '{"more": 1,'),
        ("{", ""),
    ]:
        path.write_text(good.replace(old, new, 1))
        with pytest.raises(ConfigError, match=r"profile\.json"):
            directory.load_profile()


def test_replacing_is_atomic_and_a_full_disk_leaves_the_old(directory: KeyDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.create()
    path = directory.path / "profile.json"
    write_file(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in directory.path.iterdir()] == ["profile.json"]


def test_second_process_is_told_who_holds_the_directory(directory: KeyDirectory) -> None:
    program = (
        "import sys; from pathlib import Path; from hpcbridge.identity.keystore import KeyDirectory\n"
        "with KeyDirectory(Path(sys.argv[1])).lock(): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(directory.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(HpcbridgeError, match=f"in use by process {other.pid}"), directory.lock(attempts=2):
            pass
        other.kill()
        other.wait()
    with directory.lock():
        pass


def test_lock_is_not_shared_within_a_process(directory: KeyDirectory) -> None:
    with directory.lock(), pytest.raises(HpcbridgeError, match="in use"), directory.lock():
        pass
    with directory.lock():
        pass
