"""Webhooks and their deliveries: one contract for Postgres and its twin, and what only Postgres can break."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import asyncpg
import msgspec
import pytest
import trio

from engine.accounts.access import Caller
from engine.audit.audit_log import ActivityFilter
from engine.common.errors import ConflictError, ForbiddenError, LostUpdateError, NotFoundError
from engine.common.idempotency import AlreadyAnsweredError, IdempotentRequest, StoredResponse
from engine.links.ports import ProfileStore
from engine.links.profile import Profile, ProfileDraft
from engine.webhooks.delivery import Attempt, AttemptResult, DueDelivery
from engine.webhooks.events import EventDraft, LinkMilestone
from engine.webhooks.ports import DeliveryQueue, InFlightDelivery, WebhookStore
from engine.webhooks.signature import SignatureError, sign, verify
from engine.webhooks.webhook import DeliveryFilter, NewWebhookDraft, Webhook, WebhookDraft
from storage.accounts.keys import ensure_owner
from storage.audit.audit_log import PostgresActivityReader
from storage.bridge import in_asyncio
from storage.links.memory_profiles import MemoryProfiles
from storage.links.profiles import PostgresProfileStore
from storage.postgres.database import Connection
from storage.webhooks.deliveries import PostgresDeliveryQueue
from storage.webhooks.memory_webhooks import MemoryWebhooks
from storage.webhooks.outbox import append_to_outbox
from storage.webhooks.webhooks import PostgresWebhookStore
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, opened, second_owner

pytestmark = pytest.mark.trio(run=hosted_run)

ALL = DeliveryFilter()
TTL_S = 30.0
DRAFT = NewWebhookDraft(url="https://example.com/hook", event_types=["*"])
OK = AttemptResult(200, response=b"thanks")
DOWN = AttemptResult(500, response=b"x" * 4096)
LATER_S = 3600.0


class Hooks(NamedTuple):
    """Both ports over one state, a profile, and a stranger."""

    store: WebhookStore
    queue: DeliveryQueue
    profiles: ProfileStore
    caller: Caller
    other: Caller
    profile: Profile
    emit: Callable[[Sequence[EventDraft]], Awaitable[None]]
    age: Callable[[timedelta], Awaitable[None]]

    async def create(self, **fields: Any) -> Webhook:
        draft = msgspec.structs.replace(DRAFT, **fields)
        return (await self.store.create_webhook(self.caller, self.profile.id, draft)).webhook

    async def happen(self, count: int = 1) -> None:
        """As many events, and their deliveries."""
        for n in range(count):
            data = LinkMilestone(profile_id=str(self.profile.id), link_id="5", clicks=n)
            tenant_id, profile_id = self.profile.tenant_id, self.profile.id
            await self.emit([EventDraft(tenant_id, profile_id, "link.milestone", data)])
        assert await self.queue.fan_out(100) == count

    async def claim(
        self,
        owner: str = "one",
        limit: int = 100,
        each: int = 100,
        flying: Sequence[DueDelivery] = (),
        resting: Sequence[tuple[int, int]] = (),
        ttl_s: float = TTL_S,
    ) -> list[DueDelivery]:
        at_hand = [InFlightDelivery(due.tenant_id, due.webhook_id, due.event_id) for due in flying]
        return await self.queue.claim(owner, ttl_s, limit, each, at_hand, resting)

    async def report(
        self,
        due: Sequence[DueDelivery],
        answer: AttemptResult,
        delay_s: float | None,
        owner: str = "one",
    ) -> tuple[int, int]:
        at = datetime.now(UTC)
        return await self.queue.record(
            owner, [Attempt(one, at, 12, answer, delay_s) for one in due]
        )

    async def states(self, webhook: Webhook) -> list[str]:
        """Of a webhook's deliveries, oldest first."""
        page = await self.store.deliveries(self.caller, webhook.id, ALL, 0, 100)
        return [one.state for one in reversed(page.items)]


