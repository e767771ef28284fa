"""Live subscribers: the counts of the last minute, in virtual time."""

import trio
from trio.testing import MockClock

from actors.stats.live_subscribers import LiveSubscribers
from engine.stats.live import LiveUpdate
from tests.kit.consoles import Console


async def test_a_minute_has_the_counts_of_60_seconds(autojump_clock: MockClock) -> None:
    subscribers = LiveSubscribers(Console().live)
    with subscribers.subscription(1, 9):
        subscribers._deliver(LiveUpdate(profile_id=9, clicks=[], counts=(3, 2, 1)))
        await trio.sleep(40)
        subscribers._deliver(LiveUpdate(profile_id=9, clicks=[], counts=(1, 0, 0)))
        subscribers._deliver(LiveUpdate(profile_id=8, clicks=[], counts=(7, 7, 7)))
        await trio.sleep(19.9)
        assert subscribers.minute(9) == (4, 2, 1)
        await trio.sleep(0.2)
        assert subscribers.minute(9) == (1, 0, 0)
        await trio.sleep(60)
        assert subscribers.minute(9) == subscribers.minute(8) == (0, 0, 0)
