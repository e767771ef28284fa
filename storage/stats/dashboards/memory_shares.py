"""Shares of stats in memory: the twin of storage.stats.dashboards.shares."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import trio

from engine.accounts.access import Action, Caller
from engine.common.errors import ExpiredError, NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.stats.dashboards.share import MAX_SHARES, NewShare, ResolvedShare, Share, ShareDraft
from storage.accounts import tokens
from storage.links.memory_profiles import MemoryProfiles
from storage.postgres.memory_idempotency import MemoryIdempotency
from storage.stats.dashboards.shares import share_limit_error


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryShareStore:
    """ShareStore without a server, over the profiles of another twin."""

    def __init__(self, profiles: MemoryProfiles, now: Callable[[], datetime] = _now) -> None:
        self._profiles = profiles
        self._now = now
        self._ids = itertools.count(1)
        self._idempotency = MemoryIdempotency(now)
        self._shares: dict[bytes, Share] = {}

    async def create_share(
        self,
        caller: Caller,
        profile_id: int,
        draft: ShareDraft,
        once: IdempotentRequest[NewShare] | None = None,
    ) -> NewShare:
        await trio.lowlevel.checkpoint()

        def work() -> NewShare:
            return self._create_share(caller, profile_id, draft)

        return self._idempotency.run_once(caller, once, work)

    def _create_share(self, caller: Caller, profile_id: int, draft: ShareDraft) -> NewShare:
        self._profiles.team(caller, profile_id, Action.MANAGE_SHARES)
        if len(self._of(profile_id)) >= MAX_SHARES:
            raise share_limit_error()
        token = tokens.new("wpr_")
        share = Share(
            id=next(self._ids), profile_id=profile_id, prefix=tokens.token_prefix(token),
            label=draft.label, metrics=msgspec.convert(draft.metrics, tuple),
            dimensions=tuple(draft.dimensions), period=draft.period, origins=tuple(draft.origins),
            created_at=self._now(), expires_at=draft.expires_at,
        )  # fmt: skip
        self._shares[tokens.require_digest(token)] = share
        return NewShare(share, token)

    async def list_shares(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.MANAGE_SHARES)
        return ListPage.of([share for share in self._of(profile_id) if share.id > after], limit)

    async def revoke_share(self, caller: Caller, profile_id: int, share_id: int) -> None:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.MANAGE_SHARES)
        for digest, share in list(self._shares.items()):
            if (share.profile_id, share.id) == (profile_id, share_id):
                del self._shares[digest]
                return
        raise NotFoundError.of("share")

    async def allows_origin(self, origin: str) -> bool:
        await trio.lowlevel.checkpoint()
        return any(
            origin in share.origins and (share.expires_at is None or share.expires_at > self._now())
            for share in self._shares.values()
        )

    async def share_of(self, token: str) -> ResolvedShare | None:
        await trio.lowlevel.checkpoint()
        share = self._shares.get(tokens.digest(token) or b"")
        team = None if share is None else self._profiles.team_of(share.profile_id)
        if share is None or team is None:
            return None
        if share.expires_at is not None and share.expires_at <= self._now():
            raise ExpiredError("this share has expired")
        return ResolvedShare(share, team[0])

    def _of(self, profile_id: int) -> list[Share]:
        return [share for share in self._shares.values() if share.profile_id == profile_id]
