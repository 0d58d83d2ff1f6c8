# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Keys, certificates and what was pinned, as files of one directory. The door to these files: nobody else reads or writes them.

Private keys have mode 0600 and are refused otherwise, also when they are read; one that exists is never overwritten. Every write
is whole or not there: temporary file, fsync, rename (or link), fsync of the directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519

from hpcbridge.errors import ConfigError, HpcbridgeError, IdentityError, StorageError
from hpcbridge.identity.certificates import certificate_from_pem, certificate_to_pem
from hpcbridge.identity.keys import new_key
from hpcbridge.identity.profile import Profile, decode_profile, encode_profile

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | x25519.X25519PrivateKey

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MAX_FILE_BYTES = 65_536
_ENROL = "enrol first: hpcbridgectl enrol"
_RESTORE = "restore it from a backup of this directory, or move the directory away and enrol again"
_LOCK_PAUSE_SECONDS = 0.1


class KeyDirectory:
    """One installation's identity: `key.pem`, `certificate.pem`, `ca.pem`, `log-key.pub`, `profile.json`, and where needed others.

    Nothing is kept in memory, so every load sees what was renewed meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Makes the directory (0700) if it is not there; ConfigError if others could put files into it."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = self.path.stat().st_mode
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be made: {error.strerror}") from error
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigError(f"{self.path}: mode {stat.S_IMODE(mode):04o} lets others write", hint=f"chmod go-w {self.path}")

    def is_enrolled(self) -> bool:
        """True once a certificate and the profile are there."""
        return (self.path / "certificate.pem").exists() and (self.path / "profile.json").exists()

    def create_key(self) -> ec.EllipticCurvePrivateKey:
        """Makes `key.pem`; ConfigError if there is one already."""
        self.create()
        key = new_key()
        save_private_key(self.path / "key.pem", key)
        return key

    def load_or_create_key(self) -> ec.EllipticCurvePrivateKey:
        """The key of this directory, made at the first call: an enrolment that was cut off goes on with the same key."""
        return self.load_key() if (self.path / "key.pem").exists() else self.create_key()

    def load_key(self) -> ec.EllipticCurvePrivateKey:
        """The key that signs and speaks TLS."""
        return load_p256_key(self.path / "key.pem")

    def load_key_pem(self) -> bytes:
        """The same key as PEM, for TLS libraries; checked before."""
        return _private_pem(self.load_key())

    def create_sealing_key(self) -> x25519.X25519PrivateKey:
        """Makes `sealing-key.pem`, to which secrets for this installation are sealed."""
        self.create()
        key = x25519.X25519PrivateKey.generate()
        save_private_key(self.path / "sealing-key.pem", key)
        return key

    def load_or_create_sealing_key(self) -> x25519.X25519PrivateKey:
        """The key to which secrets for this installation are sealed, made at the first call."""
        return self.load_sealing_key() if (self.path / "sealing-key.pem").exists() else self.create_sealing_key()

    def load_sealing_key(self) -> x25519.X25519PrivateKey:
        """The key that opens what was sealed to this installation."""
        return load_x25519_key(self.path / "sealing-key.pem")

    def create_log_key(self) -> ed25519.Ed25519PrivateKey:
        """Makes `log-key.pem`, which signs checkpoints; only a ledger has one. Its public half goes to `log-key.pub`."""
        self.create()
        key = ed25519.Ed25519PrivateKey.generate()
        save_private_key(self.path / "log-key.pem", key)
        self.save_log_public_key(key.public_key().public_bytes_raw())
        return key

    def load_log_key(self) -> ed25519.Ed25519PrivateKey:
        """The key that signs checkpoints."""
        path = self.path / "log-key.pem"
        key = _load_private_key(path)
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise ConfigError(f"{path}: not an Ed25519 key")
        return key

    def save_log_public_key(self, raw: bytes) -> None:
        """Pins the log's key (32 raw bytes of Ed25519); stored as PEM."""
        key = ed25519.Ed25519PublicKey.from_public_bytes(raw)
        pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        write_file(self.path / "log-key.pub", pem)

    def load_log_public_key(self) -> bytes:
        """The pinned key of the log, 32 raw bytes."""
        path = self.path / "log-key.pub"
        try:
            key = serialization.load_pem_public_key(read_file(path))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConfigError(f"{path}: not a public key in PEM", hint=_RESTORE) from error
        if not isinstance(key, ed25519.Ed25519PublicKey):
            raise ConfigError(f"{path}: not an Ed25519 key")
        return key.public_bytes_raw()

    def save_certificate(self, der: bytes) -> None:
        """Replaces `certificate.pem`."""
        write_file(self.path / "certificate.pem", certificate_to_pem(der))

    def load_certificate(self) -> bytes:
        """DER of this installation's certificate."""
        return _load_certificate(self.path / "certificate.pem")

    def save_authority(self, der: bytes) -> None:
        """Pins the CA's certificate."""
        write_file(self.path / "ca.pem", certificate_to_pem(der))

    def load_authority(self) -> bytes:
        """DER of the pinned CA certificate."""
        return _load_certificate(self.path / "ca.pem")

    def save_profile(self, profile: Profile) -> None:
        """Replaces `profile.json`."""
        write_file(self.path / "profile.json", encode_profile(profile))

    def load_profile(self) -> Profile:
        """Who this installation is and where its ledger lives."""
        path = self.path / "profile.json"
        try:
            return decode_profile(read_file(path))
        except ValueError as error:
            raise ConfigError(f"{path}: {error}", hint="enrol again, or repair the file") from error

    @contextlib.contextmanager
    def lock(self, *, attempts: int = 1) -> Iterator[None]:
        """Holds the directory for one process at a time; asks `attempts` times, a tenth of a second apart.

        The kernel lets go of it when the process ends in any way, so a lock file that is left over means nothing.
        """
        self.create()
        descriptor = self._open_lock()
        try:
            self._take_lock(descriptor, attempts)
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def _open_lock(self) -> int:
        try:
            return os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"{self.path / 'lock'}: cannot be opened: {error.strerror}") from error

    def _take_lock(self, descriptor: int, attempts: int) -> None:
        pause = threading.Event()
        for attempt in range(1, attempts + 1):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if attempt < attempts:
                    pause.wait(_LOCK_PAUSE_SECONDS)
            except OSError as error:
                raise ConfigError(f"{self.path / 'lock'}: cannot be locked: {error.strerror}") from error
            else:
                return
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace")
        raise HpcbridgeError(
            f"{self.path}: in use by process {holder if holder.isdecimal() else 'unknown'}",
            hint="wait until the other command has ended; if it is hpcbridged, leave out --identity: commands then go through it",
        )