@pytest.fixture
async def hooks(place: str) -> AsyncIterator[Hooks]:
    if not place:
        profiles, shift = MemoryProfiles(), [timedelta()]
        memory = MemoryWebhooks(profiles, lambda: datetime.now(UTC) + shift[0])
        caller = Caller(1, 1)

        async def told(drafts: Sequence[EventDraft]) -> None:
            memory.emit(drafts)

        async def later(by: timedelta) -> None:
            shift[0] += by

        profile = await profiles.create_profile(caller, ProfileDraft(handle="demo"))
        yield Hooks(memory, memory, profiles, caller, Caller(2, 2), profile, told, later)
        return
    async with opened(place) as open_database:
        app, workers = await open_database("waypost_app"), await open_database("waypost_aggregator")
        owner = await ensure_owner(app, "owner@example.com", FAST)
        assert owner is not None

        async def written(drafts: Sequence[EventDraft]) -> None:
            await workers.transaction(lambda connection: append_to_outbox(connection, drafts))

        async def older(by: timedelta) -> None:
            """All that has a time becomes older, which is as if the clock went on."""
            for statement in (
                "UPDATE webhook_states SET lease_until = lease_until - $1::interval, "
                "failing_since = failing_since - $1::interval",
                "UPDATE deliveries SET next_attempt_at = next_attempt_at - $1::interval",
                "UPDATE webhooks SET enabled_at = enabled_at - $1::interval",
                "UPDATE events SET at = at - $1::interval",
                "UPDATE webhook_secrets SET expires_at = expires_at - $1::interval",
            ):
                await as_owner(place, statement, by)

        profile = await PostgresProfileStore(app).create_profile(
            owner.caller, ProfileDraft(handle="demo")
        )
        yield Hooks(
            PostgresWebhookStore(app), PostgresDeliveryQueue(workers), PostgresProfileStore(app), owner.caller, await second_owner(place),
            profile, written, older,
        )  # fmt: skip


async def row_count(table: str, connection: Connection) -> int:
    count: int = await connection.fetchval(f"SELECT count(*) FROM {table}")
    return count


async def as_owner(url: str, statement: str, *arguments: object) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(
                "SET search_path = waypost; SET session_replication_role = replica"
            )
            await connection.execute(statement, *arguments)
        finally:
            await connection.close()

    await in_asyncio(work)


# ---- what the console asks ------------------------------------------------------------------------


async def test_a_webhook_is_made_read_changed_and_deleted(hooks: Hooks) -> None:
    made, secret = await hooks.store.create_webhook(hooks.caller, hooks.profile.id, DRAFT)
    assert secret is not None
    assert secret.startswith("whsec_")
    assert (made.url, made.event_types, made.version) == (DRAFT.url, ("*",), 1)
    assert await hooks.store.webhook(hooks.caller, made.id) == made
    draft = WebhookDraft(url="https://example.org/", event_types=["link.*"], enabled=False)
    changed = await hooks.store.update_webhook(hooks.caller, made.id, draft, 1)
    assert (changed.url, changed.enabled, changed.version) == ("https://example.org/", False, 2)
    assert await hooks.store.update_webhook(hooks.caller, made.id, draft) == changed
    with pytest.raises(LostUpdateError):
        await hooks.store.update_webhook(hooks.caller, made.id, draft, 1)
    with pytest.raises(LostUpdateError):
        await hooks.store.delete_webhook(hooks.caller, made.id, 1)
    await hooks.store.delete_webhook(hooks.caller, made.id, 2)
    with pytest.raises(NotFoundError):
        await hooks.store.webhook(hooks.caller, made.id)


async def test_a_profile_has_twenty_at_most_and_lists_them_in_pages(hooks: Hooks) -> None:
    made = [await hooks.create() for _ in range(20)]
    with pytest.raises(ConflictError, match="20"):
        await hooks.create()
    first = await hooks.store.list_webhooks(hooks.caller, hooks.profile.id, 0, 15)
    rest = await hooks.store.list_webhooks(
        hooks.caller, hooks.profile.id, first.next_after or 0, 15
    )
    assert [*first.items, *rest.items] == made
    assert rest.next_after is None
    await hooks.store.delete_webhook(hooks.caller, made[3].id)
    await hooks.create()


