# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The public Python client: everything a program may do at a ledger with an enrolled identity.

    from hpcbridge.client import Client, Request

    with Client() as client:  # ~/.config/hpcbridge, after `hpcbridgectl enrol`
        answer = client.request(Request(cores=32, walltime_seconds=7200))
        rental = client.rent_best(answer.request.request)
        for event in client.follow_rental(rental):
            print(event.cursor, event.type, event.subject)

Answers are words of `hpcbridge.model` and records of the ledger, frozen. Money is an integer of micro-units, times are milliseconds since
1970 UTC, what is unknown is None. `docs/examples/rent_and_follow.py` is a whole program, `docs/api-reference.md` lists every function.

**Failures** are `hpcbridge.errors.HpcbridgeError`, each with a `hint` for people. `Refused` has a `code` (EntryOutcome) and a `reason`: the
contract said no, nothing moved. `LedgerUnavailable` is worth another try. A call that writes may raise its kind `ReceiptPending`: the
transaction is signed and journaled, and whether it is an entry is not known yet. **Do not make it again**, that would be a second one: call
`finish` until it answers, or go on; the next call that writes, here or by `hpcbridgectl`, sends the same bytes first, and they count once.
`IntegrityError` means that the ledger contradicts itself or what was seen before: stop, keep the identity's files, tell people.

**Sharing.** A client may be used by several threads, and an identity folder by several processes and by `hpcbridgectl` at the same time:
writers wait for each other at the folder's lock, for up to ten seconds. The daemon's folder is not for this: its numbers are the daemon's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from hpcbridge.audit.export import leaves_of_chunks, write_export
from hpcbridge.contract.market import rental_name, request_name, request_of_offer
from hpcbridge.contract.records import ClusterRecord, GapRecord, MemberRecord
from hpcbridge.errors import ConfigError, HpcbridgeError, LedgerUnavailable
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.ledger.checkpoint import parse_checkpoint
from hpcbridge.model.clusters import Program, Vetting
from hpcbridge.model.entries import Checkpoint, EventType, Receipt
from hpcbridge.model.identities import Role, Submitter
from hpcbridge.model.jobs import Job
from hpcbridge.model.market import (
    AccountRenewal,
    Balance,
    Cancellation,
    ContractActivation,
    Credit,
    Micro,
    Offer,
    ProgramDemand,
    Rental,
    RentalOrder,
    RentalState,
    Request,
    RequestRecord,
    StatementLine,
    UsageNotice,
    WhyNot,
)
from hpcbridge.model.quantities import Instant, check_name
from hpcbridge.model.relay import SealedState
from hpcbridge.model.transactions import Body, Decision, Document, Documents, JobWatch, NodeChange, Parameters, Revocation
from hpcbridge.submitter.connection import Connection, wall_clock
from hpcbridge.submitter.invitation import invite
from hpcbridge.submitter.passcodes import (
    collect_passcode,
    confirm_passcode,
    forget_passcode,
    fresh_key,
    has_key,
    key_missing,
    leave_contact,
)
from hpcbridge.submitter.submit import Earlier, Submitted
from hpcbridge.wire import marketqueries, queries
from hpcbridge.wire.client import current_checkpoint
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.queries import LedgerEvent, LedgerStatus
from hpcbridge.wire.receipts import read_receipt

__all__ = [
    "Answer",
    "Client",
    "Earlier",
    "LedgerEvent",
    "LedgerStatus",
    "Passcode",
    "Program",
    "Request",
    "Statement",
    "Submitted",
    "rental_name",
    "request_name",
]

logger = logging.getLogger(__name__)

