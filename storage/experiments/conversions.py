"""Conversions in Postgres, and what they add to experiments, in one transaction.

Guarantees:
- a conversion counts once, however often it is told: its click's id, name and order are its key;
- a visitor who converts twice is converted once, also long after their own row is gone: then the conversions
  themselves, which keep the visitor for as long as any window is open, tell whether they had converted before.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import asyncpg
import msgspec

from engine.accounts.access import Action, Caller
from engine.clicks.click import time_of
from engine.clicks.click_id import ClickId
from engine.common.errors import ConflictError, NotFoundError
from engine.common.list_page import ListPage
from engine.experiments.conversion import (
    Attribution,
    Conversion,
    ConversionHook,
    ConversionSource,
    HookDraft,
    HookFieldPaths,
    RecordedConversion,
    ResolvedHook,
    VerifiedConversion,
    attribution_of,
)
from engine.experiments.counts import BUCKET_S
from engine.experiments.increments import (
    COOKIE_DAY,
    ExperimentIncrements,
    UnitIncrement,
    UnitKey,
    VariantBucketKey,
)
from storage.accounts import tokens
from storage.accounts.access import MAX_ID, enter_profile, validate_id
from storage.experiments.counts import RETENTION_DAYS, add_increments
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("experiments/conversions")
MAX_HOOKS: Final = 20
Key = tuple[bytes, str, str]


class PostgresConversionStore:
    """ConversionStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self,
        caller: Caller,
        profile_id: int,
        told: Sequence[VerifiedConversion],
        source: ConversionSource,
    ) -> list[RecordedConversion]:
        async def work(connection: Connection) -> list[RecordedConversion]:
            place = await enter_profile(connection, caller, profile_id, Action.EDIT)
            return await _record(connection, place.tenant_id, profile_id, told, source)

        return await self._database.transaction(work, caller=caller)

    async def record_from_ingest(
        self,
        tenant_id: int,
        profile_id: int,
        told: Sequence[VerifiedConversion],
        source: ConversionSource,
    ) -> list[RecordedConversion]:
        async def work(connection: Connection) -> list[RecordedConversion]:
            return await _record(connection, tenant_id, profile_id, told, source)

        try:
            return await self._database.transaction(work, caller=Caller(tenant_id, 0))
        except asyncpg.ForeignKeyViolationError:
            raise NotFoundError.of("profile") from None

    async def list_conversions(
        self, caller: Caller, profile_id: int, before: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            place = await enter_profile(connection, caller, profile_id, Action.READ)
            rows = await connection.fetch(_SQL["list"], *place[:2], min(before, MAX_ID), limit + 1)
            found = [Conversion(*row) for row in rows]
            return ListPage.of(found, limit)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def create_hook(
        self, caller: Caller, profile_id: int, draft: HookDraft
    ) -> tuple[ConversionHook, str]:
        token = tokens.new("wph_")

        async def work(connection: Connection) -> ConversionHook:
            place = await enter_profile(connection, caller, profile_id, Action.EDIT)
            if await connection.fetchval(_SQL["count_hooks"], *place[:2]) >= MAX_HOOKS:
                raise ConflictError("hooks", f"there are {MAX_HOOKS}; delete one first")
            fields = msgspec.json.encode(draft.fields).decode()
            row = await connection.fetchrow(
                _SQL["create_hook"],
                *place[:2],
                draft.label,
                draft.name,
                fields,
                tokens.require_digest(token),
            )
            return _hook(row)

        return await self._database.transaction(work, caller=caller), token

    async def list_hooks(self, caller: Caller, profile_id: int, after: int, limit: int) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            place = await enter_profile(connection, caller, profile_id, Action.READ)
            rows = await connection.fetch(
                _SQL["list_hooks"], *place[:2], min(after, MAX_ID), limit + 1
            )
            found = [_hook(row) for row in rows]
            return ListPage.of(found, limit)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def delete_hook(self, caller: Caller, profile_id: int, hook_id: int) -> None:
        async def work(connection: Connection) -> None:
            place = await enter_profile(connection, caller, profile_id, Action.EDIT)
            key = *place[:2], validate_id(hook_id, "hook")
            if await connection.fetchval(_SQL["delete_hook"], *key) is None:
                raise NotFoundError.of("hook")

        await self._database.transaction(work, caller=caller)

    async def hook_of(self, token: str) -> ResolvedHook | None:
        digest = tokens.digest(token)

        async def work(connection: Connection) -> ResolvedHook | None:
            row = await connection.fetchrow(_SQL["hook_of"], digest)
            if row is None:
                return None
            fields = msgspec.json.decode(row["fields"], type=HookFieldPaths)
            return ResolvedHook(row["tenant_id"], row["profile_id"], row["name"], fields)

        return None if digest is None else await self._database.transaction(work, read_only=True)


async def click_id_secret(database: Database) -> bytes:
    """What click ids are sealed with; drawn by whoever asks first."""

    async def work(connection: Connection) -> bytes:
        return bytes(await connection.fetchval(_SQL["click_id_secret"]))

    return await database.transaction(work)


async def _record(
    connection: Connection,
    tenant_id: int,
    profile_id: int,
    told: Sequence[VerifiedConversion],
    source: ConversionSource,
) -> list[RecordedConversion]:
    unique: dict[Key, VerifiedConversion] = {}
    for one in told:
        unique.setdefault(key_of(one), one)
    experiments = sorted({one.click.experiment_id for one in told})
    rows = await connection.fetch(_SQL["windows"], tenant_id, experiments)
    windows: dict[int, int] = {row[0]: row[1] for row in rows}
    attribution = {
        key: attribution_of(one, windows.get(one.click.experiment_id))
        for key, one in unique.items()
    }
    records = [(*key, *_columns(unique[key], source, attribution[key])) for key in sorted(unique)]
    columns = _arrays(records, 15)
    new = {
        tuple(row)
        for row in await connection.fetch(_SQL["insert"], tenant_id, profile_id, *columns)
    }
    if len(new) < len(unique):
        kept = await connection.fetch(_SQL["existing"], tenant_id, *_arrays(sorted(unique), 3))
        attribution |= {(row[0], row[1], row[2]): row[3] for row in kept}
    counted = [
        one for key, one in unique.items() if key in new and attribution[key] == "attributed"
    ]
    await _count(connection, tenant_id, counted, sorted(new))
    found, seen = [], set()
    for one in told:
        key = key_of(one)
        found.append(RecordedConversion(attribution[key], key not in new or key in seen))
        seen.add(key)
    return found


async def _count(
    connection: Connection,
    tenant_id: int,
    counted: Sequence[VerifiedConversion],
    new: Sequence[Any],
) -> None:
    """Add what counts to the experiments."""
    known = [one for one in counted if one.click.visitor]
    open_from = await connection.fetchval(_SQL["open_days"], RETENTION_DAYS)
    late = [one for one in known if COOKIE_DAY < day_of(one.click) < open_from]
    fresh = [one for one in known if not COOKIE_DAY < day_of(one.click) < open_from]
    nobody = [one for one in counted if not one.click.visitor]
    await add_increments(connection, observed(tenant_id, fresh, [*fresh, *nobody]))
    if late:
        await _count_late(connection, tenant_id, late, new)


async def _count_late(
    connection: Connection, tenant_id: int, late: Sequence[VerifiedConversion], new: Sequence[Any]
) -> None:
    experiments = sorted({one.click.experiment_id for one in late})
    await connection.execute(_SQL["lock_experiments"], experiments)
    units = sorted({unit_of(one.click) for one in late})
    before = {
        tuple(row)
        for row in await connection.fetch(
            _SQL["converted_before"], tenant_id, *_arrays(units, 4), *_arrays(new, 3)
        )
    }
    sums: dict[VariantBucketKey, list[int]] = {}
    for one in sorted(late, key=lambda one: one.at):
        unit = unit_of(one.click)
        count = sums.setdefault(_sum_key(tenant_id, one), [0, 0])
        count[0] += 1
        count[1] += unit not in before
        before.add(unit)
    rows = [(*key, *count) for key, count in sorted(sums.items())]
    await connection.execute(_SQL["add_late"], *_arrays(rows, 7))


def observed(
    tenant_id: int, fresh: Iterable[VerifiedConversion], every: Iterable[VerifiedConversion]
) -> ExperimentIncrements:
    """Conversions as what a fold would have seen: outcomes of visitors, and all outcomes by time."""
    units: dict[UnitKey, UnitIncrement] = {}
    for one in sorted(fresh, key=lambda one: one.at):
        experiment_id, phase, day, visitor = unit_of(one.click)
        key = UnitKey(tenant_id, experiment_id, phase, day, visitor)
        before = units.get(key, UnitIncrement(key, one.click.arm, False, 0, 0, None, one.at))
        units[key] = before._replace(
            outcomes=before.outcomes + 1,
            multiple_exposures=before.multiple_exposures or before.variant != one.click.arm,
        )
    sums: dict[VariantBucketKey, int] = {}
    for one in every:
        place = _sum_key(tenant_id, one)
        sums[place] = sums.get(place, 0) + 1
    return ExperimentIncrements(
        [units[key] for key in sorted(units)], [(key, 0, sums[key]) for key in sorted(sums)]
    )


def key_of(told: VerifiedConversion) -> Key:
    digest = hashlib.sha256(told.draft.click_id.encode("utf-8", "replace")).digest()
    return digest, told.draft.name, told.draft.order_id


def unit_of(click: ClickId) -> tuple[int, int, date, int]:
    visitor = int.from_bytes(click.visitor, "big", signed=True)
    return click.experiment_id, click.phase, day_of(click), visitor


def day_of(click: ClickId) -> date:
    if click.by_cookie:
        return COOKIE_DAY
    return time_of(click.at_us).date()


def _sum_key(tenant_id: int, told: VerifiedConversion) -> VariantBucketKey:
    click = told.click
    bucket = datetime.fromtimestamp(told.at.timestamp() // BUCKET_S * BUCKET_S, UTC)
    return VariantBucketKey(tenant_id, click.experiment_id, click.phase, bucket, click.arm)


def _columns(
    told: VerifiedConversion, source: ConversionSource, attribution: Attribution
) -> tuple[object, ...]:
    draft, click = told.draft, told.click
    clicked_at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=click.at_us)
    shared = (
        told.at,
        clicked_at,
        click.link_id,
        draft.value,
        draft.currency,
        source,
        attribution,
    )
    if not click.experiment_id:
        return *shared, None, None, None, None, None
    _, _, day, visitor = unit_of(click)
    return (
        *shared,
        click.experiment_id,
        click.phase,
        click.arm,
        day,
        visitor if click.visitor else None,
    )


def _arrays(rows: Iterable[Sequence[object]], width: int) -> list[list[object]]:
    """Rows as parallel arrays for unnest."""
    kept = list(rows)
    return [[row[column] for row in kept] for column in range(width)]


def _hook(row: asyncpg.Record | None) -> ConversionHook:
    assert row is not None
    fields = msgspec.json.decode(row["fields"], type=HookFieldPaths)
    return ConversionHook(**dict(row) | {"fields": fields})
