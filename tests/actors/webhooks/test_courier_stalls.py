"""A courier whose work stands still says so after ten seconds, in virtual time."""

import trio

from engine.common.errors import UnavailableError
from tests.kit.courier_world import World


async def test_a_loop_that_fails_for_long_is_named(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World()
    await world.start()
    await world.webhook("shop")
    courier = world.courier()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(courier.run)
        await trio.sleep(60)
        assert not any(courier.stalls())

        async def fan_out(limit: int) -> int:
            raise UnavailableError("away")

        working, world.hooks.fan_out = world.hooks.fan_out, fan_out  # type: ignore[method-assign]
        await trio.sleep(9)
        assert not any(courier.stalls())
        await trio.sleep(3)
        (reason,) = filter(None, courier.stalls())
        assert reason.startswith("events to deliver: no progress for 1")
        assert reason.endswith("last error: away")
        world.hooks.fan_out = working  # type: ignore[method-assign]
        await trio.sleep(2)
        assert not any(courier.stalls())
        nursery.cancel_scope.cancel()
