"""A cluster whose nodes die: commands, streams and subscriptions go on at those that live."""

import contextlib
import itertools
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from operator import eq
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
import trio
from redis.crc import key_slot

from bench.servers.redis_cluster import ClusterNode, RedisCluster
from engine.clicks.batch import Batch
from engine.common.errors import UnavailableError
from engine.limits.ports import Charge
from engine.limits.rate import Rate
from engine.links.profile import ProfileChange
from storage.clicks.stream import RedisClickStream, stream_key
from storage.limits.redis_limiter import RedisRateLimiter
from storage.operations.inspection import redis_facts
from storage.privacy.erasure import Eraser
from storage.redis.client import RedisServer
from storage.stats.live import RedisLiveChannel
from storage.visits.announcer import RedisAnnouncer
from tests.kit.embedded_servers import eventually
from tests.kit.hosted import hosted_run
from tests.kit.stores import OpenDatabase

T = TypeVar("T")

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

BATCH = Batch(1, 3, b"\x00\xff")
NO_SERVER = "127.0.0.1:1"


@pytest.fixture(scope="module")
def three_masters() -> Iterator[RedisCluster]:
    with RedisCluster(replicas=False) as cluster:
        yield cluster


@pytest.fixture
def cluster(three_masters: RedisCluster) -> RedisCluster:
    """Return the module's cluster, with all nodes that an earlier test has killed."""
    for node in three_masters.nodes:
        if not node.running():
            node.start()
    three_masters.wait_healthy()
    return three_masters


@asynccontextmanager
async def opened(url: str, size: int = 4) -> AsyncIterator[RedisServer]:
    server = await RedisServer.open(url, size=size)
    try:
        yield server
    finally:
        await server.close()


def journal_at(cluster: RedisCluster, number: int) -> UUID:
    """Return the id of a journal whose stream is on a node."""
    ids = (uuid4() for _ in itertools.count())
    node = cluster.nodes[number]
    return next(i for i in ids if cluster.master_of(key_slot(stream_key(i).encode())) is node)


async def test_any_seed_that_answers_will_do(cluster: RedisCluster) -> None:
    port = cluster.nodes[1].port
    async with opened(f"redis+cluster://{NO_SERVER},127.0.0.1:{port}") as server:
        await server.ping()
        stream = RedisClickStream(server)
        for number in range(3):
            journal = journal_at(cluster, number)
            assert await stream.add(journal, 0, BATCH)
            assert await stream.read(journal, 0, 10, 50) == [BATCH]
            await stream.reset(journal)
            assert await stream.last(journal) is None
    facts = await redis_facts(cluster.url(0, 1))
    assert facts.name in ("Redis", "Valkey")
    assert facts.version
    assert (facts.maxmemory_policy, facts.replica, facts.refusals) == ("noeviction", False, ())


async def test_a_cluster_that_is_away_is_unavailable_and_comes_back(cluster: RedisCluster) -> None:
    for node in cluster.nodes:
        node.kill()
    async with opened(cluster.url(0, 1)) as server:
        stream, journal = RedisClickStream(server), uuid4()
        calls: list[Callable[[], Awaitable[Any]]] = [
            server.ping,
            partial(stream.add, journal, 0, BATCH),
            partial(stream.read, journal, 0, 10, 50),
            partial(stream.reset, journal),
            server.subscriber,
            partial(RedisLiveChannel(server).subscribe, [1]),
        ]
        for call in calls:
            with trio.fail_after(5), pytest.raises(UnavailableError, match="Redis does not answer"):
                await call()
        for node in cluster.nodes:
            node.start()
        assert await until_answered(partial(stream.add, journal, 0, BATCH))


async def test_a_node_that_dies_stops_its_own_streams_only(cluster: RedisCluster) -> None:
    """Without replicas and with full coverage the cluster is down then; each call is unavailable, and ends."""
    journals = [journal_at(cluster, number) for number in range(3)]
    async with opened(cluster.url(0)) as server:
        stream = RedisClickStream(server)
        for journal in journals:
            assert await stream.add(journal, 0, BATCH)
            assert await stream.read(journal, 0, 10, 50) == [BATCH]
        cluster.nodes[0].kill()
        with trio.fail_after(15):
            with pytest.raises(UnavailableError):
                await stream.read(journals[0], 0, 10, 50)
            with pytest.raises(UnavailableError):
                await stream.last(journals[0])
        cluster.nodes[0].start()
        for journal in journals:
            assert await until_answered(partial(stream.read, journal, 0, 10, 50)) == [BATCH]


