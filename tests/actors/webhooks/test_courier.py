"""The courier in virtual time: its schedule, its fairness, and crashes at any moment."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
import standardwebhooks
import trio

from actors.webhooks.courier import Courier
from engine.webhooks.delivery import MAX_TRIES, AttemptResult
from engine.webhooks.webhook import DeliveryFilter, WebhookDraft
from tests.kit.courier_world import CALLER, DOWN, OK, Mute, World, down, for_a_while, hangs, ok


async def test_a_request_is_signed_as_the_standard_says(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World()
    await world.start()
    await world.webhook("shop")
    sent: list[tuple[Mapping[str, str], bytes]] = []

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> AttemptResult:
        sent.append((headers, body))
        await trio.lowlevel.checkpoint()
        return OK

    world.post = post  # type: ignore[method-assign]
    world.happen()
    courier = Courier("one", world.hooks, world, now=lambda: datetime.now(UTC), jitter=lambda: 0.0)
    await for_a_while(courier, 1)
    ((headers, body),) = sent
    (secret,) = world.secrets.values()
    event = standardwebhooks.Webhook(secret).verify(body, dict(headers))
    assert event["type"] == "link.milestone"
    assert event["data"] == {"profile_id": str(world.profile_id), "link_id": "5", "clicks": 10}
    assert (headers["content-type"], headers["user-agent"]) == (
        "application/json",
        "Waypost-Webhooks/1",
    )
    assert courier.attempts["delivered"] == 1


@pytest.mark.slow
async def test_the_schedule_of_a_receiver_that_always_fails(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(poll_s=60.0)
    await world.start()
    webhook = await world.webhook("shop")
    world.behaviour["shop"] = down
    world.happen()
    await for_a_while(world.courier(), 200_000)
    waits = [b - a for a, b in zip(world.times("shop"), world.times("shop")[1:], strict=False)]
    expected = [5, 300, 1800, 7200, 18000, 36000, 36000]
    # The breaker is open for a minute at most, and the courier polls every minute.
    assert all(e <= w <= e + 121 for e, w in zip(expected, waits, strict=True)), waits
    assert await world.states(webhook) == ["failed"]
    assert len(world.got["shop"]) == MAX_TRIES
    assert len({id_ for _, id_ in world.got["shop"]}) == 1


async def test_an_attempt_ends_after_15_s_and_is_repeated_after_a_minute(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World()
    await world.start()
    webhook = await world.webhook("shop")
    world.behaviour["shop"] = hangs
    world.happen()
    await for_a_while(world.courier(), 80)
    first, second = world.times("shop")
    assert 75 <= second - first < 76
    delivery = (await world.hooks.deliveries(CALLER, webhook.id, DeliveryFilter(), 0, 9)).items[0]
    assert (delivery.recent_attempts[0].status, delivery.recent_attempts[0].error) == (
        None,
        "no answer within 15 s",
    )
    assert delivery.recent_attempts[0].duration_ms == 15_000


async def test_receivers_that_hang_delay_no_other(autojump_clock: trio.testing.MockClock) -> None:
    world = World(in_flight=32)
    await world.start()
    for n in range(3):
        await world.webhook(f"slow{n}")
        world.behaviour[f"slow{n}"] = hangs
    webhook = await world.webhook("good")
    event_times: list[float] = []

    async def traffic() -> None:
        for _ in range(100):
            event_times.append(trio.current_time() - world.began)
            world.happen()
            await trio.sleep(0.3)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(traffic)
        await for_a_while(world.courier(), 40)
    delays = sorted(b - a for a, b in zip(event_times, world.times("good"), strict=True))
    assert delays[-1] < 0.5
    assert await world.states(webhook) == ["delivered"] * 100
    # The breaker lets fewer and fewer requests through to a receiver that hangs.
    assert len(world.got["slow0"]) < 20


async def test_many_receivers_that_hang_delay_no_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A receiver without a success yet gets a few requests only: 100 of them leave capacity."""
    world = World()
    world.behaviour.default_factory = lambda: hangs
    await world.start()
    for profile in range(6):
        await world.start(f"slow{profile}")
        for n in range(20 if profile < 5 else 1):
            await world.webhook(f"slow{profile}-{n}" if profile < 5 else "good")
        world.behaviour["good"] = ok
        world.happen(30)
    await for_a_while(world.courier(), 2)
    assert len(world.got["good"]) == 30
    assert sum(map(len, world.got.values())) - 30 <= 200


