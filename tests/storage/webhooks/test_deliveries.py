"""Deliveries: leases, retries, order, replays, in memory and in Postgres."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from engine.common.errors import ConflictError
from engine.webhooks.delivery import REPLAYED_AT_ONCE, AttemptResult
from engine.webhooks.webhook import DeliveryFilter, WebhookDraft
from tests.kit.hosted import hosted_run
from tests.kit.webhook_stores import ALL, DOWN, DRAFT, LATER_S, OK, TTL_S, Hooks

pytestmark = pytest.mark.trio(run=hosted_run)


async def test_an_event_is_delivered_once_to_each_subscribed_webhook(hooks: Hooks) -> None:
    first = await hooks.create()
    second = await hooks.create(event_types=["link.milestone"])
    await hooks.create(event_types=["member.*", "link.clicked"])
    await hooks.create(enabled=False)
    await hooks.happen(2)
    assert await hooks.queue.fan_out(100) == 0
    due = await hooks.claim()
    assert sorted((delivery.webhook_id, delivery.number, delivery.tries) for delivery in due) == [
        (id_, 1, 0) for id_ in sorted((first.id, first.id, second.id, second.id))
    ]
    assert {delivery.type for delivery in due} == {"link.milestone"}
    assert [delivery.data["clicks"] for delivery in due if delivery.webhook_id == first.id] == [
        0,
        1,
    ]
    assert (due[0].url, due[0].ordered, len(due[0].secrets)) == (DRAFT.url, False, 1)
    assert await hooks.report(due, OK, None) == (0, 0)
    assert await hooks.claim() == []
    page = await hooks.store.deliveries(hooks.caller, first.id, ALL, 0, 1)
    (newest,) = page.items
    assert (newest.state, newest.attempts, newest.next_attempt_at) == ("delivered", 1, None)
    assert newest.data["clicks"] == 1
    (attempt,) = newest.recent_attempts
    assert attempt[2:] == (12, 200, "", b"thanks")
    rest = await hooks.store.deliveries(hooks.caller, first.id, ALL, page.next_after or 0, 1)
    assert [delivery.data["clicks"] for delivery in rest.items] == [0]
    assert rest.next_after is None
    assert await hooks.store.delivery(hooks.caller, first.id, newest.event_id) == newest


async def test_a_failed_delivery_is_due_again_after_its_delay(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen()
    due = await hooks.claim()
    await hooks.report(due, DOWN, LATER_S)
    assert await hooks.claim() == []
    await hooks.age(timedelta(seconds=LATER_S - 60))
    assert await hooks.claim() == []
    await hooks.age(timedelta(seconds=61))
    (again,) = await hooks.claim()
    assert (again.tries, again.number) == (1, 2)
    await hooks.report([again], AttemptResult(None, "timed out", timed_out=True), None)
    for conditions, count in (
        (ALL, 1),
        (DeliveryFilter("failed"), 1),
        (DeliveryFilter("pending"), 0),
        (DeliveryFilter(type="link.milestone"), 1),
        (DeliveryFilter(type="x.y"), 0),
    ):
        page = await hooks.store.deliveries(hooks.caller, webhook.id, conditions, 0, 9)
        assert len(page.items) == count
    delivery = await hooks.store.delivery(hooks.caller, webhook.id, again.event_id)
    assert (delivery.state, delivery.attempts) == ("failed", 2)
    assert [(a.number, a.status, a.error) for a in delivery.recent_attempts] == [
        (1, 500, ""),
        (2, None, "timed out"),
    ]
    assert delivery.finished_at is not None


async def test_a_delivery_in_flight_is_not_claimed_again(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen(3)
    first = await hooks.claim(max_concurrency=2)
    assert len(first) == 2
    assert await hooks.claim(max_concurrency=2, in_flight=first) == []
    (third,) = await hooks.claim(max_concurrency=3, in_flight=first)
    assert third.event_id not in {delivery.event_id for delivery in first}
    assert await hooks.claim(blocked=[(third.tenant_id, webhook.id)]) == []


async def test_no_webhook_waits_for_the_due_deliveries_of_another(hooks: Hooks) -> None:
    many = await hooks.create(event_types=["link.milestone"])
    await hooks.happen(8)
    few = await hooks.create()
    await hooks.happen(1)
    due = await hooks.claim(limit=4, max_concurrency=4)
    assert [delivery.webhook_id for delivery in due].count(few.id) == 1
    assert [delivery.webhook_id for delivery in due].count(many.id) == 3


async def test_claims_keep_to_a_webhooks_own_limits(hooks: Hooks) -> None:
    few = await hooks.create(max_concurrency=2, max_rate=5)
    await hooks.create(max_concurrency=50)
    await hooks.happen(9)
    due = await hooks.claim(max_concurrency=4)
    of_few = [delivery for delivery in due if delivery.webhook_id == few.id]
    assert (len(of_few), len(due)) == (2, 6)
    assert {(delivery.max_concurrency, delivery.max_rate) for delivery in of_few} == {(2, 5)}
    assert await hooks.claim(max_concurrency=4, in_flight=due) == []
    more = await hooks.claim(
        max_concurrency=4, in_flight=[delivery for delivery in due if delivery != of_few[0]]
    )
    assert [delivery.event_id for delivery in more] == [of_few[0].event_id]
    # A claim follows changed limits.
    draft = WebhookDraft(url=few.url, event_types=["*"], max_rate=7)
    assert (await hooks.store.update_webhook(hooks.caller, few.id, draft)).max_concurrency is None
    due = await hooks.claim(max_concurrency=4)
    assert [delivery.max_rate for delivery in due if delivery.webhook_id == few.id] == [7] * 4


async def test_an_ordered_webhook_gets_one_delivery_after_the_other(hooks: Hooks) -> None:
    await hooks.create(ordered=True)
    await hooks.happen(3)
    (first,) = await hooks.claim()
    assert first.data["clicks"] == 0
    assert await hooks.claim(in_flight=[first]) == []
    await hooks.report([first], DOWN, LATER_S)
    assert await hooks.claim() == []
    await hooks.age(timedelta(seconds=LATER_S + 1))
    (again,) = await hooks.claim()
    assert again.event_id == first.event_id
    await hooks.report([again], OK, None)
    (second,) = await hooks.claim()
    assert second.data["clicks"] == 1
    await hooks.report([second], DOWN, None)
    (third,) = await hooks.claim()
    assert third.data["clicks"] == 2


async def test_a_webhook_belongs_to_one_courier_until_its_lease_ends(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen(2)
    first = await hooks.claim("one")
    assert await hooks.claim("two") == []
    await hooks.age(timedelta(seconds=TTL_S + 1))
    reclaimed = await hooks.claim("two")
    assert [delivery.token for delivery in reclaimed] == [first[0].token + 1] * 2
    # A courier that was stopped and continues after its lease ended changes nothing.
    assert await hooks.report(first, DOWN, None, "one") == (2, 0)
    assert await hooks.states(webhook) == ["pending", "pending"]
    assert await hooks.report(reclaimed, OK, None, "two") == (0, 0)
    assert await hooks.states(webhook) == ["delivered", "delivered"]


async def test_a_lease_is_renewed_while_a_delivery_is_in_flight(hooks: Hooks) -> None:
    await hooks.create()
    await hooks.happen()
    due = await hooks.claim("one")
    for _ in range(3):
        await hooks.age(timedelta(seconds=TTL_S * 0.7))
        assert await hooks.claim("one", in_flight=due) == []
        assert await hooks.claim("two") == []
    assert await hooks.report(due, OK, None, "one") == (0, 0)


async def test_a_claim_of_nothing_renews_leases_and_acquires_none(hooks: Hooks) -> None:
    await hooks.create()
    await hooks.happen()
    due = await hooks.claim("one")
    other = await hooks.create()
    await hooks.happen()
    for _ in range(3):
        await hooks.age(timedelta(seconds=TTL_S * 0.7))
        assert await hooks.claim("one", limit=0, in_flight=due) == []
    assert [delivery.webhook_id for delivery in await hooks.claim("two")] == [other.id]
    assert await hooks.report(due, OK, None, "one") == (0, 0)


async def test_a_successor_of_the_same_name_need_not_wait(hooks: Hooks) -> None:
    await hooks.create()
    await hooks.happen()
    before = await hooks.claim("one")
    await hooks.queue.release("one")
    assert await hooks.report(before, OK, None, "one") == (1, 0)
    after = await hooks.claim("one")
    assert [delivery.event_id for delivery in after] == [delivery.event_id for delivery in before]
    assert await hooks.report(before, OK, None, "one") == (1, 0)
    assert await hooks.report(after, OK, None, "one") == (0, 0)


async def test_410_disables_a_webhook_and_sends_an_event_to_the_others(hooks: Hooks) -> None:
    webhook = await hooks.create()
    witness = await hooks.create(event_types=["endpoint.disabled"])
    await hooks.happen(2)
    first, second = await hooks.claim()
    assert await hooks.report([first], AttemptResult(410), None) == (0, 1)
    stored = await hooks.store.webhook(hooks.caller, webhook.id)
    assert (stored.enabled, stored.disabled_reason) == (False, "it answered 410 Gone")
    assert await hooks.claim(in_flight=[second]) == []
    for call in (
        hooks.store.replay(hooks.caller, webhook.id, first.event_id),
        hooks.store.send_test(hooks.caller, webhook.id),
        hooks.store.replay_since(hooks.caller, webhook.id, datetime.now(UTC), False),
    ):
        with pytest.raises(ConflictError, match="disabled"):
            await call
    await hooks.queue.fan_out(100)
    (event,) = await hooks.claim()
    assert (event.webhook_id, event.type) == (witness.id, "endpoint.disabled")
    assert event.data["webhook_id"] == str(webhook.id)
    # Once enabled again, the webhook gets its pending deliveries.
    draft = WebhookDraft(url=webhook.url, event_types=["*"])
    again = await hooks.store.update_webhook(hooks.caller, webhook.id, draft)
    assert (again.enabled, again.disabled_reason) == (True, None)
    assert second.event_id in {
        delivery.event_id for delivery in await hooks.claim(in_flight=[event])
    }


async def test_five_days_of_failures_disable_a_webhook(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen(8)
    due = await hooks.claim()
    assert await hooks.report(due[:1], DOWN, LATER_S) == (0, 0)
    await hooks.age(timedelta(days=4, hours=23))
    due = await hooks.claim()
    assert await hooks.report(due[1:2], DOWN, LATER_S) == (0, 0)
    # After a success, the five days begin again.
    assert await hooks.report(due[2:3], OK, None) == (0, 0)
    await hooks.age(timedelta(hours=2))
    due = await hooks.claim()
    assert await hooks.report(due[3:4], DOWN, LATER_S) == (0, 0)
    await hooks.age(timedelta(days=5, hours=1))
    due = await hooks.claim()
    assert await hooks.report(due[4:5], DOWN, LATER_S) == (0, 1)
    stored = await hooks.store.webhook(hooks.caller, webhook.id)
    assert (stored.enabled, stored.version) == (False, 2)
    assert (stored.disabled_reason or "").startswith("nothing has succeeded since ")
    # Once enabled again, it has five more days.
    draft = WebhookDraft(url=webhook.url, event_types=["*"])
    await hooks.store.update_webhook(hooks.caller, webhook.id, draft)
    due = await hooks.claim()
    assert await hooks.report(due[:1], DOWN, LATER_S) == (0, 0)


async def test_results_of_an_earlier_url_do_not_disable_a_webhook(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen(4)
    due = await hooks.claim()
    assert await hooks.report(due[:1], DOWN, LATER_S) == (0, 0)
    await hooks.age(timedelta(days=5, hours=1))
    due = await hooks.claim()
    draft = WebhookDraft(url="https://example.net/", event_types=["*"])
    await hooks.store.update_webhook(hooks.caller, webhook.id, draft)
    # Late results of the earlier URL do not count for the new one.
    assert await hooks.report(due[:1], AttemptResult(410), None) == (0, 0)
    assert await hooks.report(due[1:2], DOWN, LATER_S) == (0, 0)
    assert (await hooks.store.webhook(hooks.caller, webhook.id)).enabled
    (of_new, *_) = await hooks.claim()
    assert of_new.url == draft.url
    assert await hooks.report([of_new], AttemptResult(410), None) == (0, 1)


async def test_replayed_deliveries_are_due_again(hooks: Hooks) -> None:
    webhook = await hooks.create()
    start = datetime.now(UTC) - timedelta(minutes=1)
    await hooks.happen(3)
    due = await hooks.claim()
    await hooks.report(due[:2], OK, None)
    await hooks.report(due[2:], DOWN, None)
    again = await hooks.store.replay(hooks.caller, webhook.id, due[0].event_id)
    assert (again.state, again.attempts, len(again.recent_attempts)) == ("pending", 1, 1)
    (first,) = await hooks.claim()
    assert (first.event_id, first.tries, first.number) == (due[0].event_id, 0, 2)
    await hooks.report([first], OK, None)
    late = start + timedelta(hours=1)
    assert await hooks.store.replay_since(hooks.caller, webhook.id, late, False) == (0, None)
    assert await hooks.store.replay_since(hooks.caller, webhook.id, start, True) == (1, None)
    assert [delivery.event_id for delivery in await hooks.claim()] == [due[2].event_id]
    assert await hooks.store.replay_since(hooks.caller, webhook.id, start, False) == (3, None)
    assert await hooks.states(webhook) == ["pending"] * 3


async def test_a_replay_begins_at_its_time_and_takes_the_oldest(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert REPLAYED_AT_ONCE == 10_000
    for module in ("webhooks", "memory_webhooks"):
        monkeypatch.setattr(f"storage.webhooks.{module}.REPLAYED_AT_ONCE", 2)
    webhook = await hooks.create()
    await hooks.happen(2)
    await hooks.age(timedelta(hours=1))
    await hooks.happen(3)
    due = await hooks.claim()
    await hooks.report(due, OK, None)
    ids = sorted(delivery.event_id for delivery in due)
    page = await hooks.store.deliveries(hooks.caller, webhook.id, ALL, 0, 9)
    times = {delivery.event_id: delivery.at for delivery in page.items}
    replayed = await hooks.store.replay_since(hooks.caller, webhook.id, times[ids[2]], False)
    assert replayed == (2, times[ids[3]])
    assert sorted(delivery.event_id for delivery in await hooks.claim()) == ids[2:4]


async def test_a_replay_during_the_last_attempt_makes_the_delivery_pending(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen()
    await hooks.report(await hooks.claim(), DOWN, 0)
    (last,) = await hooks.claim()
    assert last.tries == 1
    await hooks.store.replay(hooks.caller, webhook.id, last.event_id)
    await hooks.report([last], DOWN, None)
    delivery = await hooks.store.delivery(hooks.caller, webhook.id, last.event_id)
    assert (delivery.state, delivery.attempts, delivery.finished_at) == ("pending", 2, None)
    (again,) = await hooks.claim()
    assert (again.tries, again.number) == (0, 3)
    await hooks.report([again], DOWN, 0)
    (last,) = await hooks.claim()
    await hooks.store.replay(hooks.caller, webhook.id, last.event_id)
    await hooks.report([last], OK, None)
    assert await hooks.states(webhook) == ["delivered"]


async def test_events_of_a_disabled_webhook_can_be_replayed_later(hooks: Hooks) -> None:
    webhook = await hooks.create()
    off = WebhookDraft(url=webhook.url, event_types=["*"], enabled=False)
    await hooks.store.update_webhook(hooks.caller, webhook.id, off)
    start = datetime.now(UTC) - timedelta(minutes=1)
    await hooks.happen(2)
    assert await hooks.states(webhook) == []
    on = msgspec.structs.replace(off, enabled=True)
    await hooks.store.update_webhook(hooks.caller, webhook.id, on)
    assert await hooks.claim() == []
    assert await hooks.store.replay_since(hooks.caller, webhook.id, start, False) == (2, None)
    assert len(await hooks.claim()) == 2


async def test_a_test_goes_to_one_webhook_only(hooks: Hooks) -> None:
    webhook = await hooks.create(event_types=["member.*"])
    other = await hooks.create()
    delivery = await hooks.store.send_test(hooks.caller, webhook.id)
    assert (delivery.type, delivery.state) == ("endpoint.test", "pending")
    assert await hooks.queue.fan_out(100) == 0
    (due,) = await hooks.claim()
    assert (due.webhook_id, due.event_id) == (webhook.id, delivery.event_id)
    since = delivery.at
    assert await hooks.store.replay_since(hooks.caller, other.id, since, False) == (0, None)
    assert await hooks.store.replay_since(hooks.caller, webhook.id, since, False) == (1, None)


async def test_events_are_purged_after_thirty_days(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen(2)
    await hooks.age(timedelta(days=29, hours=23))
    await hooks.queue.purge()
    assert len(await hooks.states(webhook)) == 2
    await hooks.age(timedelta(hours=2))
    await hooks.queue.purge()
    assert await hooks.states(webhook) == []


async def test_results_of_a_deleted_webhook_are_refused(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen()
    due = await hooks.claim()
    await hooks.store.delete_webhook(hooks.caller, webhook.id)
    assert await hooks.report(due, OK, None) == (1, 0)
