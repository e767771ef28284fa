"""Digests in memory: the twin of storage.stats.dashboards.digests."""

from datetime import datetime
from typing import Any

import trio

from engine.accounts.access import Action, Caller, require_scope
from engine.stats.dashboards.digest import Cadence, DigestRecipient, DigestSettings
from storage.links.memory_profiles import MemoryProfiles


class MemoryDigests:
    """DigestSettingsStore and DigestQueue without a server, over the profiles of another twin. `emails` has the
    addresses of users by their ids; `enqueued` what was enqueued: cadence, due time, whether mail is sent."""

    def __init__(self, profiles: MemoryProfiles) -> None:
        self._profiles = profiles
        self._settings: dict[tuple[int, int], DigestSettings] = {}  # (profile id, user id)
        self.emails: dict[int, str] = {}
        self.enqueued: list[tuple[Cadence, datetime, bool]] = []

    async def settings(self, caller: Caller, profile_id: int) -> DigestSettings:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.READ)
        return self._settings.get((profile_id, caller.user_id), DigestSettings())

    async def store_settings(
        self, caller: Caller, profile_id: int, settings: DigestSettings
    ) -> DigestSettings:
        await trio.lowlevel.checkpoint()
        require_scope(caller, "write")
        self._profiles.team(caller, profile_id, Action.READ)
        self._settings[profile_id, caller.user_id] = settings
        return settings

    async def enqueue_due(
        self, connection: Any, cadence: Cadence, due: datetime, *, mail: bool
    ) -> None:
        self.enqueued.append((cadence, due, mail))

    async def recipient(
        self, tenant_id: int, profile_id: int, user_id: int, cadence: Cadence
    ) -> DigestRecipient | None:
        await trio.lowlevel.checkpoint()
        settings = self._settings.get((profile_id, user_id))
        team = self._profiles.team_of(profile_id)
        if settings is None or team is None or user_id not in team[1]:
            return None
        if not getattr(settings, cadence):
            return None
        profile = team[0]
        return DigestRecipient(self.emails[user_id], settings.tz, profile.handle, profile.title)

    async def names(self, tenant_id: int, profile_id: int) -> tuple[str, str] | None:
        await trio.lowlevel.checkpoint()
        team = self._profiles.team_of(profile_id)
        return None if team is None else (team[0].handle, team[0].title)
