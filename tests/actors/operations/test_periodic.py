"""Chores: done at once, then at their interval, and soon again when a server was away."""

import trio
from trio.testing import MockClock

from actors.operations.periodic import run_every
from engine.common.errors import UnavailableError


async def test_a_chore_is_done_now_and_at_its_interval(autojump_clock: MockClock) -> None:
    done: list[float] = []

    async def chore() -> None:
        done.append(trio.current_time())

    with trio.move_on_after(250):
        await run_every(100, chore)
    assert [at - done[0] for at in done] == [0, 100, 200]


async def test_a_server_away_is_asked_again_soon(autojump_clock: MockClock) -> None:
    done: list[float] = []

    async def chore() -> None:
        done.append(trio.current_time())
        if len(done) < 3:
            raise UnavailableError("away")

    with trio.move_on_after(50):
        await run_every(100, chore)
    assert [at - done[0] for at in done] == [0, 2, 4]