async def test_a_webhook_gets_no_more_requests_than_its_limits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(max_concurrency=3, rate_per_s=10.0)
    await world.start()
    await world.webhook("shop")
    world.happen(100)

    async def takes_a_while() -> AttemptResult:
        await trio.sleep(0.05)
        return OK

    world.behaviour["shop"] = takes_a_while
    await for_a_while(world.courier(), 20)
    assert world.most["shop"] == 3
    times = world.times("shop")
    assert len(times) == 100
    assert 8.5 <= times[-1] - times[0] <= 12


async def test_a_webhooks_own_limits_do_not_slow_the_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(max_concurrency=4, rate_per_s=10.0)
    await world.start()
    gentle = await world.webhook("gentle", max_concurrency=1, max_rate=2)
    await world.webhook("greedy", max_concurrency=100, max_rate=10_000)
    world.happen(60)

    async def takes_a_while() -> AttemptResult:
        await trio.sleep(0.2)
        return OK

    world.behaviour["gentle"] = world.behaviour["greedy"] = takes_a_while
    async with trio.open_nursery() as nursery:
        nursery.start_soon(for_a_while, world.courier(), 20)
        await trio.sleep(15)
        assert (world.most["gentle"], world.most["greedy"]) == (1, 4)
        assert 30 <= len(world.got["gentle"]) <= 33
        assert 4.5 <= world.times("greedy")[-1] <= 8
        # Without its limits, it catches up within seconds.
        draft = WebhookDraft(url=gentle.url, event_types=["*"])
        await world.hooks.update_webhook(CALLER, gentle.id, draft)
    assert len(world.got["gentle"]) == 60
    assert world.most["gentle"] > 1


