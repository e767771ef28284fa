"""The rate limiter: one contract in memory and on Redis, concurrent clients, a server that does not answer."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from engine.common.errors import UnavailableError
from engine.limits.ports import Charge, RateLimiter
from engine.limits.rate import Rate, RateDecision, decide
from storage.limits.memory_limiter import MemoryRateLimiter, MemoryRateLimitServer
from storage.limits.redis_limiter import MAX_CHARGES, RedisRateLimiter, TimedRateDecision
from storage.redis.client import RedisServer
from tests.kit.hosted import hosted_run

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

S = 1_000_000
SECRET = bytes(range(32))
# Long, so that a busy machine causes no timeout; tests of the timeout have their own.
PATIENT_MS = 20_000
KEY = Rate("api-key", 30, 60, 3)
ADDRESS = Rate("api-address", 100, 10)


class Clock:
    def __init__(self) -> None:
        self.now_us = 1_790_000_000 * S

    def __call__(self) -> int:
        return self.now_us


class LimiterBench(NamedTuple):
    """A limiter, its clock, and a function that flushes its server."""

    limiter: RateLimiter
    clock: Clock
    flush: Callable[[], Awaitable[object]]

    async def decide(self, charge: Charge) -> RateDecision:
        (decision,) = await self.limiter.decide([charge])
        return decision


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("redis_url") if request.param == "redis" else None


@pytest.fixture
async def bench(url: str | None) -> AsyncIterator[LimiterBench]:
    clock = Clock()
    if url is None:
        limits = MemoryRateLimitServer()

        async def flush() -> None:
            limits.flush()

        yield LimiterBench(MemoryRateLimiter(limits, clock), clock, flush)
        return
    server = await RedisServer.open(url, size=2)
    limiter = RedisRateLimiter(server, SECRET, timeout_ms=PATIENT_MS, clock_us=clock)
    yield LimiterBench(limiter, clock, lambda: server.run(server.commands.flushdb))
    await server.close()


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator[RedisServer]:
    server = await RedisServer.open(redis_url, size=2)
    yield server
    await server.close()


async def test_a_burst_and_then_the_rate(bench: LimiterBench) -> None:
    charge = Charge(KEY, "7")
    steps = [
        (0, 1, RateDecision(True, 3, 2, 0, 2 * S)),
        (0, 2, RateDecision(True, 3, 0, 0, 6 * S)),
        (0, 1, RateDecision(False, 3, 0, 2 * S, 6 * S)),
        (0.5, 1, RateDecision(False, 3, 0, 1_500_000, 5_500_000)),
        (2, 1, RateDecision(True, 3, 0, 0, 6 * S)),
        (5, 0, RateDecision(True, 3, 1, 0, 3 * S)),
        (5, 3, RateDecision(False, 3, 1, 3 * S, 3 * S)),
        (5, 4, RateDecision(False, 3, 1, None, 3 * S)),
        (5, 10**30, RateDecision(False, 3, 1, None, 3 * S)),
        (8, 3, RateDecision(True, 3, 0, 0, 6 * S)),
        (86_400, 1, RateDecision(True, 3, 2, 0, 2 * S)),
    ]
    start_us = bench.clock.now_us
    for seconds, cost, expected in steps:
        bench.clock.now_us = start_us + int(seconds * S)
        assert await bench.decide(charge._replace(cost=cost)) == expected, (seconds, cost)


async def test_charges_are_decided_each_on_its_own_and_in_order(bench: LimiterBench) -> None:
    charges = [Charge(KEY, "7", 3), Charge(ADDRESS, "7", 10), Charge(KEY, "8"), Charge(KEY, "7")]
    decisions = await bench.limiter.decide(charges)
    assert [(decision.allowed, decision.burst, decision.remaining) for decision in decisions] == [
        (True, 3, 0),
        (True, 100, 90),
        (True, 3, 2),
        (False, 3, 0),
    ]
    # A denied charge does not undo the other charges of the call.
    assert [decision.remaining for decision in await bench.limiter.decide(charges)] == [0, 80, 1, 0]
    assert await bench.limiter.decide([]) == []


async def test_subjects_may_be_any_text(bench: LimiterBench) -> None:
    subjects = ["", "a", "A", "a" * 10_000, "{a}", "a\0", "a\n", "ä", "\ud800", "2001:db8::1", " "]
    for subject in subjects:
        assert (await bench.decide(Charge(KEY, subject))).remaining == 2
    for subject in subjects:
        assert (await bench.decide(Charge(KEY, subject))).remaining == 1


async def test_invalid_charges_are_refused_and_use_nothing_up(bench: LimiterBench) -> None:
    with pytest.raises(ValueError, match="at most 16"):
        await bench.limiter.decide([Charge(KEY, "7")] * (MAX_CHARGES + 1))
    with pytest.raises(ValueError, match="negative"):
        await bench.limiter.decide([Charge(KEY, "7"), Charge(KEY, "7", -1)])
    assert (await bench.decide(Charge(KEY, "7"))).remaining == 2


async def test_a_clock_set_back_locks_no_client_out(bench: LimiterBench) -> None:
    assert (await bench.decide(Charge(KEY, "7", 3))).allowed
    bench.clock.now_us -= 86_400 * S
    assert await bench.decide(Charge(KEY, "7")) == RateDecision(False, 3, 0, 2 * S, 6 * S)
    bench.clock.now_us += 2 * S
    assert (await bench.decide(Charge(KEY, "7"))).allowed


async def test_a_flushed_server_starts_afresh(bench: LimiterBench) -> None:
    assert (await bench.decide(Charge(KEY, "7", 3))).allowed
    await bench.flush()
    assert (await bench.decide(Charge(KEY, "7"))).remaining == 2


async def test_a_twin_that_is_down_is_unavailable() -> None:
    limits = MemoryRateLimitServer()
    limiter = MemoryRateLimiter(limits, Clock())
    limits.down = True
    with pytest.raises(UnavailableError):
        await limiter.decide([Charge(KEY, "7")])


async def test_64_concurrent_clients_are_decided_as_if_in_sequence(redis_url: str) -> None:
    """The Python function, applied to all charges in the server's order, gives equal decisions."""
    clients, rounds = 64, 40
    fast, slow = Rate("fast", 2_000, 1, 20), Rate("slow", 1_200, 60, 300)
    decisions_by_charge: dict[Charge, list[TimedRateDecision]] = {}

    async def client(number: int) -> None:
        server = await RedisServer.open(redis_url, size=1)
        limiter = RedisRateLimiter(server, SECRET, timeout_ms=PATIENT_MS)
        charges = [Charge(fast, "all"), Charge(slow, "all"), Charge(slow, f"some {number % 8}")]
        for _ in range(rounds):
            for charge, timed in zip(charges, await limiter.timed(charges), strict=True):
                decisions_by_charge.setdefault(charge, []).append(timed)
        await server.close()

    async with trio.open_nursery() as nursery:
        for number in range(clients):
            nursery.start_soon(client, number)

    assert sum(map(len, decisions_by_charge.values())) == clients * rounds * 3
    for charge, decisions in decisions_by_charge.items():
        # Within one microsecond, allowed charges advance the TAT, and denied ones come last.
        decisions.sort(key=lambda t: (t.at_us, t.decision.reset_after_us, not t.decision.allowed))
        tat_us = wrong = 0
        for at_us, decision in decisions:
            expected = decide(charge.rate, tat_us, at_us)
            wrong += decision != expected
            if expected.allowed:
                tat_us = at_us + expected.reset_after_us
        assert wrong == 0, charge
    allowed = [one.decision.allowed for one in decisions_by_charge[Charge(slow, "all")]]
    assert 300 <= sum(allowed) < len(allowed)


