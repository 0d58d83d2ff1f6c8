# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The answer to a request: offers and reasons in a blind order, made of all that is on record of all clusters at this entry.

At most `offers_per_request` offers are listed, the best ones; clusters that would fit beyond them are told as LISTED. Which cluster has
which number follows from the market's seed alone, and offers and reasons are numbered apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from hpcbridge.contract.capacity import Held, all_held, held_of
from hpcbridge.contract.market import offer_name
from hpcbridge.contract.matching import Cluster, Failure, Fit, LeftOut, match
from hpcbridge.contract.parameters import parameter
from hpcbridge.contract.queueoffers import price_version
from hpcbridge.contract.quotes import Quote, Terms, best_preference, offered_queues, place_of, quotes_of
from hpcbridge.contract.records import StoredCluster, StoredMember, StoredOffer, Word, decode_stored, fields_type
from hpcbridge.contract.seed import blind_rank, market_seed
from hpcbridge.contract.state import StateView, scan_all
from hpcbridge.contract.supply import REMEMBERED, supply_of
from hpcbridge.model.clusters import Program, Vetting
from hpcbridge.model.market import Offer, RequestRecord, Requirement, WhyNot
from hpcbridge.model.quantities import Instant

_NOTHING_HELD: Mapping[str, Held] = {}
_OFFER, _STORED_OFFER, _PROGRAM = fields_type(Offer), fields_type(StoredOffer), fields_type(Program)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a request brought; `missing`: programs that some cluster lacked which met everything else.

    The offers are records as of `records.fields_type`, because there are so many.
    """

    offers: tuple[StoredOffer, ...]
    why_nots: tuple[WhyNot, ...]
    missing: tuple[Program, ...]


def make_listing(view: StateView, member: str, record: RequestRecord) -> Listing:
    """The listing for a member's request; `record` says which it is and until when its offers hold."""
    at = record.asked_at
    matching = match(record.asked, clusters_of(view), member=member, at=at, heard_within_ms=parameter(view, "heard_within_ms"))
    seed = market_seed(view)

    ranks: dict[str, bytes] = {}

    def rank(each: Fit | LeftOut) -> bytes:
        name = each.cluster.name
        found = ranks.get(name)
        if found is None:
            found = ranks[name] = blind_rank(seed, record.request, name)
        return found

    fits, beyond = _best(view, sorted(matching.fits, key=rank), record)
    quoted = [(fit, quotes) for fit, quotes in sorted(fits, key=lambda each: rank(each[0])) if quotes]
    beyond += [LeftOut(fit.cluster, Failure(Requirement.PRICED, None, None)) for fit, quotes in fits if not quotes]
    left_out = sorted((*matching.left_out, *beyond), key=rank)
    permille = parameter(view, "deposit_permille")
    numbered = enumerate(quoted, start=1)
    return Listing(
        offers=tuple(_offer(view, fit, quotes, record, ordinal=number, permille=permille) for number, (fit, quotes) in numbered),
        why_nots=tuple(_why_not(each, number) for number, each in enumerate(left_out, start=1)),
        missing=matching.missing,
    )


def clusters_of(view: StateView) -> Iterator[Cluster]:
    """Every registered cluster as it stands, by name."""
    held = all_held(view)
    approved: dict[str, bool] = {}
    for key, data in scan_all(view, "cluster/"):
        name, stored = key.removeprefix("cluster/"), _stored(StoredCluster, data)
        if stored.provider not in approved:
            approved[stored.provider] = _takes_part(view, stored.provider)
        found = _cluster(view, name, stored, held.get(name, _NOTHING_HELD), provider_approved=approved[stored.provider])
        if found is not None:
            yield found


def cluster_now(view: StateView, name: str, queue: str) -> Cluster | None:
    """One cluster as it stands, for a rental of a queue that must know it again; None if it is not registered.

    Of what is held it has that of the queue alone.
    """
    data = view.get(f"cluster/{name}")
    if data is None:
        return None
    stored = _stored(StoredCluster, data)
    return _cluster(view, name, stored, {queue: held_of(view, name, queue)}, provider_approved=_takes_part(view, stored.provider))


def _cluster(view: StateView, name: str, stored: StoredCluster, held: Mapping[str, Held], *, provider_approved: bool) -> Cluster | None:
    registration, heard = view.get(f"registration/{name}"), view.get(f"heard/{name}")
    if registration is None:
        return None
    return Cluster(
        name,
        stored.provider,
        supply_of(name, registration, view.get(f"clusterstate/{name}")),
        stored.vetting is Vetting.APPROVED and provider_approved,
        None if heard is None else int.from_bytes(heard, "big"),
        held,
    )


def _takes_part(view: StateView, provider: str) -> bool:
    data = view.get(f"member/{provider}")
    member = None if data is None else _stored(StoredMember, data)
    return member is not None and not member.revoked and member.vetting is Vetting.APPROVED


@lru_cache(maxsize=2 * REMEMBERED)
def _stored(kind: type[Word], data: bytes) -> Word:
    return decode_stored(kind, data)


def _best(view: StateView, fits: list[Fit], record: RequestRecord) -> tuple[list[tuple[Fit, tuple[Quote, ...]]], list[LeftOut]]:
    """The fits that are listed, with their quotes, and those without room; among equally good ones the order given decides."""
    terms = Terms(
        deposit_permille=parameter(view, "deposit_permille"),
        surcharge_bp_per_100km=parameter(view, "surcharge_bp_per_100km"),
        surcharge_cap_bp=parameter(view, "surcharge_cap_bp"),
    )
    place, most = place_of(record.asked), parameter(view, "offers_per_request")
    beyond: list[LeftOut] = []
    if len(fits) > most:
        best = sorted(fits, key=lambda fit: best_preference(fit, record.asked, place, terms=terms))
        failure = Failure(Requirement.LISTED, most, len(fits))
        beyond = [LeftOut(fit.cluster, failure) for fit in best[most:]]
        fits = best[:most]
    return [(fit, quotes_of(fit, record.asked, place, terms=terms)) for fit in fits], beyond


def _offer(view: StateView, fit: Fit, quotes: tuple[Quote, ...], record: RequestRecord, *, ordinal: int, permille: int) -> StoredOffer:
    cluster = fit.cluster
    offer = _OFFER(
        offer=offer_name(record.request, ordinal),
        request=record.request,
        index=record.index,
        offered_at=record.asked_at,
        expires_at=record.expires_at,
        state_age_ms=_age(cluster, record.asked_at),
        to_install=tuple(_PROGRAM(name=program.name, version=program.version) for program in fit.to_install),
        queues=offered_queues(fit, quotes),
    )
    return _STORED_OFFER(
        offer=offer,
        cluster=cluster.name,
        provider=cluster.provider,
        queues=tuple(quote.lot.name for quote in quotes),
        price_version=price_version(view, cluster.name),
        deposit_permille=permille,
    )


def _age(cluster: Cluster, at: Instant) -> int:
    sampled_at = cluster.supply.sampled_at
    return 0 if sampled_at is None else max(0, at - sampled_at)


def _why_not(left_out: LeftOut, ordinal: int) -> WhyNot:
    requirement, needed, found = left_out.failure
    return WhyNot(ordinal=ordinal, requirement=requirement, needed=needed, found=found, missing=left_out.missing)

