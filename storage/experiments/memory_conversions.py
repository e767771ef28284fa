"""Conversions in memory: the twin of storage.experiments.conversions."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import trio

from engine.accounts.access import Action, Caller
from engine.clicks.click import time_of
from engine.common.errors import NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.experiments.conversion import (
    Attribution,
    Conversion,
    ConversionSource,
    RecordedConversion,
    RecordedReport,
    VerifiedConversion,
    attribution_of,
)
from engine.experiments.refund import VerifiedRefund
from storage.experiments.conversions import Key, increments_of, keys_of
from storage.experiments.memory_experiments import MemoryExperimentStore
from storage.links.memory_profiles import MemoryProfiles
from storage.postgres.memory_idempotency import MemoryIdempotency


def _now() -> datetime:
    return datetime.now(UTC)


def _stored_conversion(
    number: int, conversion: VerifiedConversion, source: ConversionSource, attribution: Attribution
) -> Conversion:
    draft, click = conversion.draft, conversion.click
    shared = draft.value, draft.currency, source, attribution
    stored = Conversion(
        number,
        draft.name,
        draft.order_id,
        conversion.at,
        conversion.received_at,
        time_of(click.at_us) if click else None,
        click.link_id if click else None,
        *shared,
    )
    if click is None or not click.experiment_id:
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
        self._idempotency = MemoryIdempotency(now)
        self.conversions: dict[Key, tuple[VerifiedConversion, ConversionSource, Attribution]] = {}
        self.profiles_of: dict[Key, int] = {}
        self.refunds: dict[tuple[int, str, str, str], VerifiedRefund] = {}

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
            return self._record(profile.tenant_id, profile_id, conversions, source)

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
            lambda: self._record(tenant_id, profile_id, conversions, source),
        )

    async def record_report(
        self,
        tenant_id: int,
        profile_id: int,
        order: VerifiedConversion | None,
        refunds: Sequence[VerifiedRefund],
        once: IdempotentRequest[RecordedReport] | None = None,
    ) -> RecordedReport:
        await trio.lowlevel.checkpoint()
        if self._profiles.team_of(profile_id) is None:
            raise NotFoundError.of("profile")

        def work() -> RecordedReport:
            recorded = None
            if order is not None:
                (recorded,) = self._record(tenant_id, profile_id, [order], "hook")
            return RecordedReport(recorded, self._add_refunds(profile_id, refunds))

        return self._idempotency.run_once(Caller(tenant_id, -profile_id), once, work)

    async def record_refunds(
        self,
        caller: Caller,
        profile_id: int,
        refunds: Sequence[VerifiedRefund],
        once: IdempotentRequest[int] | None = None,
    ) -> int:
        await trio.lowlevel.checkpoint()

        def work() -> int:
            self._profiles.team(caller, profile_id, Action.EDIT)
            return self._add_refunds(profile_id, refunds)

        return self._idempotency.run_once(caller, once, work)

    def _add_refunds(self, profile_id: int, refunds: Sequence[VerifiedRefund]) -> int:
        before = len(self.refunds)
        for refund in refunds:
            self.refunds.setdefault((profile_id, *refund[:3]), refund)
        return len(self.refunds) - before

    def _record(
        self,
        tenant_id: int,
        profile_id: int,
        conversions: Sequence[VerifiedConversion],
        source: ConversionSource,
    ) -> list[RecordedConversion]:
        results, counted = [], []
        keys = keys_of(conversions, profile_id, source)
        for key, conversion in zip(keys, conversions, strict=True):
            owner = self._owner_of_order(profile_id, key)
            if source != "script" and owner is not None and owner != key:
                results.append(RecordedConversion(self.conversions[owner][2], True))
                continue
            if key in self.conversions:
                stored, stored_source, attribution = self.conversions[key]
                if stored_source == "script" and source != "script":
                    replaced = stored._replace(draft=conversion.draft)
                    self.conversions[key] = replaced, source, attribution
                results.append(RecordedConversion(attribution, True))
                continue
            click = conversion.click
            window = self._experiments.attribution_hours(click.experiment_id) if click else None
            attribution = attribution_of(conversion, window)
            self.conversions[key] = conversion, source, attribution
            self.profiles_of[key] = profile_id
            results.append(RecordedConversion(attribution, False))
            if attribution == "attributed":
                counted.append(conversion)
        recognised = [conversion for conversion in counted if conversion.known_click.visitor_id]
        self._experiments.memory_counts.store(increments_of(tenant_id, recognised, counted))
        return results

    def _owner_of_order(self, profile_id: int, key: Key) -> Key | None:
        """Return the key under which the API or a hook has reported an order."""
        for stored_key, (_, source, _) in self.conversions.items():
            is_of_profile = self.profiles_of[stored_key] == profile_id
            if key[2] and is_of_profile and source != "script" and stored_key[1:] == key[1:]:
                return stored_key
        return None

    async def list_conversions(
        self, caller: Caller, profile_id: int, before: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.READ)
        results = [
            _stored_conversion(number, *stored)
            for number, (key, stored) in enumerate(self.conversions.items(), 1)
            if self.profiles_of[key] == profile_id and (not before or number < before)
        ][::-1]
        return ListPage.of(results, limit)
