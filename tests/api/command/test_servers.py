"""The end of a command that is stopped while it works."""

import pytest
import trio

from actors.operations.runtime import Stop
from api.command.servers import finish
from engine.common.errors import NotFoundError, StoppedError


async def test_work_that_ends_gives_its_result(autojump_clock: trio.testing.MockClock) -> None:
    async def work() -> int:
        await trio.sleep(1)
        return 7

    assert await finish(work, Stop(), "stopped") == 7


async def test_work_is_cancelled_by_a_stop(autojump_clock: trio.testing.MockClock) -> None:
    stop, cancelled = Stop(), False

    async def work() -> None:
        nonlocal cancelled
        try:
            await trio.sleep_forever()
        finally:
            cancelled = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_later, stop)
        with pytest.raises(StoppedError, match="stopped half-way"):
            await finish(work, stop, "stopped half-way")
    assert cancelled


async def test_an_error_of_the_work_comes_as_it_is() -> None:
    async def work() -> None:
        raise NotFoundError.of("job")

    with pytest.raises(NotFoundError):
        await finish(work, Stop(), "stopped")


async def _stop_later(stop: Stop) -> None:
    await trio.sleep(1)
    stop.request()
