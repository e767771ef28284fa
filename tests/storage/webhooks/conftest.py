"""Fixtures of the tests of webhooks."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from engine.accounts.access import Caller
from engine.links.profile import ProfileDraft
from engine.webhooks.events import EventDraft
from storage.accounts.keys import ensure_owner
from storage.links.memory_profiles import MemoryProfiles
from storage.links.profiles import PostgresProfileStore
from storage.webhooks.deliveries import PostgresDeliveryQueue
from storage.webhooks.memory_webhooks import MemoryWebhooks
from storage.webhooks.outbox import append_to_outbox
from storage.webhooks.webhooks import PostgresWebhookStore
from tests.kit.stores import FAST, opened, second_owner
from tests.kit.webhook_stores import Hooks, as_owner


@pytest.fixture
async def hooks(place: str) -> AsyncIterator[Hooks]:
    if not place:
        profiles, shift = MemoryProfiles(), [timedelta()]
        memory = MemoryWebhooks(profiles, lambda: datetime.now(UTC) + shift[0])
        caller = Caller(1, 1)

        async def append(drafts: Sequence[EventDraft]) -> None:
            memory.append_to_outbox(drafts)

        async def age(by: timedelta) -> None:
            shift[0] += by

        profile = await profiles.create_profile(caller, ProfileDraft(handle="demo"))
        yield Hooks(memory, memory, profiles, caller, Caller(2, 2), profile, append, age)
        return
    async with opened(place) as open_database:
        app, workers = await open_database("waypost_app"), await open_database("waypost_aggregator")
        owner = await ensure_owner(app, "owner@example.com", FAST)
        assert owner is not None

        async def append_in_postgres(drafts: Sequence[EventDraft]) -> None:
            await workers.transaction(lambda connection: append_to_outbox(connection, drafts))

        async def age_rows(by: timedelta) -> None:
            """Move all times into the past, as if the clock had advanced."""
            for statement in (
                "UPDATE webhook_states SET lease_until = lease_until - $1::interval, "
                "failing_since = failing_since - $1::interval, rests_until = rests_until - $1::interval",
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
            PostgresWebhookStore(app), PostgresDeliveryQueue(workers), PostgresProfileStore(app),
            owner.caller, await second_owner(place), profile,
            append_in_postgres, age_rows,
        )  # fmt: skip