async def test_the_servers_clock_has_microseconds_and_never_goes_back(server: RedisServer) -> None:
    limiter = RedisRateLimiter(server, SECRET, timeout_ms=PATIENT_MS)
    times = [(await limiter.timed([Charge(ADDRESS, "7", 0)]))[0].at_us for _ in range(20)]
    assert times == sorted(times)
    assert len({time_us % 1_000 for time_us in times}) > 1


async def test_a_redis_key_hides_its_subject_and_expires_with_its_tat(
    server: RedisServer,
) -> None:
    limiter = RedisRateLimiter(server, SECRET, timeout_ms=PATIENT_MS)
    long = Rate("long", 1, 3_600)
    await limiter.decide([Charge(long, "203.0.113.7"), Charge(long, "other", 0)])
    (key,) = await server.run(server.commands.keys, "*")
    assert isinstance(key, bytes)
    assert key.startswith(b"waypost:rate:long:{")
    assert len(key) == len("waypost:rate:long:{}") + 32
    assert b"203" not in key.partition(b"{")[0]
    assert 3_590_000 < await server.run(server.commands.pttl, key) <= 3_600_000
    # Another secret makes another key: without the secret, nobody can try all addresses.
    other = RedisRateLimiter(server, SECRET[::-1], timeout_ms=PATIENT_MS)
    assert (await other.decide([Charge(long, "203.0.113.7")]))[0].allowed
    assert not (await limiter.decide([Charge(long, "203.0.113.7")]))[0].allowed


