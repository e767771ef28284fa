"""The ports of webhooks over one state, with a profile and its owner."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import msgspec

from engine.accounts.access import Caller
from engine.links.ports import ProfileStore
from engine.links.profile import Profile
from engine.webhooks.delivery import Attempt, AttemptResult, DueDelivery
from engine.webhooks.events import EventDraft, LinkMilestone
from engine.webhooks.ports import DeliveryQueue, InFlightDelivery, WebhookStore
from engine.webhooks.webhook import DeliveryFilter, NewWebhookDraft, Webhook
from storage.bridge import in_asyncio
from storage.postgres.database import Connection

ALL = DeliveryFilter()
TTL_S = 30.0
DRAFT = NewWebhookDraft(url="https://example.com/hook", event_types=["*"])
OK = AttemptResult(200, response=b"thanks")
DOWN = AttemptResult(500, response=b"x" * 4096)
LATER_S = 3600.0


class Hooks(NamedTuple):
    """Both ports over one state, a profile, and `other`: a caller of another tenant."""

    store: WebhookStore
    queue: DeliveryQueue
    profiles: ProfileStore
    caller: Caller
    other: Caller
    profile: Profile
    append: Callable[[Sequence[EventDraft]], Awaitable[None]]
    age: Callable[[timedelta], Awaitable[None]]

    async def create(self, **fields: Any) -> Webhook:
        draft = msgspec.structs.replace(DRAFT, **fields)
        return (await self.store.create_webhook(self.caller, self.profile.id, draft)).webhook

    async def happen(self, count: int = 1) -> None:
        """Write `count` events, and make their deliveries."""
        for n in range(count):
            data = LinkMilestone(profile_id=str(self.profile.id), link_id="5", clicks=n)
            tenant_id, profile_id = self.profile.tenant_id, self.profile.id
            await self.append([EventDraft(tenant_id, profile_id, "link.milestone", data)])
        assert await self.queue.fan_out(100) == count

    async def claim(
        self,
        owner: str = "one",
        limit: int = 100,
        max_concurrency: int = 100,
        in_flight: Sequence[DueDelivery] = (),
        blocked: Sequence[tuple[int, int]] = (),
        ttl_s: float = TTL_S,
    ) -> list[DueDelivery]:
        keys = [InFlightDelivery(due.tenant_id, due.webhook_id, due.event_id) for due in in_flight]
        return await self.queue.claim(owner, ttl_s, limit, max_concurrency, keys, blocked)

    async def report(
        self,
        due: Sequence[DueDelivery],
        result: AttemptResult,
        delay_s: float | None,
        owner: str = "one",
    ) -> tuple[int, int]:
        at = datetime.now(UTC)
        return await self.queue.record(
            owner, [Attempt(due_delivery, at, 12, result, delay_s) for due_delivery in due]
        )

    async def states(self, webhook: Webhook) -> list[str]:
        """Return the states of a webhook's deliveries, oldest first."""
        page = await self.store.deliveries(self.caller, webhook.id, ALL, 0, 100)
        return [delivery.state for delivery in reversed(page.items)]


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
