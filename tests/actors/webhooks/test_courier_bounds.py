"""The courier's bounds: deliveries in flight, batches, circuit breakers; and a start after a kill."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import trio

from actors.webhooks.courier import CourierLimits
from engine.common.errors import UnavailableError
from engine.webhooks.circuit_breaker import FAILURE_THRESHOLD
from engine.webhooks.delivery import Attempt, DueDelivery, RecordOutcome
from tests.kit.courier_world import CALLER, Killed, Mute, World, down, for_a_while, hangs, now, ok


async def test_a_courier_has_no_more_deliveries_in_flight_than_its_limit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A delivery is in flight until its result is recorded, so results that wait are bounded too."""
    assert CourierLimits().in_flight == 256
    world = World(in_flight=5)
    await world.start()
    for n in range(6):
        await world.webhook(f"shop{n}")
    world.happen(3)
    in_flight: list[int] = []
    waiting: list[int] = []
    claims: list[tuple[int, int]] = []

    async def record(owner: str, attempts: Sequence[Attempt]) -> RecordOutcome:
        in_flight.append(len(courier._in_flight))
        waiting.append(len(attempts) + (courier.status().mailbox or 0))
        if trio.current_time() - world.began < 30:
            raise UnavailableError("away")
        return await world.hooks.record(owner, attempts)

    async def claim(owner: str, ttl_s: float, limit: int, *more: Any) -> list[DueDelivery]:
        claims.append((limit, len(courier._in_flight)))
        return await world.hooks.claim(owner, ttl_s, limit, *more)

    queue = Mute(world.hooks)
    queue.record, queue.claim = record, claim  # type: ignore[method-assign]
    courier = world.courier(queue=queue)
    await for_a_while(courier, 60)
    assert max(in_flight) == max(waiting) == 5
    assert all(limit + claimed <= 5 for limit, claimed in claims)
    assert sum(map(len, world.got.values())) == 18


async def test_webhooks_with_an_open_breaker_take_no_capacity_of_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """They have more due deliveries than the courier may have in flight, and older ones."""
    world = World(in_flight=3)
    await world.start()
    for n in range(6):
        await world.webhook(f"down{n}")
        world.behaviour[f"down{n}"] = down
    world.happen(20)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(for_a_while, world.courier(), 120)
        await trio.sleep(100)
        assert all(len(world.got[f"down{n}"]) >= FAILURE_THRESHOLD for n in range(6))
        await world.webhook("good")
        happened = trio.current_time() - world.began
        world.happen()
    (arrived,) = world.times("good")
    assert arrived - happened < 2


async def test_a_courier_that_starts_again_works_under_a_new_fencing_token(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """So results of the killed one, which had its name, are refused; it does not wait for the lease's end."""
    world = World(lease_ttl_s=3600.0)
    await world.start()
    await world.webhook("shop")
    world.behaviour["shop"] = hangs
    world.happen()
    tokens: list[int] = []
    for _ in range(2):
        queue = Killed(world.hooks)
        with trio.move_on_after(2):
            await world.courier(queue=queue).run()
        tokens += queue.tokens
    assert len(tokens) == 2
    assert tokens[1] == tokens[0] + 1


async def test_events_and_results_are_handled_in_bounded_batches(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One statement must not grow with a backlog: it has a time limit."""
    monkeypatch.setattr("actors.webhooks.courier.FAN_OUT_EVENTS", 7)
    monkeypatch.setattr("actors.webhooks.courier.RECORD_ATTEMPTS", 3)
    world = World(max_concurrency=100, rate_per_s=1000.0)
    await world.start()
    webhook = await world.webhook("shop")
    fan_outs, records = [], []

    async def fan_out(limit: int) -> int:
        fan_outs.append(limit)
        return await world.hooks.fan_out(limit)

    async def record(owner: str, attempts: Sequence[Attempt]) -> RecordOutcome:
        records.append(len(attempts))
        return await world.hooks.record(owner, attempts)

    queue = Mute(world.hooks)
    queue.fan_out, queue.record = fan_out, record  # type: ignore[method-assign]
    world.happen(30)
    await for_a_while(world.courier(queue=queue), 10)
    assert await world.states(webhook) == ["delivered"] * 30
    assert set(fan_outs) == {7}
    assert max(records) == 3


async def test_circuit_breakers_of_idle_webhooks_are_dropped(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.webhooks.courier.MAX_BREAKERS", 5)
    world = World()
    await world.start()
    courier = world.courier()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(courier.run)
        for n in range(19):
            webhook = await world.webhook(f"shop{n}")
            await world.hooks.send_test(CALLER, webhook.id)
            await trio.sleep(1)
        assert len(courier._breakers) <= 6
        nursery.cancel_scope.cancel()


async def test_claimed_deliveries_beyond_the_circuit_breaker_are_not_attempted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """After a failure, the circuit breaker permits fewer attempts than were claimed."""
    world = World(max_concurrency=8)
    await world.start()
    await world.webhook("shop")
    world.behaviour["shop"] = down
    claimed: list[DueDelivery] = []

    async def claim(*arguments: Any) -> list[DueDelivery]:
        due = await world.hooks.claim(*arguments)
        claimed.extend(due)
        return due

    queue = Mute(world.hooks)
    queue.claim = claim
    queue.record = partial(world.hooks.record)  # type: ignore[method-assign]
    world.happen(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(for_a_while, world.courier(queue=queue), 4)
        await trio.sleep(1)
        world.happen(20)
    assert len(claimed) > len(world.got["shop"])
    assert world.most["shop"] <= 4


async def test_a_circuit_breaker_is_noted_with_each_attempt(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World()
    await world.start()
    webhook = await world.webhook("shop")
    world.behaviour["shop"] = down
    world.happen(FAILURE_THRESHOLD)
    await for_a_while(world.courier(), 1)
    open_ = await world.hooks.webhook(CALLER, webhook.id)
    assert (open_.circuit_state, open_.failures) == ("open", FAILURE_THRESHOLD)
    assert open_.rests_until is not None
    assert 3.5 < (open_.rests_until - now()).total_seconds() <= 5
    await trio.sleep(10)
    assert (await world.hooks.webhook(CALLER, webhook.id)).circuit_state == "half_open"
    world.behaviour["shop"] = ok
    await for_a_while(world.courier(), 60)
    closed = await world.hooks.webhook(CALLER, webhook.id)
    assert (closed.circuit_state, closed.failures, closed.rests_until) == ("closed", 0, None)
