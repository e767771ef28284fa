"""Periodic work: done at once, then at its interval, and soon again if a server is away."""

import trio
from trio.testing import MockClock

from actors.operations.periodic import run_every
from engine.common.errors import UnavailableError


async def test_work_is_done_at_once_and_at_its_interval(autojump_clock: MockClock) -> None:
    done: list[float] = []

    async def work() -> None:
        done.append(trio.current_time())

    with trio.move_on_after(250):
        await run_every(100, work)
    assert [at - done[0] for at in done] == [0, 100, 200]


async def test_work_is_repeated_soon_while_its_server_is_away(autojump_clock: MockClock) -> None:
    done: list[float] = []

    async def work() -> None:
        done.append(trio.current_time())
        if len(done) < 3:
            raise UnavailableError("away")

    with trio.move_on_after(50):
        await run_every(100, work)
    assert [at - done[0] for at in done] == [0, 2, 4]
