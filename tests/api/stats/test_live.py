"""Live updates: their events, the limits of subscribers, and the ends of a stream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
from quart_trio.testing import connections
from trio.testing import MockClock

from actors.stats import live_subscribers
from actors.stats.live_feed import LiveFeed
from actors.stats.live_subscribers import LiveSubscribers
from api.stats import live
from engine.clicks.click import Click, ClickKind, VisitorClass
from engine.clicks.record_items import PLACE, item
from engine.common.errors import TooSoonError, UnavailableError
from engine.stats.live import LiveClick
from tests.kit.consoles import Console
from tests.kit.shipped_batches import batch, click

PLACE_DE = item(PLACE, "\x1f".join(("EU", "DE", "BY", "Munich")).encode())


class Stream:
    """A reader of events of a console's live stream."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._rest = b""

    async def event(self) -> tuple[str, dict[str, Any]]:
        """Return (name, data) of the next event that is no comment."""
        while True:
            while b"\n\n" not in self._rest:
                self._rest += await self._connection.receive()
            text, _, self._rest = self._rest.partition(b"\n\n")
            if text.startswith(b"event: "):
                name, data = text.decode().split("\n")
                return name[7:], msgspec.json.decode(data[6:])


@asynccontextmanager
async def open_stream(console: Console, id_: str) -> AsyncIterator[Stream]:
    """Open a live stream of the console, with the actors that it needs."""
    connection = console.app.test_client().request(
        f"/v1/profiles/{id_}/live", headers={"Authorization": "Bearer one"}
    )
    async with connection:
        await connection.send_complete()
        assert isinstance(connection, connections.TestHTTPConnection)
        yield Stream(connection)
        await connection.disconnect()
        await trio.sleep(1)
        # The client would wait for the end of the response, and a cancelled response has none.
        await connection._client_send.aclose()


async def until_subscribed(feed: LiveFeed) -> None:
    with trio.fail_after(10):
        while not feed._subscribed:  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.1)


def german_click(id_: str, **fields: Any) -> Click:
    return click(tenant_id=1, profile_id=int(id_), **fields)._replace(items=PLACE_DE)


async def test_clicks_are_sent_as_they_are_committed(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    console = Console()
    id_ = (await console.profile())["id"]
    feed = LiveFeed(console.live)
    nursery.start_soon(console.watchers.run)
    nursery.start_soon(feed.run)
    await trio.sleep(5)
    feed.committed(0, [batch(1, [german_click(id_)])])  # no subscriber yet
    async with open_stream(console, id_) as stream:
        assert await stream.event() == ("minute", {"clicks": 0, "views": 0, "bots": 0})
        await until_subscribed(feed)
        news = [
            german_click(id_, link_id=7),
            german_click(id_, link_id=0, kind=ClickKind.VIEW, verdict=VisitorClass.BOT),
            german_click(id_, verdict=VisitorClass.HEAD),
            german_click(str(int(id_) + 1)),
        ]
        feed.committed(2, [batch(1, [german_click(id_)] * 2 + news)])
        name, event_data = await stream.event()
        assert name == "click"
        assert (event_data["link"], event_data["country"], event_data["kind"]) == (
            "7",
            "DE",
            "human",
        )
        assert event_data["time"] == "2026-05-28T20:26:40Z"
        assert not {"visitor", "ip"} & event_data.keys()
        assert (await stream.event())[1]["kind"] == "bot"
        assert await stream.event() == ("minute", {"clicks": 1, "views": 0, "bots": 1})
        assert await stream.event() == ("minute", {"clicks": 0, "views": 0, "bots": 0})
    assert feed.published == 1
    await trio.sleep(30)
    assert len(console.watchers) == 0
    assert not feed._subscribed
    nursery.cancel_scope.cancel()


async def test_a_stream_ends_with_access_after_its_time_and_with_the_process(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    console = Console()
    id_ = (await console.profile())["id"]
    nursery.start_soon(console.watchers.run)
    async with open_stream(console, id_) as stream, open_stream(console, id_) as other:
        await stream.event(), await other.event()
        started = trio.current_time()
        assert await stream.event() == ("end", {"reason": "time"})
        assert abs(trio.current_time() - started - live.MAX_S) <= 2
    async with open_stream(console, id_) as stream:
        await stream.event()
        await console.call("DELETE", f"/v1/profiles/{id_}")
        assert await stream.event() == ("end", {"reason": "access"})
    id_ = (await console.profile("bert"))["id"]
    async with open_stream(console, id_) as stream:
        await stream.event()
        console.watchers.close()
        assert await stream.event() == ("end", {"reason": "closing"})
    (await console.call("GET", f"/v1/profiles/{id_}/live")).problem(503)
    nursery.cancel_scope.cancel()


async def test_only_members_may_subscribe() -> None:
    console = Console()
    id_ = (await console.profile())["id"]
    (await console.call("GET", f"/v1/profiles/{id_}/live", key="two")).problem(404)
    assert (await console.call("GET", f"/v1/profiles/{id_}/live?x=1")).problem(422).keys() == {"x"}


async def test_a_head_request_subscribes_to_nothing(autojump_clock: MockClock) -> None:
    console = Console()
    id_ = (await console.profile())["id"]
    with trio.fail_after(live.MAX_S / 2):
        answered = await console.call("HEAD", f"/v1/profiles/{id_}/live")
    assert (answered.status, answered.body) == (200, b"")
    assert answered.headers["Content-Type"] == "text/event-stream"
    assert len(console.watchers) == 0


async def test_subscribers_are_bounded_and_slow_ones_are_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_subscribers, "MAX_OF_USER", 2)
    monkeypatch.setattr(live_subscribers, "MAX_OF_PROFILE", 3)
    monkeypatch.setattr(live_subscribers, "MAX_OF_PROCESS", 4)
    subscribers = LiveSubscribers(Console().live)
    with subscribers.subscription(1, 9) as first, subscribers.subscription(1, 9):
        with pytest.raises(TooSoonError, match="a user may have"), subscribers.subscription(1, 8):
            pass
        with subscribers.subscription(2, 9):
            with (
                pytest.raises(TooSoonError, match="a profile may have"),
                subscribers.subscription(3, 9),
            ):
                pass
            with subscribers.subscription(3, 8), pytest.raises(UnavailableError):
                subscribers.admit(4, 7)
        for _ in range(live_subscribers.MAX_WAITING):
            assert first.put([LiveClick(at_us=1, link_id=2, values={})])
        assert not first.put([LiveClick(at_us=1, link_id=2, values={})])
        assert first.ended == "slow"
    assert (len(subscribers), subscribers.refused, subscribers.slow) == (0, 3, 0)
