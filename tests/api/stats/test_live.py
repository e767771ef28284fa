"""Live updates: their events, the limits of subscribers, and the ends of a stream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
from quart_trio.testing import connections
from trio.testing import MockClock

from actors.stats import live_clicks, live_subscribers
from actors.stats.live_clicks import NumberedClick
from actors.stats.live_feed import RECENT_S, LiveFeed
from actors.stats.live_subscribers import LiveSubscribers
from api.stats import live
from engine.clicks.click import Click, ClickKind, VisitorClass
from engine.clicks.record_items import PLACE, item
from engine.common.errors import TooSoonError, UnavailableError
from engine.stats.live import LiveClick
from tests.kit.consoles import Console
from tests.kit.shipped_batches import batch, click

CLICK = NumberedClick(1, LiveClick(at_us=1, link_id=2, values={}))
PLACE_DE = item(PLACE, "\x1f".join(("EU", "DE", "BY", "Munich")).encode())


class Stream:
    """A reader of events of a console's live stream."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._rest = b""
        self.last_id = ""

    async def open(self) -> None:
        """Wait for the first event, which says that the stream is open."""
        while b"retry" not in self._rest:
            self._rest += await self._connection.receive()

    async def clicks(self, count: int) -> list[str]:
        """Return the links of the next clicks."""
        links: list[str] = []
        while len(links) < count:
            name, data = await self.event()
            if name != "minute":
                links.append(data["link"] if name == "click" else f"{name} {data['reason']}")
        return links

    async def event(self) -> tuple[str, dict[str, Any]]:
        """Return (name, data) of the next event that is no comment."""
        while True:
            while b"\n\n" not in self._rest:
                self._rest += await self._connection.receive()
            text, _, self._rest = self._rest.partition(b"\n\n")
            fields = dict(line.split(": ", 1) for line in text.decode().splitlines() if line != ":")
            if "event" in fields:
                self.last_id = fields.get("id", self.last_id)
                return fields["event"], msgspec.json.decode(fields["data"])


@asynccontextmanager
async def open_stream(console: Console, id_: str, last_event_id: str = "") -> AsyncIterator[Stream]:
    """Open a live stream of the console, with the actors that it needs."""
    headers = {"Authorization": "Bearer one"}
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    connection = console.app.test_client().request(f"/v1/profiles/{id_}/live", headers=headers)
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
    feed.committed(0, [batch(1, [german_click(id_)])])  # no subscriber for long
    await trio.sleep(RECENT_S + 0.1)
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
    assert len(console.watchers) == 0
    await trio.sleep(live_subscribers.KEEP_S + 30)
    assert not feed._subscribed
    nursery.cancel_scope.cancel()


@pytest.fixture
async def feed(nursery: trio.Nursery, autojump_clock: MockClock) -> AsyncIterator[LiveFeed]:
    """Yield the feed of the workers of `console`, which is subscribed to nothing."""
    console = Console()
    feed = LiveFeed(console.live)
    feed.console = console  # type: ignore[attr-defined]
    nursery.start_soon(console.watchers.run)
    nursery.start_soon(feed.run)
    await trio.sleep(5)
    yield feed
    nursery.cancel_scope.cancel()


async def test_a_stream_has_each_click_from_the_moment_it_opens(
    autojump_clock: MockClock, feed: LiveFeed
) -> None:
    """Workers have not noticed the subscription yet."""
    console: Console = feed.console  # type: ignore[attr-defined]
    id_ = (await console.profile())["id"]
    async with open_stream(console, id_) as stream:
        await stream.open()
        assert not feed._subscribed
        feed.committed(0, [batch(1, [german_click(id_, link_id=5)])])
        await until_subscribed(feed)
        feed.committed(1, [batch(2, [german_click(id_, link_id=6)])])
        assert await stream.clicks(2) == ["5", "6"]
    assert feed.published == 2


async def test_a_stream_is_resumed_without_a_gap(autojump_clock: MockClock, feed: LiveFeed) -> None:
    console: Console = feed.console  # type: ignore[attr-defined]
    id_ = (await console.profile())["id"]
    async with open_stream(console, id_) as stream:
        await stream.event()
        feed.committed(0, [batch(1, [german_click(id_, link_id=n) for n in (1, 2)])])
        assert await stream.clicks(1) == ["1"]
        last_id = stream.last_id
    feed.committed(2, [batch(3, [german_click(id_, link_id=3)])])  # between the streams
    await trio.sleep(2)
    async with open_stream(console, id_, last_id) as stream:
        assert await stream.clicks(2) == ["2", "3"]
        last_id = stream.last_id
    async with open_stream(console, id_, last_id) as stream:
        feed.committed(3, [batch(4, [german_click(id_, link_id=4)])])
        assert await stream.clicks(1) == ["4"]