def save_private_key(path: Path, key: PrivateKey) -> None:
    """Writes a new private key, 0600; ConfigError if the file exists, so that no key is ever lost by mistake."""
    temporary = _write_temporary(path, _private_pem(key), 0o600)
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise ConfigError(f"{path}: there is a key already, it is not overwritten", hint="move it away first") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(path.parent)


def load_p256_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Reads a P-256 private key; ConfigError if others could read it, or if it is something else."""
    key = _load_private_key(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError(f"{path}: not a P-256 key")
    return key


def load_x25519_key(path: Path) -> x25519.X25519PrivateKey:
    """Reads an X25519 private key; ConfigError if others could read it, or if it is something else."""
    key = _load_private_key(path)
    if not isinstance(key, x25519.X25519PrivateKey):
        raise ConfigError(f"{path}: not an X25519 key")
    return key


def remove_file(path: Path) -> None:
    """Removes a file if it is there, durably; StorageError if the disk says no."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: cannot be removed: {error.strerror}") from error
    if path.parent.exists():
        _sync_directory(path.parent)


def read_file(path: Path, *, secret: bool = False) -> bytes:
    """Whole content of a small file. A secret one must belong to us (or root) and be closed to all others; ConfigError if not."""
    try:
        with path.open("rb") as file:
            if secret:
                _check_secret(path, os.fstat(file.fileno()))
            content = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: not there", hint=_ENROL) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > _MAX_FILE_BYTES:
        raise ConfigError(f"{path}: too large to be what it should be")
    return content


def write_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replaces a file so that after any crash it is the old or the new one, whole; StorageError if the disk says no."""
    temporary = _write_temporary(path, content, mode)
    try:
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be replaced: {error.strerror}") from error
    _sync_directory(path.parent)


def _write_temporary(path: Path, content: bytes, mode: int) -> Path:
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    return Path(name)


def _sync_directory(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(f"{path}: cannot be synced: {error.strerror}") from error


def _load_private_key(path: Path) -> object:
    try:
        return serialization.load_pem_private_key(read_file(path, secret=True), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: not a private key in PEM without a password", hint=_RESTORE) from error


def _check_secret(path: Path, facts: os.stat_result) -> None:
    if facts.st_mode & _OTHERS:
        raise ConfigError(
            f"{path}: mode {stat.S_IMODE(facts.st_mode):04o} lets others read a private key",
            hint=f"chmod 600 {path} — and if others can log in here, enrol again with a new key",
        )
    if facts.st_uid not in (0, os.geteuid()) and os.geteuid() != 0:
        raise ConfigError(f"{path}: belongs to another account (uid {facts.st_uid})", hint=f"chown it to uid {os.geteuid()}")


def _load_certificate(path: Path) -> bytes:
    try:
        return certificate_from_pem(read_file(path))
    except IdentityError as error:
        raise ConfigError(f"{path}: {error}", hint="renew or enrol again") from error


def _private_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
