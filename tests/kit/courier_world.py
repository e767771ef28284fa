"""A courier, its webhooks in memory and receivers that behave as a test says."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import trio

from actors.webhooks.courier import Courier, CourierLimits
from engine.accounts.access import Caller
from engine.common.errors import UnavailableError
from engine.links.profile import ProfileDraft
from engine.webhooks.delivery import Attempt, AttemptResult, DueDelivery, RecordOutcome
from engine.webhooks.events import EventDraft, LinkMilestone
from engine.webhooks.webhook import DeliveryFilter, NewWebhookDraft, Webhook
from storage.links.memory_profiles import MemoryProfiles
from storage.webhooks.memory_webhooks import MemoryWebhooks

START = datetime(2026, 5, 1, tzinfo=UTC)
CALLER = Caller(1, 1)
OK, DOWN = AttemptResult(200), AttemptResult(500)
Behaviour = Callable[[], Awaitable[AttemptResult]]


def now() -> datetime:
    """Return the time by trio's virtual clock: the clock of couriers and stores alike."""
    return START + timedelta(seconds=trio.current_time())


async def ok() -> AttemptResult:
    await trio.sleep(0.001)
    return OK


async def down() -> AttemptResult:
    await trio.sleep(0.001)
    return DOWN


async def hangs() -> AttemptResult:
    await trio.sleep_forever()
    raise AssertionError


class World:
    """The store and the receivers. `got` has each receiver's requests: (seconds since the start, event id)."""

    def __init__(self, **limits: Any) -> None:
        self.profiles = MemoryProfiles(now)
        self.hooks = MemoryWebhooks(self.profiles, now)
        self.behaviour: defaultdict[str, Behaviour] = defaultdict(lambda: ok)
        self.got: dict[str, list[tuple[float, str]]] = defaultdict(list)
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.secrets: dict[str, str] = {}
        self.limits = CourierLimits(**limits)
        self.began = 0.0
        self.profile_id = 0

    async def start(self, handle: str = "demo") -> None:
        """Create a profile for the webhooks and events that follow."""
        self.began = trio.current_time()
        draft = ProfileDraft(handle=handle)
        self.profile_id = (await self.profiles.create_profile(CALLER, draft)).id

    async def webhook(self, name: str, **fields: Any) -> Webhook:
        url = f"https://{name}.example/"
        draft = NewWebhookDraft(url=url, **{"event_types": ["*"]} | fields)
        created = await self.hooks.create_webhook(CALLER, self.profile_id, draft)
        self.secrets[url] = created.secret or ""
        return created.webhook

    def happen(self, count: int = 1) -> None:
        data = LinkMilestone(profile_id=str(self.profile_id), link_id="5", clicks=10)
        self.hooks.append_to_outbox(
            [EventDraft(1, self.profile_id, "link.milestone", data)] * count
        )

    def courier(self, owner: str = "one", queue: Any = None) -> Courier:
        return Courier(
            owner, queue or self.hooks, self, now=now, jitter=lambda: 0.0, limits=self.limits
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> AttemptResult:
        name = url.removeprefix("https://").partition(".")[0]
        self.got[name].append((trio.current_time() - self.began, headers["webhook-id"]))
        self.under_way[name] += 1
        self.most[name] = max(self.most[name], self.under_way[name])
        try:
            return await self.behaviour[name]()
        finally:
            self.under_way[name] -= 1

    async def states(self, webhook: Webhook) -> list[str]:
        page = await self.hooks.deliveries(CALLER, webhook.id, DeliveryFilter(), 0, 1000)
        return [delivery.state for delivery in reversed(page.items)]

    def times(self, name: str) -> list[float]:
        return [at for at, _ in self.got[name]]


async def for_a_while(courier: Courier, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await courier.run()


class Mute:
    """A queue that loses every other record of attempts, and all releases but the first."""

    def __init__(self, inner: MemoryWebhooks) -> None:
        self.inner = inner
        self.reports = 0
        self.released = False
        self.fan_out, self.purge = inner.fan_out, inner.purge
        self.claim: Callable[..., Awaitable[list[DueDelivery]]] = inner.claim

    async def release(self, owner: str) -> None:
        if not self.released:
            self.released = True
            await self.inner.release(owner)

    async def record(self, owner: str, attempts: Sequence[Attempt]) -> RecordOutcome:
        self.reports += 1
        if self.reports % 2:
            raise UnavailableError("away")
        return await self.inner.record(owner, attempts)


class Killed(Mute):
    """The queue of a courier that is killed once it has claimed: it releases no lease then."""

    def __init__(self, inner: MemoryWebhooks) -> None:
        super().__init__(inner)
        self.tokens: list[int] = []
        self.claim = self.claim_and_note

    async def claim_and_note(self, *arguments: Any) -> list[DueDelivery]:
        due = await self.inner.claim(*arguments)
        self.tokens += [delivery.token for delivery in due]
        return due

    async def release(self, owner: str) -> None:
        if not self.tokens:
            await self.inner.release(owner)
