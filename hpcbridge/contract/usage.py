# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs of tenants: whoever's job has the username of a rental on that cluster as owner, it belongs to that rental, announced or not.

Every accepted change of a job is shown here; for a job of nobody that costs a look into a table, and one read of the state for each owner
in a body. The user hears what the provider hears, more than rented is noticed, and a run that ended is measured and charged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import msgspec

from hpcbridge.contract.capacity import give_capacity
from hpcbridge.contract.jobrecords import ARRAY_PENDING, END, HEAD_BYTES, NO_PHASE, OWNER, RUN, STATE_CODES, decode_fields
from hpcbridge.contract.market import put_rental, rental_key, set_due, tenant_rental
from hpcbridge.contract.metering import CORES, GPUS, INCARNATION, JOB_ID, START, SUBMITTED, WALL, line_of, span_of
from hpcbridge.contract.parameters import parameter
from hpcbridge.contract.records import decode_stored, encode_stored, encode_word
from hpcbridge.contract.settlement import add_line, charge_run, put_tally, tally_of, tell_both
from hpcbridge.contract.state import Draft
from hpcbridge.errors import Refused
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.jobs import JobState
from hpcbridge.model.market import Excess, LineKind, Micro, Rental, RentalEnd, RentalState, UsageNotice
from hpcbridge.model.quantities import Instant

MOST_COUNTED = 1 << 31
"""Cores or GPUs of one job that count as in use, so that no sum of made-up figures outgrows a store. What is charged is another matter."""
_SUSPENDED = STATE_CODES[JobState.SUSPENDED]
_replace = msgspec.structs.replace


class StoredUsage(msgspec.Struct, frozen=True, array_like=True):
    """`usage/<rental>/<job>/<incarnation>`: what counts of one job now. `cores` and `gpus` are 0 while it does not run.

    `counts`: it belongs to the rental, and not to the time after its end. `phase`: the last one before its end. `told`: it has a line, of
    `core_seconds` and `gpu_seconds` at `price`, of which `paid` was paid. `overran`: its walltime was noticed.
    """

    counts: bool
    phase: int
    open: bool
    cores: int
    gpus: int
    overran: bool
    told: bool
    outcome: str
    core_seconds: int | None
    gpu_seconds: int | None
    price: Micro
    paid: Micro


_UNSEEN = StoredUsage(
    counts=False,
    phase=NO_PHASE,
    open=False,
    cores=0,
    gpus=0,
    overran=False,
    told=False,
    outcome="",
    core_seconds=None,
    gpu_seconds=None,
    price=0,
    paid=0,
)


class Tenant:
    """A rental and its tally while a body of job changes is taken; written back once by `save`."""

    def __init__(self, draft: Draft, rental: Rental) -> None:
        self.rental = self._rental = rental
        self.tally = self._tally = tally_of(draft, rental.rental)

    def save(self, draft: Draft) -> None:
        """Writes what has changed."""
        if self.rental != self._rental:
            put_rental(draft, self.rental)
        if self.tally != self._tally:
            put_tally(draft, self.rental.rental, self.tally)


