"""Conversions in Postgres, and their increments of experiments, in one transaction.

Guarantees:
- A conversion counts once, however often it is reported: its click's id, name and order are its key.
- An order that the API or a hook reports is one, under whichever clicks; the first of them has it. What the
  script reports is a visitor's claim: it takes no order from them, and their value replaces its own.
- A visitor who converts twice is converted once, also after the visitor's row was deleted: then the conversions
  themselves, which keep the visitor id while any window is open, show whether the visitor had converted before.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final, TypeVar

import asyncpg

from engine.accounts.access import Action, Caller
from engine.clicks.click import time_of
from engine.clicks.click_id import ClickId
from engine.common.errors import NotFoundError, UnavailableError
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
from engine.experiments.counts import bucket_of
from engine.experiments.increments import (
    COOKIE_DAY,
    ExperimentIncrements,
    UnitIncrement,
    UnitKey,
    VariantBucketKey,
)
from engine.experiments.refund import VerifiedRefund
from storage.accounts.access import MAX_ID, enter_profile
from storage.experiments.counts import RETENTION_DAYS, add_increments
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.postgres.idempotency import run_once

_SQL: Final = queries.load("experiments/conversions")
Key = tuple[bytes, str, str]
T = TypeVar("T")


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

        return await self._ingest(tenant_id, profile_id, work, once)

    async def record_report(
        self,
        tenant_id: int,
        profile_id: int,
        order: VerifiedConversion | None,
        refunds: Sequence[VerifiedRefund],
        once: IdempotentRequest[RecordedReport] | None = None,
    ) -> RecordedReport:
        async def work(connection: Connection) -> RecordedReport:
            recorded = None
            if order is not None:
                (recorded,) = await _record(connection, tenant_id, profile_id, [order], "hook")
            new_refunds = await _insert_refunds(connection, tenant_id, profile_id, refunds)
            return RecordedReport(recorded, new_refunds)

        return await self._ingest(tenant_id, profile_id, work, once)

    async def record_refunds(
        self,
        caller: Caller,
        profile_id: int,
        refunds: Sequence[VerifiedRefund],
        once: IdempotentRequest[int] | None = None,
    ) -> int:
        async def work(connection: Connection) -> int:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            return await _insert_refunds(connection, access.tenant_id, profile_id, refunds)

        return await self._database.transaction(run_once(caller, once, work), caller=caller)

    async def _ingest(
        self,
        tenant_id: int,
        profile_id: int,
        work: Callable[[Connection], Awaitable[T]],
        once: IdempotentRequest[T] | None,
    ) -> T:
        """Run `work` without a user. Raises NotFoundError for a deleted profile."""
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
    keys = keys_of(conversions, profile_id, source)
    unique: dict[Key, VerifiedConversion] = {}
    for key, conversion in zip(keys, conversions, strict=True):
        unique.setdefault(key, conversion)
    attribution = await _attribute(connection, tenant_id, unique)
    records = [
        (
            *key,
            *_columns(unique[key], source, attribution[key]),
            None if source == "script" else key[2] or None,
        )
        for key in sorted(unique, key=_lock_order)
    ]
    columns = _arrays(records, 18)
    new = {
        tuple(row)
        for row in await connection.fetch(_SQL["insert"], tenant_id, profile_id, *columns)
    }
    if len(new) < len(unique):
        old = sorted(unique.keys() - new)
        attribution |= await _existing(connection, tenant_id, profile_id, old, source)
        if source != "script":
            await _replace_script(connection, tenant_id, profile_id, old, unique, source)
    counted = [
        conversion
        for key, conversion in unique.items()
        if key in new and attribution[key] == "attributed"
    ]
    await _count(connection, tenant_id, counted, sorted(new))
    results, seen_keys = [], set()
    for key in keys:
        results.append(RecordedConversion(attribution[key], key not in new or key in seen_keys))
        seen_keys.add(key)
    return results


async def _attribute(
    connection: Connection, tenant_id: int, conversions: Mapping[Key, VerifiedConversion]
) -> dict[Key, Attribution]:
    """Return how the experiments of new conversions take them."""
    clicks = [conversion.click for conversion in conversions.values()]
    experiments = sorted({click.experiment_id for click in clicks if click})
    rows = await connection.fetch(_SQL["windows"], tenant_id, experiments)
    windows: dict[int, int] = {row[0]: row[1] for row in rows}
    return {
        key: attribution_of(
            conversion, windows.get(conversion.click.experiment_id) if conversion.click else None
        )
        for key, conversion in conversions.items()
    }


def _lock_order(key: Key) -> tuple[str, str, bytes]:
    """Return what rows are inserted in the order of: equal orders meet in it, whichever clicks they have."""
    return key[1], key[2], key[0]


def keys_of(
    conversions: Sequence[VerifiedConversion], profile_id: int, source: ConversionSource
) -> list[Key]:
    """Return the key of each conversion; of an order that stands under several clicks, that of the first."""
    keys: list[Key] = []
    keys_of_orders: dict[tuple[str, str], Key] = {}
    for conversion in conversions:
        key = conversion_key(conversion, profile_id)
        if key[2] and source != "script":
            key = keys_of_orders.setdefault(key[1:], key)
        keys.append(key)
    return keys


async def _existing(
    connection: Connection,
    tenant_id: int,
    profile_id: int,
    keys: Sequence[Key],
    source: ConversionSource,
) -> dict[Key, Attribution]:
    """Return how existing conversions were attributed."""
    columns = _arrays(keys, 3)
    rows = await connection.fetch(_SQL["existing"], tenant_id, *columns)
    if source != "script":
        rows = [
            *rows,
            *await connection.fetch(_SQL["existing_orders"], tenant_id, profile_id, *columns),
        ]
    return {(row[0], row[1], row[2]): row[3] for row in rows}


async def _replace_script(
    connection: Connection,
    tenant_id: int,
    profile_id: int,
    keys: Sequence[Key],
    conversions: Mapping[Key, VerifiedConversion],
    source: ConversionSource,
) -> None:
    rows = [(*key, conversions[key].draft.value, conversions[key].draft.currency) for key in keys]
    try:
        await connection.execute(
            _SQL["replace_script"], tenant_id, profile_id, source, *_arrays(rows, 5)
        )
    except asyncpg.UniqueViolationError:
        # Another request has just recorded this order under another click.
        raise UnavailableError("the order is being recorded; send it again") from None


def _refund_key(refund: VerifiedRefund) -> tuple[str, str, str]:
    return refund.name, refund.order_id, refund.refund_id


async def _insert_refunds(
    connection: Connection, tenant_id: int, profile_id: int, refunds: Sequence[VerifiedRefund]
) -> int:
    """Insert refunds. Returns how many are new."""
    if not refunds:
        return 0
    rows = sorted(refunds, key=_refund_key)
    columns = _arrays(rows, 7)
    return len(await connection.fetch(_SQL["insert_refunds"], tenant_id, profile_id, *columns))


async def _count(
    connection: Connection,
    tenant_id: int,
    counted: Sequence[VerifiedConversion],
    new: Sequence[Any],
) -> None:
    """Add the conversions that count to their experiments."""
    recognised = [conversion for conversion in counted if conversion.known_click.visitor_id]
    open_from = await connection.fetchval(_SQL["open_days"], RETENTION_DAYS)
    late = [
        conversion
        for conversion in recognised
        if COOKIE_DAY < day_of(conversion.known_click) < open_from
    ]
    fresh = [
        conversion
        for conversion in recognised
        if not COOKIE_DAY < day_of(conversion.known_click) < open_from
    ]
    unrecognised = [conversion for conversion in counted if not conversion.known_click.visitor_id]
    await add_increments(connection, increments_of(tenant_id, fresh, [*fresh, *unrecognised]))
    if late:
        await _count_late(connection, tenant_id, late, new)


async def _count_late(
    connection: Connection, tenant_id: int, late: Sequence[VerifiedConversion], new: Sequence[Any]
) -> None:
    experiments = sorted({conversion.known_click.experiment_id for conversion in late})
    await connection.execute(_SQL["lock_experiments"], experiments)
    units = sorted({unit_of(conversion.known_click) for conversion in late})
    before = {
        tuple(row)
        for row in await connection.fetch(
            _SQL["converted_before"], tenant_id, *_arrays(units, 4), *_arrays(new, 3)
        )
    }
    sums: dict[VariantBucketKey, list[int]] = {}
    for conversion in sorted(late, key=lambda conversion: conversion.at):
        unit = unit_of(conversion.known_click)
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
        experiment_id, phase, day, visitor = unit_of(conversion.known_click)
        key = UnitKey(tenant_id, experiment_id, phase, day, visitor)
        before = units.get(
            key,
            UnitIncrement(key, conversion.known_click.variant, False, 0, 0, None, conversion.at),
        )
        units[key] = before._replace(
            outcomes=before.outcomes + 1,
            multiple_exposures=before.multiple_exposures
            or before.variant != conversion.known_click.variant,
        )
    sums: dict[VariantBucketKey, int] = {}
    for conversion in every:
        access = _sum_key(tenant_id, conversion)
        sums[access] = sums.get(access, 0) + 1
    return ExperimentIncrements(
        [units[key] for key in sorted(units)], [(key, 0, sums[key]) for key in sorted(sums)]
    )


def conversion_key(conversion: VerifiedConversion, profile_id: int) -> Key:
    """Return a conversion's key in its profile."""
    click = conversion.draft.click_id if conversion.click else f"profile {profile_id}"
    digest = hashlib.sha256(click.encode("utf-8", "replace")).digest()
    return digest, conversion.draft.name, conversion.draft.order_id