async def test_a_subscription_moves_to_a_node_that_lives(cluster: RedisCluster) -> None:
    async with opened(cluster.url(0, 1, 2)) as server, opened(cluster.url(2)) as other:
        listener, announcer = RedisAnnouncer(server), RedisAnnouncer(other)
        async with listener.listen() as changes:
            await announcer.announce([ProfileChange(1, 1, False)])
            with trio.fail_after(5):
                assert (await anext(changes)).profile_id == 1
            subscribed = next(node for node in cluster.nodes if subscribers_of(node))
            subscribed.kill()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(announce_on, announcer)
                with trio.fail_after(10):
                    assert (await anext(changes)).profile_id > 1
                nursery.cancel_scope.cancel()
    assert 1 <= listener.counts["disconnected"] < 10


async def test_a_subscription_leaves_a_node_that_is_silent(
    cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that is gone ends no connection: its kernel sends nothing."""
    monkeypatch.setattr("storage.redis.subscription._PING_EVERY_S", 0.1)
    monkeypatch.setattr("storage.redis.subscription.SILENCE_S", 0.5)
    async with opened(cluster.url()) as server, opened(cluster.url()) as other:
        listener, announcer = RedisAnnouncer(server), RedisAnnouncer(other)
        async with listener.listen() as changes:
            subscribed = next(node for node in cluster.nodes if subscribers_of(node))
            await trio.sleep(1.0)
            assert listener.counts["disconnected"] == 0  # a node that answers PINGs is not left
            subscribed.send(signal.SIGSTOP)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(announce_on, announcer)
                    with trio.fail_after(10):
                        assert (await anext(changes)).profile_id > 1
                    nursery.cancel_scope.cancel()
            finally:
                subscribed.send(signal.SIGCONT)
    assert listener.counts["disconnected"] >= 1


def subscribers_of(node: ClusterNode) -> int:
    return int(node.info("INFO", "clients")["pubsub_clients"])


async def announce_on(announcer: RedisAnnouncer) -> None:
    for number in itertools.count(2):
        await announcer.announce([ProfileChange(number, 1, False)])
        await trio.sleep(0.05)


async def test_limits_are_charged_each_in_its_own_slot(cluster: RedisCluster) -> None:
    async with opened(cluster.url(1)) as server:
        limiter = RedisRateLimiter(server, b"s" * 32, timeout_ms=2000)
        rate = Rate("test", 60, 60, burst=2)
        charges = [Charge(rate, f"subject-{number}", 1) for number in range(8)]
        for allowed in (True, True, False):
            decisions = await limiter.decide(charges)
            assert [decision.allowed for decision in decisions] == [allowed] * 8


async def test_more_commands_than_connections_wait_for_one(cluster: RedisCluster) -> None:
    async with opened(cluster.url(0), size=2) as server:
        stream = RedisClickStream(server)
        added: list[bool] = []

        async def add() -> None:
            added.append(await stream.add(uuid4(), 0, BATCH))

        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(add)
        assert added == [True] * 60


async def test_an_erasure_deletes_the_streams_of_every_node(
    cluster: RedisCluster, open_database: OpenDatabase
) -> None:
    async with opened(cluster.url(0)) as server:
        stream = RedisClickStream(server)
        journals = [journal_at(cluster, number) for number in range(3)]
        for journal in journals:
            await stream.add(journal, 0, BATCH)
        assert await server.run(server.commands.dbsize) >= len(journals)
        rewrites = [rewrites_of(node) for node in cluster.nodes]
        await Eraser(await open_database("waypost_aggregator"), server).sweep(
            1, 1, everything=False
        )
        assert [await stream.last(journal) for journal in journals] == [None] * 3
        # Their append-only files are rewritten too.
        assert eventually(lambda: not any(map(eq, rewrites, map(rewrites_of, cluster.nodes))))


def rewrites_of(node: ClusterNode) -> int:
    return int(node.info("INFO", "persistence")["aof_rewrites"])


async def until_answered(call: Callable[[], Awaitable[T]], limit_s: float = 15.0) -> T:
    """Return the result of the first call that is answered."""
    with trio.fail_after(limit_s):
        while True:
            with contextlib.suppress(UnavailableError):
                return await call()
            await trio.sleep(0.05)