class Tenants:
    """The rentals behind the owners of one cluster's jobs, each looked for once."""

    def __init__(self, draft: Draft, cluster: str) -> None:
        self._draft = draft
        self._cluster = cluster
        self._found: dict[str | None, Tenant | None] = {None: None, "": None}

    def of(self, owner: str | None) -> Tenant | None:
        """The tenant an owner is; None for everybody else."""
        try:
            return self._found[owner]
        except KeyError:
            tenant = self._found[owner] = self._find(str(owner))
            return tenant

    def owner_stays(self, old_owner: str | None, fields: tuple[Any, ...]) -> tuple[Any, ...]:
        """The fields with the owner a tenant's job has; Refused if they name another one."""
        if old_owner == fields[OWNER] or self.of(old_owner) is None:
            return fields
        if fields[OWNER]:
            raise Refused(EntryOutcome.ILLEGAL_TRANSITION, f"job {fields[JOB_ID]} belongs to {old_owner}, whose account was rented")
        return (*fields[:OWNER], old_owner, *fields[OWNER + 1 :])

    def change(self, tenant: Tenant, record: bytes, *, previous: int, at: Instant) -> None:
        """Takes the new record of a tenant's job. `previous`: its last known phase before."""
        fields = decode_fields(record[HEAD_BYTES:])
        name = f"{fields[JOB_ID]}#{fields[INCARNATION]}"
        subject, body = f"{self._cluster}/{name}", previous.to_bytes(1, "big") + record
        self._draft.tell(EventType.JOB_CHANGED, tenant.rental.member or "", subject=subject, body=body)
        key = f"usage/{rental_key(tenant.rental.rental).removeprefix('rental/')}/{fields[JOB_ID]}/{fields[INCARNATION]:08d}"
        stored = self._draft.get(key)
        row = _replace(_UNSEEN, phase=previous % END) if stored is None else decode_stored(StoredUsage, stored)
        if not row.counts:
            row = self._begin(tenant, row, fields, is_new=stored is None, at=at)
        row = self._follow(tenant, row, fields, record=record, is_new=stored is None, at=at)
        if row.counts and record[1] == END:
            row = self._charge(tenant, row, fields, at=at)
        encoded = encode_stored(row)
        if encoded != stored:
            self._draft.put(key, encoded)

    def save(self) -> None:
        """Writes every tenant back."""
        for tenant in self._found.values():
            if tenant is not None:
                tenant.save(self._draft)

    def _find(self, owner: str) -> Tenant | None:
        rental = tenant_rental(self._draft, self._cluster, owner)
        return None if rental is None else Tenant(self._draft, rental)

    def _begin(self, tenant: Tenant, row: StoredUsage, fields: Sequence[Any], *, is_new: bool, at: Instant) -> StoredUsage:
        """A job is met: the rental is in use, or was over when the job began."""
        rental = tenant.rental
        if rental.state is RentalState.ENDED:
            if _began_before_end(rental, fields):
                return _replace(row, counts=True)
            if is_new:
                tenant.tally = _replace(tenant.tally, after_end=tenant.tally.after_end + 1)
                self._notice(tenant, fields, Excess.JOBS, rented=0, used=tenant.tally.after_end)
            return row
        if rental.state is not RentalState.USED:
            tenant.rental = dataclasses.replace(rental, state=RentalState.USED, used_at=at)
        return _replace(row, counts=True)

    def _follow(
        self, tenant: Tenant, row: StoredUsage, fields: Sequence[Any], *, record: bytes, is_new: bool, at: Instant
    ) -> StoredUsage:
        """Counts what is open and what runs, gives back the queue's cores with the first run, and notices more than rented."""
        phase, rental, tally = record[1], tenant.rental, tenant.tally
        runs = phase == RUN and record[0] != _SUSPENDED
        now = _replace(
            row,
            phase=row.phase if phase == END else phase,
            open=phase != END and fields[ARRAY_PENDING] != 0,
            cores=min(fields[CORES] or 0, MOST_COUNTED) if runs else 0,
            gpus=min(fields[GPUS] or 0, MOST_COUNTED) if runs else 0,
        )
        ran = phase == RUN or (phase == END and (fields[START] is not None or fields[WALL]))
        if tally.capacity and ran and rental.state is not RentalState.ENDED:
            give_capacity(self._draft, rental.cluster, rental.queue, cores=rental.cores, gpus=rental.gpus)
            tally = _replace(tally, capacity=False)
        before = tally
        tally = _replace(
            tally,
            open=tally.open + now.open - row.open,
            cores=tally.cores + now.cores - row.cores,
            gpus=tally.gpus + now.gpus - row.gpus,
        )
        tenant.tally = tally
        if is_new or now.open != row.open:
            self._set_end(tenant, at)
        for excess, rented, was, used in (
            (Excess.CORES, rental.cores, before.cores, tally.cores),
            (Excess.GPUS, rental.gpus, before.gpus, tally.gpus),
        ):
            if was <= rented < used:
                self._notice(tenant, fields, excess, rented=rented, used=used)
        limit = rental.limit_seconds if rental.walltime_seconds is None else rental.walltime_seconds
        seconds = (fields[WALL] if fields[WALL] is not None else span_of(fields)) or 0
        if not now.overran and phase in (RUN, END) and seconds > limit:
            self._notice(tenant, fields, Excess.WALLTIME, rented=limit, used=seconds)
            now = _replace(now, overran=True)
        return now

    def _set_end(self, tenant: Tenant, at: Instant) -> None:
        """A rental in use ends when no job was open for the time of grace, and at the latest when its longest time is over."""
        rental = tenant.rental
        idle_at = at + parameter(self._draft, "rental_grace_ms")
        if tenant.tally.open or idle_at > rental.latest_at:
            set_due(self._draft, rental, rental.latest_at, end=RentalEnd.OVERDUE)
        else:
            set_due(self._draft, rental, idle_at, end=RentalEnd.COMPLETED)

    def _charge(self, tenant: Tenant, row: StoredUsage, fields: Sequence[Any], *, at: Instant) -> StoredUsage:
        """One line for a run that ended, and another one whenever what it says has changed."""
        rental = tenant.rental
        if fields[ARRAY_PENDING] is not None:
            return row
        usage = line_of(fields, row.phase, rates=rental.rates, granted_at=rental.granted_at, at=at)
        outcome = usage.outcome or ""
        if row.told and (row.outcome, row.core_seconds, row.gpu_seconds) == (outcome, usage.core_seconds, usage.gpu_seconds):
            return row
        rental, tally, usage, moved = charge_run(
            self._draft, rental, usage, tally=tenant.tally, before=row.price, paid=row.paid, at=at
        )
        kind = LineKind.CORRECTION if row.told or rental.state is RentalState.ENDED else LineKind.USAGE
        lines = add_line(self._draft, rental, tally.lines, kind=kind, amount=moved, at=at, usage=usage)
        tenant.rental, tenant.tally = rental, _replace(tally, lines=lines)
        return _replace(
            row,
            told=True,
            outcome=outcome,
            core_seconds=usage.core_seconds,
            gpu_seconds=usage.gpu_seconds,
            price=usage.charge,
            paid=row.paid + moved,
        )

    def _notice(self, tenant: Tenant, fields: Sequence[Any], excess: Excess, *, rented: int, used: int) -> None:
        notice = UsageNotice(
            rental=tenant.rental.rental,
            job_id=fields[JOB_ID],
            incarnation=fields[INCARNATION],
            excess=excess,
            rented=rented,
            used=used,
        )
        told = encode_word(notice)
        tell_both(self._draft, EventType.USAGE_NOTICED, tenant.rental, user=told, provider=told)


def _began_before_end(rental: Rental, fields: Sequence[Any]) -> bool:
    """A job told late, because its agent was cut off, still counts. What a provider says of an account it could not make does not."""
    begun = fields[START] if fields[SUBMITTED] is None else fields[SUBMITTED]
    return rental.end is not RentalEnd.FAILED_BY_SITE and begun is not None and begun < (rental.ended_at or 0)
