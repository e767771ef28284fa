"""The watch over servers, in virtual time: components while a condition fails, one line for any other."""

import logging

import pytest
import trio
from trio.testing import MockClock

from api.processes.server_watch import FAILING_INTERVAL_S, INTERVAL_S, LIMIT_S, ServerWatch, bounded
from engine.common.errors import UnavailableError
from engine.operations.health import Component
from engine.operations.server_conditions import Condition

STANDBY = Condition("postgres", True, "is a standby")
NO_FSYNC = Condition("postgres", False, "fsync is off")


class Servers:
    """A watch over two servers whose conditions a test sets."""

    def __init__(self) -> None:
        self.postgres: list[Condition] = []
        self.redis: list[Condition] = []
        self.watch = ServerWatch((self._inspect_postgres, self._inspect_redis))

    async def _inspect_postgres(self) -> list[Condition]:
        return self.postgres

    async def _inspect_redis(self) -> list[Condition]:
        return self.redis


async def test_a_failing_condition_lasts_until_it_is_mended(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    servers = Servers()
    nursery.start_soon(servers.watch.run)
    await trio.sleep(1)
    good = [Component("launcher/postgres", True), Component("launcher/redis", True)]
    assert servers.watch.components() == good
    servers.postgres = [STANDBY, STANDBY._replace(text="is old")]
    await trio.sleep(INTERVAL_S)
    assert servers.watch.components() == [
        Component("launcher/postgres", False, "is a standby; is old"),
        Component("launcher/redis", True),
    ]
    servers.postgres = []
    await trio.sleep(FAILING_INTERVAL_S)
    assert servers.watch.components() == good


async def test_a_condition_that_does_not_fail_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    servers = Servers()
    servers.postgres = [NO_FSYNC]
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        await servers.watch.look()
    assert [record.getMessage() for record in caplog.records] == ["postgres: fsync is off"]
    assert all(component.ready for component in servers.watch.components())


async def test_a_server_that_does_not_answer_is_a_condition(autojump_clock: MockClock) -> None:
    async def away() -> list[Condition]:
        raise UnavailableError("Redis does not answer: no route")

    async def silent() -> list[Condition]:
        await trio.sleep_forever()
        raise AssertionError

    assert await bounded("redis", away) == [
        Condition("redis", True, "Redis does not answer: no route")
    ]
    began = trio.current_time()
    assert await bounded("redis", silent) == [
        Condition("redis", True, "does not answer within 10 s")
    ]
    assert trio.current_time() - began == pytest.approx(LIMIT_S)


async def test_an_inspection_that_breaks_is_a_condition(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> list[Condition]:
        raise ValueError("a version that nobody knows")

    assert await bounded("redis", broken) == [
        Condition("redis", True, "could not be inspected: ValueError")
    ]
    assert [record.getMessage() for record in caplog.records] == ["redis could not be inspected"]
