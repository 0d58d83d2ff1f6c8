# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Opening a ledger's files: keys, store, high-water mark, and whether they belong together. What is wrong is named; nothing is repaired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from hpcbridge.contract.records import GenesisRecord
from hpcbridge.contract.standing import genesis_record
from hpcbridge.errors import BadData, ConfigError, HpcbridgeError, IntegrityError
from hpcbridge.identity.authority import Authority
from hpcbridge.identity.keys import public_bytes
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.ledger.checkpoint import parse_checkpoint
from hpcbridge.ledger.checks import SignedPrefix
from hpcbridge.ledger.closing import mark_closed, take_mark
from hpcbridge.ledger.highwater import HighWater, Mark, check_not_behind
from hpcbridge.ledger.store import Store, StoreReader
from hpcbridge.ledger.tiles import Tree
from hpcbridge.model.identities import Submitter
from hpcbridge.model.quantities import Instant
from hpcbridge.service.readers import ReadState
from hpcbridge.wire.generated import entries_pb2

STORE_FILE = "ledger.db"
HIGH_WATER_FILE = "high-water"
KEYS = "keys"
KEY_FILES = ("ca-key.pem", "ca.pem", "log-key.pem", "key.pem")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The ledger's own secrets."""

    authority: Authority
    log_key: ed25519.Ed25519PrivateKey
    node_key: ec.EllipticCurvePrivateKey

    @property
    def log_public_key(self) -> bytes:
        """Public half of the log key, 32 raw bytes."""
        return self.log_key.public_key().public_bytes_raw()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLedger:
    """Everything open and checked. The applier has `store`, the signer `prefix` and `high_water`, the tree its own reader."""

    path: Path
    keys: Keys
    genesis: GenesisRecord
    node: Submitter
    store: Store
    tree: Tree
    prefix: SignedPrefix
    high_water: HighWater
    readers: tuple[StoreReader, ...]
    last_at: Instant

    def close(self) -> None:
        """Closes all files; from then on no byte of the store may change."""
        self.high_water.close()
        for reader in self.readers:
            reader.close()
        self.store.close()
        mark_closed(self.path)


def load_keys(directory: Path) -> Keys:
    """Reads the keys; ConfigError for a missing one, or one that others can read."""
    keys = KeyDirectory(directory / KEYS)
    _check_complete(directory, keys)
    return Keys(authority=Authority.load(keys.path), log_key=keys.load_log_key(), node_key=keys.load_key())


def open_ledger(directory: Path) -> OpenLedger:
    """Opens and verifies a ledger for running. IntegrityError: it contradicts itself, its keys, or what was signed before."""
    keys = load_keys(directory)
    path = directory / STORE_FILE
    store = Store.open(path)
    opened: list[StoreReader | HighWater] = [store]
    try:
        genesis = _check_genesis(store, keys)
        tree_reader, signer_reader = StoreReader.open(path), StoreReader.open(path)
        opened += [tree_reader, signer_reader]
        tree = Tree(tree_reader)
        high_water = HighWater.open(directory / HIGH_WATER_FILE)
        opened.append(high_water)
        check_not_behind(tree, high_water.mark)
        take_mark(path)
        return OpenLedger(
            path=path,
            keys=keys,
            genesis=genesis,
            node=_own_node(genesis, keys),
            store=store,
            tree=tree,
            prefix=SignedPrefix(signer_reader, size=high_water.mark.size),
            high_water=high_water,
            readers=(tree_reader, signer_reader),
            last_at=entries_pb2.Entry.FromString(store.leaves(store.size() - 1, store.size())[0]).at,
        )
    except HpcbridgeError:
        for each in reversed(opened):
            each.close()
        raise


def rebuild_high_water(directory: Path, notes: Sequence[str]) -> Mark:
    """Makes a lost high-water file anew from the largest checkpoint that members hold; the store must contain what it says."""
    keys = load_keys(directory)
    if not notes:
        raise BadData("no checkpoint was given", hint="ask the members: hpcbridgectl ledger status -o json shows the one they hold")
    origin, log_key = keys.authority.origin, keys.log_public_key
    largest = max((parse_checkpoint(note, origin, log_key) for note in notes), key=lambda checkpoint: checkpoint.size)
    mark = Mark(size=largest.size, root=largest.root)
    with Store.open(directory / STORE_FILE) as store:
        check_not_behind(Tree(store), mark)
    HighWater.create(directory / HIGH_WATER_FILE, mark).close()
    return mark


def _check_complete(directory: Path, keys: KeyDirectory) -> None:
    if not (directory / STORE_FILE).exists() and not keys.path.exists():
        raise ConfigError(
            f"{directory}: there is no ledger",
            hint="make one: hpcbridge-ledgerd init --origin NAME; or name its directory in [store] of ledgerd.toml or with --directory",
        )
    missing = [name for name in KEY_FILES if not (keys.path / name).exists()]
    if missing:
        raise ConfigError(f"{keys.path}: no {', '.join(missing)}", hint="bring back the keys of this ledger; no others will do")


def _check_genesis(store: Store, keys: Keys) -> GenesisRecord:
    genesis = genesis_record(ReadState(store))
    if genesis is None:
        raise IntegrityError("the store has no entry 0", hint="hpcbridge-ledgerd init was cut off; remove the directory and run it again")
    authority = keys.authority
    pinned = (genesis.origin, genesis.ca_certificate, genesis.log_key)
    if pinned != (authority.origin, authority.certificate, keys.log_public_key):
        raise IntegrityError("the keys beside the store are not those that entry 0 names", hint="bring back the keys of this ledger")
    return genesis


def _own_node(genesis: GenesisRecord, keys: Keys) -> Submitter:
    own = public_bytes(keys.node_key)
    for node in genesis.system_nodes:
        if node.public_key == own:
            return node.submitter
    raise ConfigError("the node key is not one of the system nodes that entry 0 names", hint="bring back the keys of this ledger")
