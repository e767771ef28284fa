"""Conversions in Postgres, and their increments of experiments, in one transaction.

Guarantees:
- A conversion counts once, however often it is reported: its click's id, name and order are its key.
- A visitor who converts twice is converted once, also after the visitor's row was deleted: then the conversions
  themselves, which keep the visitor id while any window is open, show whether the visitor had converted before.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, Final

import asyncpg
import msgspec

from engine.accounts.access import Action, Caller
from engine.clicks.click import time_of
from engine.clicks.click_id import ClickId
from engine.common.errors import ConflictError, NotFoundError
from engine.common.idempotency import IdempotentRequest
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
from engine.experiments.counts import bucket_of
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
from storage.postgres.idempotency import run_once

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
        conversions: Sequence[VerifiedConversion],
        source: ConversionSource,
        once: IdempotentRequest[list[RecordedConversion]] | None = None,
    ) -> list[RecordedConversion]:
        async def work(connection: Connection) -> list[RecordedConversion]:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            return await _record(connection, access.tenant_id, profile_id, conversions, source)

        return await self._database.transaction(run_once(caller, once, work), caller=caller)

    async def record_from_ingest(
        self,
        tenant_id: int,
        profile_id: int,
        conversions: Sequence[VerifiedConversion],
        source: ConversionSource,
        once: IdempotentRequest[list[RecordedConversion]] | None = None,
    ) -> list[RecordedConversion]:
        async def work(connection: Connection) -> list[RecordedConversion]:
            return await _record(connection, tenant_id, profile_id, conversions, source)

        caller = Caller(tenant_id, -profile_id)  # no user: the owner of the idempotency key
        try:
            return await self._database.transaction(run_once(caller, once, work), caller=caller)
        except asyncpg.ForeignKeyViolationError:
            raise NotFoundError.of("profile") from None

    async def list_conversions(
        self, caller: Caller, profile_id: int, before: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            rows = await connection.fetch(_SQL["list"], *access[:2], min(before, MAX_ID), limit + 1)
            results = [Conversion(*row) for row in rows]
            return ListPage.of(results, limit)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def create_hook(
        self,
        caller: Caller,
        profile_id: int,
        draft: HookDraft,
        once: IdempotentRequest[tuple[ConversionHook, str]] | None = None,
    ) -> tuple[ConversionHook, str]:
        token = tokens.new("wph_")

        async def work(connection: Connection) -> tuple[ConversionHook, str]:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            if await connection.fetchval(_SQL["count_hooks"], *access[:2]) >= MAX_HOOKS:
                raise ConflictError(
                    "hooks", f"must be at most {MAX_HOOKS} in a profile; delete one first"
                )
            fields = msgspec.json.encode(draft.fields).decode()
            row = await connection.fetchrow(
                _SQL["create_hook"],
                *access[:2],
                draft.label,
                draft.name,
                fields,
                tokens.require_digest(token),
            )
            return _hook(row), token

        return await self._database.transaction(run_once(caller, once, work), caller=caller)

    async def list_hooks(self, caller: Caller, profile_id: int, after: int, limit: int) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            rows = await connection.fetch(
                _SQL["list_hooks"], *access[:2], min(after, MAX_ID), limit + 1
            )
            results = [_hook(row) for row in rows]
            return ListPage.of(results, limit)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def delete_hook(self, caller: Caller, profile_id: int, hook_id: int) -> None:
        async def work(connection: Connection) -> None:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            key = *access[:2], validate_id(hook_id, "hook")
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
    """Return the secret that seals click ids; the first caller draws it."""

    async def work(connection: Connection) -> bytes:
        return bytes(await connection.fetchval(_SQL["click_id_secret"]))

    return await database.transaction(work)


async def _record(
    connection: Connection,
    tenant_id: int,
    profile_id: int,
    conversions: Sequence[VerifiedConversion],
    source: ConversionSource,
) -> list[RecordedConversion]:
    unique: dict[Key, VerifiedConversion] = {}
    for conversion in conversions:
        unique.setdefault(conversion_key(conversion), conversion)
    experiments = sorted({conversion.click.experiment_id for conversion in conversions})
    rows = await connection.fetch(_SQL["windows"], tenant_id, experiments)
    windows: dict[int, int] = {row[0]: row[1] for row in rows}
    attribution = {
        key: attribution_of(conversion, windows.get(conversion.click.experiment_id))
        for key, conversion in unique.items()
    }
    records = [(*key, *_columns(unique[key], source, attribution[key])) for key in sorted(unique)]
    columns = _arrays(records, 15)
    new = {
        tuple(row)
        for row in await connection.fetch(_SQL["insert"], tenant_id, profile_id, *columns)
    }
    if len(new) < len(unique):
        existing = await connection.fetch(_SQL["existing"], tenant_id, *_arrays(sorted(unique), 3))
        attribution |= {(row[0], row[1], row[2]): row[3] for row in existing}
    counted = [
        conversion
        for key, conversion in unique.items()
        if key in new and attribution[key] == "attributed"
    ]
    await _count(connection, tenant_id, counted, sorted(new))
    results, seen_keys = [], set()
    for conversion in conversions:
        key = conversion_key(conversion)
        results.append(RecordedConversion(attribution[key], key not in new or key in seen_keys))
        seen_keys.add(key)
    return results


async def _count(
    connection: Connection,
    tenant_id: int,
    counted: Sequence[VerifiedConversion],
    new: Sequence[Any],
) -> None:
    """Add the conversions that count to their experiments."""
    recognised = [conversion for conversion in counted if conversion.click.visitor_id]
    open_from = await connection.fetchval(_SQL["open_days"], RETENTION_DAYS)
    late = [
        conversion for conversion in recognised if COOKIE_DAY < day_of(conversion.click) < open_from
    ]
    fresh = [
        conversion
        for conversion in recognised
        if not COOKIE_DAY < day_of(conversion.click) < open_from
    ]
    unrecognised = [conversion for conversion in counted if not conversion.click.visitor_id]
    await add_increments(connection, increments_of(tenant_id, fresh, [*fresh, *unrecognised]))
    if late:
        await _count_late(connection, tenant_id, late, new)


async def _count_late(
    connection: Connection, tenant_id: int, late: Sequence[VerifiedConversion], new: Sequence[Any]
) -> None:
    experiments = sorted({conversion.click.experiment_id for conversion in late})
    await connection.execute(_SQL["lock_experiments"], experiments)
    units = sorted({unit_of(conversion.click) for conversion in late})
    before = {
        tuple(row)
        for row in await connection.fetch(
            _SQL["converted_before"], tenant_id, *_arrays(units, 4), *_arrays(new, 3)
        )
    }
    sums: dict[VariantBucketKey, list[int]] = {}
    for conversion in sorted(late, key=lambda conversion: conversion.at):
        unit = unit_of(conversion.click)
        count = sums.setdefault(_sum_key(tenant_id, conversion), [0, 0])
        count[0] += 1
        count[1] += unit not in before
        before.add(unit)
    rows = [(*key, *count) for key, count in sorted(sums.items())]
    await connection.execute(_SQL["add_late"], *_arrays(rows, 7))


def increments_of(
    tenant_id: int, fresh: Iterable[VerifiedConversion], every: Iterable[VerifiedConversion]
) -> ExperimentIncrements:
    """Return conversions as increments of a fold: outcomes of visitors, and all outcomes by time."""
    units: dict[UnitKey, UnitIncrement] = {}
    for conversion in sorted(fresh, key=lambda conversion: conversion.at):
        experiment_id, phase, day, visitor = unit_of(conversion.click)
        key = UnitKey(tenant_id, experiment_id, phase, day, visitor)
        before = units.get(
            key, UnitIncrement(key, conversion.click.variant, False, 0, 0, None, conversion.at)
        )
        units[key] = before._replace(
            outcomes=before.outcomes + 1,
            multiple_exposures=before.multiple_exposures
            or before.variant != conversion.click.variant,
        )
    sums: dict[VariantBucketKey, int] = {}
    for conversion in every:
        access = _sum_key(tenant_id, conversion)
        sums[access] = sums.get(access, 0) + 1
    return ExperimentIncrements(
        [units[key] for key in sorted(units)], [(key, 0, sums[key]) for key in sorted(sums)]
    )


def conversion_key(conversion: VerifiedConversion) -> Key:
    digest = hashlib.sha256(conversion.draft.click_id.encode("utf-8", "replace")).digest()
    return digest, conversion.draft.name, conversion.draft.order_id


def unit_of(click: ClickId) -> tuple[int, int, date, int]:
    visitor = int.from_bytes(click.visitor_id, "big", signed=True)
    return click.experiment_id, click.phase, day_of(click), visitor


def day_of(click: ClickId) -> date:
    if click.by_cookie:
        return COOKIE_DAY
    return time_of(click.at_us).date()


def _sum_key(tenant_id: int, conversion: VerifiedConversion) -> VariantBucketKey:
    click = conversion.click
    bucket = bucket_of(conversion.at)
    return VariantBucketKey(tenant_id, click.experiment_id, click.phase, bucket, click.variant)


def _columns(
    conversion: VerifiedConversion, source: ConversionSource, attribution: Attribution
) -> tuple[object, ...]:
    draft, click = conversion.draft, conversion.click
    clicked_at = time_of(click.at_us)
    shared = (
        conversion.at,
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
        click.variant,
        day,
        visitor if click.visitor_id else None,
    )


def _arrays(rows: Iterable[Sequence[object]], width: int) -> list[list[object]]:
    """Rows as parallel arrays for unnest."""
    existing = list(rows)
    return [[row[column] for row in existing] for column in range(width)]


def _hook(row: asyncpg.Record | None) -> ConversionHook:
    assert row is not None
    fields = msgspec.json.decode(row["fields"], type=HookFieldPaths)
    return ConversionHook(**dict(row) | {"fields": fields})