def unit_of(click: ClickId) -> tuple[int, int, date, int]:
    visitor = int.from_bytes(click.visitor_id, "big", signed=True)
    return click.experiment_id, click.phase, day_of(click), visitor


def day_of(click: ClickId) -> date:
    if click.by_cookie:
        return COOKIE_DAY
    return time_of(click.at_us).date()


def _sum_key(tenant_id: int, conversion: VerifiedConversion) -> VariantBucketKey:
    click = conversion.known_click
    bucket = bucket_of(conversion.at)
    return VariantBucketKey(tenant_id, click.experiment_id, click.phase, bucket, click.variant)


def _columns(
    conversion: VerifiedConversion, source: ConversionSource, attribution: Attribution
) -> tuple[object, ...]:
    draft, click = conversion.draft, conversion.click
    shared = (
        conversion.at,
        time_of(click.at_us) if click else None,
        click.link_id if click else None,
        draft.value,
        draft.currency,
        source,
        attribution,
    )
    looked_for = _click_visitor(click), conversion.received_at if click else None
    if click is None or not click.experiment_id:
        return *shared, None, None, None, None, None, *looked_for
    _, _, day, visitor = unit_of(click)
    return (
        *shared,
        click.experiment_id,
        click.phase,
        click.variant,
        day,
        visitor if click.visitor_id else None,
        *looked_for,
    )


def _click_visitor(click: ClickId | None) -> int | None:
    """Return the visitor that the raw click has; a cookie's is another one."""
    if click is None or click.by_cookie or not click.visitor_id:
        return None
    return int.from_bytes(click.visitor_id, "big", signed=True)


def _arrays(rows: Iterable[Sequence[object]], width: int) -> list[list[object]]:
    """Rows as parallel arrays for unnest."""
    existing = list(rows)
    return [[row[column] for row in existing] for column in range(width)]
