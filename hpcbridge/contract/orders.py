# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What an order to rent gets: the queue it names or the best of its request, at the price that was offered, if that still is as offered.

Prices are those of the offer. Everything else is looked at again as it is on record now: an offer may be a quarter of an hour old. What an
offer showed as free must still be free; where it showed that one has to wait, the user rents a place in the queue. No reason given here
names a cluster, a provider or a queue.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from hpcbridge.contract.listing import cluster_now
from hpcbridge.contract.market import offers_of, stored_offer, stored_request
from hpcbridge.contract.matching import Cluster, lot_fault, missing_programs
from hpcbridge.contract.parameters import parameter
from hpcbridge.contract.pricing import deposit, price_per_hour
from hpcbridge.contract.quotes import by_preference, free_of
from hpcbridge.contract.records import StoredOffer, StoredRequest
from hpcbridge.contract.requests import MAX_WALLTIME_SECONDS
from hpcbridge.contract.sealingkeys import SEALING_KEY_BYTES, is_sealing_key
from hpcbridge.contract.state import StateView
from hpcbridge.contract.supply import Lot
from hpcbridge.errors import Refused
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.market import MAX_MICRO, Micro, OfferedQueue, RentalOrder, Request, RequestRecord, Requirement
from hpcbridge.model.quantities import Instant

MOST_TRIED = 100
"""so many of a request's queues the choice of the best looks at, best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A queue of an offer under its own name, and what it is rented for. `limit_seconds` is the walltime the deposit is for."""

    stored: StoredOffer
    shown: OfferedQueue
    queue: str
    walltime_seconds: int | None
    limit_seconds: int
    deposit: Micro


def choose(view: StateView, member: str, order: RentalOrder, *, at: Instant) -> Choice:
    """What a member's order gets now; Refused with the reason if that is nothing."""
    if bool(order.offer) is bool(order.request):
        raise Refused(EntryOutcome.MALFORMED, "name an offer and a queue of it, or a request whose best offer is taken; not both")
    request = _request_of(view, order)
    fault = order_fault(order, request.record.asked)
    if fault:
        raise Refused(EntryOutcome.MALFORMED, fault)
    if at >= request.record.expires_at:
        age = at - request.record.expires_at
        raise Refused(EntryOutcome.OUTDATED, f"the offers of {request.record.request} ended {age} ms ago", hint="ask for offers again")
    wanted = _wanted(request.record.asked, order)
    if not order.offer:
        return _best(view, member, order, request=request.record, wanted=wanted, at=at)
    stored, shown = _named(view, order.offer, order.queue)
    return _choice(view, member, order, wanted=wanted, stored=stored, shown=shown, at=at)


def order_fault(order: RentalOrder, asked: Request) -> str:
    """What makes no sense in an order; empty if nothing. Clusters were compared for what was asked, so more of it must be asked for."""
    if not 1 <= order.cores <= asked.cores:
        return f"cores: 1 to {asked.cores}, which were asked for"
    if not 0 <= order.gpus <= asked.gpus:
        return f"gpus: 0 to {asked.gpus}, which were asked for"
    most = MAX_WALLTIME_SECONDS if asked.walltime_seconds is None else asked.walltime_seconds
    if order.walltime_seconds is not None and not 1 <= order.walltime_seconds <= most:
        return f"walltime_seconds: 1 to {most}"
    if not 0 <= order.extra_limit < MAX_MICRO:
        return f"extra_limit: 0 to {MAX_MICRO - 1} micro-units"
    if order.sealing_key and not is_sealing_key(order.sealing_key):
        return f"sealing_key: {SEALING_KEY_BYTES} bytes of an X25519 key, or none"
    if order.request and order.queue:
        return "queue: none is named where the best is taken"
    return ""


def _request_of(view: StateView, order: RentalOrder) -> StoredRequest:
    name = order.request
    if order.offer:
        stored = stored_offer(view, order.offer)
        if stored is None:
            raise Refused(EntryOutcome.NOT_FOUND, f"there is no offer {order.offer[:40]!r}")
        name = stored.offer.request
    request = stored_request(view, name)
    if request is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no request {name[:40]!r}")
    return request


def _wanted(asked: Request, order: RentalOrder) -> Request:
    """What was asked for, with the figures of the order."""
    walltime = asked.walltime_seconds if order.walltime_seconds is None else order.walltime_seconds
    return dataclasses.replace(asked, cores=order.cores, gpus=order.gpus, walltime_seconds=walltime)


def _named(view: StateView, offer: str, label: str) -> tuple[StoredOffer, OfferedQueue]:
    stored = stored_offer(view, offer)
    for shown in () if stored is None else stored.offer.queues:
        if stored is not None and shown.label == label:
            return stored, shown
    raise Refused(EntryOutcome.NOT_FOUND, f"offer {offer[:40]} has no queue {label[:40]!r}")


