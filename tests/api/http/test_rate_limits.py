"""Rate limits of the API: per key, per address, with Redis and without."""

import re
from typing import Any

import pytest
import trio

from engine.accounts.access import Caller
from engine.common.errors import UnavailableError
from engine.limits.layered_limiter import BACK_OFF_US
from engine.limits.rate import Rate
from engine.operations.settings import Settings
from tests.kit.consoles import VISITORS, Answered, Console


def limited(**rates: int) -> Console:
    rates = {"api_reads_per_minute": 3, "api_writes_per_minute": 2} | rates
    settings: dict[str, Any] = {"visitors_url": VISITORS, **rates}
    return Console(settings=Settings(**settings))


async def reads(console: Console, count: int, **options: str) -> list[int]:
    return [(await console.call("GET", "/v1/profiles", **options)).status for _ in range(count)]


def test_a_limit_of_0_is_no_limit() -> None:
    async def run() -> list[int]:
        return await reads(limited(api_reads_per_minute=0, api_writes_per_minute=0), 30)

    assert trio.run(run) == [200] * 30


async def test_a_key_has_a_limit_of_reads_and_one_of_writes() -> None:
    console = limited()
    assert await reads(console, 4) == [200, 200, 200, 429]
    statuses = [
        (await console.call("POST", "/v1/profiles", {"handle": handle})).status for handle in "bcd"
    ]
    assert statuses == [201, 201, 429], "writes have a limit of their own"
    assert (await console.call("GET", "/v1/profiles", key="two")).status == 200
    console.clock_us += 20_000_000
    assert await reads(console, 2) == [200, 429], "20 s allow one of three reads per minute"
    assert console.counters.limited == 3


async def test_the_headers_say_what_is_left() -> None:
    console = limited()
    first = await console.call("GET", "/v1/profiles")
    assert first.headers["RateLimit-Policy"] == '"reads";q=3;w=60, "address";q=10;w=60'
    assert first.headers["RateLimit"] == '"reads";r=2;t=40, "address";r=9;t=54'
    assert "Retry-After" not in first.headers
    await reads(console, 2)
    denied = await console.call("GET", "/v1/profiles")
    denied.problem(429)
    assert "reads" in denied.json["detail"]
    assert denied.headers["Retry-After"] == "20"
    assert re.search(r'"reads";r=0;t=20', denied.headers["RateLimit"])


async def test_with_plenty_left_one_request_in_ten_asks_redis(autojump_clock: object) -> None:
    console = limited(api_reads_per_minute=6_000, api_writes_per_minute=3_000)
    left = []
    for n in range(20):
        console.limits.down = n % 10 != 0
        response = await console.call("GET", "/v1/profiles")
        left.append(int(re.findall(r"r=([0-9]+)", response.headers["RateLimit"])[0]))
    assert left == list(range(5_999, 5_979, -1))
    assert not console.counters.local_decisions


async def test_paths_outside_of_the_api_have_one_limit_per_address(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    monkeypatch.setattr("api.http.rate_limits.PUBLIC", Rate("public", units=3, period_s=60))
    console = limited(api_reads_per_minute=0, api_writes_per_minute=0)
    console.limits.down = True  # monitoring works without Redis
    paths = ("/healthz", "/docs", "/metrics", "/nowhere", "/v1x")
    answers = [await console.call("GET", path, key="") for path in paths]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"public";q=3;w=60'
    answers[3].problem(429)
    assert answers[3].headers["Retry-After"] == "20"
    assert console.counters.limited == 2
    await trio.sleep(20)
    assert (await console.call("GET", "/readyz", key="")).status == 200


async def test_an_address_is_limited_over_all_its_keys() -> None:
    console = limited(api_reads_per_minute=4, api_writes_per_minute=1)
    assert await reads(console, 4) + await reads(console, 4, key="two") == [200] * 8
    console.keys.add("three", Caller(1, 1))
    assert await reads(console, 3, key="three") == [200, 200, 429]


async def test_an_address_with_many_bad_credentials_is_refused_without_a_lookup(
    autojump_clock: object,
) -> None:
    console = limited()
    statuses = await reads(console, 301, key="bad")
    assert statuses == [401] * 300 + [429]
    lookups = console.keys.lookups
    assert (await console.call("GET", "/v1/profiles")).status == 429, "also with a valid key"
    assert console.keys.lookups == lookups
    await trio.sleep(0.5)
    assert (await console.call("GET", "/v1/profiles")).status == 200


class AwayLimiter:
    def __init__(self) -> None:
        self.calls = 0

    async def decide(self, charges: object) -> list[object]:
        self.calls += 1
        raise UnavailableError("Redis does not answer")


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> AwayLimiter:
    limiter = AwayLimiter()
    monkeypatch.setattr("tests.kit.consoles.MemoryRateLimiter", lambda *_: limiter)
    return limiter


async def test_without_redis_a_console_decides_alone_and_logins_wait(
    away: AwayLimiter, autojump_clock: object
) -> None:
    console = limited()
    assert await reads(console, 4) == [200, 200, 200, 429]
    assert away.calls == 1, "Redis gets a pause after it did not answer"
    assert console.counters.local_decisions == 4
    await trio.sleep(BACK_OFF_US / 1_000_000)
    await reads(console, 1)
    assert away.calls == 2
    login = {"email": "one@example.com", "password": "x"}
    response: Answered = await console.call("POST", "/v1/session", login, key="")
    response.problem(503)
