# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A crowd in one process: many agents that send a little, or many subscribers that wait, each over its own connection with mutual TLS.

Run by tests/benchmarks/many.py as `python -m tests.benchmarks.crowd agents|subscribers STREAMS_PER_IDENTITY IDENTITY…`. It says "open" when
every stream is open; then a line on standard input starts agents, or has subscribers wait for their next event; the answer is one line of
JSON; the end of the input ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import grpc

from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.clusters import ClusterState, SchedulerInfo
from hpcbridge.model.transactions import Body, EpochReason, EpochStart, JobChange, JobChanges
from hpcbridge.wire.client import endpoints_of
from hpcbridge.wire.credentials import CHANNEL_OPTIONS, member_credentials
from hpcbridge.wire.generated import ledger_pb2, ledger_pb2_grpc
from tests.benchmarks.load import START_AT, running_job
from tests.ledger_author import Author
from tests.ledger_simulator import registration

END: Any = getattr(grpc.aio, "EOF")  # noqa: B009 - the stubs do not know it
AT_ONCE = 32
"""Connections that are opened at the same time."""
MINUTE = 60.0
FIRST_ROUND = 40.0
"""All have sent once after so long: a stream that says nothing for 90 seconds is ended."""
CHANGES = 10
"""Job changes of an agent in a minute."""


def open_channel(keys: KeyDirectory) -> grpc.aio.Channel:
    """A connection of its own."""
    (endpoint,) = endpoints_of(keys)
    options = (*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", endpoint.server_name))
    return grpc.aio.secure_channel(endpoint.address, member_credentials(keys), options=options)


class Agent:
    """One provider with its cluster: a stream that sends and one that listens."""

    def __init__(self, identity: Path) -> None:
        self._keys = KeyDirectory(identity)
        self._author = Author(self._keys)
        self._cluster = self._author.submitter.member
        self._jobs = 0
        self.latencies: list[float] = []

    async def open(self, turn: asyncio.Semaphore) -> None:
        """Hello, the first epoch, the cluster's registration, and a subscription."""
        async with turn:
            self._channel = open_channel(self._keys)
            stub: Any = ledger_pb2_grpc.LedgerStub(self._channel)
            self._stream = stub.Submit()
            hello = ledger_pb2.Hello(submitter=str(self._author.submitter))
            await self._stream.write(ledger_pb2.SubmitRequest(hello=hello))
            await self._stream.read()
            await self._send(EpochStart(previous_epoch=b"", last_acknowledged=0, reason=EpochReason.FIRST, gap=None))
            await self._send(registration(self._cluster))
            self.latencies.clear()
            self._events = stub.Subscribe(ledger_pb2.SubscribeRequest(cursor="now"))
            await self._events.read()

    async def work(self, delay: float) -> None:
        """A sample of the cluster and some changes, once a minute for ever; silence of the other stream is kept."""
        await asyncio.sleep(delay)
        while True:
            began = time.monotonic()
            scheduler = SchedulerInfo(name="slurm", version="23.11", reachable=True)
            await self._send(ClusterState(cluster=self._cluster, observed_at=START_AT + int(began * 1000), scheduler=scheduler))
            await self._send(JobChanges(cluster=self._cluster, changes=tuple(self._change() for _ in range(CHANGES))))
            await asyncio.sleep(max(0.0, began + MINUTE - time.monotonic()))

    async def stay(self) -> None:
        """Reads the stream's events, and says nothing on the other but what keeps it open."""
        while await self._events.read() is not END:
            pass

    async def _send(self, body: Body) -> None:
        envelope = self._author.envelope(body)
        began = time.monotonic()
        await self._stream.write(ledger_pb2.SubmitRequest(envelopes=ledger_pb2.Envelopes(envelopes=[envelope])))
        reply = await self._stream.read()
        if reply is END or reply.WhichOneof("reply") != "receipts":
            raise RuntimeError(f"not a receipt: {reply}")
        self.latencies.append(time.monotonic() - began)

    def _change(self) -> JobChange:
        self._jobs += 1
        return JobChange(job=running_job(self._cluster, str(self._jobs)), observed_at=START_AT)


class Subscriber:
    """One stream on one connection."""

    def __init__(self, identity: Path) -> None:
        self._keys = KeyDirectory(identity)
        self.heard_at: asyncio.Future[float] | None = None

    async def open(self, turn: asyncio.Semaphore) -> None:
        """Returns when the first checkpoint is here."""
        async with turn:
            self._channel = open_channel(self._keys)
            stub: Any = ledger_pb2_grpc.LedgerStub(self._channel)
            self._events = stub.Subscribe(ledger_pb2.SubscribeRequest(cursor="now"))
            await self._events.read()

    async def stay(self) -> None:
        """Notes when an event comes."""
        while (reply := await self._events.read()) is not END:
            if reply.WhichOneof("reply") == "event" and self.heard_at is not None and not self.heard_at.done():
                self.heard_at.set_result(time.monotonic())
        raise RuntimeError("a subscription ended")


async def agents(identities: list[Path]) -> None:
    """The crowd of agents."""
    crowd, turn = [Agent(identity) for identity in identities], asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(agent.open(turn) for agent in crowd))
    tasks = [asyncio.ensure_future(agent.stay()) for agent in crowd]
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    tasks += [asyncio.ensure_future(agent.work(number * FIRST_ROUND / len(crowd))) for number, agent in enumerate(crowd)]
    while await asyncio.to_thread(sys.stdin.readline):
        for task in tasks:
            if task.done():
                task.result()
        print(json.dumps([latency for agent in crowd for latency in agent.latencies]), flush=True)


async def subscribers(identities: list[Path], each: int) -> None:
    """The crowd of subscribers."""
    crowd, turn = [Subscriber(identity) for identity in identities for _ in range(each)], asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(subscriber.open(turn) for subscriber in crowd))
    tasks = [asyncio.ensure_future(subscriber.stay()) for subscriber in crowd]
    print("open", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        futures = []
        for subscriber in crowd:
            subscriber.heard_at = asyncio.get_running_loop().create_future()
            futures.append(subscriber.heard_at)
        print("waiting", flush=True)
        print(json.dumps(await asyncio.gather(*futures)), flush=True)
    for task in tasks:
        task.cancel()


def main() -> None:
    """As the module says."""
    kind, each, *identities = sys.argv[1:]
    paths = [Path(identity) for identity in identities]
    asyncio.run(agents(paths) if kind == "agents" else subscribers(paths, int(each)))


if __name__ == "__main__":
    main()
