"""Addresses of visitors in memory: the twin of storage.pages.subscribers."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import trio

from engine.accounts.access import Action, Caller
from engine.common.errors import NotFoundError
from engine.common.list_page import ListPage
from engine.pages.subscriber import (
    MAX_MAILS_OF_ADDRESS,
    MAX_MAILS_OF_PROFILE,
    MAX_SUBSCRIBERS,
    ConfirmOutcome,
    RequestOutcome,
    Subscriber,
    UnconfirmedAddress,
)
from storage.links.memory_profiles import MemoryProfiles

_HOUR: Final = timedelta(hours=1)
_Key = tuple[str, str]  # block and address


def _now() -> datetime:
    return datetime.now(UTC)


class _Request(NamedTuple):
    id: int
    mailed_at: list[datetime]


class MemorySubscribers:
    """SubscriberStore, SubscriptionSink and UnconfirmedAddresses without a server, over the profiles of another
    twin. `due` has (profile, request) of each mail that a job would send."""

    def __init__(self, profiles: MemoryProfiles, now: Callable[[], datetime] = _now) -> None:
        self._profiles = profiles
        self._now = now
        self._ids = itertools.count(1)
        self._subscribers: dict[int, dict[_Key, Subscriber]] = {}
        self._requests: dict[int, dict[_Key, _Request]] = {}
        self.due: list[tuple[int, int]] = []

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
        if not self._is_there(tenant_id, profile_id) or self._is_full(profile_id):
            return False
        waiting = self._requests.get(profile_id, {}).get((block, email))
        id_ = next(self._ids) if waiting is None else waiting.id
        self._keep(profile_id, (block, email), id_)
        return True

    async def request(
        self, tenant_id: int, profile_id: int, block: str, email: str
    ) -> RequestOutcome:
        await trio.lowlevel.checkpoint()
        if not self._is_there(tenant_id, profile_id):
            return "gone"
        if self._is_full(profile_id):
            return "full"
        requests, now = self._requests.setdefault(profile_id, {}), self._now()
        recent = {
            key: [at for at in each.mailed_at if at > now - _HOUR] for key, each in requests.items()
        }
        if sum(map(len, recent.values())) >= MAX_MAILS_OF_PROFILE:
            return "busy"
        mails = sum(len(times) for (_, address), times in recent.items() if address == email)
        if mails >= MAX_MAILS_OF_ADDRESS:
            return "waiting"
        key = block, email
        kept = requests.get(key) or self._subscribers.get(profile_id, {}).get(key)
        id_ = next(self._ids) if kept is None else kept.id
        requests[key] = _Request(id_, [*recent.get(key, []), now])
        self.due.append((profile_id, id_))
        return "waiting"

    async def confirm(self, tenant_id: int, profile_id: int, request_id: int) -> ConfirmOutcome:
        await trio.lowlevel.checkpoint()
        is_listed = self._listed(tenant_id, profile_id, request_id) is not None
        if not is_listed and self._is_full(profile_id):
            return "full"
        key = self._requested(tenant_id, profile_id, request_id)
        if key is None:
            return "confirmed" if is_listed else "gone"
        del self._requests[profile_id][key]
        self._keep(profile_id, key, request_id)
        return "confirmed"

    async def unsubscribe(self, tenant_id: int, profile_id: int, request_id: int) -> None:
        await trio.lowlevel.checkpoint()
        if (key := self._requested(tenant_id, profile_id, request_id)) is not None:
            del self._requests[profile_id][key]
        if (key := self._listed(tenant_id, profile_id, request_id)) is not None:
            del self._subscribers[profile_id][key]

    async def unconfirmed(
        self, tenant_id: int, profile_id: int, request_id: int
    ) -> UnconfirmedAddress | None:
        await trio.lowlevel.checkpoint()
        key = self._requested(tenant_id, profile_id, request_id)
        team = self._profiles.team_of(profile_id)
        if key is None or team is None:
            return None
        return UnconfirmedAddress(key[1], team[0].handle)

    async def token_secret(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"of the twin"

    def _is_there(self, tenant_id: int, profile_id: int) -> bool:
        team = self._profiles.team_of(profile_id)
        return team is not None and team[0].tenant_id == tenant_id

    def _is_full(self, profile_id: int) -> bool:
        return len(self._subscribers.get(profile_id, {})) >= MAX_SUBSCRIBERS

    def _keep(self, profile_id: int, key: _Key, id_: int) -> None:
        block, email = key
        subscriber = Subscriber(id=id_, block=block, email=email, subscribed_at=self._now())
        self._subscribers.setdefault(profile_id, {}).setdefault(key, subscriber)

    def _requested(self, tenant_id: int, profile_id: int, request_id: int) -> _Key | None:
        if not self._is_there(tenant_id, profile_id):
            return None
        requests = self._requests.get(profile_id, {}).items()
        return next((key for key, each in requests if each.id == request_id), None)

    def _listed(self, tenant_id: int, profile_id: int, request_id: int) -> _Key | None:
        if not self._is_there(tenant_id, profile_id):
            return None
        subscribers = self._subscribers.get(profile_id, {}).items()
        return next((key for key, each in subscribers if each.id == request_id), None)
