"""Turns of tenants: fair, bounded in time, and given back whatever happens."""

import pytest
import trio
import trio.testing

from actors.assets.turns import FairTurns
from engine.common.errors import UnavailableError


async def test_tenants_that_wait_take_turns(autojump_clock: object) -> None:
    turns, order = FairTurns(1, wait_limit_s=60), []

    async def work(tenant_id: int) -> None:
        async with turns.taken(tenant_id):
            order.append(tenant_id)
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for tenant_id in (1, 1, 1, 2, 3):
            nursery.start_soon(work, tenant_id)
            await trio.testing.wait_all_tasks_blocked()
    assert order == [1, 1, 2, 3, 1]
    assert turns.waiting == 0


async def test_who_waits_too_long_or_leaves_takes_no_turn(autojump_clock: object) -> None:
    turns = FairTurns(1, wait_limit_s=5)
    async with turns.taken(1):
        with pytest.raises(UnavailableError):
            async with turns.taken(2):
                pass
        with trio.move_on_after(1) as left:
            async with turns.taken(3):
                pass
        assert left.cancelled_caught
        assert turns.waiting == 0
    async with turns.taken(4):
        pass


async def test_a_turn_that_comes_at_the_moment_of_a_cancellation_is_not_lost() -> None:
    turns = FairTurns(1, wait_limit_s=60)
    scope = trio.CancelScope()

    async def cancelled() -> None:
        with scope:
            async with turns.taken(2):
                pytest.fail("it was cancelled before")

    async with trio.open_nursery() as nursery, turns.taken(1):
        nursery.start_soon(cancelled)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
    with trio.fail_after(1):
        async with turns.taken(3):
            pass


async def test_a_failure_gives_the_turn_back() -> None:
    turns = FairTurns(1, wait_limit_s=60)
    with pytest.raises(ZeroDivisionError):
        async with turns.taken(1):
            raise ZeroDivisionError
    async with turns.taken(1):
        pass