def _best(view: StateView, member: str, order: RentalOrder, *, request: RequestRecord, wanted: Request, at: Instant) -> Choice:
    """The first in the order of preference that still is as offered."""
    first: Refused | None = None
    for record, queue in _preferred(view, order, request):
        try:
            choice = _choice(view, member, order, wanted=wanted, stored=record, shown=queue, at=at)
        except Refused as refusal:
            first = first or refusal
        else:
            stored, shown = _named(view, record.offer.offer, queue.label)
            return dataclasses.replace(choice, stored=stored, shown=shown)
    if first is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"request {order.request[:40]} has no offers")
    raise Refused(first.code, f"no offer of {order.request[:40]} can be rented; the best: {first.reason}", hint="ask for offers again")


def _preferred(view: StateView, order: RentalOrder, request: RequestRecord) -> Iterator[tuple[StoredOffer, OfferedQueue]]:
    """As records (`records.decode_fields`), because only the one that is taken needs to be a word."""
    stored = {each.offer.offer: each for each in offers_of(view, request)}
    rows = by_preference([each.offer for each in stored.values()], cores=order.cores, gpus=order.gpus)
    return ((stored[offer.offer], shown) for offer, shown in rows[:MOST_TRIED])


def _choice(
    view: StateView, member: str, order: RentalOrder, *, wanted: Request, stored: StoredOffer, shown: OfferedQueue, at: Instant
) -> Choice:
    offer, longest = stored.offer.offer, shown.max_walltime_seconds
    seconds = wanted.walltime_seconds
    if longest is not None and seconds is not None and seconds > longest:
        raise Refused(EntryOutcome.MALFORMED, f"walltime_seconds: 1 to {longest} in {shown.label} of {offer}")
    limit = seconds if longest is None else longest
    if limit is None:
        raise Refused(EntryOutcome.MALFORMED, f"{shown.label} of {offer} has no limit of walltime, and so the order must name one")
    amount = deposit(price_per_hour(shown.rates, cores=wanted.cores, gpus=wanted.gpus), limit, permille=stored.deposit_permille)
    if amount is None or amount + order.extra_limit >= MAX_MICRO:
        raise Refused(EntryOutcome.MALFORMED, f"deposit and extra_limit together are {MAX_MICRO} micro-units or more")
    queue = dict(zip([each.label for each in stored.offer.queues], stored.queues, strict=True))[shown.label]
    _check_still_so(view, member, stored, wanted=wanted, shown=shown, queue=queue, at=at)
    return Choice(stored=stored, shown=shown, queue=queue, walltime_seconds=seconds, limit_seconds=limit, deposit=amount)


def _check_still_so(
    view: StateView, member: str, stored: StoredOffer, *, wanted: Request, shown: OfferedQueue, queue: str, at: Instant
) -> None:
    offer = stored.offer.offer
    cluster = cluster_now(view, stored.cluster, queue)
    if cluster is None or not cluster.approved:
        raise Refused(EntryOutcome.NOT_APPROVED, f"what {offer} offered takes part no longer")
    if cluster.provider == member:
        raise Refused(EntryOutcome.NOT_PERMITTED, "nobody rents from itself")
    within = parameter(view, "heard_within_ms")
    if cluster.heard_at is None or at - cluster.heard_at > within:
        silent = "anything" if cluster.heard_at is None else f"{at - cluster.heard_at} ms"
        raise Refused(EntryOutcome.OUTDATED, f"nothing was heard of what {offer} offered for {silent}, at most {within} ms are allowed")
    lot = next((lot for lot in cluster.supply.lots if lot.name == queue), None)
    failure = None if lot is None else lot_fault(lot, wanted)
    if lot is None or (failure is not None and failure.requirement is Requirement.OPEN):
        raise Refused(EntryOutcome.CLOSED, f"{shown.label} of {offer} takes no jobs now")
    if failure is not None:
        figures = "" if failure.needed is None else f": {failure.needed} are needed, {_or_unknown(failure.found)} are there"
        raise Refused(EntryOutcome.OUTDATED, f"{shown.label} of {offer} does not meet {failure.requirement} any more{figures}")
    _check_programs(cluster, stored, wanted)
    _check_free(cluster, lot, wanted=wanted, shown=shown, offer=offer)


def _check_programs(cluster: Cluster, stored: StoredOffer, wanted: Request) -> None:
    missing = missing_programs(cluster.supply, wanted)
    offered = {(program.name, program.version) for program in stored.offer.to_install}
    if any((each.name, each.version) not in offered for each in missing) or (missing and not cluster.supply.installs_programs):
        raise Refused(EntryOutcome.OUTDATED, f"{stored.offer.offer} does not meet {Requirement.PROGRAMS} any more")


def _check_free(cluster: Cluster, lot: Lot, *, wanted: Request, shown: OfferedQueue, offer: str) -> None:
    """What was shown as free is so still, without what others have rented since. Where it was not, the user knows that it waits."""
    cores, gpus = free_of(lot, cluster.held)
    figures = (("cores", wanted.cores, shown.cores_free, cores), ("GPUs", wanted.gpus, shown.gpus_free, gpus))
    for what, needed, offered, free in figures:
        if needed and offered is not None and offered >= needed and (free is None or free < needed):
            raise Refused(
                EntryOutcome.NO_CAPACITY,
                f"{needed} {what} of {shown.label} of {offer} were free when it was offered; {_or_unknown(free)} are now",
                hint="ask for offers again",
            )


def _or_unknown(figure: int | None) -> str:
    return "unknown" if figure is None else str(figure)
