# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Founding a ledger: its keys, entry 0, the high-water file, and the first admin's token. Nothing that exists is ever overwritten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpcbridge.contract import CONTRACT_VERSION
from hpcbridge.contract.parameters import PARAMETERS
from hpcbridge.errors import ConfigError
from hpcbridge.fold import Applied, WorkingState, fold
from hpcbridge.identity.authority import Authority
from hpcbridge.identity.certificates import fingerprint
from hpcbridge.identity.keys import public_bytes
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.sealing import seal
from hpcbridge.identity.tokens import SECRET_BYTES, EnrolmentToken, make_token, token_digest
from hpcbridge.ledger.closing import mark_closed
from hpcbridge.ledger.highwater import HighWater, Mark
from hpcbridge.ledger.merkle import leaf_hash
from hpcbridge.ledger.records import Group, Number, StoredEntry
from hpcbridge.ledger.store import Store
from hpcbridge.ledger.tiles import Tree
from hpcbridge.model.identities import Submitter
from hpcbridge.model.quantities import Instant, check_name, check_origin
from hpcbridge.model.transactions import Genesis, Header, Payload, PayloadType, Seen, SystemNode
from hpcbridge.service.opening import HIGH_WATER_FILE, KEYS, STORE_FILE
from hpcbridge.wire.convert import encode, encode_body

NODE = Submitter("ledger", "node-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What the founder decides. `enrolment_address` (host:port) is where the token will be redeemed."""

    origin: str
    first_admin: str
    enrolment_address: str
    parameters: tuple[tuple[str, int], ...] = ()


def found(directory: Path, foundation: Foundation, *, at: Instant, random: Callable[[int], bytes]) -> str:
    """Makes the ledger and returns the first admin's token, which is not kept anywhere. ConfigError if there is one already."""
    try:
        origin, admin = check_origin(foundation.origin), check_name("admin", foundation.first_admin)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    _check_empty(directory)
    KeyDirectory(directory).create()
    keys = KeyDirectory(directory / KEYS)
    authority = Authority.create(keys.path, origin, at=at)
    keys.create_log_key()
    node_key = keys.create_key()
    secret = random(SECRET_BYTES)
    token_life_ms = dict(foundation.parameters).get("token_life_ms", PARAMETERS["token_life_ms"].default)
    genesis = Genesis(
        origin=origin,
        ca_certificate=authority.certificate,
        log_key=keys.load_log_public_key(),
        first_admin=admin,
        first_admin_token_digest=token_digest(secret),
        token_expires_at=at + token_life_ms,
        system_nodes=(SystemNode(submitter=NODE, public_key=public_bytes(node_key)),),
        parameters=tuple(sorted(foundation.parameters)),
        contract_version=CONTRACT_VERSION,
        created_at=at,
    )
    header = Header(origin=origin, submitter=NODE, epoch=random(16), sequence=1, seen=Seen(size=0, root=b""), wall_at=at)
    payload = encode(Payload(header=header, body=encode_body(genesis)))
    entry = _entry_zero(encode(seal(payload, PayloadType.GENESIS, node_key)), origin, at)
    root = _store(directory, entry)
    mark_closed(directory / STORE_FILE)
    HighWater.create(directory / HIGH_WATER_FILE, Mark(size=1, root=root)).close()
    token = EnrolmentToken(
        address=foundation.enrolment_address, origin=origin, ca_fingerprint=fingerprint(authority.certificate), secret=secret
    )
    return make_token(token)


def _check_empty(directory: Path) -> None:
    for name in (STORE_FILE, HIGH_WATER_FILE, KEYS):
        if (directory / name).exists():
            raise ConfigError(f"{directory / name} exists: there is a ledger here", hint="nothing was changed; take another directory")


def _entry_zero(envelope: bytes, origin: str, at: Instant) -> Applied:
    applied = fold(WorkingState(), envelope, index=0, at=at, proposer=NODE, origin=origin)
    if not isinstance(applied, Applied):
        raise ConfigError(f"entry 0 is refused: {applied}")
    return applied


def _store(directory: Path, entry: Applied) -> bytes:
    """Makes the store with entry 0; returns the root."""
    with Store.open(directory / STORE_FILE, create=True) as store:
        tree = Tree(store)
        tree.append(leaf_hash(entry.leaf))
        number = None if entry.number is None else Number(**entry.number._asdict())
        stored = StoredEntry(index=0, leaf=entry.leaf, number=number, events=entry.events)
        store.append(Group(entries=(stored,), writes=dict(entry.writes), tiles=tree.take_full_tiles(), root=tree.root(), engine_position=0))
        return tree.root()