_RENEWAL_PAUSE_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A request as it was put on record, with its offers: blind, in an order that says nothing, good until `request.expires_at`."""

    request: RequestRecord
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A rental and the movements of its money, each with the index of the entry that caused it."""

    rental: Rental
    lines: tuple[StatementLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passcode:
    """A passcode of a rented account; not in the `repr`. `signer` is the provider's installation, verified, and `login_address` what it
    signed; use the passcode nowhere else.
    """

    rental: Rental
    login_address: str
    text: str = field(repr=False)
    signer: Submitter
    made_at: Instant
    box: bytes = field(repr=False)


class Client:
    """An identity at its ledger. Close it, or use it as a context manager."""

    def __init__(
        self,
        identity: Path | str | None = None,
        *,
        ledger: str | None = None,
        on_earlier: Callable[[Earlier], None] | None = None,
    ) -> None:
        """`identity` is a directory made by `hpcbridgectl enrol`; `ledger` (host:port) replaces the addresses told at enrolment.

        `on_earlier` hears of each transaction that had no receipt when it was made and is finished on the way of a later call; without it
        the log is told. What `finish` finishes is its answer and goes nowhere else.
        """
        path = Path.home() / ".config" / "hpcbridge" if identity is None else Path(identity)
        self._keys = KeyDirectory(path)
        if not self._keys.is_enrolled():
            raise ConfigError(f"no identity in {path}", hint="enrol with a token from your network's admin: hpcbridgectl enrol")
        self._profile = self._keys.load_profile()
        self._log_key = self._keys.load_log_public_key()
        self._connection = Connection(self._keys, ledger=ledger, on_earlier=_log_earlier if on_earlier is None else on_earlier)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection and every iteration over events."""
        self._connection.close()

    @property
    def submitter(self) -> Submitter:
        """Member and installation this client speaks for."""
        return self._profile.submitter

    @property
    def role(self) -> Role:
        """What the member is: user, provider or admin."""
        return self._profile.role

    # asking for resources and renting; for users

    def request(self, wanted: Request) -> Answer:
        """Asks for resources (the paper's requestComputingResources): a signed entry that stays in the log, and the offers it got.

        No offer is no error: `why` tells what each cluster lacked. Refused MALFORMED for a value out of range, TOO_MANY beyond the
        network's `requests_per_day`. Round a location before you give it: it stands in the log for ever.
        """
        submitted = self._connection.accepted(wanted)
        return self._connection.read_after(wanted, submitted, lambda: self.answer(request_name(submitted.index)))

    def answer(self, request: str) -> Answer:
        """An earlier request with its offers, for a day beyond their end. Its name is `request_name(index)` of the entry that made it."""
        return Answer(request=marketqueries.get_request(self._connection.call, request), offers=self.offers(request))

    def offers(self, request: str) -> tuple[Offer, ...]:
        """The offers of a request again (displayResourcesAndRentalPrice), frozen as they were made; rates include the distance."""
        return marketqueries.list_offers(self._connection.call, request)

    def why(self, request: str) -> tuple[WhyNot, ...]:
        """For each cluster that was not offered the first requirement that failed and by how much, as blind as the offers."""
        return marketqueries.list_why_nots(self._connection.call, request)

    def requests(self, *, member: str = "") -> tuple[RequestRecord, ...]:
        """Your requests of the last days; admins and auditors: of `member`, or of everybody."""
        return marketqueries.list_requests(self._connection.call, member=member)

    def rent(
        self,
        offer: str,
        queue: str,
        *,
        cores: int | None = None,
        gpus: int | None = None,
        walltime_seconds: int | None = None,
        extra_limit: Micro = 0,
    ) -> Rental:
        """Rents a queue of an offer by the label shown there (`r17-2`, `q1`). The deposit is held from now on.

        Cores, GPUs and walltime are those of the request unless you name less. You pay what your jobs use, never more than deposit and
        `extra_limit` together. Refused NO_CREDIT (the account has less than the deposit); OUTDATED, CLOSED, NO_CAPACITY or NOT_APPROVED
        (ask for offers again); TOO_MANY (open rentals); NOT_FOUND; MALFORMED. ReceiptPending: call `finish`, and see there.
        """
        asked = marketqueries.get_request(self._connection.call, request_of_offer(offer) or offer).asked
        return self._rent(
            RentalOrder(
                offer=offer,
                queue=queue,
                cores=asked.cores if cores is None else cores,
                gpus=asked.gpus if gpus is None else gpus,
                walltime_seconds=walltime_seconds,
                extra_limit=extra_limit,
            )
        )

    def rent_best(
        self,
        request: str,
        *,
        cores: int | None = None,
        gpus: int | None = None,
        walltime_seconds: int | None = None,
        extra_limit: Micro = 0,
    ) -> Rental:
        """Rents the cheapest that starts soonest among the offers of a request and still is as offered; refused as `rent` is."""
        asked = marketqueries.get_request(self._connection.call, request).asked
        return self._rent(
            RentalOrder(
                request=request,
                cores=asked.cores if cores is None else cores,
                gpus=asked.gpus if gpus is None else gpus,
                walltime_seconds=walltime_seconds,
                extra_limit=extra_limit,
            )
        )

    def rentals(self, *, open_only: bool = False) -> tuple[Rental, ...]:
        """Rentals you may see: a user's own, those of a provider's clusters (without the user), for admins and auditors all."""
        return marketqueries.list_rentals(self._connection.call, open_only=open_only)

    def rental(self, name: str) -> Rental:
        """One rental as it is now. Its name is `rental_name(index)` of the entry that granted it."""
        return self.statement(name).rental

    def statement(self, name: str) -> Statement:
        """One rental with every movement of its money up to now."""
        rental, lines = marketqueries.get_rental(self._connection.call, name)
        return Statement(rental=rental, lines=lines)

    def cancel(self, rental: str) -> Submitted:
        """Gives a rental back before its first job; all of the deposit comes back. Refused ILLEGAL_TRANSITION after it, NOT_FOUND."""
        cancelled = self._connection.accepted(Cancellation(rental=rental))
        with contextlib.suppress(LedgerUnavailable):  # the key of an account that never was may stay for a while
            forget_passcode(self._keys, self.rental(rental))
        return cancelled

    def balance(self, *, member: str = "") -> Balance:
        """Your account: what may be spent, and what is held as deposits; admins and auditors: that of `member`."""
        return marketqueries.get_balance(self._connection.call, member)

    # the account of a rental; for its user, in the identity folder that rented

    def passcode(self, rental: str) -> Passcode | None:
        """The passcode of a rental's account, opened and verified; None while it has not come: the account first has to be made.

        It is sealed to a key of this rental that never left the identity folder, and signed by the provider: whatever does not fit is an
        IdentityError. It waits at the ledger's service for a day at most and until `confirm_passcode`. HpcbridgeError if waiting is in
        vain: it was read or is over (`renew_passcode`), the key is in another folder, or the rental has ended.
        """
        found_rental = self.rental(rental)
        if found_rental.state is RentalState.ENDED:
            raise HpcbridgeError(f"rental {rental} has ended ({found_rental.end}): there is no account any more")
        found = collect_passcode(self._connection.call, self._keys, found_rental)
        if found.opened is not None:
            opened = found.opened
            return Passcode(
                rental=found_rental,
                login_address=opened.login_address or found_rental.login_address,
                text=opened.passcode,
                signer=opened.signer.submitter,
                made_at=opened.made_at,
                box=found.sealed.box,
            )
        if found.sealed.state is not SealedState.NONE:
            word = "was read already" if found.sealed.state is SealedState.COLLECTED else "was not read within a day and is deleted"
            raise HpcbridgeError(f"the passcode of {rental} {word}", hint="ask for another one: renew_passcode")
        if not has_key(self._keys, found_rental):
            raise key_missing(found_rental)
        return None

    def confirm_passcode(self, passcode: Passcode) -> None:
        """Once it is where it should be: deletes it at the service, and its key here. LedgerUnavailable: both are still there."""
        if not confirm_passcode(self._connection.call, self._keys, passcode.rental, box=passcode.box):
            raise LedgerUnavailable("the ledger could not be told that the passcode arrived", hint="confirm it again")

    def renew_passcode(self, rental: str) -> Submitted:
        """Asks the provider for another passcode, sealed to a fresh key; the one before is no longer good. Then look with `passcode`.

        Refused ILLEGAL_TRANSITION without an open account, TOO_MANY beyond the network's limit for a day, NOT_FOUND.
        """
        with fresh_key(self._keys) as public:
            return self._connection.accepted(AccountRenewal(rental=rental, sealing_key=public))

    def leave_contact(self, rental: str, contact: str) -> None:
        """Seals a mail address to the provider, which then sends the passcode there too, still sealed; the address is in no entry."""
        leave_contact(self._connection.call, self._keys, self.rental(rental), contact=contact)

    # events

    def events(self, cursor: str = "", *, types: tuple[EventType, ...] = (), follow: bool = False) -> Iterator[LedgerEvent]:
        """Events after `cursor` (empty: from the beginning, "now": what comes), with `follow` for ever.

        Keep the cursor of the last event you have dealt with: after LedgerUnavailable go on from there. Without `types`, the numbers of an
        audience have no holes: one that is missing was withheld. The certificate is renewed while events are followed.
        """
        request = ledger_pb2.SubscribeRequest(cursor=cursor, types=queries.event_types(types), until_caught_up=not follow)
        fresh = self._connection.kept_fresh() if follow else contextlib.nullcontext()
        with self._connection.ledger().subscribe(request) as stream, fresh:
            for reply in stream:
                if reply.WhichOneof("reply") == "event":
                    yield queries.read_event(reply.event)

    def follow_rental(self, rental: Rental, cursor: str = "") -> Iterator[LedgerEvent]:
        """What happens to a rental after `cursor` (empty: from its grant): its states, its jobs' QUEUE, RUN and END, its settlement.

        Ends when it is settled; for one that was settled before the call it ends with the last event there is, late corrections included.
        As with `events`: after LedgerUnavailable go on from the last cursor. For user and provider of the rental.
        """
        over = self.rental(rental.rental).state is RentalState.ENDED
        for event in self.events(cursor or f"{rental.index}.0", follow=not over):
            if not _concerns(event, rental):
                continue
            yield event
            if event.type is EventType.RENTAL_SETTLED and not over:
                return

    # clusters and jobs; for providers, and everybody for what is theirs

    def clusters(self) -> tuple[ClusterRecord, ...]:
        """Clusters you may see (listAllHpcSystems): a provider its own, an admin all."""
        return queries.list_clusters(self._connection.call)

    def cluster(self, name: str) -> ClusterRecord:
        """One cluster with its last sample (getHpcSystemDetail)."""
        return queries.get_cluster(self._connection.call, name)

    def jobs(self, cluster: str, *, open_only: bool = False) -> Iterator[Job]:
        """Jobs of a cluster on record, page by page: a provider's all, a user's own."""
        return queries.list_jobs(self._connection.call, cluster, open_only=open_only)

    def job(self, cluster: str, job_id: str, *, incarnation: int = 0) -> Job:
        """One job; incarnation 0 means the last run under this id."""
        return queries.get_job(self._connection.call, cluster, job_id, incarnation=incarnation)

    def watch_job(self, cluster: str, job_id: str, *, owner: str = "") -> Submitted:
        """Asks the provider to report a job that it would not report otherwise. A user names the username of its rental as `owner`."""
        return self._connection.accepted(JobWatch(cluster=cluster, job_id=job_id, owner=owner))

    def nodes(self, cluster: str) -> tuple[NodeChange, ...]:
        """Last known availability of each node."""
        return queries.list_nodes(self._connection.call, cluster)

    def gaps(self, cluster: str = "") -> tuple[GapRecord, ...]:
        """What could not be reported."""
        return queries.list_gaps(self._connection.call, cluster)

    def program_demand(self) -> tuple[ProgramDemand, ...]:
        """How often which programs were asked for and missing; for providers, who may want to install them."""
        return marketqueries.list_program_demand(self._connection.call)

    # who takes part, and on which terms; for admins

    def members(self) -> tuple[MemberRecord, ...]:
        """All members (listAllUsers); for admins and auditors."""
        return queries.list_members(self._connection.call)

    def member(self, name: str = "") -> MemberRecord:
        """One member's record (getUserDetail): your own, for admins and auditors anybody's."""
        return queries.get_member(self._connection.call, name or self.submitter.member)

    def invite(self, role: Role, member: str, *, attributes: Mapping[str, str] | None = None, minutes: int = 60) -> str:
        """The line of text with which `member` can enrol one installation, once, within so many minutes.

        It is a secret: the ledger gets its digest alone, and there is no second copy of it.
        """
        pairs = tuple(sorted((attributes or {}).items()))
        expires_at = wall_clock() + minutes * 60_000
        invitation = invite(self._keys, role, member=check_name("member", member), attributes=pairs, expires_at=expires_at)
        self._connection.accepted(invitation.body)
        return invitation.text

    def submit_documents(self, *documents: Document) -> Submitted:
        """Names documents for your own vetting, by SHA-256, kind and title; the documents themselves go to the admins on another way."""
        return self._connection.accepted(Documents(documents=documents))

    def approve(self, name: str, *, note: str = "", documents: Iterable[bytes] = ()) -> Submitted:
        """Lets a member or cluster take part, or lets an installation (`name/installation`) open the epoch it waits for.

        `documents` are the digests of those you have read, of what the member (for a cluster its provider) submitted.
        """
        return self._decide(name, Vetting.APPROVED, note=note, documents=documents)

    def reject(self, name: str, *, note: str = "", documents: Iterable[bytes] = ()) -> Submitted:
        """Turns down a member or cluster that waits."""
        return self._decide(name, Vetting.REJECTED, note=note, documents=documents)

    def suspend(self, name: str, *, note: str = "", documents: Iterable[bytes] = ()) -> Submitted:
        """Stops a member or cluster for the time being; `approve` brings it back. Its open rentals end."""
        return self._decide(name, Vetting.SUSPENDED, note=note, documents=documents)

    def revoke(self, member: str, *, reason: str, installation: str | None = None) -> Submitted:
        """Ends a member, or one installation of it, for good; live streams are cut within seconds. The reason stands in the log."""
        return self._connection.accepted(Revocation(member=member, installation=installation, reason=reason))

    def credit(self, member: str, amount: Micro, *, reference: str) -> Submitted:
        """Credits an account with so many micro-units, once for each reference: the same again is refused as ALREADY_EXISTS."""
        return self._connection.accepted(Credit(member=member, amount=amount, reference=reference))

    def parameters(self) -> dict[str, int]:
        """The network's parameters; for everybody."""
        return dict(queries.get_parameters(self._connection.call))

    def set_parameters(self, values: Mapping[str, int]) -> Submitted:
        """Changes network parameters, all of `values` or none."""
        return self._connection.accepted(Parameters(values=tuple(sorted(values.items()))))

    def activate_contract(self, version: int) -> Submitted:
        """Puts a later version of the contract in force for good. Every ledger program and auditor must know it before."""
        newest = self.status().newest_contract_version
        if newest is not None and version > newest:
            raise HpcbridgeError(f"the ledger's program knows contract versions up to {newest}, not {version}", hint="install a newer one")
        return self._connection.accepted(ContractActivation(version=version))

    # proof; for everybody

    def verified_checkpoint(self) -> Checkpoint:
        """The ledger's current checkpoint, its signature verified with the key pinned at enrolment."""
        return parse_checkpoint(current_checkpoint(self._connection.ledger()).note, self._profile.origin, self._log_key)

    def receipt(self, index: int) -> Receipt:
        """The receipt of an entry you may see, verified; `ledger.receipt.receipt_to_text` makes a file of it."""
        message = self._connection.call("GetReceipt", ledger_pb2.GetReceiptRequest(index=index))
        return read_receipt(message, message.checkpoint.note, origin=self._profile.origin, log_public_key=self._log_key)

    def export(self, path: Path | str) -> Checkpoint:
        """Writes every entry under the current checkpoint into a new file that `hpcbridgectl ledger verify` proves without a network.

        For admins and auditors; of entries that others may not see the file has the hash alone. All or nothing: BadData if the file exists,
        LogFault (an IntegrityError) if the entries do not have the root that the ledger signed.
        """
        checkpoint = self.verified_checkpoint()
        write_export(Path(path), checkpoint, leaves_of_chunks(self._connection.ledger().read_entries(0, checkpoint.size), checkpoint.size))
        return checkpoint

    def status(self) -> LedgerStatus:
        """How the service is: version, engine, last entry and tick, streams; for admins and auditors what it refused, counted."""
        return queries.get_status(self._connection.call)

    # writing as such

    def submit(self, body: Body) -> Submitted:
        """Signs, numbers and sends any transaction your role may send, up to its verified receipt, which is kept in the identity folder.

        What the contract made of it is in the answer: `check_accepted` raises Refused unless every item was accepted. What earlier calls
        left without a receipt goes first. ReceiptPending if no receipt came in time; any other LedgerUnavailable came before there was a
        transaction, and the call may be made again.
        """
        return self._connection.submit(body)

    def finish(self) -> tuple[Earlier, ...]:
        """After ReceiptPending: sends what has no receipt yet and returns what became of it; empty if somebody else finished it.

        The rental of an interrupted `rent` is `rental(rental_name(earlier.submitted.index))`. ReceiptPending again if the ledger is still
        away. `hpcbridgectl`, or another program with this identity, may be faster: then look at `rentals` and `requests`.
        """
        return self._connection.finish()

    def renew(self) -> None:
        """Gets a newer certificate now. Seldom needed: every call renews one that is past half of its life."""
        self._connection.renew()

    def _rent(self, order: RentalOrder) -> Rental:
        with fresh_key(self._keys) as public:
            order = dataclasses.replace(order, sealing_key=public)
            granted = self._connection.accepted(order)
        return self._connection.read_after(order, granted, lambda: self.rental(rental_name(granted.index)))

    def _decide(self, name: str, vetting: Vetting, *, note: str, documents: Iterable[bytes]) -> Submitted:
        return self._connection.accepted(Decision(name=name, vetting=vetting, note=note, documents=tuple(sorted(set(documents)))))


def _concerns(event: LedgerEvent, rental: Rental) -> bool:
    """True for what speaks of the rental itself, of a job of its username on its cluster, or of more use than was rented."""
    match event.body:
        case Job(cluster=cluster, owner=owner):
            return (cluster, owner) == (rental.cluster, rental.username)
        case UsageNotice(rental=name):
            return name == rental.rental
    return event.subject == rental.rental


def _log_earlier(earlier: Earlier) -> None:
    logger.info("finished an earlier transaction index=%s outcomes=%s", earlier.submitted.index, ",".join(earlier.submitted.outcomes))