@pytest.mark.slow
async def test_a_receiver_that_comes_back_gets_everything(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(rate_per_s=100.0, poll_s=5.0)
    await world.start()
    webhook = await world.webhook("shop")
    world.behaviour["shop"] = down
    world.happen(50)

    async def back_after_an_hour() -> None:
        await trio.sleep(3600)
        world.behaviour["shop"] = ok

    async with trio.open_nursery() as nursery:
        nursery.start_soon(back_after_an_hour)
        await for_a_while(world.courier(), 4 * 3600)
    assert await world.states(webhook) == ["delivered"] * 50
    # The breaker let few requests through meanwhile: most deliveries had no failed attempt.
    assert len(world.got["shop"]) < 50 + 150


@pytest.mark.slow
async def test_an_ordered_webhook_gets_events_in_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(poll_s=60.0)
    await world.start()
    await world.webhook("shop", ordered=True)
    dice = random.Random(5)

    async def unreliable() -> AttemptResult:
        await trio.sleep(dice.random() / 10)
        return OK if dice.random() < 0.6 else DOWN

    world.behaviour["shop"] = unreliable
    world.happen(30)
    await for_a_while(world.courier(), 300_000)
    ids = [id_ for _, id_ in world.got["shop"]]
    assert world.most["shop"] == 1
    assert len(set(ids)) == 30
    # Repeats follow each other: no event was sent before its predecessor was delivered.
    assert ids == sorted(ids, key=ids.index)


async def test_a_courier_killed_at_any_moment_loses_no_event(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World()
    await world.start()
    webhook = await world.webhook("shop")
    dice = random.Random(7)

    async def slow() -> AttemptResult:
        await trio.sleep(dice.random() / 5)
        return OK

    world.behaviour["shop"] = slow
    for _ in range(30):
        world.happen(3)
        # A killed courier neither records finished attempts nor releases its leases.
        courier = world.courier(queue=Mute(world.hooks))
        await for_a_while(courier, dice.random() / 2)
    await for_a_while(world.courier(), 100)
    assert await world.states(webhook) == ["delivered"] * 90
    assert len({id_ for _, id_ in world.got["shop"]}) == 90


async def test_no_result_is_lost_while_postgres_is_away(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World()
    await world.start()
    webhook = await world.webhook("shop")
    world.happen(20)
    courier = world.courier(queue=Mute(world.hooks))
    await for_a_while(courier, 20)
    assert await world.states(webhook) == ["delivered"] * 20
    assert len(world.got["shop"]) == 20
    assert courier.last_error == "away"


async def test_two_couriers_share_webhooks_and_send_each_event_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World()
    await world.start()
    for n in range(6):
        await world.webhook(f"shop{n}")
    world.happen(10)
    couriers = [world.courier("one"), world.courier("two")]
    async with trio.open_nursery() as nursery:
        for courier in couriers:
            nursery.start_soon(for_a_while, courier, 10)
    for n in range(6):
        assert len(world.got[f"shop{n}"]) == len(set(world.got[f"shop{n}"])) == 10
    assert sum(courier.attempts["delivered"] for courier in couriers) == 60


@pytest.mark.parametrize("drains", [False, True])
async def test_a_delivery_that_takes_longer_than_a_lease_stays_with_its_courier(
    drains: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """The courier renews the lease also while it claims no more: at full capacity, and while it drains."""
    world = World(in_flight=1, lease_ttl_s=10.0)
    await world.start()
    webhook = await world.webhook("shop", ordered=True)

    async def takes_almost_all_its_time() -> AttemptResult:
        await trio.sleep(14)
        return OK

    world.behaviour["shop"] = takes_almost_all_its_time
    world.happen()
    first, second = world.courier("one"), world.courier("two")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        await trio.sleep(1)
        nursery.start_soon(second.run)
        if drains:
            await first.drain(20)
        await trio.sleep(20)
        nursery.cancel_scope.cancel()
    assert len(world.got["shop"]) == 1
    assert first.stale == 0
    assert await world.states(webhook) == ["delivered"]


async def test_a_drain_waits_for_attempts_in_flight(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    await world.start()
    webhook = await world.webhook("shop")

    async def takes_a_second() -> AttemptResult:
        await trio.sleep(1)
        return OK

    world.behaviour["shop"] = takes_a_second
    world.happen(2)
    courier = world.courier()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(courier.run)
        await trio.sleep(0.5)
        world.happen()
        await courier.drain(20)
        nursery.cancel_scope.cancel()
    assert await world.states(webhook) == ["delivered"] * 2
    assert not courier._in_flight
    # Its successor delivers later events, at once.
    assert trio.current_time() - world.began < 3
    await for_a_while(world.courier("two"), 3)
    assert await world.states(webhook) == ["delivered"] * 3


async def test_an_error_in_a_delivery_does_not_end_the_courier(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    await world.start()
    bad, good = await world.webhook("bad"), await world.webhook("good")

    async def breaks() -> AttemptResult:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError("oops")

    world.behaviour["bad"] = breaks
    world.happen()
    await for_a_while(world.courier(), 3)
    assert await world.states(good) == ["delivered"]
    delivery = (await world.hooks.deliveries(CALLER, bad.id, DeliveryFilter(), 0, 9)).items[0]
    assert delivery.recent_attempts[0].error == "could not be sent: ZeroDivisionError"
    assert "oops" in caplog.text


@pytest.mark.slow
async def test_a_time_scale_shortens_delays_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(time_scale=60.0, poll_s=1.0)
    await world.start()
    await world.webhook("shop")
    world.behaviour["shop"] = down
    world.happen()
    await for_a_while(world.courier(), 3700)
    waits = [b - a for a, b in zip(world.times("shop"), world.times("shop")[1:], strict=False)]
    expected = [5, 300, 1800, 7200, 18000, 36000, 36000]
    assert all(e <= 60 * w <= e + 121 for e, w in zip(expected, waits, strict=True)), waits
