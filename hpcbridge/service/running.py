# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of a running service and how they are joined: this is the one place that knows all of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from hpcbridge.config import LedgerConfig
from hpcbridge.contract.ticks import next_deadline
from hpcbridge.errors import HpcbridgeError, IntegrityError, LedgerUnavailable, StorageError
from hpcbridge.identity.certificates import read_authority
from hpcbridge.ledger.checks import verify_range
from hpcbridge.ledger.engines import ENGINES
from hpcbridge.model.identities import Submitter
from hpcbridge.model.quantities import Instant
from hpcbridge.service.admission import Admission, VerifiedSignatures
from hpcbridge.service.applier import Applier, Surroundings
from hpcbridge.service.census import Census, take_census
from hpcbridge.service.clock import ProposerClock, wall_clock
from hpcbridge.service.connections import Connections
from hpcbridge.service.endpoints import LEDGER_SERVICE, House, ledger_handlers
from hpcbridge.service.enrolment import ENROLMENT_SERVICE, EnrolmentOffice, Place, enrolment_handlers
from hpcbridge.service.greeting import ForkSeen, Greeter
from hpcbridge.service.health import Health
from hpcbridge.service.metrics import Figures
from hpcbridge.service.node import Node, Ticker
from hpcbridge.service.opening import STORE_FILE, OpenLedger
from hpcbridge.service.proposals import Judged
from hpcbridge.service.proposer import Proposer
from hpcbridge.service.publisher import Publisher
from hpcbridge.service.queries import Library
from hpcbridge.service.quotas import Quota, Quotas
from hpcbridge.service.readers import Readers, ReadState
from hpcbridge.service.refusals import Refusals
from hpcbridge.service.relay import Relay
from hpcbridge.service.relay_file import RelayFile
from hpcbridge.service.server import BoundServer, ServerLimits, bind, fitting_connections, tell_health
from hpcbridge.service.signer import Published, Signer
from hpcbridge.service.standings import Standings
from hpcbridge.service.streams import Askers, Streams
from hpcbridge.service.submissions import Desks
from hpcbridge.service.subscriptions import Feed
from hpcbridge.service.tls import ServerCertificate
from hpcbridge.wire.generated import ledger_pb2

logger = logging.getLogger(__name__)

CHECKER_THREADS = 2
READER_THREADS = 3
MAX_UNARY_CALLS = 1024
MAX_STRANGERS_CALLS = 4096
"""On the enrolment port, where nobody is known and a call may be opened by anyone."""
STOP_SECONDS = 20.0
ANSWERS_SECONDS = 2.0
BEAT_SECONDS = 1.0
CENSUS_SECONDS = 5.0
REHASH_SECONDS = 60.0
REHASH_ENTRIES = 4096
RELAY_FILE = "relay.db"
"""Beside the store and no part of the ledger: it may be lost, and belongs into no backup."""


