"""Conversions in memory: the twin of storage.experiments.conversions."""

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import trio

from engine.accounts.access import Action, Caller
from engine.clicks.click import time_of
from engine.common.errors import ConflictError, NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.experiments.conversion import (
    Attribution,
    Conversion,
    ConversionHook,
    ConversionSource,
    HookDraft,
    RecordedConversion,
    ResolvedHook,
    VerifiedConversion,
    attribution_of,
)
from storage.accounts import tokens
from storage.experiments.conversions import MAX_HOOKS, Key, conversion_key, increments_of
from storage.experiments.memory_experiments import MemoryExperimentStore
from storage.links.memory_profiles import MemoryProfiles
from storage.postgres.memory_idempotency import MemoryIdempotency


def _now() -> datetime:
    return datetime.now(UTC)


def _stored_conversion(
    number: int, conversion: VerifiedConversion, source: ConversionSource, attribution: Attribution
) -> Conversion:
    draft, click = conversion.draft, conversion.click
    clicked_at = time_of(click.at_us)
    shared = draft.value, draft.currency, source, attribution
    stored = Conversion(
        number,
        draft.name,
        draft.order_id,
        conversion.at,
        conversion.received_at,
        clicked_at,
        click.link_id,
        *shared,
    )
    if not click.experiment_id:
        return stored
    return stored._replace(
        experiment_id=click.experiment_id, phase=click.phase, variant=click.variant
    )


class MemoryConversionStore:
    """ConversionStore without a server, over the profiles and experiments of other twins."""

    def __init__(
        self,
        profiles: MemoryProfiles,
        experiments: MemoryExperimentStore,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._profiles = profiles
        self._experiments = experiments
        self._now = now
        self._ids = itertools.count(1)
        self._idempotency = MemoryIdempotency(now)
        self._hooks: dict[bytes, ConversionHook] = {}
        self.conversions: dict[Key, tuple[VerifiedConversion, ConversionSource, Attribution]] = {}

    async def record(
        self,
        caller: Caller,
        profile_id: int,
        conversions: Sequence[VerifiedConversion],
        source: ConversionSource,
        once: IdempotentRequest[list[RecordedConversion]] | None = None,
    ) -> list[RecordedConversion]:
        await trio.lowlevel.checkpoint()

        def work() -> list[RecordedConversion]:
            profile, _ = self._profiles.team(caller, profile_id, Action.EDIT)
            return self._record(profile.tenant_id, conversions, source)

        return self._idempotency.run_once(caller, once, work)

    async def record_from_ingest(
        self,
        tenant_id: int,
        profile_id: int,
        conversions: Sequence[VerifiedConversion],
        source: ConversionSource,
        once: IdempotentRequest[list[RecordedConversion]] | None = None,
    ) -> list[RecordedConversion]:
        await trio.lowlevel.checkpoint()
        if self._profiles.team_of(profile_id) is None:
            raise NotFoundError.of("profile")
        return self._idempotency.run_once(
            Caller(tenant_id, -profile_id),
            once,
            lambda: self._record(tenant_id, conversions, source),
        )

    def _record(
        self, tenant_id: int, conversions: Sequence[VerifiedConversion], source: ConversionSource
    ) -> list[RecordedConversion]:
        results, counted = [], []
        for conversion in conversions:
            key = conversion_key(conversion)
            if key in self.conversions:
                results.append(RecordedConversion(self.conversions[key][2], True))
                continue
            window = self._experiments.attribution_hours(conversion.click.experiment_id)
            attribution = attribution_of(conversion, window)
            self.conversions[key] = conversion, source, attribution
            results.append(RecordedConversion(attribution, False))
            if attribution == "attributed":
                counted.append(conversion)
        recognised = [conversion for conversion in counted if conversion.click.visitor_id]
        self._experiments.memory_counts.store(increments_of(tenant_id, recognised, counted))
        return results

    async def list_conversions(
        self, caller: Caller, profile_id: int, before: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.READ)
        results = [
            _stored_conversion(number, *stored)
            for number, stored in enumerate(self.conversions.values(), 1)
            if stored[0].click.profile_id == profile_id and (not before or number < before)
        ][::-1]
        return ListPage.of(results, limit)

    async def create_hook(
        self,
        caller: Caller,
        profile_id: int,
        draft: HookDraft,
        once: IdempotentRequest[tuple[ConversionHook, str]] | None = None,
    ) -> tuple[ConversionHook, str]:
        await trio.lowlevel.checkpoint()

        def work() -> tuple[ConversionHook, str]:
            return self._create_hook(caller, profile_id, draft)

        return self._idempotency.run_once(caller, once, work)

    def _create_hook(
        self, caller: Caller, profile_id: int, draft: HookDraft
    ) -> tuple[ConversionHook, str]:
        self._profiles.team(caller, profile_id, Action.EDIT)
        if sum(hook.profile_id == profile_id for hook in self._hooks.values()) >= MAX_HOOKS:
            raise ConflictError(
                "hooks", f"must be at most {MAX_HOOKS} in a profile; delete one first"
            )
        token = tokens.new("wph_")
        hook = ConversionHook(
            id=next(self._ids),
            profile_id=profile_id,
            label=draft.label,
            name=draft.name,
            fields=draft.fields,
            created_at=self._now(),
        )
        self._hooks[tokens.require_digest(token)] = hook
        return hook, token

    async def list_hooks(self, caller: Caller, profile_id: int, after: int, limit: int) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.READ)
        results = [h for h in self._hooks.values() if h.profile_id == profile_id and h.id > after]
        return ListPage.of(results, limit)

    async def delete_hook(self, caller: Caller, profile_id: int, hook_id: int) -> None:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.EDIT)
        for digest, hook in self._hooks.items():
            if (hook.profile_id, hook.id) == (profile_id, hook_id):
                del self._hooks[digest]
                return
        raise NotFoundError.of("hook")

    async def hook_of(self, token: str) -> ResolvedHook | None:
        await trio.lowlevel.checkpoint()
        hook = self._hooks.get(tokens.digest(token) or b"")
        team = None if hook is None else self._profiles.team_of(hook.profile_id)
        if hook is None or team is None:
            return None
        return ResolvedHook(team[0].tenant_id, hook.profile_id, hook.name, hook.fields)
