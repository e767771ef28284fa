"""Summaries of deliveries, a webhook's circuit, and a replay that only counts: Postgres and its twin."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.webhooks.delivery import Attempt, AttemptResult
from engine.webhooks.summary import MAX_SUMMARY_DAYS, DaySummary, every_day
from engine.webhooks.webhook import DeliveryFilter
from tests.kit.hosted import hosted_run
from tests.kit.webhook_stores import DOWN, LATER_S, OK, Hooks

pytestmark = pytest.mark.trio(run=hosted_run)
HOUR = timedelta(hours=1)


async def test_deliveries_are_counted_by_day_and_state(hooks: Hooks) -> None:
    webhook = await hooks.create()
    empty = await hooks.store.summary(hooks.caller, webhook.id, 2)
    assert [tuple(day[1:]) for day in empty.days] == [(0, 0, 0)] * 2
    assert (empty.p50_ms, empty.oldest_pending_at, empty.oldest_failed_at) == (None, None, None)
    await hooks.happen(4)
    first, second, third, _ = await hooks.claim()
    await hooks.report([first], OK, None)
    await hooks.report([second], DOWN, None)
    await hooks.report([third], AttemptResult(None, "no answer"), LATER_S)
    summary = await hooks.store.summary(hooks.caller, webhook.id, MAX_SUMMARY_DAYS)
    days = [day.day for day in summary.days]
    assert days == [days[-1] - timedelta(n) for n in range(MAX_SUMMARY_DAYS)][::-1]
    # The events of a test that crosses midnight are of two days.
    last = summary.days[-2:]
    counts = [sum(getattr(day, s) for day in last) for s in ("delivered", "failed", "pending")]
    assert (counts, summary.attempts, summary.complete) == ([1, 1, 2], 3, True)
    assert (summary.p50_ms, summary.p95_ms) == (12, 12)
    assert (summary.oldest_failed_at, summary.oldest_pending_at) == (second.at, third.at)


async def test_days_that_were_not_counted_have_zeros() -> None:
    last = datetime(2026, 3, 1, tzinfo=UTC).date()
    counted = DaySummary(last, 3, 2, 1)
    assert every_day([counted], last - timedelta(1), last) == (
        DaySummary(last - timedelta(1), 0, 0, 0),
        counted,
    )


async def test_a_webhook_shows_its_circuit_breaker(hooks: Hooks) -> None:
    webhook = await hooks.create()
    assert (webhook.circuit_state, webhook.failures, webhook.failing_since) == ("closed", 0, None)
    await hooks.happen(2)
    due = await hooks.claim()
    now = datetime.now(UTC)
    await hooks.queue.record("one", [Attempt(due[0], now, 12, DOWN, LATER_S, 5, 30.0)])
    failing = await hooks.store.webhook(hooks.caller, webhook.id)
    assert (failing.circuit_state, failing.failures, failing.version) == ("open", 5, 1)
    assert failing.failing_since is not None
    assert failing.rests_until is not None
    rest = failing.rests_until - failing.failing_since
    assert timedelta(seconds=29) < rest <= timedelta(seconds=31)
    assert (await hooks.store.list_webhooks(hooks.caller, hooks.profile.id, 0, 9)).items == [
        failing
    ]
    await hooks.age(HOUR)
    assert (await hooks.store.webhook(hooks.caller, webhook.id)).circuit_state == "half_open"
    due = await hooks.claim()
    await hooks.report(due[-1:], OK, None)
    mended = await hooks.store.webhook(hooks.caller, webhook.id)
    assert (mended.circuit_state, mended.failures, mended.failing_since) == ("closed", 0, None)


async def test_a_dry_run_counts_what_a_replay_sends_and_changes_nothing(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen(3)
    due = await hooks.claim()
    await hooks.report(due[:1], OK, None)
    await hooks.report(due[1:], DOWN, None)
    since = datetime.now(UTC) - HOUR
    for failed_only, count in ((True, 2), (False, 3)):
        result = await hooks.store.replay_since(
            hooks.caller, webhook.id, since, failed_only, dry_run=True
        )
        assert result == (count, None)
    assert await hooks.states(webhook) == ["delivered", "failed", "failed"]
    assert (await hooks.store.replay_since(hooks.caller, webhook.id, since, True)).replayed == 2
    assert await hooks.states(webhook) == ["delivered", "pending", "pending"]


async def test_deliveries_are_of_events_within_the_times(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen(3)
    times = sorted(delivery.at for delivery in await hooks.claim())

    async def count(start: datetime | None, end: datetime | None) -> int:
        conditions = DeliveryFilter(start=start, end=end)
        page = await hooks.store.deliveries(hooks.caller, webhook.id, conditions, 0, 9)
        return len(page.items)

    assert await count(times[1], None) == 2
    assert await count(None, times[1]) == 1
    assert await count(times[0], times[2]) == 2
    far = datetime(9998, 1, 1, tzinfo=UTC)
    assert await count(datetime(1, 1, 1, tzinfo=UTC), far) == 3
    assert await count(far, None) == 0
