"""Conversions: each once, visitors once, however late, often or out of order; in memory and in Postgres."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import asyncpg
import pytest

from engine.clicks.click_id import ClickId
from engine.common.errors import NotFoundError
from engine.experiments.conversion import (
    ConversionDraft,
    HookDraft,
    HookFieldPaths,
    VerifiedConversion,
)
from engine.experiments.counts import VariantCounts
from engine.experiments.experiment import StoredExperiment
from engine.experiments.ports import ConversionStore
from storage.bridge import in_asyncio
from storage.experiments.conversions import PostgresConversionStore
from storage.experiments.counts import ExperimentCountsPurge
from storage.experiments.memory_conversions import MemoryConversionStore
from storage.experiments.memory_experiments import MemoryExperimentStore
from storage.links.memory_profiles import MemoryProfiles
from tests.kit.hosted import hosted_run
from tests.kit.stores import Trials, opened, stored_trials
from tests.storage.experiments.test_experiments import count, counts, started

pytestmark = pytest.mark.trio(run=hosted_run)

HOUR = timedelta(hours=1)


class Shop(NamedTuple):
    """Conversions beside the experiments that they are of."""

    store: ConversionStore
    trials: Trials


@pytest.fixture
async def shop(place: str, trials: Trials) -> AsyncIterator[Shop]:
    if not place:
        assert isinstance(trials.profiles, MemoryProfiles)
        assert isinstance(trials.experiments, MemoryExperimentStore)
        yield Shop(MemoryConversionStore(trials.profiles, trials.experiments), trials)
        return
    async with opened(place) as open_database:
        yield Shop(PostgresConversionStore(await open_database("waypost_app")), trials)


def now() -> datetime:
    return datetime.now(UTC)


def us(at: datetime) -> int:
    return round(at.timestamp() * 1e6)


def click(running: StoredExperiment, visitor: int, arm: int, at: datetime, **more: Any) -> ClickId:
    experiment = running.experiment
    assert experiment.link_id is not None
    fields: dict[str, Any] = {
        "experiment_id": running.id, "phase": experiment.phase, "variant": arm,
        "visitor_id": visitor.to_bytes(8, "big", signed=True) if visitor else b"",
    }  # fmt: skip
    tenant = more.pop("tenant", 1)
    return ClickId(tenant, running.profile_id, experiment.link_id, us(at), **fields | more)


def told(
    of: ClickId, at: datetime, received: datetime | None = None, **fields: Any
) -> VerifiedConversion:
    name = f"{of.at_us}-{of.visitor_id.hex()}-{of.variant}"
    draft = ConversionDraft(click_id=name, **fields)
    return VerifiedConversion(draft, of, at, received or at)


async def tell(
    shop: Shop, running: StoredExperiment, *some: VerifiedConversion
) -> list[tuple[str, bool]]:
    found = await shop.store.record(shop.trials.caller, running.profile_id, some, "api")
    return [(result.attribution, result.duplicate) for result in found]


async def test_a_conversion_counts_once_and_a_visitor_once(shop: Shop) -> None:
    running = await started(shop.trials)
    at = now()
    await count(shop.trials, running, [("show", 1, 0, us(at)), ("show", 2, 1, us(at))])
    first, second = click(running, 1, 0, at), click(running, 1, 0, at + HOUR)
    sale = told(first, at + HOUR)
    assert await tell(shop, running, sale, sale) == [("attributed", False), ("attributed", True)]
    assert await tell(shop, running, sale) == [("attributed", True)]
    assert await counts(shop.trials, running) == (
        VariantCounts(1, 1, 1, 1),
        VariantCounts(1, 0, 1, 0),
    )
    again = [told(first, at + HOUR, order_id="2"), told(second, at + 2 * HOUR)]
    assert await tell(shop, running, *again) == [("attributed", False)] * 2
    assert await counts(shop.trials, running) == (
        VariantCounts(1, 3, 1, 1),
        VariantCounts(1, 0, 1, 0),
    )


async def test_it_may_come_before_its_click_is_folded(shop: Shop) -> None:
    running = await started(shop.trials)
    at = now()
    await tell(shop, running, told(click(running, 7, 1, at), at))
    assert await counts(shop.trials, running) == (VariantCounts(), VariantCounts(0, 1, 0, 0))
    await count(shop.trials, running, [("show", 7, 1, us(at))])
    assert await counts(shop.trials, running) == (VariantCounts(), VariantCounts(1, 1, 1, 1))


async def test_what_does_not_count_is_kept_and_said(shop: Shop) -> None:
    running = await started(shop.trials, attribution_hours=24)
    at = (now() - timedelta(days=2)).replace(hour=12)
    exposed = click(running, 1, 0, at)
    await count(shop.trials, running, [("show", 1, 0, us(at))])
    late = told(exposed, at + timedelta(hours=24, seconds=1), order_id="late")
    in_time = told(exposed, at + timedelta(hours=24), now(), order_id="told later")
    nobody = told(exposed._replace(experiment_id=0, phase=0, visitor_id=b""), at)
    gone = told(exposed._replace(experiment_id=running.id + 1), at)
    forgotten = told(exposed, at + HOUR, at + timedelta(days=32), order_id="told too late")
    assert await tell(shop, running, late, nobody, gone, forgotten) == [
        ("expired", False), ("unexposed", False), ("deleted", False), ("expired", False),
    ]  # fmt: skip
    assert (await counts(shop.trials, running))[0] == VariantCounts(1, 0, 1, 0)
    assert await tell(shop, running, in_time) == [("attributed", False)]
    assert (await counts(shop.trials, running))[0] == VariantCounts(1, 1, 1, 1)


async def test_a_visitor_of_two_arms_converts_in_none(shop: Shop) -> None:
    running = await started(shop.trials)
    at = now()
    await count(shop.trials, running, [("show", 1, 0, us(at)), ("show", 1, 1, us(at))])
    await tell(
        shop, running, told(click(running, 1, 0, at), at), told(click(running, 1, 1, at), at)
    )
    assert await counts(shop.trials, running) == (
        VariantCounts(1, 1, 0, 0, 1),
        VariantCounts(1, 1, 0, 0, 0),
    )


async def test_others_have_no_such_clicks(shop: Shop) -> None:
    running = await started(shop.trials)
    one = told(click(running, 1, 0, now()), now())
    with pytest.raises(NotFoundError):
        await shop.store.record(shop.trials.other, running.profile_id, [one], "api")
    tenant = shop.trials.caller.tenant_id
    with pytest.raises(NotFoundError):
        await shop.store.record_from_ingest(tenant, running.profile_id + 5, [one], "script")
    found = await shop.store.record_from_ingest(tenant, running.profile_id, [one], "script")
    assert found == [("attributed", False)]


async def test_what_was_told_is_listed(shop: Shop) -> None:
    running = await started(shop.trials)
    me, profile_id, at = shop.trials.caller, running.profile_id, now().replace(microsecond=5)
    one = told(click(running, 1, 1, at), at, value=Decimal("9.5"), currency="EUR")
    two = told(click(running, 2, 0, at)._replace(experiment_id=0), at, name="visit", order_id="7")
    for some in (one, two):
        await tell(shop, running, some)
    page = await shop.store.list_conversions(me, profile_id, 0, 1)
    (newest,), before = page
    assert newest[1:4] == ("visit", "7", at)
    assert newest[9:] == ("api", "unexposed", None, None, None)
    assert before is not None
    (oldest,), none = await shop.store.list_conversions(me, profile_id, before, 5)
    assert oldest.value == Decimal("9.5")
    assert (oldest.clicked_at, oldest.link_id) == (at, one.click.link_id)
    assert oldest[9:] == ("api", "attributed", running.id, 1, 1)
    assert none is None
    with pytest.raises(NotFoundError):
        await shop.store.list_conversions(shop.trials.other, profile_id, 0, 5)


async def test_hooks_are_made_shown_and_ended(shop: Shop) -> None:
    running = await started(shop.trials)
    me, them, profile_id = shop.trials.caller, shop.trials.other, running.profile_id
    draft = HookDraft(label="shop", name="order", fields=HookFieldPaths(click_id="a.b", value=None))
    hook, token = await shop.store.create_hook(me, profile_id, draft)
    assert token.startswith("wph_")
    assert await shop.store.list_hooks(me, profile_id, 0, 10) == ([hook], None)
    found = await shop.store.hook_of(token)
    assert found == (me.tenant_id, profile_id, "order", draft.fields)
    assert await shop.store.hook_of(token + "x") is None
    assert await shop.store.hook_of("ü") is None
    for call in (shop.store.list_hooks(them, profile_id, 0, 10),
                 shop.store.create_hook(them, profile_id, draft),
                 shop.store.delete_hook(them, profile_id, hook.id),
                 shop.store.delete_hook(me, profile_id, hook.id + 1)):  # fmt: skip
        with pytest.raises(NotFoundError):
            await call
    await shop.store.delete_hook(me, profile_id, hook.id)
    assert await shop.store.hook_of(token) is None


@pytest.mark.slow
async def test_visitors_are_forgotten_and_late_conversions_are_right(database_url: str) -> None:
    """A click of four days ago: its visitor's row is gone, its sums are not."""
    async with opened(database_url) as open_role:
        trials = await stored_trials(open_role)
        store = PostgresConversionStore(await open_role("waypost_app"))
        shop = Shop(store, trials)
        running = await started(trials)
        at = (now() - timedelta(days=4)).replace(hour=12)
        seen = [("show", n, n % 2, us(at)) for n in range(1, 9)] + [("show", 99, 0, us(now()))]
        before = await count(trials, running, seen)
        await tell(shop, running, told(click(running, 2, 0, at), at + HOUR))
        assert before == (VariantCounts(5, 0, 5, 0), VariantCounts(4, 0, 4, 0))
        upkeep = ExperimentCountsPurge(await open_role("waypost_aggregator"))
        assert await upkeep.purge() == 8
        assert (await counts(trials, running))[0] == VariantCounts(5, 1, 5, 1)
        late = [told(click(running, n, n % 2, at), now(), order_id=str(n)) for n in (2, 3, 3, 4)]
        late += [told(click(running, 3, 1, at + HOUR), now())]
        await tell(shop, running, *late)
        assert await counts(trials, running) == (
            VariantCounts(5, 3, 5, 2),
            VariantCounts(4, 2, 4, 1),
        )
        await tell(shop, running, told(click(running, 3, 1, at), now(), order_id="other"))
        assert await counts(trials, running) == (
            VariantCounts(5, 3, 5, 2),
            VariantCounts(4, 3, 4, 1),
        )
        assert await upkeep.purge() == 0
        await trials.experiments.move_experiment(trials.caller, running.id, "paused")
        await trials.experiments.delete_experiment(trials.caller, running.id)
        assert await _rows(database_url, "experiment_visitors") > 0
        other = await started(trials)
        await count(trials, other, [("show", 1, 0, us(now()))])
        assert await upkeep.purge() > 0
        assert await counts(trials, other) == (VariantCounts(1, 0, 1), VariantCounts())
        assert await _rows(database_url, "experiment_visitors") == 1
        assert await _rows(database_url, "experiment_sums") == 1


@pytest.mark.slow
async def test_values_add_up_by_currency(database_url: str) -> None:
    async with opened(database_url) as open_role:
        trials = await stored_trials(open_role)
        shop = Shop(PostgresConversionStore(await open_role("waypost_app")), trials)
        running = await started(trials)
        at = now()
        worth = [("10.10", "EUR"), ("0.0001", "EUR"), ("7", "USD")]
        await tell(shop, running, *(
            told(click(running, n, 1, at), at, value=Decimal(value), currency=currency)
            for n, (value, currency) in enumerate(worth, 1)
        ))  # fmt: skip
        _, tally = await trials.experiments.counts(trials.caller, running.id)
        assert tally.values == ((1, "EUR", 2, "10.1001"), (1, "USD", 1, "7.0000"))
        assert tally.unattributed == 0


async def _rows(url: str, table: str) -> int:
    async def ask() -> int:
        connection = await asyncpg.connect(url)
        try:
            return int(await connection.fetchval(f"SELECT count(*) FROM waypost.{table}"))
        finally:
            await connection.close()

    return await in_asyncio(ask)