async def test_a_redis_key_expires_after_its_tat(server: RedisServer) -> None:
    limiter = RedisRateLimiter(server, SECRET, timeout_ms=PATIENT_MS)
    await limiter.decide([Charge(Rate("brief", 1_000, 1, 1), "7")])
    with trio.fail_after(10):
        while await server.run(server.commands.dbsize):
            pass


async def test_the_script_is_loaded_again_after_a_script_flush(server: RedisServer) -> None:
    limiter = RedisRateLimiter(server, SECRET, timeout_ms=PATIENT_MS)
    await server.run(server.commands.script_flush)
    assert [decision.remaining for decision in await limiter.decide([Charge(KEY, "7")] * 2)] == [
        2,
        1,
    ]
    await server.run(server.commands.script_flush)
    assert [decision.remaining for decision in await limiter.decide([Charge(KEY, "7")])] == [0]


async def test_a_short_secret_is_refused(server: RedisServer) -> None:
    for secret in (b"", b"x" * 15, b"x" * 65):
        with pytest.raises(ValueError, match="secret"):
            RedisRateLimiter(server, secret)


async def test_a_missing_server_is_unavailable_at_once() -> None:
    server = await RedisServer.open("unix:///nonexistent/socket", size=1)
    with trio.fail_after(1.5), pytest.raises(UnavailableError):
        await RedisRateLimiter(server, SECRET).decide([Charge(KEY, "7")])
    await server.close()


async def test_a_silent_server_is_unavailable_after_the_timeout(tmp_path: Path) -> None:
    path = str(tmp_path / "silent")
    listening = trio.socket.socket(trio.socket.AF_UNIX)
    await listening.bind(path)
    listening.listen(1)
    server = await RedisServer.open(f"unix://{path}", size=1)
    limiter = RedisRateLimiter(server, SECRET, timeout_ms=30)
    with trio.fail_after(1.5):
        for _ in range(3):
            with pytest.raises(UnavailableError, match="30 ms"):
                await limiter.decide([Charge(KEY, "7")])
    await server.close()
    listening.close()


async def test_a_late_reply_is_not_taken_for_another_calls(redis_url: str) -> None:
    server = await RedisServer.open(redis_url, size=1)
    other = await RedisServer.open(redis_url, size=1)
    patient = RedisRateLimiter(server, SECRET, timeout_ms=PATIENT_MS)
    hasty = RedisRateLimiter(server, SECRET, timeout_ms=30)
    assert (await patient.decide([Charge(ADDRESS, "7")]))[0].remaining == 99
    await other.run(other.commands.execute_command, "CLIENT", "PAUSE", "60000", "WRITE")
    try:
        with pytest.raises(UnavailableError):
            await hasty.decide([Charge(ADDRESS, "7")] * 3)
    finally:
        await other.run(other.commands.execute_command, "CLIENT", "UNPAUSE")
    assert (await patient.decide([Charge(KEY, "8")]))[0].remaining == 2
    assert (await patient.decide([Charge(KEY, "8")]))[0].remaining == 1
    await server.close()
    await other.close()
