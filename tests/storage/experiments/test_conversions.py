"""Conversions: each once, visitors once, however late, often or out of order; in memory and in Postgres."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import asyncpg
import msgspec
import pytest
import trio

from engine.clicks.click import time_of
from engine.clicks.click_id import ClickId
from engine.common.errors import NotFoundError
from engine.experiments.conversion import ConversionDraft, VerifiedConversion
from engine.experiments.counts import VariantCounts
from engine.experiments.experiment import StoredExperiment
from engine.experiments.ports import ConversionStore
from engine.experiments.refund import VerifiedRefund
from storage.bridge import in_asyncio
from storage.experiments.conversions import PostgresConversionStore
from storage.experiments.counts import ExperimentCountsPurge
from storage.experiments.memory_conversions import MemoryConversionStore
from storage.experiments.memory_experiments import MemoryExperimentStore
from storage.links.memory_profiles import MemoryProfiles
from tests.kit.hosted import hosted_run
from tests.kit.stores import ExperimentStores, opened, postgres_experiments
from tests.storage.experiments.test_experiments import count, counts, started

pytestmark = pytest.mark.trio(run=hosted_run)

HOUR = timedelta(hours=1)


class Shop(NamedTuple):
    """A store of conversions, and the stores of their experiments."""

    store: ConversionStore
    experiments: ExperimentStores


@pytest.fixture
async def shop(place: str, experiments: ExperimentStores) -> AsyncIterator[Shop]:
    if not place:
        assert isinstance(experiments.profiles, MemoryProfiles)
        assert isinstance(experiments.store, MemoryExperimentStore)
        yield Shop(MemoryConversionStore(experiments.profiles, experiments.store), experiments)
        return
    async with opened(place) as open_database:
        yield Shop(PostgresConversionStore(await open_database("waypost_app")), experiments)


def now() -> datetime:
    return datetime.now(UTC)


def us(at: datetime) -> int:
    return round(at.timestamp() * 1e6)


def click(
    running: StoredExperiment, visitor: int, variant: int, at: datetime, **more: Any
) -> ClickId:
    experiment = running.experiment
    assert experiment.link_id is not None
    fields: dict[str, Any] = {
        "experiment_id": running.id, "phase": experiment.phase, "variant": variant,
        "visitor_id": visitor.to_bytes(8, "big", signed=True) if visitor else b"",
    }  # fmt: skip
    tenant = more.pop("tenant", 1)
    return ClickId(tenant, running.profile_id, experiment.link_id, us(at), **fields | more)


def conversion(
    of: ClickId, at: datetime, received: datetime | None = None, **fields: Any
) -> VerifiedConversion:
    name = f"{of.at_us}-{of.visitor_id.hex()}-{of.variant}"
    draft = ConversionDraft(click_id=name, **fields)
    return VerifiedConversion(draft, of, at, received or at)


async def report(
    shop: Shop, running: StoredExperiment, *conversions: VerifiedConversion
) -> list[tuple[str, bool]]:
    results = await shop.store.record(
        shop.experiments.caller, running.profile_id, conversions, "api"
    )
    return [(result.attribution, result.duplicate) for result in results]


async def test_a_conversion_counts_once_and_a_visitor_once(shop: Shop) -> None:
    running = await started(shop.experiments)
    at = now()
    await count(shop.experiments, running, [("show", 1, 0, us(at)), ("show", 2, 1, us(at))])
    first, second = click(running, 1, 0, at), click(running, 1, 0, at + HOUR)
    sale = conversion(first, at + HOUR)
    assert await report(shop, running, sale, sale) == [("attributed", False), ("attributed", True)]
    assert await report(shop, running, sale) == [("attributed", True)]
    assert await counts(shop.experiments, running) == (
        VariantCounts(1, 1, 1, 1),
        VariantCounts(1, 0, 1, 0),
    )
    again = [conversion(first, at + HOUR, order_id="2"), conversion(second, at + 2 * HOUR)]
    assert await report(shop, running, *again) == [("attributed", False)] * 2
    assert await counts(shop.experiments, running) == (
        VariantCounts(1, 3, 1, 1),
        VariantCounts(1, 0, 1, 0),
    )


async def test_a_conversion_may_come_before_its_click_is_folded(shop: Shop) -> None:
    running = await started(shop.experiments)
    at = now()
    await report(shop, running, conversion(click(running, 7, 1, at), at))
    assert await counts(shop.experiments, running) == (VariantCounts(), VariantCounts(0, 1, 0, 0))
    await count(shop.experiments, running, [("show", 7, 1, us(at))])
    assert await counts(shop.experiments, running) == (VariantCounts(), VariantCounts(1, 1, 1, 1))


async def test_conversions_that_do_not_count_are_kept_with_the_reason(shop: Shop) -> None:
    running = await started(shop.experiments, attribution_hours=24)
    at = (now() - timedelta(days=2)).replace(hour=12)
    exposed = click(running, 1, 0, at)
    await count(shop.experiments, running, [("show", 1, 0, us(at))])
    late = conversion(exposed, at + timedelta(hours=24, seconds=1), order_id="late")
    in_time = conversion(exposed, at + timedelta(hours=24), now(), order_id="reported later")
    unexposed = conversion(exposed._replace(experiment_id=0, phase=0, visitor_id=b""), at)
    deleted = conversion(exposed._replace(experiment_id=running.id + 1), at)
    too_late = conversion(exposed, at + HOUR, at + timedelta(days=32), order_id="reported too late")
    assert await report(shop, running, late, unexposed, deleted, too_late) == [
        ("expired", False), ("unexposed", False), ("deleted", False), ("expired", False),
    ]  # fmt: skip
    assert (await counts(shop.experiments, running))[0] == VariantCounts(1, 0, 1, 0)
    assert await report(shop, running, in_time) == [("attributed", False)]
    assert (await counts(shop.experiments, running))[0] == VariantCounts(1, 1, 1, 1)


@pytest.mark.parametrize("at_us", [-(2**63), -1, 2**63 - 1])
async def test_a_click_of_a_strange_clock_can_convert(shop: Shop, at_us: int) -> None:
    """The click id of an edge whose clock was wrong is valid, and its conversion is kept."""
    running = await started(shop.experiments)
    strange = click(running, 1, 0, now())._replace(at_us=at_us)
    ((_, duplicate),) = await report(shop, running, conversion(strange, now()))
    assert not duplicate
    page = await shop.store.list_conversions(shop.experiments.caller, running.profile_id, 0, 10)
    assert page.items[0].clicked_at == time_of(at_us)


async def test_a_visitor_of_two_variants_converts_in_none(shop: Shop) -> None:
    running = await started(shop.experiments)
    at = now()
    await count(shop.experiments, running, [("show", 1, 0, us(at)), ("show", 1, 1, us(at))])
    await report(
        shop,
        running,
        conversion(click(running, 1, 0, at), at),
        conversion(click(running, 1, 1, at), at),
    )
    assert await counts(shop.experiments, running) == (
        VariantCounts(1, 1, 0, 0, 1),
        VariantCounts(1, 1, 0, 0, 0),
    )


async def test_another_tenant_cannot_report_conversions(shop: Shop) -> None:
    running = await started(shop.experiments)
    reported = conversion(click(running, 1, 0, now()), now())
    with pytest.raises(NotFoundError):
        await shop.store.record(shop.experiments.other, running.profile_id, [reported], "api")
    tenant = shop.experiments.caller.tenant_id
    with pytest.raises(NotFoundError):
        await shop.store.record_from_ingest(tenant, running.profile_id + 5, [reported], "script")
    results = await shop.store.record_from_ingest(tenant, running.profile_id, [reported], "script")
    assert results == [("attributed", False)]


async def test_conversions_are_listed_newest_first(shop: Shop) -> None:
    running = await started(shop.experiments)
    me, profile_id, at = shop.experiments.caller, running.profile_id, now().replace(microsecond=5)
    sale = conversion(click(running, 1, 1, at), at, value=Decimal("9.5"), currency="EUR")
    visit = conversion(
        click(running, 2, 0, at)._replace(experiment_id=0), at, name="visit", order_id="7"
    )
    for reported in (sale, visit):
        await report(shop, running, reported)
    page = await shop.store.list_conversions(me, profile_id, 0, 1)
    (newest,), before = page
    assert newest[1:4] == ("visit", "7", at)
    assert newest[9:] == ("api", "unexposed", None, None, None)
    assert before is not None
    (oldest,), none = await shop.store.list_conversions(me, profile_id, before, 5)
    assert oldest.value == Decimal("9.5")
    assert (oldest.clicked_at, oldest.link_id) == (at, sale.known_click.link_id)
    assert oldest[9:] == ("api", "attributed", running.id, 1, 1)
    assert none is None
    with pytest.raises(NotFoundError):
        await shop.store.list_conversions(shop.experiments.other, profile_id, 0, 5)


@pytest.mark.slow
async def test_late_conversions_count_once_after_their_visitors_are_purged(
    database_url: str,
) -> None:
    """Report conversions of clicks four days ago: rows of visitors are purged, sums are kept."""
    async with opened(database_url) as open_role:
        experiments = await postgres_experiments(open_role)
        store = PostgresConversionStore(await open_role("waypost_app"))
        shop = Shop(store, experiments)
        running = await started(experiments)
        at = (now() - timedelta(days=4)).replace(hour=12)
        exposures = [("show", n, n % 2, us(at)) for n in range(1, 9)] + [("show", 99, 0, us(now()))]
        before = await count(experiments, running, exposures)
        await report(shop, running, conversion(click(running, 2, 0, at), at + HOUR))
        assert before == (VariantCounts(5, 0, 5, 0), VariantCounts(4, 0, 4, 0))
        counts_purge = ExperimentCountsPurge(await open_role("waypost_aggregator"))
        assert await counts_purge.purge() == 8
        assert (await counts(experiments, running))[0] == VariantCounts(5, 1, 5, 1)
        late = [
            conversion(click(running, n, n % 2, at), now(), order_id=str(n)) for n in (2, 3, 3, 4)
        ]
        late += [conversion(click(running, 3, 1, at + HOUR), now())]
        await report(shop, running, *late)
        assert await counts(experiments, running) == (
            VariantCounts(5, 3, 5, 2),
            VariantCounts(4, 2, 4, 1),
        )
        await report(shop, running, conversion(click(running, 3, 1, at), now(), order_id="other"))
        assert await counts(experiments, running) == (
            VariantCounts(5, 3, 5, 2),
            VariantCounts(4, 3, 4, 1),
        )
        assert await counts_purge.purge() == 0
        await experiments.store.move_experiment(experiments.caller, running.id, "paused")
        await experiments.store.delete_experiment(experiments.caller, running.id)
        assert await _rows(database_url, "experiment_visitors") > 0
        other = await started(experiments)
        await count(experiments, other, [("show", 1, 0, us(now()))])
        assert await counts_purge.purge() > 0
        assert await counts(experiments, other) == (VariantCounts(1, 0, 1), VariantCounts())
        assert await _rows(database_url, "experiment_visitors") == 1
        assert await _rows(database_url, "experiment_sums") == 1


@pytest.mark.slow
async def test_values_add_up_by_currency(database_url: str) -> None:
    async with opened(database_url) as open_role:
        experiments = await postgres_experiments(open_role)
        shop = Shop(PostgresConversionStore(await open_role("waypost_app")), experiments)
        running = await started(experiments)
        at = now()
        worth = [("10.10", "EUR"), ("0.0001", "EUR"), ("7", "USD")]
        await report(shop, running, *(
            conversion(click(running, n, 1, at), at, value=Decimal(value), currency=currency)
            for n, (value, currency) in enumerate(worth, 1)
        ))  # fmt: skip
        _, experiment_counts = await experiments.store.counts(experiments.caller, running.id)
        assert experiment_counts.values == ((1, "EUR", 2, "10.1001"), (1, "USD", 1, "7.0000"))
        assert experiment_counts.unattributed == 0


async def _rows(url: str, table: str) -> int:
    async def ask() -> int:
        connection = await asyncpg.connect(url)
        try:
            return int(await connection.fetchval(f"SELECT count(*) FROM waypost.{table}"))
        finally:
            await connection.close()

    return await in_asyncio(ask)


def hook_order(
    running: StoredExperiment, visitor: int, order_id: str, value: str
) -> VerifiedConversion:
    at = now()
    worth: dict[str, Any] = {"value": Decimal(value), "currency": "EUR"}
    return conversion(click(running, visitor, 0, at), at, name="sale", order_id=order_id, **worth)


async def values_of(shop: Shop, running: StoredExperiment) -> list[tuple[str, str, str]]:
    """Return (order, value, source) of the conversions, oldest first."""
    caller, profile_id = shop.experiments.caller, running.profile_id
    page = await shop.store.list_conversions(caller, profile_id, 0, 50)
    return [(c.order_id, f"{c.value:.2f}", c.source) for c in page.items[::-1]]


async def test_an_order_under_two_clicks_is_one_but_for_claims_of_the_script(shop: Shop) -> None:
    running = await started(shop.experiments)
    tenant, profile_id = shop.experiments.caller.tenant_id, running.profile_id

    async def receive(order: VerifiedConversion) -> tuple[str, bool]:
        recorded = await shop.store.record_report(tenant, profile_id, order, [])
        assert recorded.order is not None
        return recorded.order

    async def claim(order: VerifiedConversion) -> tuple[str, bool]:
        (recorded,) = await shop.store.record_from_ingest(tenant, profile_id, [order], "script")
        return recorded

    first = hook_order(running, 1, "1", "10")
    assert await receive(first) == ("attributed", False)
    assert await receive(hook_order(running, 2, "1", "11")) == ("attributed", True)
    unexposed = hook_order(running, 1, "0", "5")
    unexposed = unexposed._replace(click=unexposed.known_click._replace(experiment_id=0))
    assert await receive(unexposed) == ("unexposed", False)
    assert await receive(hook_order(running, 2, "0", "6")) == ("unexposed", True)
    many = [hook_order(running, n, "2", "20") for n in (3, 4)]
    assert await report(shop, running, *many) == [("attributed", False), ("attributed", True)]
    assert await receive(hook_order(running, 9, "2", "20")) == ("attributed", True)
    claimed = hook_order(running, 5, "3", "0.01")
    assert await claim(claimed) == ("attributed", False)
    assert await claim(hook_order(running, 6, "4", "0.01")) == ("attributed", False)
    worth_30 = msgspec.structs.replace(claimed.draft, value=Decimal(30))
    assert await receive(claimed._replace(draft=worth_30)) == ("attributed", True)
    assert await receive(hook_order(running, 7, "3", "31")) == ("attributed", True)
    assert await receive(hook_order(running, 7, "4", "40")) == ("attributed", False)
    assert await values_of(shop, running) == [
        ("1", "10.00", "hook"), ("0", "5.00", "hook"), ("2", "20.00", "api"), ("3", "30.00", "hook"),
        ("4", "0.01", "script"), ("4", "40.00", "hook"),
    ]  # fmt: skip


async def test_orders_without_a_click_are_kept_apart_by_profile(shop: Shop) -> None:
    running = await started(shop.experiments)
    tenant, profile_id = shop.experiments.caller.tenant_id, running.profile_id
    unknown = hook_order(running, 1, "1", "10")._replace(click=None)
    for duplicate in (False, True):
        recorded = await shop.store.record_report(tenant, profile_id, unknown, [])
        assert recorded.order == ("unattributed", duplicate)
    page = await shop.store.list_conversions(shop.experiments.caller, profile_id, 0, 5)
    (stored,) = page.items
    assert (stored.link_id, stored.clicked_at, stored.experiment_id) == (None, None, None)
    assert await counts(shop.experiments, running) == (VariantCounts(), VariantCounts())


async def test_refunds_are_recorded_once_before_or_after_their_order(shop: Shop) -> None:
    running = await started(shop.experiments)
    me, profile_id = shop.experiments.caller, running.profile_id
    back = VerifiedRefund("sale", "1", "r", "amount", Decimal(4), "EUR", now())
    void = VerifiedRefund("sale", "1", "v", "void", None, None, now())
    recorded = await shop.store.record_report(me.tenant_id, profile_id, None, [back])
    assert recorded == (None, 1)
    order = hook_order(running, 1, "1", "10")
    recorded = await shop.store.record_report(me.tenant_id, profile_id, order, [void, back])
    assert recorded == (("attributed", False), 1)
    assert await shop.store.record_refunds(me, profile_id, [back]) == 0
    with pytest.raises(NotFoundError):
        await shop.store.record_refunds(shop.experiments.other, profile_id, [back])
    with pytest.raises(NotFoundError):
        await shop.store.record_report(me.tenant_id, profile_id + 5, None, [back])
    assert await values_of(shop, running) == [("1", "10.00", "hook")]


@pytest.mark.slow
async def test_one_order_reported_at_once_under_many_clicks_is_one(database_url: str) -> None:
    async with opened(database_url) as open_role:
        experiments = await postgres_experiments(open_role)
        shop = Shop(PostgresConversionStore(await open_role("waypost_app", size=8)), experiments)
        running = await started(experiments)
        orders = [
            [hook_order(running, visitor, str(order), "1") for order in dice_order]
            for visitor, dice_order in enumerate([(1, 2, 3), (3, 2, 1), (2, 3, 1)] * 3, 1)
        ]
        results: list[tuple[str, bool]] = []

        async def send(conversions: list[VerifiedConversion]) -> None:
            results.extend(await report(shop, running, *conversions))

        async with trio.open_nursery() as nursery:
            for conversions in orders:
                nursery.start_soon(send, conversions)
        assert sorted(duplicate for _, duplicate in results) == [False] * 3 + [True] * 24
        assert len(await values_of(shop, running)) == 3