async def test_strangers_and_keys_without_the_scope_see_none(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen()
    (due,) = await hooks.claim()
    weak = hooks.caller._replace(scopes=("read", "write"))
    for caller, error in ((hooks.other, NotFoundError), (weak, ForbiddenError)):
        for call in (
            hooks.store.webhook(caller, webhook.id),
            hooks.store.list_webhooks(caller, hooks.profile.id, 0, 10),
            hooks.store.create_webhook(caller, hooks.profile.id, DRAFT),
            hooks.store.update_webhook(caller, webhook.id, DRAFT),
            hooks.store.delete_webhook(caller, webhook.id),
            hooks.store.rotate_secret(caller, webhook.id),
            hooks.store.deliveries(caller, webhook.id, ALL, 0, 10),
            hooks.store.delivery(caller, webhook.id, due.event_id),
            hooks.store.replay(caller, webhook.id, due.event_id),
            hooks.store.replay_since(caller, webhook.id, datetime.now(UTC), False),
            hooks.store.send_test(caller, webhook.id),
        ):
            with pytest.raises(error):
                await call
    for number in (0, -1, 2**63, 2**63 - 1, due.event_id + 1):
        with pytest.raises(NotFoundError):
            await hooks.store.delivery(hooks.caller, webhook.id, number)
        with pytest.raises(NotFoundError):
            await hooks.store.replay(hooks.caller, webhook.id, number)


async def test_a_create_that_is_sent_again_makes_nothing_and_its_answer_has_no_secret(
    hooks: Hooks,
) -> None:
    stored = StoredResponse(201, {}, b"{}")
    once = IdempotentRequest[Any]("key", b"x" * 32, lambda made: stored)
    await hooks.store.create_webhook(hooks.caller, hooks.profile.id, DRAFT, once)
    with pytest.raises(AlreadyAnsweredError) as replayed:
        await hooks.store.create_webhook(hooks.caller, hooks.profile.id, DRAFT, once)
    assert replayed.value.response == stored
    assert len((await hooks.store.list_webhooks(hooks.caller, hooks.profile.id, 0, 9)).items) == 1


@pytest.mark.parametrize("signature", ["v1", "v1a"])
async def test_while_a_secret_is_replaced_both_sign(hooks: Hooks, signature: str) -> None:
    made = await hooks.store.create_webhook(
        hooks.caller, hooks.profile.id, msgspec.structs.replace(DRAFT, signature=signature)
    )
    await hooks.happen()
    rotated = await hooks.store.rotate_secret(hooks.caller, made.webhook.id)
    assert rotated.webhook.version == 2
    keys = [made.secret or made.webhook.public_key, rotated.secret or rotated.webhook.public_key]
    assert None not in keys
    assert keys[0] != keys[1]

    async def known() -> list[bool]:
        (due,) = await hooks.claim()
        sent = {"webhook-id": "a", "webhook-timestamp": "1"}
        sent["webhook-signature"] = " ".join(sign(secret, "a", 1, b"") for secret in due.secrets)
        found = []
        for key in keys:
            try:
                verify(key or "", sent, b"", 1)
            except SignatureError:
                found.append(False)
            else:
                found.append(True)
        return found

    assert await known() == [True, True]
    await hooks.age(timedelta(hours=23, minutes=59))
    assert await known() == [True, True]
    await hooks.age(timedelta(minutes=2))
    assert await known() == [False, True]


# ---- deliveries -----------------------------------------------------------------------------------


async def test_an_event_is_delivered_once_to_each_webhook_that_wants_it(hooks: Hooks) -> None:
    wants = await hooks.create()
    also = await hooks.create(event_types=["link.milestone"])
    await hooks.create(event_types=["member.*", "link.clicked"])
    await hooks.create(enabled=False)
    await hooks.happen(2)
    assert await hooks.queue.fan_out(100) == 0
    due = await hooks.claim()
    assert sorted((one.webhook_id, one.number, one.tries) for one in due) == [
        (id_, 1, 0) for id_ in sorted((wants.id, wants.id, also.id, also.id))
    ]
    assert {one.type for one in due} == {"link.milestone"}
    assert [one.data["clicks"] for one in due if one.webhook_id == wants.id] == [0, 1]
    assert (due[0].url, due[0].ordered, len(due[0].secrets)) == (DRAFT.url, False, 1)
    assert await hooks.report(due, OK, None) == (0, 0)
    assert await hooks.claim() == []
    page = await hooks.store.deliveries(hooks.caller, wants.id, ALL, 0, 1)
    (newest,) = page.items
    assert (newest.state, newest.attempts, newest.next_attempt_at) == ("delivered", 1, None)
    assert newest.data["clicks"] == 1
    (attempt,) = newest.recent_attempts
    assert attempt[2:] == (12, 200, "", b"thanks")
    rest = await hooks.store.deliveries(hooks.caller, wants.id, ALL, page.next_after or 0, 1)
    assert [one.data["clicks"] for one in rest.items] == [0]
    assert rest.next_after is None
    assert await hooks.store.delivery(hooks.caller, wants.id, newest.event_id) == newest


async def test_what_failed_is_due_again_when_its_wait_is_over(hooks: Hooks) -> None:
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
    for asked, count in (
        (ALL, 1),
        (DeliveryFilter("failed"), 1),
        (DeliveryFilter("pending"), 0),
        (DeliveryFilter(type="link.milestone"), 1),
        (DeliveryFilter(type="x.y"), 0),
    ):
        page = await hooks.store.deliveries(hooks.caller, webhook.id, asked, 0, 9)
        assert len(page.items) == count
    one = await hooks.store.delivery(hooks.caller, webhook.id, again.event_id)
    assert (one.state, one.attempts) == ("failed", 2)
    assert [(a.number, a.status, a.error) for a in one.recent_attempts] == [
        (1, 500, ""),
        (2, None, "timed out"),
    ]
    assert one.finished_at is not None


async def test_what_is_in_flight_is_not_claimed_again(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen(3)
    first = await hooks.claim(each=2)
    assert len(first) == 2
    assert await hooks.claim(each=2, flying=first) == []
    (third,) = await hooks.claim(each=3, flying=first)
    assert third.event_id not in {one.event_id for one in first}
    assert await hooks.claim(resting=[(third.tenant_id, webhook.id)]) == []


async def test_no_webhook_waits_for_what_another_has_due(hooks: Hooks) -> None:
    many = await hooks.create(event_types=["link.milestone"])
    await hooks.happen(8)
    few = await hooks.create()
    await hooks.happen(1)
    due = await hooks.claim(limit=4, each=4)
    assert [one.webhook_id for one in due].count(few.id) == 1
    assert [one.webhook_id for one in due].count(many.id) == 3


async def test_one_that_takes_few_at_once_is_claimed_for_few(hooks: Hooks) -> None:
    few = await hooks.create(max_concurrency=2, max_rate=5)
    await hooks.create(max_concurrency=50)
    await hooks.happen(9)
    due = await hooks.claim(each=4)
    of_few = [one for one in due if one.webhook_id == few.id]
    assert (len(of_few), len(due)) == (2, 6)
    assert {(one.max_concurrency, one.max_rate) for one in of_few} == {(2, 5)}
    assert await hooks.claim(each=4, flying=due) == []
    more = await hooks.claim(each=4, flying=[one for one in due if one != of_few[0]])
    assert [one.event_id for one in more] == [of_few[0].event_id]
    # One that is changed is claimed for as it says now.
    draft = WebhookDraft(url=few.url, event_types=["*"], max_rate=7)
    assert (await hooks.store.update_webhook(hooks.caller, few.id, draft)).max_concurrency is None
    due = await hooks.claim(each=4)
    assert [one.max_rate for one in due if one.webhook_id == few.id] == [7] * 4


async def test_one_whose_order_is_kept_gets_one_after_the_other(hooks: Hooks) -> None:
    await hooks.create(ordered=True)
    await hooks.happen(3)
    (first,) = await hooks.claim()
    assert first.data["clicks"] == 0
    assert await hooks.claim(flying=[first]) == []
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


async def test_a_webhook_is_one_couriers_until_its_lease_ends(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen(2)
    first = await hooks.claim("one")
    assert await hooks.claim("two") == []
    await hooks.age(timedelta(seconds=TTL_S + 1))
    taken = await hooks.claim("two")
    assert [one.token for one in taken] == [first[0].token + 1] * 2
    # Who was stopped for long and goes on changes nothing.
    assert await hooks.report(first, DOWN, None, "one") == (2, 0)
    assert await hooks.states(webhook) == ["pending", "pending"]
    assert await hooks.report(taken, OK, None, "two") == (0, 0)
    assert await hooks.states(webhook) == ["delivered", "delivered"]


async def test_a_lease_is_kept_while_something_is_in_flight(hooks: Hooks) -> None:
    await hooks.create()
    await hooks.happen()
    due = await hooks.claim("one")
    for _ in range(3):
        await hooks.age(timedelta(seconds=TTL_S * 0.7))
        assert await hooks.claim("one", flying=due) == []
        assert await hooks.claim("two") == []
    assert await hooks.report(due, OK, None, "one") == (0, 0)


async def test_without_room_leases_are_kept_and_none_is_taken(hooks: Hooks) -> None:
    await hooks.create()
    await hooks.happen()
    due = await hooks.claim("one")
    other = await hooks.create()
    await hooks.happen()
    for _ in range(3):
        await hooks.age(timedelta(seconds=TTL_S * 0.7))
        assert await hooks.claim("one", limit=0, flying=due) == []
    assert [one.webhook_id for one in await hooks.claim("two")] == [other.id]
    assert await hooks.report(due, OK, None, "one") == (0, 0)


async def test_a_successor_of_the_same_name_need_not_wait(hooks: Hooks) -> None:
    await hooks.create()
    await hooks.happen()
    before = await hooks.claim("one")
    await hooks.queue.release("one")
    after = await hooks.claim("one")
    assert [one.event_id for one in after] == [one.event_id for one in before]
    assert await hooks.report(before, OK, None, "one") == (1, 0)
    assert await hooks.report(after, OK, None, "one") == (0, 0)


async def test_410_disables_and_the_others_are_told(hooks: Hooks) -> None:
    webhook = await hooks.create()
    witness = await hooks.create(event_types=["endpoint.disabled"])
    await hooks.happen(2)
    first, second = await hooks.claim()
    assert await hooks.report([first], AttemptResult(410), None) == (0, 1)
    stored = await hooks.store.webhook(hooks.caller, webhook.id)
    assert (stored.enabled, stored.disabled_reason) == (False, "it answered 410 Gone")
    assert await hooks.claim(flying=[second]) == []
    for call in (
        hooks.store.replay(hooks.caller, webhook.id, first.event_id),
        hooks.store.send_test(hooks.caller, webhook.id),
        hooks.store.replay_since(hooks.caller, webhook.id, datetime.now(UTC), False),
    ):
        with pytest.raises(ConflictError, match="disabled"):
            await call
    await hooks.queue.fan_out(100)
    (told,) = await hooks.claim()
    assert (told.webhook_id, told.type) == (witness.id, "endpoint.disabled")
    assert told.data["webhook_id"] == str(webhook.id)
    # Enabled again, what was pending goes on.
    draft = WebhookDraft(url=webhook.url, event_types=["*"])
    again = await hooks.store.update_webhook(hooks.caller, webhook.id, draft)
    assert (again.enabled, again.disabled_reason) == (True, None)
    assert second.event_id in {one.event_id for one in await hooks.claim(flying=[told])}


async def test_five_days_of_nothing_but_failures_disable(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen(8)
    due = await hooks.claim()
    assert await hooks.report(due[:1], DOWN, LATER_S) == (0, 0)
    await hooks.age(timedelta(days=4, hours=23))
    due = await hooks.claim()
    assert await hooks.report(due[1:2], DOWN, LATER_S) == (0, 0)
    # One success, and the days are counted anew.
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
    # Enabled again, it has five more days.
    draft = WebhookDraft(url=webhook.url, event_types=["*"])
    await hooks.store.update_webhook(hooks.caller, webhook.id, draft)
    due = await hooks.claim()
    assert await hooks.report(due[:1], DOWN, LATER_S) == (0, 0)


async def test_another_url_starts_afresh(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen(4)
    due = await hooks.claim()
    assert await hooks.report(due[:1], DOWN, LATER_S) == (0, 0)
    await hooks.age(timedelta(days=5, hours=1))
    due = await hooks.claim()
    draft = WebhookDraft(url="https://example.net/", event_types=["*"])
    await hooks.store.update_webhook(hooks.caller, webhook.id, draft)
    # What is still heard of the URL before is no word of this one.
    assert await hooks.report(due[:1], AttemptResult(410), None) == (0, 0)
    assert await hooks.report(due[1:2], DOWN, LATER_S) == (0, 0)
    assert (await hooks.store.webhook(hooks.caller, webhook.id)).enabled
    (of_new, *_) = await hooks.claim()
    assert of_new.url == draft.url
    assert await hooks.report([of_new], AttemptResult(410), None) == (0, 1)


async def test_replays(hooks: Hooks) -> None:
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
    assert [one.event_id for one in await hooks.claim()] == [due[2].event_id]
    assert await hooks.store.replay_since(hooks.caller, webhook.id, start, False) == (3, None)
    assert await hooks.states(webhook) == ["pending"] * 3


async def test_a_replay_while_the_last_attempt_is_under_way_is_one(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen()
    await hooks.report(await hooks.claim(), DOWN, 0)
    (last,) = await hooks.claim()
    assert last.tries == 1
    await hooks.store.replay(hooks.caller, webhook.id, last.event_id)
    await hooks.report([last], DOWN, None)
    one = await hooks.store.delivery(hooks.caller, webhook.id, last.event_id)
    assert (one.state, one.attempts, one.finished_at) == ("pending", 2, None)
    (again,) = await hooks.claim()
    assert (again.tries, again.number) == (0, 3)
    await hooks.report([again], DOWN, 0)
    (last,) = await hooks.claim()
    await hooks.store.replay(hooks.caller, webhook.id, last.event_id)
    await hooks.report([last], OK, None)
    assert await hooks.states(webhook) == ["delivered"]


async def test_what_happened_while_it_was_disabled_can_be_had(hooks: Hooks) -> None:
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
    await hooks.create()
    made = await hooks.store.send_test(hooks.caller, webhook.id)
    assert (made.type, made.state) == ("endpoint.test", "pending")
    assert await hooks.queue.fan_out(100) == 0
    (due,) = await hooks.claim()
    assert (due.webhook_id, due.event_id) == (webhook.id, made.event_id)


async def test_what_is_old_is_forgotten(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen(2)
    await hooks.age(timedelta(days=29))
    await hooks.queue.purge()
    assert len(await hooks.states(webhook)) == 2
    await hooks.age(timedelta(days=2))
    await hooks.queue.purge()
    assert await hooks.states(webhook) == []


async def test_a_deleted_webhook_is_not_reported_on(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen()
    due = await hooks.claim()
    await hooks.store.delete_webhook(hooks.caller, webhook.id)
    assert await hooks.report(due, OK, None) == (1, 0)


# ---- Postgres alone -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_the_end_of_a_profile_is_told_and_then_its_webhooks_go(
    hooks: Hooks, place: str
) -> None:
    await hooks.create()
    await hooks.profiles.delete_profile(hooks.caller, hooks.profile.id)
    await hooks.queue.purge()
    assert await hooks.queue.fan_out(10) == 1
    await hooks.queue.purge()
    (due,) = await hooks.claim()
    assert due.type == "profile.deleted"
    with pytest.raises(NotFoundError):
        await hooks.store.webhook(hooks.caller, due.webhook_id)
    await hooks.report([due], OK, None)
    await hooks.queue.purge()
    async with opened(place) as open_database:
        workers = await open_database("waypost_aggregator")
        assert await workers.transaction(lambda c: c.fetchval("SELECT count(*) FROM webhooks")) == 0


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
@pytest.mark.parametrize("with_profile", [False, True])
async def test_one_with_many_deliveries_is_deleted_and_nobody_waits_for_it(
    hooks: Hooks, place: str, with_profile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No statement, and so no lock, lasts as long as it takes to delete all of them."""
    monkeypatch.setattr("storage.webhooks.webhooks.DELETED_AT_ONCE", 500)
    monkeypatch.setattr("storage.webhooks.deliveries.PURGED_AT_ONCE", 500)
    webhook = await hooks.create()
    for statement in (
        "INSERT INTO events (tenant_id, profile_id, pending, type, data) "
        "SELECT $1, $2, false, 'link.created', '{}' FROM generate_series(1, 50000) "
        "WHERE $3::bigint > 0",
        "INSERT INTO deliveries (tenant_id, webhook_id, event_id, state, attempts) "
        "SELECT $1, $3, id, 'delivered', 1 FROM events WHERE profile_id = $2",
        "INSERT INTO delivery_attempts (tenant_id, webhook_id, event_id, number, at, duration_ms) "
        "SELECT $1, $3, id, 1, now(), 5 FROM events WHERE profile_id = $2",
    ):
        await as_owner(place, statement, hooks.profile.tenant_id, hooks.profile.id, webhook.id)
    async with opened(place) as open_database:
        app = await open_database("waypost_app", query_timeout_ms=150)
        workers = await open_database("waypost_aggregator", query_timeout_ms=150)
        if with_profile:
            await hooks.profiles.delete_profile(hooks.caller, hooks.profile.id)
            await hooks.queue.fan_out(10)
            await hooks.report(await hooks.claim(), OK, None)
            await PostgresDeliveryQueue(workers).purge()
        else:
            await PostgresWebhookStore(app).delete_webhook(hooks.caller, webhook.id)
        for table in ("webhooks", "deliveries", "delivery_attempts"):
            assert await workers.transaction(partial(row_count, table)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_events_become_one_delivery_each_whoever_makes_them(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen(0)
    data = LinkMilestone(profile_id=str(hooks.profile.id), link_id="5", clicks=1)
    draft = EventDraft(hooks.profile.tenant_id, hooks.profile.id, "link.milestone", data)
    await hooks.emit([draft] * 60)
    made: list[int] = []

    async def work() -> None:
        while sum(made) < 60:
            made.append(await hooks.queue.fan_out(7))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(work)
    assert sum(made) == 60
    assert await hooks.states(webhook) == ["pending"] * 60


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
@pytest.mark.parametrize("what", ["webhooks", "events"])
async def test_what_is_deleted_at_the_same_time_is_no_error(
    hooks: Hooks, place: str, what: str
) -> None:
    await hooks.create()
    await hooks.happen()
    due = await hooks.claim()
    data = LinkMilestone(profile_id=str(hooks.profile.id), link_id="5", clicks=1)
    await hooks.emit(
        [EventDraft(hooks.profile.tenant_id, hooks.profile.id, "link.milestone", data)]
    )
    begun = trio.Event()
    outcomes: list[Any] = []

    async def delete() -> None:
        async def slowly(connection: Connection) -> None:
            await connection.execute(f"DELETE FROM {what}")
            await connection.execute("SELECT pg_sleep(0.3)")

        async with opened(place) as open_database:
            workers = await open_database("waypost_aggregator")
            begun.set()
            await workers.transaction(slowly)

    async def work() -> None:
        outcomes.append(await hooks.queue.fan_out(10))
        outcomes.append(await hooks.report(due, OK, None))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(delete)
        await begun.wait()
        await trio.sleep(0.1)
        await work()
    assert outcomes[0] in (0, 1)
    assert await hooks.claim() == []


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_that_a_webhook_was_disabled_is_in_the_log(hooks: Hooks, place: str) -> None:
    webhook = await hooks.create()
    await hooks.happen()
    await hooks.report(await hooks.claim(), AttemptResult(410), None)
    async with opened(place) as open_database:
        log = PostgresActivityReader(await open_database("waypost_app"))
        page = await log.of_profile(hooks.caller, hooks.profile.id, ActivityFilter(), 0, 1)
    (entry,) = page.items
    assert (entry.action, entry.object_id, entry.user_id) == ("webhook.updated", webhook.id, None)
    assert entry.before["enabled"] is True
    assert (entry.after["enabled"], entry.after["disabled_reason"]) == (
        False,
        "it answered 410 Gone",
    )


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_the_console_can_read_no_secret_and_the_log_has_none(
    hooks: Hooks, place: str
) -> None:
    webhook = await hooks.create()
    await hooks.store.rotate_secret(hooks.caller, webhook.id)
    await hooks.queue.record("one", [])

    async def steal(connection: Connection) -> None:
        await connection.fetch("SELECT secret FROM webhook_secrets")

    async def log(connection: Connection) -> list[Any]:
        return await connection.fetch(
            "SELECT action, after::text FROM audit_log WHERE object_type = 'webhook' ORDER BY seq"
        )

    async with opened(place) as open_database:
        app = await open_database("waypost_app")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.transaction(steal, caller=hooks.caller)
        rows = await app.transaction(log, caller=hooks.caller)
        assert [row["action"] for row in rows] == ["webhook.created", "webhook.updated"]
        assert not any("whsec_" in row["after"] for row in rows)