@pytest.mark.parametrize(
    "last_id", ["0.1", "x", "EPOCH.99999999999999999999", "EPOCH.-1", "EPOCH.0"]
)
async def test_a_gap_is_said_where_a_stream_cannot_be_resumed(
    autojump_clock: MockClock, feed: LiveFeed, monkeypatch: pytest.MonkeyPatch, last_id: str
) -> None:
    console: Console = feed.console  # type: ignore[attr-defined]
    id_ = (await console.profile())["id"]
    monkeypatch.setattr(live_clicks, "MAX_KEPT", 3)
    clicks = live_clicks.MAX_KEPT + 1
    async with open_stream(console, id_) as stream:
        await stream.event()
        await until_subscribed(feed)
        feed.committed(0, [batch(1, [german_click(id_, link_id=n) for n in range(clicks)])])
        await stream.clicks(clicks)
        epoch = stream.last_id.partition(".")[0]
    async with open_stream(console, id_, last_id.replace("EPOCH", epoch)) as stream:
        feed.committed(clicks, [batch(clicks + 1, [german_click(id_, link_id=8)])])
        assert await stream.clicks(2) == ["gap resume", "8"]


async def test_a_gap_is_said_when_the_clicks_were_no_longer_received(
    autojump_clock: MockClock, feed: LiveFeed
) -> None:
    console: Console = feed.console  # type: ignore[attr-defined]
    id_ = (await console.profile())["id"]
    async with open_stream(console, id_) as stream:
        await stream.event()
        feed.committed(0, [batch(1, [german_click(id_, link_id=1)])])
        await stream.clicks(1)
        last_id = stream.last_id
    await trio.sleep(2 * live_subscribers.KEEP_S)
    async with open_stream(console, id_, last_id) as stream:
        assert await stream.clicks(1) == ["gap resume"]


async def test_a_gap_is_said_when_updates_are_lost(
    autojump_clock: MockClock, feed: LiveFeed
) -> None:
    console: Console = feed.console  # type: ignore[attr-defined]
    id_ = (await console.profile())["id"]
    async with open_stream(console, id_) as stream:
        await stream.event()
        feed.committed(0, [batch(1, [german_click(id_, link_id=1)])])
        await stream.clicks(1)
        last_id = stream.last_id
        console.live.lose()
        assert await stream.clicks(1) == ["gap lost"]
    async with open_stream(console, id_, last_id) as stream:
        assert await stream.clicks(1) == ["gap resume"]


async def test_a_stream_opens_with_a_gap_while_redis_is_away(autojump_clock: MockClock) -> None:
    console = Console()  # whose subscribers do not run
    id_ = (await console.profile())["id"]
    async with open_stream(console, id_) as stream:
        assert await stream.clicks(1) == ["gap lost"]
    assert trio.current_time() < 10


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


async def test_a_stream_of_which_nothing_is_new_sleeps_and_hears_an_update_at_once(
    nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of them are open on a quiet engine."""
    waits: list[float] = []
    wait = live_subscribers.LiveSubscriber.wait

    async def counted(subscriber: live_subscribers.LiveSubscriber, seconds: float) -> None:
        waits.append(seconds)
        await wait(subscriber, seconds)

    monkeypatch.setattr(live_subscribers.LiveSubscriber, "wait", counted)
    console = Console()
    id_ = (await console.profile())["id"]
    feed = LiveFeed(console.live)
    nursery.start_soon(console.watchers.run)
    nursery.start_soon(feed.run)
    async with open_stream(console, id_) as stream:
        assert await stream.event() == ("minute", {"clicks": 0, "views": 0, "bots": 0})
        await until_subscribed(feed)
        waits.clear()
        await trio.sleep(10 * live.HEARTBEAT_S)
        assert len(waits) <= 2 * 10 + 1
        committed_at = trio.current_time()
        feed.committed(0, [batch(1, [german_click(id_, link_id=7)])])
        assert [(await stream.event())[0] for _ in range(2)] == ["click", "minute"]
        assert trio.current_time() - committed_at < live.TICK_S + 0.5
        assert await stream.event() == ("minute", {"clicks": 0, "views": 0, "bots": 0})
        assert trio.current_time() - committed_at < live_clicks.MINUTE_S + 2 * live.TICK_S


async def test_profiles_with_subscribers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their latest clicks are kept, and those of a profile that was left go for another's."""
    monkeypatch.setattr(live_subscribers, "MAX_PROFILES", 2)
    subscribers = LiveSubscribers(Console().live)
    with subscribers.subscription(1, 9), subscribers.subscription(1, 9):
        with subscribers.subscription(1, 8), pytest.raises(UnavailableError):
            subscribers.admit(2, 7)
        with subscribers.subscription(2, 7):
            subscribers.admit(2, 9)
    assert subscribers.refused == 1


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
            assert first.put([CLICK])
        assert not first.put([CLICK])
        assert first.ended == "slow"
    assert (len(subscribers), subscribers.refused, subscribers.slow) == (0, 3, 0)