class Running:
    """One run of the service, from ports to threads. Made on the event loop and used there."""

    def __init__(
        self,
        config: LedgerConfig,
        ledger: OpenLedger,
        *,
        fail: Callable[[HpcbridgeError], None],
        clock: ProposerClock,
        health: Health | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._health = health = health or Health(config.store.directory)
        self._started_at = wall_clock()
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        origin, limits, keys = ledger.genesis.origin, config.limits, ledger.keys
        self._ledger = ledger
        self._checkers = health.pool("checker", CHECKER_THREADS)
        self._reader_pool = health.pool("reader", READER_THREADS)
        self._readers = Readers(config.store.directory / STORE_FILE)
        self._relay = Relay(RelayFile(config.store.directory / RELAY_FILE), now=clock.now)
        self._engine = ENGINES[config.engine.name](ledger.store.head().engine_position)
        pulse = health.pulse("signer")
        self._signer = Signer(ledger.prefix, ledger.high_water, origin=origin, key=keys.log_key, publish=self._publish, pulse=pulse)
        published = self._signer.sign(ledger.tree.size, root=ledger.tree.root(), at=ledger.last_at)
        self._publisher = Publisher(self._loop, ledger.tree, leaf=lambda index: self._readers.reader().leaf(index), published=published)
        signatures, refusals = VerifiedSignatures(), Refusals()
        self._quotas = Quotas(limits, clock=self._loop.time, count=lambda submitter, quota: self._count_quota(refusals, submitter, quota))
        self._standings = Standings(lambda key: self._readers.reader().state(key))
        self._connections = Connections(origin, self._standings, now=clock.now)
        self._streams = Streams(
            self._connections.judge,
            per_identity=limits.streams_per_identity,
            total=limits.streams,
            idle_seconds=limits.read_idle_seconds,
            age_seconds=limits.connection_age_seconds,
            count=self._quotas.count,
        )
        self._proposer = Proposer(
            self._engine,
            submitter=ledger.node,
            key=keys.node_key,
            clock=clock,
            last_at=lambda: self._applier.last_at,
            give_back=self._publisher.give_back,
            pulse=health.pulse("proposer"),
        )
        health.watch_order(self._proposer.oldest_unseen_seconds)
        self._applier = Applier(
            self._engine,
            ledger.store,
            ledger.tree,
            origin=origin,
            last_at=ledger.last_at,
            verify=signatures.verify_again,
            surroundings=Surroundings(take=self._proposer.take, sign=self._signer.put, written=self._written),
            refusals=refusals,
            pulse=health.pulse("applier"),
        )
        self._refusals = refusals
        self._loop_pulse = health.pulse("loop")
        self._rehashed = 0
        self._census: Census | None = None
        self._authority_ends_at = read_authority(keys.authority.certificate).not_after_at
        self._node = Node(
            origin,
            ledger.node,
            key=keys.node_key,
            put=self._proposer.put,
            state=lambda key: self._readers.reader().state(key),
            published=lambda: self._publisher.published,
            now=clock.now,
            random=secrets.token_bytes,
        )
        self._ticker = Ticker(self._node, seconds=limits.tick_seconds, deadline=self._deadline, now=clock.now)
        self._greeter = Greeter(origin, keys.log_public_key, tree=ledger.tree, window=limits.window)
        self._house = House(
            connections=self._connections,
            streams=self._streams,
            askers=Askers(count=self._quotas.count),
            quotas=self._quotas,
            desks=Desks(
                admission=Admission(origin, self._standings, signatures, now=clock.now, refusals=refusals),
                proposer=self._proposer,
                checkers=self._checkers,
                hello=self._hello,
                judge=self._connections.judge,
                quotas=self._quotas,
                window=limits.window,
            ),
            feed=Feed(self._publisher, self._readers.reader, self._reader_pool, self._connections.caller, self._quotas),
            library=Library(
                origin=origin,
                engine=config.engine.name,
                tree=ledger.tree,
                publisher=self._publisher,
                reasons=self._applier.reasons,
                now=clock.now,
                refusals=refusals,
                relay=self._relay,
                count_streams=lambda: (self._streams.count(reading=True), self._streams.count(reading=False)),
            ),
            reader=self._readers.reader,
            readers=self._reader_pool,
            fail=fail,
        )
        self._now = clock.now
        self._threads: list[threading.Thread] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._servers: list[tuple[BoundServer, str]] = []
        self.addresses = ("", "")

    async def start(self) -> None:
        """Binds both ports, starts the threads, then serves."""
        listen = self._config.listen
        of_members, of_strangers = fitting_connections(self._config.limits.connections, MAX_STRANGERS_CALLS)
        ledger_server = await bind(
            listen.address,
            self._certificate().credentials(mutual=True),
            [ledger_handlers(self._house)],
            services=[LEDGER_SERVICE],
            limits=ServerLimits(
                connections=of_members,
                calls=self._config.limits.streams + MAX_UNARY_CALLS,
                calls_per_connection=64,
                idle_seconds=self._config.limits.connection_idle_seconds,
                age_seconds=self._config.limits.connection_age_seconds,
                age_grace_seconds=30,
                shows_reflection=listen.reflection,
            ),
            welcome=self._house.welcome,
        )
        self._servers.append((ledger_server, LEDGER_SERVICE))
        address = _with_port(listen.address, ledger_server.port)
        office = EnrolmentOffice(
            Place(
                origin=self._ledger.genesis.origin,
                log_key=self._ledger.keys.log_public_key,
                ledger_addresses=(listen.public_address or f"{listen.server_names[0]}:{ledger_server.port}",),
                server_name=listen.server_names[0],
            ),
            self._ledger.keys.authority,
            self._node,
            view=lambda: ReadState(self._readers.reader()),
            readers=self._reader_pool,
            now=self._now,
        )
        enrolment_server = await bind(
            listen.enrolment,
            self._certificate().credentials(mutual=False),
            [enrolment_handlers(office, self._fail)],
            services=[ENROLMENT_SERVICE],
            limits=ServerLimits(
                connections=of_strangers,
                calls=MAX_STRANGERS_CALLS,
                calls_per_connection=16,
                idle_seconds=60,
                age_seconds=60,
                age_grace_seconds=30,
                shows_reflection=False,
            ),
            welcome=lambda _context: contextlib.nullcontext(),
        )
        self._servers.append((enrolment_server, ENROLMENT_SERVICE))
        self.addresses = (address, _with_port(listen.enrolment, enrolment_server.port))
        for name, work in (("proposer", self._proposer.run), ("applier", self._applier.run), ("signer", self._signer.run)):
            thread = threading.Thread(target=self._guard, args=(name, work), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        for bound, service in self._servers:
            await bound.server.start()
            await tell_health(bound, [service], serving=True)
        self._tasks = [asyncio.ensure_future(work) for work in self._works()]
        for task in self._tasks:
            task.add_done_callback(self._watch_task)

    def _works(self) -> tuple[Coroutine[Any, Any, None], ...]:
        return self._beat(), self._streams.watch(), self._ticker.run(), self._rehash(), self._clean_relay(), self._count_state()

    async def stop(self, *, orderly: bool) -> None:
        """Orderly: what was taken is stored, signed and answered first. Else at once, and nothing more is signed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for bound, service in self._servers:
            await tell_health(bound, [service], serving=False)
        if orderly and self._threads:
            await self._finish()
        self._stopping = True
        for part in (self._proposer, self._applier, self._signer):
            part.abandon()
        self._engine.close()
        self._streams.end_all(LedgerUnavailable("the ledger is going down", hint="try again in a moment"))
        for bound, _ in self._servers:
            await bound.server.stop(ANSWERS_SECONDS if orderly else 0.2)
        for thread in self._threads:
            await asyncio.to_thread(thread.join, STOP_SECONDS)
        self._checkers.shutdown(cancel_futures=True)
        self._reader_pool.shutdown(cancel_futures=True)
        self._readers.close()
        self._relay.close()

    def status_line(self) -> str:
        """Size and streams."""
        submitters, listeners = self._streams.count(reading=True), self._streams.count(reading=False)
        faults = f", {self._applier.faults} envelopes refused by a mistake of the ledger: see its log" if self._applier.faults else ""
        clock = "; nothing is taken: the wall clock is not believed, see accept-clock" if self._clock.refuses else ""
        return f"{self._publisher.size} entries, {submitters} submitters, {listeners} listeners{faults}{clock}"

    def figures(self) -> Figures:
        """Everything that is counted, as it is now; from any thread."""
        applier, reading = self._applier, self._streams.count
        proposals, proposal_bytes = self._proposer.waiting()
        return Figures(
            started_at=self._started_at,
            engine=self._config.engine.name,
            directory=self._config.store.directory,
            store=self._config.store.directory / STORE_FILE,
            signed=self._publisher.size,
            stored=self._ledger.store.size(),
            high_water=self._ledger.high_water.mark.size,
            last_entry_at=self._publisher.published.at,
            entries=dict(applier.entries),
            items=dict(applier.items),
            refusals=self._refusals.counted(),
            faults=applier.faults,
            rehashed=self._rehashed,
            proposals=proposals,
            proposal_bytes=proposal_bytes,
            unsigned_groups=self._signer.waiting(),
            oldest_batch_seconds=self._proposer.oldest_unseen_seconds(),
            stages={"apply": applier.took, "store": applier.storing_took, "sign": self._signer.took},
            streams={"submit": reading(reading=True), "subscribe": reading(reading=False)},
            most_streams=self._config.limits.streams,
            ports={"ledger": self._servers[0][0].port, "enrolment": self._servers[1][0].port},
            clock_refuses=self._clock.refuses,
            clock_moved_ms=self._clock.moved_ms(),
            authority_ends_at=self._authority_ends_at,
            census=self._census,
        )

    def _certificate(self) -> ServerCertificate:
        """A certificate of its own for each server, so that each makes it anew in time."""
        return ServerCertificate(self._ledger.keys.authority, self._config.listen.server_names, now=self._now)

    async def _finish(self) -> None:
        """Each thread in the order of the work ends when it has done what was before it."""
        self._proposer.stop()
        await self._join("proposer")
        self._stopping = True
        self._engine.close()
        await self._join("applier")
        self._signer.stop()
        await self._join("signer")
        await asyncio.sleep(0.05)  # what the signer handed over is written by tasks of this loop

    async def _join(self, name: str) -> None:
        for thread in self._threads:
            if thread.name == name:
                await asyncio.to_thread(thread.join, STOP_SECONDS)

    def _guard(self, name: str, work: Callable[[], None]) -> None:
        """Runs a thread; whatever ends it early ends the service."""
        failure: HpcbridgeError | None = HpcbridgeError(f"the {name} thread ended; the log shows why")
        try:
            work()
            failure = None
        except HpcbridgeError as error:
            failure = error
        except OSError as error:
            failure = StorageError(f"{name}: {error}")
        finally:
            if failure is not None:
                self._fail(failure)

    def _watch_task(self, task: asyncio.Task[None]) -> None:
        """None of our tasks ends by itself: a ledger that ticks no more, or cuts nobody off any more, must not look alive."""
        if task.cancelled():
            return
        error = task.exception()
        logger.error("task_ended task=%s", task.get_coro(), exc_info=error)
        self._fail(error if isinstance(error, HpcbridgeError) else HpcbridgeError("a task of the ledger ended; the log shows why"))

    def _publish(self, published: Published, judged: Sequence[Judged], audiences: frozenset[str]) -> None:
        self._publisher.publish(published, judged, audiences)

    def _written(self, keys: Iterable[str]) -> None:
        if self._standings.forget(keys):
            self._loop.call_soon_threadsafe(self._streams.judge_all)

    def _hello(self, hello: ledger_pb2.Hello) -> ledger_pb2.HelloReply:
        try:
            return self._greeter.answer(hello, self._readers.reader(), self._publisher.published)
        except ForkSeen as error:
            self._fail(error)
            raise

    def _count_quota(self, refusals: Refusals, submitter: Submitter, quota: Quota) -> None:
        standing = self._standings.of(str(submitter))
        refusals.count_quota(quota, "NOBODY" if standing is None else standing.role)

    def _deadline(self) -> Instant | None:
        """When something in the state falls due next."""
        return next_deadline(ReadState(self._readers.reader()))

    async def _beat(self) -> None:
        """The event loop's sign of life; it has none to give any more once it stops."""
        try:
            while True:
                self._loop_pulse.beat()
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            self._loop_pulse.rest()

    async def _rehash(self) -> None:
        """Looks through the store for what changed by itself, a piece a minute, for ever."""
        start = 0
        while True:
            await asyncio.sleep(REHASH_SECONDS)
            size = self._publisher.size
            start = 0 if start >= size else start
            stop = min(size, start + REHASH_ENTRIES)
            try:
                await self._loop.run_in_executor(self._reader_pool, self._verify_range, start, stop)
            except (IntegrityError, StorageError) as error:
                self._fail(error)
            self._rehashed += stop - start
            start = stop

    async def _clean_relay(self) -> None:
        """Deletes what the relay need not keep any more, as often as the ledger ticks."""
        while True:
            await asyncio.sleep(self._config.limits.tick_seconds)
            await self._loop.run_in_executor(self._reader_pool, lambda: self._relay.clean(ReadState(self._readers.reader())))

    async def _count_state(self) -> None:
        """Counts members, rentals and money anew whenever the log grew, for at most a fiftieth of the time."""
        while True:
            began = self._loop.time()
            if self._census is None or self._census.size != self._publisher.size:
                try:
                    self._census = await self._loop.run_in_executor(self._reader_pool, self._take_census, self._publisher.size)
                except (IntegrityError, StorageError) as error:
                    self._fail(error)
            await asyncio.sleep(max(CENSUS_SECONDS, 50 * (self._loop.time() - began)))

    def _take_census(self, size: int) -> Census:
        return take_census(ReadState(self._readers.reader()), size, self._relay.boxes)

    def _verify_range(self, start: int, stop: int) -> None:
        verify_range(self._readers.reader(), start, stop)


def _with_port(address: str, port: int) -> str:
    return f"{address.rpartition(':')[0]}:{port}"
