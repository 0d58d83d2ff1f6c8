# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The public Python client: what a program of yours can ask a ledger with an enrolled identity.

    from hpcbridge.client import Client

    with Client() as client:  # ~/.config/hpcbridge, after `hpcbridgectl enrol`
        for cluster in client.clusters():
            print(cluster.registration.cluster, cluster.vetting)
        for event in client.events(cursor="now", follow=True):
            print(event.cursor, event.type, event.subject)

Answers are words of `hpcbridge.model` and records of the ledger, frozen. Times are milliseconds since 1970 UTC, what is unknown is
None. Every failure is an `hpcbridge.errors.HpcbridgeError`: LedgerUnavailable is worth another try, Refused carries a code. A client
may be used by several threads. It does not write: transactions are for `hpcbridgectl` and the daemon, whose numbers must have one owner.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

from hpcbridge.contract.records import ClusterRecord, GapRecord, MemberRecord
from hpcbridge.errors import ConfigError
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.ledger.checkpoint import parse_checkpoint
from hpcbridge.model.entries import Checkpoint, EventType, Receipt
from hpcbridge.model.identities import Submitter
from hpcbridge.model.jobs import Job
from hpcbridge.model.transactions import NodeChange
from hpcbridge.wire import queries
from hpcbridge.wire.client import LedgerClient, current_checkpoint, endpoints_of
from hpcbridge.wire.enrolment import renew
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.queries import LedgerEvent
from hpcbridge.wire.receipts import read_receipt


class Client:
    """A connection to the ledger of an identity. Close it, or use it as a context manager."""

    def __init__(self, identity: Path | str | None = None, *, ledger: str | None = None) -> None:
        """`identity` is a directory made by `hpcbridgectl enrol`; `ledger` (host:port) replaces the addresses told at enrolment."""
        path = Path.home() / ".config" / "hpcbridge" if identity is None else Path(identity)
        self._keys = KeyDirectory(path)
        if not self._keys.is_enrolled():
            raise ConfigError(f"no identity in {path}", hint="enrol with a token from your network's admin: hpcbridgectl enrol")
        self._profile = self._keys.load_profile()
        self._log_key = self._keys.load_log_public_key()
        self._ledger = LedgerClient(endpoints_of(self._keys, ledger), self._keys)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection and every iteration over events."""
        self._ledger.close()

    @property
    def submitter(self) -> Submitter:
        """Member and installation this client speaks for."""
        return self._profile.submitter

    def renew(self) -> None:
        """Gets a newer certificate and uses it from the next call on; needed about once a day in a program that runs for long."""
        renew(self._keys)
        self._ledger.reconnect()

    def clusters(self) -> tuple[ClusterRecord, ...]:
        """Clusters you may see: a provider its own, an admin all."""
        return queries.list_clusters(self._ledger.call)

    def cluster(self, name: str) -> ClusterRecord:
        """One cluster with its last sample."""
        return queries.get_cluster(self._ledger.call, name)

    def jobs(self, cluster: str, *, open_only: bool = False) -> Iterator[Job]:
        """Jobs of a cluster on record, page by page."""
        return queries.list_jobs(self._ledger.call, cluster, open_only=open_only)

    def job(self, cluster: str, job_id: str, *, incarnation: int = 0) -> Job:
        """One job; incarnation 0 means the last run under this id."""
        return queries.get_job(self._ledger.call, cluster, job_id, incarnation=incarnation)

    def nodes(self, cluster: str) -> tuple[NodeChange, ...]:
        """Last known availability of each node."""
        return queries.list_nodes(self._ledger.call, cluster)

    def gaps(self, cluster: str = "") -> tuple[GapRecord, ...]:
        """What could not be reported."""
        return queries.list_gaps(self._ledger.call, cluster)

    def members(self) -> tuple[MemberRecord, ...]:
        """All members; for admins and auditors."""
        return queries.list_members(self._ledger.call)

    def parameters(self) -> dict[str, int]:
        """The network's parameters."""
        return dict(queries.get_parameters(self._ledger.call))

    def events(self, cursor: str = "", *, types: tuple[EventType, ...] = (), follow: bool = False) -> Iterator[LedgerEvent]:
        """Events after `cursor` (empty: from the beginning, "now": what comes), with `follow` for ever.

        Keep the cursor of the last event you have dealt with: after LedgerUnavailable go on from there.
        """
        request = ledger_pb2.SubscribeRequest(cursor=cursor, types=queries.event_types(types), until_caught_up=not follow)
        with self._ledger.subscribe(request) as stream:
            for reply in stream:
                if reply.WhichOneof("reply") == "event":
                    yield queries.read_event(reply.event)

    def verified_checkpoint(self) -> Checkpoint:
        """The ledger's current checkpoint, its signature verified with the key pinned at enrolment."""
        return parse_checkpoint(current_checkpoint(self._ledger).note, self._profile.origin, self._log_key)

    def receipt(self, index: int) -> Receipt:
        """The receipt of an entry you may see, verified; `ledger.receipt.receipt_to_text` makes a file of it."""
        message = self._ledger.call("GetReceipt", ledger_pb2.GetReceiptRequest(index=index))
        return read_receipt(message, message.checkpoint.note, origin=self._profile.origin, log_public_key=self._log_key)
