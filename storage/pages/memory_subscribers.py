"""Addresses of visitors in memory: the twin of storage.pages.subscribers."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime

import trio

from engine.accounts.access import Action, Caller
from engine.common.errors import NotFoundError
from engine.common.list_page import ListPage
from engine.pages.subscriber import MAX_SUBSCRIBERS, Subscriber
from storage.links.memory_profiles import MemoryProfiles


def _now() -> datetime:
    return datetime.now(UTC)


class MemorySubscribers:
    """SubscriberStore and SubscriptionSink without a server, over the profiles of another twin."""

    def __init__(self, profiles: MemoryProfiles, now: Callable[[], datetime] = _now) -> None:
        self._profiles = profiles
        self._now = now
        self._ids = itertools.count(1)
        self._subscribers: dict[int, dict[tuple[str, str], Subscriber]] = {}

    async def list_subscribers(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.MANAGE_SUBSCRIBERS)
        subscribers = self._subscribers.get(profile_id, {}).values()
        return ListPage.of([each for each in subscribers if each.id > after], limit)

    async def delete_subscriber(self, caller: Caller, profile_id: int, subscriber_id: int) -> None:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.MANAGE_SUBSCRIBERS)
        subscribers = self._subscribers.get(profile_id, {})
        for key, subscriber in subscribers.items():
            if subscriber.id == subscriber_id:
                del subscribers[key]
                return
        raise NotFoundError.of("subscriber")

    async def subscribe(self, tenant_id: int, profile_id: int, block: str, email: str) -> bool:
        await trio.lowlevel.checkpoint()
        team = self._profiles.team_of(profile_id)
        if team is None or team[0].tenant_id != tenant_id:
            return False
        subscribers = self._subscribers.setdefault(profile_id, {})
        if (block, email) not in subscribers and len(subscribers) >= MAX_SUBSCRIBERS:
            return False
        subscriber = Subscriber(
            id=next(self._ids), block=block, email=email, subscribed_at=self._now()
        )
        subscribers.setdefault((block, email), subscriber)
        return True
